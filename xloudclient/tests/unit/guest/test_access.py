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

"""Where a guest is: nothing hostile becomes an option of ssh."""

import itertools
import types

import testtools

from xloudclient.consistency.errors import GuestUnreachable, Misuse
from xloudclient.guest.access import FIXED_OPTIONS, Access, read

HOSTILE = (
    '-oProxyCommand=id',
    '',
    'a b',
    'a;b',
    '$(id)',
    'user@host',
    'fe80::1%eth0',
    'a\nb',
    '.',
    'ssh://x',
    '-',
    'a..b',
)


def options(**changes):
    values = {
        'login': None,
        'port': None,
        'identity': None,
        'ssh_options': [],
        'family': 0,
    }
    return types.SimpleNamespace(**{**values, **changes})


class AccessTest(testtools.TestCase):
    def test_hostile_addresses_are_refused(self) -> None:
        for text in HOSTILE:
            self.assertRaises(Misuse, Access, text)
            self.assertRaises(GuestUnreachable, read, text, options(), {})

    def test_addresses_and_names_are_taken(self) -> None:
        for text in ('10.0.0.5', '2001:db8::1', 'db-1.example.org', 'my_vm'):
            self.assertEqual(text, read(text, options(), {}).address)

    def test_other_values_are_checked(self) -> None:
        for changes, part in (
            ({'login': '-x'}, "--login '-x'"),
            ({'login': 'a b'}, "--login 'a b'"),
            ({'port': 65536}, '--port 65536'),
            ({'port': -1}, '--port -1'),
            ({'options': ('-F x',)}, "--ssh-option '-F x'"),
            ({'options': ('A=b\nc',)}, "--ssh-option 'A=b\\nc'"),
            ({'family': 5}, '5 is no family'),
        ):
            misuse = self.assertRaises(Misuse, Access, 'host', **changes)
            self.assertIn(part, str(misuse))

    def test_metadata_is_used_where_options_say_nothing(self) -> None:
        metadata = {'xloud:ssh_port': '2222', 'xloud:ssh_login': 'debian'}
        found = read('h', options(), metadata)
        self.assertEqual((2222, 'debian'), (found.port, found.login))
        found = read('h', options(login='Me.1', port=22), metadata)
        self.assertEqual((22, 'Me.1'), (found.port, found.login))

    def test_hostile_metadata_is_refused(self) -> None:
        for key, value in (
            ('xloud:ssh_port', '0'),
            ('xloud:ssh_port', '99999'),
            ('xloud:ssh_port', '22 -o x'),
            ('xloud:ssh_login', '-oProxyCommand=id'),
            ('xloud:ssh_login', 'Root'),
            ('xloud:ssh_login', ''),
        ):
            failure = self.assertRaises(
                GuestUnreachable, read, 'h', options(), {key: value}
            )
            self.assertIn(key, str(failure))

    def test_the_address_is_behind_the_dashes_and_the_command_last(
        self,
    ) -> None:
        access = Access('h', 2222, 'me', '/key', ('User=x', 'A=b'), 6)
        command = access.command('exec true')
        self.assertEqual(['--', 'h', 'exec true'], command[-3:])
        self.assertEqual(['ssh', '-T'], command[:2])
        self.assertIn('-6', command)

    def test_fixed_options_are_first_so_that_they_win(self) -> None:
        command = Access('h', options=('RequestTTY=yes',)).command('x')
        given = [
            value
            for flag, value in itertools.pairwise(command)
            if flag == '-o'
        ]
        self.assertEqual(list(FIXED_OPTIONS), given[: len(FIXED_OPTIONS)])

    def test_host_keys_are_the_users_business(self) -> None:
        command = ' '.join(Access('h').command('x'))
        self.assertNotIn('HostKey', command)
        self.assertNotIn('KnownHosts', command)
