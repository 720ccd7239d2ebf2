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

"""A profile under a command line."""

import argparse
import pathlib
from unittest import mock

import fixtures
import testtools

from xloudclient.commands import profile, server_snapshot
from xloudclient.consistency.errors import HookRefused, Misuse
from xloudclient.local import profiles
from xloudclient.planning.wanted import Options, Wanted

#: Options that a profile does not have, and why.
NOT_IN_A_PROFILE = {
    # which one it is
    'profile',
    # what is to be done with it this time
    'dry-run', 'rehearse',
    # what is printed
    'long', 'format', 'f', 'column', 'c', 'quote', 'noindent', 'max-width',
    'fit-width', 'print-empty', 'sort-column', 'sort-ascending',
    'sort-descending', 'help', 'h',
    # data-volumes: false
    'no-data-volumes',
}  # fmt: skip

#: Text of a profile -> the words that say the same.
SAME = {
    'name: x-{run}': '--name x-{run}',
    'property: {a: b, c: 1}': '--property a=b --property c=1',
    'tag: nightly': '--tag nightly',
    'tag: [a, b]': '--tag a --tag b',
    'protected: true': '--protected',
    'protected: false': '',
    'group: true': '--group',
    'data-volumes: true': '--data-volumes',
    'data-volumes: false': '--no-data-volumes',
    'quiesce: sync': '--quiesce sync',
    'quiesce: [sync, redis]': '--quiesce sync --quiesce redis',
    'require: crash': '--require crash',
    'discard-lower: true': '--discard-lower',
    'on-error: continue': '--on-error continue',
    'max-freeze: 90': '--max-freeze 90',
    'max-freeze: 2m': '--max-freeze 2m',
    'hook: /a': '--hook /a',
    'hook: [/a, /b]': '--hook /a --hook /b',
    'post-hook: /a\nguest-pre-hook: /b': '--post-hook /a --guest-pre-hook /b',
    'pre-hook: /a': '--pre-hook /a',
    'guest-hook: {file: /a}': '--guest-hook /a',
    'guest-post-hook: /a': '--guest-post-hook /a',
    'hook-timeout: 5s': '--hook-timeout 5s',
    'hook-env: [A, B]': '--hook-env A --hook-env B',
    'login: root': '--login root',
    'port: 2222': '--port 2222',
    'identity: /key': '--identity /key',
    'ssh-option: {A: b, C: [d, e]}':
        '--ssh-option A=b --ssh-option C=d --ssh-option C=e',
    'trust-metadata: true': '--trust-metadata',
    'address-type: net': '--address-type net',
    'public: true': '--public',
    'private: true': '--private',
    'ssh-host: h': '--ssh-host h',
    '4: true': '-4',
    '6: true\n4: false': '-6',
    'timeout: 2h': '--timeout 2h',
    'wait: true': '--wait',
    'concurrency: 3': '--concurrency 3',
    'events: /f.jsonl': '--events /f.jsonl',
}  # fmt: skip


class ProfileTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.command = server_snapshot.CreateConsistentServerSnapshot(
            mock.Mock(), None
        )
        self.parser = self.command.get_parser('x')

    def resolve(self, text, words=''):
        """Return all options, with a profile of that text, if any."""
        line = ['db', *words.split()]
        if text is not None:
            path = self.folder / 'p.yaml'
            path.write_text(text)
            line += ['--profile', str(path)]
        given = self.parser.parse_args(line)
        self.rows = profile.resolve(given, self.parser)
        options = vars(given)
        del options['profile']
        return options

    def script(self, name):
        path = self.folder / name
        path.write_text('#!/bin/sh\n')
        path.chmod(0o700)
        return str(path)

    def assertSame(self, text, words, expected):
        self.assertEqual(
            self.resolve(None, expected), self.resolve(text, words), text
        )


class TestSchema(ProfileTestCase):
    def test_it_has_every_option_that_is_not_about_one_call(self):
        ours = set(profile.by_name(self.parser)) - NOT_IN_A_PROFILE
        self.assertEqual(ours, set(profiles.schema()['properties']))

    def test_every_option_of_it_is_tested_here(self):
        tested = {
            line.split(':')[0] for text in SAME for line in text.splitlines()
        }
        self.assertEqual(set(profiles.schema()['properties']), tested)

    def test_every_option_means_what_it_means_on_a_command_line(self):
        for text, words in SAME.items():
            self.assertSame(text, '', words)

    def test_without_one_the_options_are_the_parsers(self):
        self.assertEqual(60.0, self.resolve(None)['max_freeze'])
        self.assertEqual([], self.resolve(None)['tags'])
        self.assertIsNone(self.resolve(None)['quiescers'])

    def test_a_check_reads_it_as_a_snapshot_would(self):
        check = server_snapshot.CheckServerSnapshot(mock.Mock(), None)
        parser = check.get_parser('x')
        for text in (None, *SAME):
            wanted = self.resolve(text)
            line = ['db']
            if text is not None:
                line += ['--profile', str(self.folder / 'p.yaml')]
            given = parser.parse_args(line)
            check._resolve(given)
            for name in Options.__annotations__:
                self.assertEqual(wanted[name], getattr(given, name), name)

    def test_a_value_that_only_the_parser_knows_to_be_wrong(self):
        def refuse(text):
            raise argparse.ArgumentTypeError('no')

        profile.by_name(self.parser)['timeout'].type = refuse
        error = self.assertRaises(Misuse, self.resolve, 'timeout: 5')
        self.assertIn('p.yaml:1:10: timeout: no', str(error))


class TestPrecedence(ProfileTestCase):
    def test_the_command_line_wins(self):
        for text, words in (
            ('max-freeze: 90', '--max-freeze 60'),
            ('name: a', '--name b'),
            ('on-error: continue', '--on-error fail'),
            ('data-volumes: false', '--data-volumes'),
            ('property: {a: b}', '--property c=d'),
            ('ssh-host: h', '--public'),
            ('address-type: net', '--ssh-host h'),
            ('4: true', '-6'),
        ):
            self.assertSame(text, words, words)

    def test_a_list_on_the_command_line_replaces_the_profiles(self):
        self.assertSame('tag: [a, b]', '--tag c', '--tag c')
        self.assertSame(
            'quiesce: [sync, redis]', '--quiesce none', '--quiesce none'
        )

    def test_an_option_for_hooks_replaces_that_option_alone(self):
        self.assertSame(
            'hook: [/a, /b]\nguest-hook: /c\npost-hook: /d',
            '--hook /e --post-hook /f',
            '--guest-hook /c --hook /e --post-hook /f',
        )

    def test_each_line_is_told_with_its_place_and_its_fate(self):
        self.script('h')
        self.resolve(
            'max-freeze: 90\nquiesce:\n- sync\n'
            '- pair: {file: h, pre: [a, b], post: c}\n'
            'wait: true\nhook: /bin/sh\npublic: true',
            '--max-freeze 30 --hook /bin/true --ssh-host h',
        )
        gone = '; replaced on the command line'
        self.assertEqual(
            [
                ('max-freeze: 90', f'p.yaml, line 1{gone}'),
                ('quiesce: sync', 'p.yaml, line 2'),
                (
                    'quiesce: pair: file: h, pre: [a, b], post: c',
                    'p.yaml, line 2',
                ),
                ('wait: true', 'p.yaml, line 5'),
                ('hook: /bin/sh', f'p.yaml, line 6{gone}'),
                ('public: true', f'p.yaml, line 7{gone}'),
            ],
            self.rows,
        )

    def test_rivals_in_one_profile_are_refused(self):
        for text, line in (
            ('public: true\nprivate: true', 2),
            ('ssh-host: h\nwait: true\naddress-type: net', 3),
            ('4: true\n6: true', 2),
        ):
            error = self.assertRaises(Misuse, self.resolve, text)
            self.assertIn(f'p.yaml:{line}:', str(error))
            self.assertIn('exclude each other', str(error))
        self.resolve('public: true\nprivate: false')


class TestScripts(ProfileTestCase):
    """Hooks and quiescers: files, and arguments of their own."""

    def wanted(self, text):
        options = self.resolve(text)
        return Wanted.of(argparse.Namespace(**options))

    def test_a_hook_has_arguments_of_its_own(self):
        path = self.script('h')
        wanted = self.wanted(
            'guest-hook:\n'
            '- {file: ./h, pre: pre-script, post: [post-script, "1 2"]}\n'
            '- {file: h, pre: []}\n'
            'pre-hook: {file: h, pre: [a, b]}\n'
            'post-hook: {file: h, post: c}\n'
        )
        self.assertEqual(
            [
                (path, 'guest', ('pre-script',), ('post-script', '1 2')),
                (path, 'guest', (), ('post',)),
                (path, 'here', ('a', 'b'), None),
                (path, 'here', None, ('c',)),
            ],
            [(one.path, one.place, one.pre, one.post) for one in wanted.hooks],
        )

    def test_a_quiescer_has_its_options_below_it(self):
        self.script('pre,1.sh')
        self.script('post.sh')
        [mysql, pair, own] = self.wanted(
            'quiesce:\n'
            '- mysql: {defaults_file: /root/.my.cnf}\n'
            '- pair:\n'
            '    file: pre,1.sh\n'
            '    pre: ["a,b", c]\n'
            '    post_file: ./post.sh\n'
            '- ./post.sh: {folder: "/srv/a,b"}\n'
        ).quiescers
        self.assertEqual((('defaults_file', '/root/.my.cnf'),), mysql.options)
        self.assertEqual((('pre', 'a,b'), ('pre', 'c')), pair.options)
        self.assertEqual(
            [('file', 'pre,1.sh'), ('post_file', 'post.sh')],
            [
                (one.option, pathlib.Path(one.path).name)
                for one in pair.companions
            ],
        )
        self.assertEqual((('folder', '/srv/a,b'),), own.options)

    def test_a_quiescer_that_is_wrong_is_told_with_its_place(self):
        for text, place, words in (
            ('quiesce: [sync,\n  msyql]', '2:3', "no quiescer 'msyql'"),
            ('quiesce: [mysql: {port: 1}]', '1:11', "no option 'port'"),
            ('quiesce: "pair,file=x"', '1:10', 'pair needs pre=<value>'),
            ('quiesce: "mysql,x"', '1:10', "'x' is not <key>=<value>"),
            (
                'quiesce: [sync, auto]',
                '1:17',
                'auto, none and agent stand alone',
            ),
            ('quiesce: [mysql: {socket: [/a, /b]}]', '1:11', 'given twice'),
        ):
            error = self.assertRaises(Misuse, self.resolve, text)
            self.assertIn(f'p.yaml:{place}: ', str(error))
            self.assertIn(words, str(error))

    def test_a_file_that_may_not_run_is_refused_as_ever(self):
        text = 'quiesce: {pair: {file: none, post_file: none}}'
        error = self.assertRaises(HookRefused, self.resolve, text)
        self.assertIn(f'{self.folder}/none', str(error))
