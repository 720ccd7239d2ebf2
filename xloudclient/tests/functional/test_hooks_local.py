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

"""The kill ladder of local hooks, on processes that resist it."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import fixtures
import testtools

from xloudclient.consistency.answers import HookOutcome, HookState
from xloudclient.consistency.plan import Hook, Place
from xloudclient.local.hooks import LocalHooks


def is_at_work(number: str) -> bool:
    """Whether there is such a process; a zombie isn't one any more."""
    try:
        status = pathlib.Path('/proc', number.strip(), 'stat').read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(')')[2].split()[0] != 'Z'


CLIENT = """
import os, signal, sys
from xloudclient.consistency.plan import Hook, Place
from xloudclient.local.hooks import LocalHooks


def die(group):
    print(group, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


runner = LocalHooks(os.environ, on_start=die)
runner.run(Hook(sys.argv[1], Place.HERE), 'pre', {}, 10)
"""


class TestGate(testtools.TestCase):
    def test_a_hook_of_a_client_that_was_killed_before_its_line_never_runs(
        self,
    ):
        root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        file = root / 'hook'
        file.write_text(f'#!/bin/sh\ntouch {root}/ran\n')
        file.chmod(0o755)
        client = subprocess.run(
            [sys.executable, '-c', CLIENT, str(file)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.assertEqual(-signal.SIGKILL, client.returncode)
        while is_at_work(client.stdout):
            time.sleep(0.01)
        self.assertFalse((root / 'ran').exists())


class TestKillLadder(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def run_hook(self, script: str, timeout: float = 1.0) -> HookOutcome:
        file = self.root / 'hook'
        file.write_text(f'#!/bin/sh\ncd {self.root}\n{script}\n')
        file.chmod(0o755)
        runner = LocalHooks(os.environ, grace=1.0)
        return runner.run(Hook(str(file), Place.HERE), 'pre', {}, timeout)

    def assertGone(self, name: str) -> None:
        self.assertFalse(is_at_work((self.root / name).read_text()))

    def test_term_lets_a_hook_clean_up(self):
        script = 'trap "touch cleaned; exit 1" TERM\nsleep 60 & wait'
        outcome = self.run_hook(script)
        self.assertEqual(HookState.TIMED_OUT, outcome.state)
        self.assertTrue((self.root / 'cleaned').exists())
        self.assertLess(outcome.seconds, 1.9)

    def test_kill_ends_what_ignores_term(self):
        script = 'trap "" TERM\necho $$ > me\nwhile :; do sleep 1; done'
        outcome = self.run_hook(script)
        self.assertEqual(HookState.TIMED_OUT, outcome.state)
        self.assertGreaterEqual(outcome.seconds, 2.0)
        self.assertLess(outcome.seconds, 4.0)
        self.assertGone('me')

    def test_children_that_ignore_term_are_ended_too(self):
        script = (
            '(trap "" TERM; sh -c \'echo $PPID > child\'\n'
            ' while :; do sleep 1; done) &\nwait'
        )
        self.run_hook(script)
        self.assertGone('child')

    def test_a_stopped_hook_is_ended(self):
        outcome = self.run_hook('echo $$ > me\nkill -STOP $$')
        self.assertEqual(HookState.TIMED_OUT, outcome.state)
        self.assertGone('me')

    def test_a_flood_of_output_does_not_hide_the_time_out(self):
        outcome = self.run_hook('exec yes')
        self.assertEqual(HookState.TIMED_OUT, outcome.state)
        self.assertLess(outcome.seconds, 2.5)

    def test_a_hook_that_makes_children_all_the_time_is_ended(self):
        script = 'trap "" TERM\nwhile :; do sleep 5 & echo $! >> all; done'
        self.run_hook(script, timeout=0.3)
        # of the last line, only a part may have been written
        numbers = (self.root / 'all').read_text().splitlines()[:-1]
        left = [number for number in numbers if is_at_work(number)]
        self.assertEqual([], left)

    def test_ctrl_c_at_the_terminal_does_not_reach_a_hook(self):
        """A terminal sends SIGINT to the foreground group: ours."""
        script = 'echo $$ > me\nsleep 1\ntouch finished'
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            signal.signal(signal.SIGINT, lambda *_: None)
            state = self.run_hook(script, timeout=20).state
            os._exit(0 if state is HookState.SUCCEEDED else 1)
        self.addCleanup(self._forget, child)
        while not (self.root / 'me').exists():
            time.sleep(0.01)
        os.killpg(child, signal.SIGINT)
        _, status = os.waitpid(child, 0)
        self.assertEqual(0, status)
        self.assertTrue((self.root / 'finished').exists())

    def _forget(self, child: int) -> None:
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
