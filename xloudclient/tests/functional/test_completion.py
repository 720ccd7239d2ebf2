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

"""Completion in real shells; the client is the real one once, and otherwise
a script that says what it would say."""

import contextlib
import os
import pathlib
import pty
import select
import subprocess
import sys
import time
from unittest import mock

import fixtures
import testtools

from xloudclient.tests.functional import base
from xloudclient.tests.unit.commands import test_base

SCRIPT = pathlib.Path(__file__).parents[3] / 'share/completion.sh'

CLIENT = r"""#!/bin/sh
echo "$*" >>"$HOME/asked"
case "$*" in
*complete*)
    cat <<'DATA'
  cmds='server snapshot volume'
  cmds_server='list snapshot'
  cmds_server_snapshot='consistent create hook recover'
  cmds_server_snapshot_consistent='-h --help --wait --profile --quiesce'
  cmds_server_snapshot_hook='install list remove'
  cmds_server_snapshot_hook_install='-h --help --quiesce'
  cmds_server_snapshot_recover='-h --help'
  cmds_snapshot='list show'
  cmds_snapshot_list='-h --server'
  cmds_snapshot_show='-h --help'
  cmds_volume='snapshot'
  cmds_volume_snapshot='show'
  cmds_volume_snapshot_show='-h'
DATA
    ;;
*'server list -f value -c Name')
    printf '%s\n' web-1 web-2 'my db' '$(touch pwned)' "$(printf 'a\033[2J')"
    ;;
*'snapshot list -f value -c Name') echo nightly-web-1 ;;
esac
"""

#: Complete a line, given word by word; print what it may become.
ASK = r"""
. "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_xloud_openstack
printf '%s\n' "${COMPREPLY[@]}"
"""


class CompletionTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.home = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        client = self.home / 'bin/openstack'
        client.parent.mkdir()
        client.write_text(CLIENT)
        client.chmod(0o755)
        self.environ = {
            'PATH': f'{client.parent}:/usr/bin:/bin',
            'HOME': str(self.home),
            'LC_ALL': 'C.UTF-8',
            'TERM': 'dumb',
        }

    @property
    def asked(self):
        return (self.home / 'asked').read_text().splitlines()


class TestBash(CompletionTestCase):
    def complete(self, *words):
        done = subprocess.run(
            ['bash', '--norc', '-c', ASK, 'bash', SCRIPT, 'openstack', *words],
            env=self.environ,
            cwd=self.home,
            capture_output=True,
            check=True,
            text=True,
            timeout=base.PATIENCE_SECONDS,
        )
        self.assertEqual('', done.stderr)
        return [line for line in done.stdout.split('\n') if line]

    def test_commands_and_options_are_the_clients(self):
        for line, expected in (
            ('ser', ['server']),
            ('server s', ['snapshot']),
            ('server snapshot c', ['consistent', 'create']),
            ('server snapshot consistent --w', ['--wait']),
            ('--os-cloud x -v server l', ['list']),
            ('nonsense x', []),
        ):
            self.assertEqual(expected, self.complete(*line.split()), line)

    def test_names_stand_where_a_command_takes_them(self):
        profiles = self.home / '.config/xloudclient/profiles'
        profiles.mkdir(parents=True)
        (profiles / 'db.yaml').touch()
        for line, expected in (
            ('server snapshot consistent w', ['web-1', 'web-2']),
            ('server snapshot consistent --wait web-2', ['web-2']),
            ('server snapshot consistent --max-freeze w', []),
            ('server snapshot consistent --hook-env w', []),
            ('server snapshot hook i', ['install']),
            ('server snapshot hook install w', ['web-1', 'web-2']),
            ('server snapshot hook install --quiesce ag', ['agent']),
            ('snapshot show n', ['nightly-web-1']),
            ('snapshot list --server w', ['web-1', 'web-2']),
            ('snapshot list w', []),
            ('volume snapshot show n', []),
            ('server snapshot recover w', []),
            ('server snapshot consistent --profile d', ['db']),
            ('server snapshot consistent --quiesce f', ['fsfreeze']),
        ):
            self.assertEqual(expected, self.complete(*line.split()), line)

    def test_it_knows_which_options_have_no_value(self):
        flags = {
            word
            for _words, command in test_base.commands()
            for action in command(mock.Mock(), None).get_parser('x')._actions
            if action.nargs == 0
            for word in action.option_strings
        }
        told = subprocess.run(
            ['bash', '-c', '. "$0"; echo "$_xloud_flags"', SCRIPT],
            capture_output=True,
            check=True,
            text=True,
        )
        self.assertEqual(flags - {'-h', '--help'}, set(told.stdout.split()))

    def test_names_are_other_peoples(self):
        [named] = self.complete('server', 'snapshot', 'consistent', '\\$')
        self.assertEqual(r'\$\(touch\ pwned\)', named)
        [named] = self.complete('server', 'snapshot', 'consistent', 'my')
        self.assertEqual(r'my\ db', named)
        for one in self.complete('server', 'snapshot', 'consistent', ''):
            self.assertTrue(one.isprintable(), one)
        self.assertFalse((self.home / 'pwned').exists())

    def test_the_client_is_asked_once_for_each_cloud(self):
        for cloud in ('a', 'a', 'b'):
            for _ in range(2):
                self.complete(
                    '--os-cloud', cloud, 'server', 'snapshot', 'consistent', ''
                )
        self.assertEqual(
            [
                'complete --shell none',
                '--os-cloud a server list -f value -c Name',
                '--os-cloud b server list -f value -c Name',
            ],
            self.asked,
        )

    def test_a_client_that_fails_is_not_asked_at_each_key(self):
        (self.home / 'bin/openstack').write_text(
            '#!/bin/sh\necho "$*" >>"$HOME/asked"; exit 1\n'
        )
        for _ in range(2):
            self.assertEqual([], self.complete('server', 'snap'))
        self.assertEqual(['complete --shell none'], self.asked)

    def test_the_script_passes_shellcheck(self):
        subprocess.run(['shellcheck', '--shell=bash', SCRIPT], check=True)


class TestZsh(CompletionTestCase):
    """Keys typed at a zsh; the client notes what it was called with."""

    def setUp(self):
        super().setUp()
        pid, self.terminal = pty.fork()
        if not pid:
            os.chdir(self.home)
            os.execve('/usr/bin/zsh', ['zsh', '-f', '-i'], self.environ)
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.close, self.terminal)
        self.type(
            'autoload -Uz compinit bashcompinit; compinit -u -D; '
            f'bashcompinit; . {SCRIPT}; PS1=; unsetopt zle_bracketed_paste; '
            'touch set-up\n'
        )
        self.wait_for(lambda: (self.home / 'set-up').exists())

    def type(self, text):
        os.write(self.terminal, text.encode())

    def wait_for(self, is_true):
        end = time.monotonic() + base.PATIENCE_SECONDS
        while not is_true():
            self.assertLess(time.monotonic(), end, 'zsh is stuck')
            if select.select([self.terminal], [], [], 0.05)[0]:
                with contextlib.suppress(OSError):
                    os.read(self.terminal, 65536)

    def run_completed(self, line):
        """Type a line, complete it, run it; return what the client got."""
        self.type(f'{line}\t\n')
        self.type(': >done\n')
        self.wait_for((self.home / 'done').exists)
        (self.home / 'done').unlink()
        return self.asked[-1]

    def test_commands_options_and_names(self):
        for line, expected in (
            ('server sn', 'server snapshot'),
            ('server snapshot consistent --wa', None),
            (
                'server snapshot consistent my',
                'server snapshot consistent my db',
            ),
            ('snapshot show n', 'snapshot show nightly-web-1'),
        ):
            expected = expected or f'{line}it'
            self.assertEqual(expected, self.run_completed(f'openstack {line}'))


class TestRealClient(base.FunctionalTestCase):
    def test_the_name_of_a_server(self):
        self.place.server(name='completed-1')
        done = subprocess.run(
            ['bash', '--norc', '-c', ASK, 'bash', SCRIPT, 'openstack',
             'server', 'snapshot', 'consistent', 'compl'],
            env={
                **self.environ(HOME=str(self.home)),
                'PATH': f'{pathlib.Path(sys.executable).parent}:/usr/bin:/bin',
            },
            capture_output=True,
            check=True,
            text=True,
            timeout=base.PATIENCE_SECONDS,
        )  # fmt: skip
        self.assertEqual(('completed-1\n', ''), (done.stdout, done.stderr))
