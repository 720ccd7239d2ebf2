#  Licensed under the Apache License, Version 2.0 (the "License"); you may
#  not use this file except in compliance with the License. You may obtain
#  a copy of the License at
#
#       http://www.apache.org/licenses/LICENSE-2.0
#
#  Unless required by applicable law or agreed to in writing, software
#  distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#  WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#  License for the specific language governing permissions and limitations
#  under the License.

"""What a launch does not name is taken over, if it is still there."""

import types

import testtools

from xloudclient.catalog.launch import Flavor, Source
from xloudclient.upkeep.source_defaults import Defaults

SOURCE = Source('m1', ('net', 'back'), 'k', ('web',))
NOTHING = types.SimpleNamespace(
    flavor=None, nics=[], key_name=None, security_groups=None
)


class Choices:
    """A project with one of each; the name is the ID, with a prefix."""

    def flavor(self, name):
        return Flavor('f-m1', 'm1', 1, 64, 1) if name == 'm1' else None

    def networks(self, name):
        return {'net': ['n-net'], 'back': ['n-back'], 'two': ['1', '2']}.get(
            name, []
        )

    def security_groups(self, name):
        return ['g-web'] if name == 'web' else []

    def has_key_pair(self, name):
        return name == 'k'


def taken(source: Source, options: object = NOTHING) -> Defaults:
    defaults = Defaults(Choices())
    defaults.flavor(source, options)
    defaults.take(source, options)
    return defaults


class TestDefaults(testtools.TestCase):
    def assertMissing(self, source: Source, message: str, advice: str):
        [problem] = taken(source).problems
        self.assertIn(message, str(problem))
        self.assertIn(advice, problem.advice)

    def test_all_is_taken_by_its_id(self):
        defaults = taken(SOURCE)
        self.assertEqual(
            [
                '--flavor=f-m1',
                '--network=n-net',
                '--network=n-back',
                '--security-group=g-web',
                '--key-name=k',
            ],
            defaults.words,
        )
        self.assertEqual([], defaults.problems)
        self.assertIn('network back', defaults.taken)

    def test_what_was_named_is_not_replaced(self):
        options = types.SimpleNamespace(
            flavor='m1', nics=['auto'], key_name='', security_groups=[]
        )
        defaults = taken(SOURCE, options)
        self.assertEqual(['--flavor=f-m1'], defaults.words)
        self.assertEqual([], defaults.taken)

    def test_a_server_without_a_network_stays_without(self):
        defaults = taken(Source('m1', (), '', ()))
        self.assertEqual(['--flavor=f-m1', '--no-network'], defaults.words)

    def test_what_is_missing_is_said_with_its_option(self):
        for source, message, advice in (
            (Source('m9', ('net',), '', ()), 'no flavor m9', '--flavor'),
            (Source('m1', ('x',), '', ()), 'no network x', '--network'),
            (Source('m1', ('two',), '', ()), 'any of 1, 2', '--network'),
            (Source('m1', ('net',), 'z', ()), 'no key pair z', '--key-name'),
            (
                Source('m1', ('net',), '', ('z',)),
                'no security group z',
                '--security-group',
            ),
        ):
            self.assertMissing(source, message, advice)

    def test_names_that_others_recorded_are_printable(self):
        self.assertMissing(
            Source('\x1b[2J', ('net',), '', ()), r'flavor \x1b[2J', '--flavor'
        )
