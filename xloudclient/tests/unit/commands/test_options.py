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


"""Every option goes through the real shell.

The shell's own parser reads the command line first and swallows what looks
like one of its options, cliff drops options that a formatter has; neither
says so. So it is not enough to ask a command's parser.
"""

import argparse
import io
from unittest import mock

import fixtures
import testtools
from openstackclient import shell

from xloudclient import wiring
from xloudclient.commands import base, guest_options, server_snapshot
from xloudclient.consistency.errors import Failure

AUTH = ['--os-auth-type', 'none', '--os-endpoint', 'http://127.0.0.1:9']

#: Words -> the attribute they set, and its value.
COMMON = {
    '--name x-{run}': ('name', 'x-{run}'),
    '--property a=b': ('properties', {'a': 'b'}),
    '--tag nightly': ('tags', ['nightly']),
    '--protected': ('protected', True),
    '--data-volumes': ('data_volumes', True),
    '--no-data-volumes': ('data_volumes', False),
    '--timeout 2h': ('timeout', 7200.0),
    '--wait': ('wait', True),
    '--dry-run': ('dry_run', True),
    '--concurrency 3': ('concurrency', 3),
    '--events f.jsonl': ('events', 'f.jsonl'),
    '--long': ('long', True),
}
CONSISTENT = {
    '--quiesce mysql,port=1': ('quiescers', ['mysql,port=1']),
    '--require crash': ('require', 'crash'),
    '--discard-lower': ('discard_lower', True),
    '--on-error continue': ('on_error', 'continue'),
    '--group': ('group', True),
    '--max-freeze 90': ('max_freeze', 90.0),
    '--rehearse': ('rehearse', True),
    '--hook a': ('hooks', [(False, ('pre',), ('post',), 'a')]),
    '--pre-hook a': ('hooks', [(False, ('pre',), None, 'a')]),
    '--post-hook a': ('hooks', [(False, None, ('post',), 'a')]),
    '--guest-hook a': ('hooks', [(True, ('pre',), ('post',), 'a')]),
    '--guest-pre-hook a': ('hooks', [(True, ('pre',), None, 'a')]),
    '--guest-post-hook a': ('hooks', [(True, None, ('post',), 'a')]),
    '--hook-timeout 5s': ('hook_timeout', 5.0),
    '--hook-env TOKEN': ('hook_env', ['TOKEN']),
    '--login root': ('login', 'root'),
    '--port 2222': ('port', 2222),
    '--identity key': ('identity', 'key'),
    '--ssh-option ProxyJump=j': ('ssh_options', ['ProxyJump=j']),
    '--trust-metadata': ('trust_metadata', True),
    '--address-type net': ('address_type', 'net'),
    '--public': ('address_type', 'floating'),
    '--private': ('address_type', 'fixed'),
    '--ssh-host h': ('ssh_host', 'h'),
    '-4': ('family', 4),
    '-6': ('family', 6),
    '--profile p': ('profile', 'p'),
}
OPTIONS = {'create': COMMON, 'consistent': {**COMMON, **CONSISTENT}}
CLASSES = {
    'create': server_snapshot.CreateServerSnapshot,
    'consistent': server_snapshot.CreateConsistentServerSnapshot,
}


class TestOptions(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.FakeLogger())
        self.seen: argparse.Namespace | None = None
        self.stderr = io.StringIO()
        self.useFixture(fixtures.MonkeyPatch('sys.stderr', self.stderr))

        def prepare(client_manager, parsed_args, verbosity):
            self.seen = parsed_args
            raise Failure('seen')

        for name, instead in (
            ('prepare', prepare),
            ('read_profile', lambda name: ()),
        ):
            patch = mock.patch.object(wiring, name, instead)
            patch.start()
            self.addCleanup(patch.stop)

    def shell(self, *words):
        try:
            return shell.OpenStackShell().run([*AUTH, *words])
        except SystemExit as error:
            return error.code

    def test_every_option_reaches_its_command(self):
        for command, options in OPTIONS.items():
            for words, (name, value) in options.items():
                self.seen = None
                self.shell(
                    'server', 'snapshot', command, 'db', *words.split(' ')
                )
                self.assertEqual(value, getattr(self.seen, name, None), words)
                self.assertEqual(['db'], self.seen.servers)

    def test_no_option_is_left_out_of_this_test(self):
        for command, cls in CLASSES.items():
            ours = _options(cls(mock.Mock(), None).get_parser('x'))
            formatters = _options(
                super(
                    server_snapshot.SnapshotServers, cls(mock.Mock(), None)
                ).get_parser('x')
            )
            tested = {words.split(' ')[0] for words in OPTIONS[command]}
            self.assertEqual(ours - formatters, tested)

    def test_check_takes_what_is_said_of_the_guest(self):
        cls = server_snapshot.CheckServerSnapshot
        ours = _options(cls(mock.Mock(), None).get_parser('x'))
        formatters = _options(
            super(base.GuardedLister, cls(mock.Mock(), None)).get_parser('x')
        )
        wanted = {words.split(' ')[0] for words in CONSISTENT}
        wanted -= {'--discard-lower', '--rehearse', '--group'}
        wanted |= {'--data-volumes', '--no-data-volumes', '--concurrency'}
        self.assertEqual(wanted, ours - formatters)

    def test_a_check_says_nothing_that_it_does_not_do(self):
        cls = server_snapshot.CheckServerSnapshot
        helps = {
            one.option_strings[0] if one.option_strings else one.dest: one.help
            for one in cls(mock.Mock(), None).get_parser('x')._actions
        }
        self.assertNotIn('to snapshot', helps['servers'])
        self.assertNotIn('group', helps['--max-freeze'])
        for option in guest_options.HOOKS:
            self.assertIn('not run', helps[option])

    def test_what_captures_nothing_says_nothing_of_captures(self):
        for cls, is_said in (
            (server_snapshot.CreateServerSnapshot, True),
            (server_snapshot.CheckServerSnapshot, False),
            (server_snapshot.InstallFreezeHook, False),
        ):
            parser = cls(mock.Mock(), None).get_parser('x')
            [option] = [
                one for one in parser._actions if one.dest == 'concurrency'
            ]
            self.assertEqual(is_said, 'captured' in option.help, cls)

    def test_wrong_values_are_usage_errors(self):
        for words in (
            '--max-freeze soon',
            '--max-freeze 0',
            '--max-freeze -1',
            '--timeout 1d',
            '--timeout 1h30m',
            '--hook-timeout 1e3',
            '--concurrency 0',
            '--concurrency x',
            '--require best',
            '--on-error ignore',
            '--property xloud_image=x',
            '--property image_type=x',
            '--property instance_uuid=x',
            '--property novalue',
            '--property a/b=c',
            '--tag=',
            '--port x',
            '--data-volumes --no-data-volumes',
            '--public --private',
            '-4 -6',
            '--nonsense',
        ):
            code = self.shell(
                'server', 'snapshot', 'consistent', 'db', *words.split(' ')
            )
            self.assertEqual(2, code, words)
            self.assertIsNone(self.seen, words)

    def test_a_property_that_is_wrong_is_named(self):
        words = ('--property', 'good=1', '--property', 'a/b=c')
        self.shell('server', 'snapshot', 'create', 'db', *words)
        self.assertIn("'a/b'", self.stderr.getvalue())

    def test_hooks_keep_the_order_of_the_command_line(self):
        words = '--post-hook c --hook a --guest-hook b --hook d'
        self.shell('server', 'snapshot', 'consistent', 'x', *words.split(' '))
        self.assertEqual('cabd', ''.join(one[-1] for one in self.seen.hooks))

    def test_a_failure_is_one_sentence_and_its_code(self):
        code = self.shell('server', 'snapshot', 'create', 'db')
        self.assertEqual(1, code)


def _options(parser: argparse.ArgumentParser) -> set[str]:
    return {
        word for action in parser._actions for word in action.option_strings
    }
