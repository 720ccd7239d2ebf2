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

"""Every command's help teaches."""

import importlib.metadata
import io
import shlex
from unittest import mock

import fixtures
import testtools

from xloudclient.commands import base, snapshot
from xloudclient.commands.base import Guarded
from xloudclient.consistency.errors import Misuse


def commands():
    """Yield the words and the class of each of our commands."""
    group = 'openstack.xloud.v1'
    for one in importlib.metadata.entry_points(group=group):
        yield one.name.split('_'), one.load()


class TestExamples(testtools.TestCase):
    def help_of(self, cls):
        out = io.StringIO()
        parser = cls(mock.Mock(), None).get_parser('openstack x')
        self.useFixture(fixtures.EnvironmentVariable('COLUMNS', '70'))
        parser.print_help(out)
        return out.getvalue()

    def test_every_command_has_one_that_its_parser_takes(self):
        for words, cls in commands():
            command = ['openstack', *words]
            example = shlex.split(cls.example)
            self.assertEqual(command, example[: len(command)])
            parser = cls(mock.Mock(), None).get_parser(cls.example)
            parser.parse_args(example[len(command) :])

    def test_it_stands_in_a_line_of_its_own(self):
        for _words, cls in commands():
            self.assertIn(
                f'\n\nExample:\n\n    {cls.example}\n\n', self.help_of(cls)
            )

    def test_paragraphs_stay_apart_and_are_filled(self):
        class Command(Guarded):
            """Do it

            Some words that are so many that they do not fit in one line of
            seventy characters.

            More.
            """

            def take_action(self, parsed_args):
                pass

        self.assertIn(
            '\n\nDo it\n\nSome words that are so many that they do not fit in '
            'one line of\nseventy characters.\n\nMore.\n\n',
            self.help_of(Command),
        )


class TestColumns(testtools.TestCase):
    """-c and --sort-column are read as cliff reads them."""

    def parse(self, *words):
        self.command = snapshot.ListSnapshot(mock.Mock(), None)
        return self.command.get_parser('x').parse_args(words)

    def servers(self, *words):
        """What the list shows as the server's name; '' if it is not asked."""
        catalog = mock.Mock()
        catalog.server_name.return_value = 'db'
        catalog.vanished.return_value = ()
        catalog.snapshots.return_value = [mock.Mock()]
        parsed_args = self.parse(*words)
        with mock.patch('xloudclient.commands.snapshot_rows.row') as row:
            list(self.command._rows(catalog, None, parsed_args))
        return row.call_args.args[1]

    def test_case_and_underscores_are_the_users_choice(self):
        for word in ('Created At', 'created_at', 'CREATED AT'):
            self.command = snapshot.ListSnapshot(mock.Mock(), None)
            self.command.check_columns(self.parse('-c', word), 'Created At')
        self.assertRaises(
            Misuse,
            self.command.check_columns,
            self.parse('-c', 'Created'),
            'Created At',
        )

    def test_servers_are_named_where_they_are_shown_or_sorted_by(self):
        for words in (
            (),
            ('--sort-column', 'Name'),
            ('-c', 'ID', '-c', 'server'),
            ('-c', 'ID', '--sort-column', 'server'),
        ):
            self.assertEqual('db', self.servers(*words), words)
        self.assertEqual('', self.servers('-c', 'ID'))

    def test_what_was_created_is_shown_by_any_spelling(self):
        made = {'id': 'x', 'OS-EXT-STS:vm_state': 'active'}
        for word in ('ID', 'id', 'os-ext-sts:vm_state'):
            self.assertTrue(base.is_chosen(self.parse('-c', word), *made))
        self.assertFalse(base.is_chosen(self.parse('-c', 'no'), *made))
