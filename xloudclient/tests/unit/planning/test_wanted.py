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

"""What the options ask of the quiescers, before a guest is reached."""

import dataclasses
import types

import testtools

from xloudclient.consistency.errors import Misuse, NotQuiesced
from xloudclient.planning import freeze_hooks
from xloudclient.planning.wanted import (
    Wanted,
    built_in,
    by_metadata,
    read_quiescers,
)
from xloudclient.tests.fakes import world as fakes

AUTO = Wanted(
    name='x',
    quiescers=(),
    is_auto=True,
    by_agent=False,
    is_default=True,
    hooks=(),
)


class TestNumber(testtools.TestCase):
    """A guest has room for so many holders."""

    def test_more_than_can_be_held_at_once_is_refused(self):
        self.assertEqual(6, len(read_quiescers(['sync'] * 6)))
        misuse = self.assertRaises(Misuse, read_quiescers, ['sync'] * 7)
        self.assertIn('--quiesce: at most 6', str(misuse))

    def test_a_freeze_hook_holds_one_fewer(self):
        freeze_hooks.check((built_in('sync'),) * 5, by_agent=False)
        misuse = self.assertRaises(
            Misuse, freeze_hooks.check, (built_in('sync'),) * 6, False
        )
        self.assertIn('--quiesce: a freeze hook holds at most 5', str(misuse))


class TestAddress(testtools.TestCase):
    def test_what_is_no_host_is_a_mistake_of_the_user(self):
        for host in ('not a host', '-oProxyCommand=x', 'fe80::1%eth0'):
            options = types.SimpleNamespace(
                name=None, servers=['db'], group=False, ssh_host=host
            )
            misuse = self.assertRaises(Misuse, Wanted.of, options)
            self.assertIn(f'--ssh-host {host!r}', str(misuse))


class TestMetadata(testtools.TestCase):
    """What a server's metadata asks for is no word of the user's."""

    def follow(self, word, **options):
        options = {'group': False, 'rehearse': False, **options}
        target = dataclasses.replace(
            fakes.plan().target, metadata={'xloud:quiesce': word}
        )
        return by_metadata(AUTO, target, types.SimpleNamespace(**options))

    def test_it_is_followed(self):
        [one] = self.follow('service,name=x').quiescers
        self.assertEqual('service', one.name)
        self.assertFalse(self.follow('none').is_auto)
        self.assertTrue(self.follow('agent').by_agent)
        self.assertIs(AUTO, self.follow('auto'))

    def test_what_is_wrong_is_said_of_the_server(self):
        for word, part in (
            ('mysqld', 'one of agent, auto, fsfreeze,'),
            ('mysql,colour=red', "no option 'colour'"),
            ('mysql,colour', 'is not <key>=<value>'),
            ('mysql,defaults_file=/x', 'no path'),
            ('./x', 'no path'),
            ('pair,file=x,pre=a,post=b', 'one of'),
        ):
            failure = self.assertRaises(NotQuiesced, self.follow, word)
            self.assertIn(
                f"the server's metadata xloud:quiesce={word!r}", str(failure)
            )
            self.assertIn(part, str(failure))
            self.assertNotIn('--quiesce', str(failure))
            self.assertIn('--quiesce', failure.advice)

    def test_the_hook_that_it_asks_for_may_not_suit(self):
        for option in ('group', 'rehearse'):
            failure = self.assertRaises(
                NotQuiesced, self.follow, 'agent', **{option: True}
            )
            self.assertIn("xloud:quiesce='agent'", str(failure))
            self.assertIn(f'--{option}', str(failure))
