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

import os
import pathlib
import signal
import subprocess
import sys
import time

import fixtures
import testtools

from xloudclient.consistency.answers import HookState
from xloudclient.consistency.hooks import by_hand
from xloudclient.consistency.plan import Hook, Place
from xloudclient.local import hook_group, hooks


def is_at_work(number: str) -> bool:
    """Whether there is such a process; a zombie isn't one any more."""
    try:
        status = pathlib.Path('/proc', number.strip(), 'stat').read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(')')[2].split()[0] != 'Z'


class HooksTestCase(testtools.TestCase):
    """Hooks are real processes here, of ``/bin/sh``."""

    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.environ = dict(os.environ)

    def hook(self, script: str) -> Hook:
        file = self.root / 'hook'
        file.write_text(f'#!/bin/sh\n{script}\n')
        file.chmod(0o755)
        return Hook(str(file), Place.HERE)

    def run_hook(self, script, phase='pre', timeout=10.0, **environment):
        runner = hooks.LocalHooks(self.environ, ('CHOSEN',), grace=0.3)
        return runner.run(self.hook(script), phase, environment, timeout)

    def written(self, name='out'):
        return (self.root / name).read_text()


class TestOutcome(HooksTestCase):
    def test_exit_0_is_success(self):
        outcome = self.run_hook('echo fine')
        self.assertEqual(HookState.SUCCEEDED, outcome.state)
        self.assertEqual('', outcome.reason)

    def test_exit_75_is_not_now(self):
        outcome = self.run_hook('echo backup runs; exit 75')
        self.assertEqual(HookState.NOT_NOW, outcome.state)
        self.assertIn('backup runs', outcome.reason)

    def test_any_other_exit_is_a_failure(self):
        outcome = self.run_hook('echo bad >&2; exit 3')
        self.assertEqual(HookState.FAILED, outcome.state)
        self.assertEqual('exit status 3; it said: bad', outcome.reason)

    def test_the_end_by_a_signal_is_a_failure(self):
        outcome = self.run_hook('kill -SEGV $$')
        self.assertEqual(HookState.FAILED, outcome.state)
        self.assertIn('SIGSEGV', outcome.reason)

    def test_a_late_hook_is_ended(self):
        outcome = self.run_hook('exec sleep 60', timeout=0.1)
        self.assertEqual(HookState.TIMED_OUT, outcome.state)
        self.assertIn('after 0.1 s it was ended', outcome.reason)

    def test_a_refused_file_is_not_run(self):
        hook = self.hook('touch ran')
        os.chmod(hook.path, 0o777)
        outcome = hooks.LocalHooks(self.environ).run(hook, 'pre', {}, 5)
        self.assertEqual(HookState.FAILED, outcome.state)
        self.assertIn('can write', outcome.reason)
        self.assertFalse((self.root / 'ran').exists())

    def test_a_file_that_is_no_program_fails(self):
        hook = self.hook('')
        pathlib.Path(hook.path).write_bytes(b'\0nothing')
        outcome = hooks.LocalHooks(self.environ).run(hook, 'pre', {}, 5)
        self.assertEqual(HookState.FAILED, outcome.state)
        self.assertIn("can't be run", outcome.reason)

    def test_an_argument_that_no_program_can_have_fails(self):
        hook = Hook('/bin/true', Place.HERE, pre=('a\0b',))
        outcome = hooks.LocalHooks(self.environ).run(hook, 'pre', {}, 5)
        self.assertEqual(HookState.FAILED, outcome.state)

    def test_a_lost_exit_status_is_no_success(self):
        # as under a parent that ignores SIGCHLD: the kernel reaps
        previous = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGCHLD, previous)
        outcome = self.run_hook('exit 0')
        self.assertEqual(HookState.FAILED, outcome.state)
        self.assertIn('was lost', outcome.reason)


class TestWhatAHookGets(HooksTestCase):
    def argument(self, phase, **hook):
        file = self.hook(f'echo "$#" "$1" > {self.root}/out').path
        hook = Hook(file, Place.HERE, **hook)
        hooks.LocalHooks(self.environ).run(hook, phase, {}, 10)
        return self.written()

    def test_pre_gets_its_argument(self):
        self.assertEqual('1 pre\n', self.argument('pre'))
        self.assertEqual('1 freeze\n', self.argument('pre', pre=('freeze',)))

    def test_post_gets_its_argument(self):
        self.assertEqual('1 post\n', self.argument('post'))
        self.assertEqual('1 a b\n', self.argument('post', post=('a b',)))

    def test_its_environment_is_a_clean_one(self):
        self.environ.update(OS_PASSWORD='secret', LANG='C', CHOSEN='yes')
        self.run_hook(f'env > {self.root}/out', XLOUD_PHASE='pre')
        names = {line.split('=')[0] for line in self.written().splitlines()}
        self.assertNotIn('OS_PASSWORD', names)
        wanted = {'PATH', 'HOME', 'LANG', 'CHOSEN', 'XLOUD_PHASE'}
        self.assertEqual(set(), wanted - names)
        # what the shell adds by itself
        added = names - wanted - {'PWD', 'OLDPWD', 'SHLVL', '_', 'TZ'}
        self.assertEqual(set(), added)

    def test_it_has_a_path_even_if_we_have_none(self):
        self.environ = {}
        outcome = self.run_hook('ls / >/dev/null')
        self.assertEqual(HookState.SUCCEEDED, outcome.state)

    def test_it_reads_nothing(self):
        self.run_hook(f'cat > {self.root}/out')
        self.assertEqual('', self.written())

    def test_it_has_a_session_of_its_own(self):
        self.run_hook(f'ps -o pid=,pgid=,sid= -p $$ > {self.root}/out')
        process, group, session = self.written().split()
        self.assertEqual((process, process), (group, session))

    def test_its_name_is_the_one_that_was_given(self):
        self.run_hook(f'dirname "$0" > {self.root}/out')
        self.assertEqual(f'{self.root}\n', self.written())

    def test_signals_are_as_we_got_them(self):
        self.run_hook(f'grep SigIgn /proc/self/status > {self.root}/out')
        ours = pathlib.Path('/proc/self/status').read_text()
        [ignored] = [one for one in ours.splitlines() if 'SigIgn' in one]
        # which Python ignores, and subprocess gives back
        given_back = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1
        expected = int(ignored.split()[1], 16) & ~given_back
        self.assertEqual(expected, int(self.written().split()[1], 16))

    def test_no_descriptor_of_ours_is_open_in_it(self):
        self.run_hook(f'exec ls /proc/self/fd > {self.root}/out')
        # the last one is the folder that is listed
        self.assertEqual(['0', '1', '2', '3'], self.written().split())


class TestGate(HooksTestCase):
    def setUp(self):
        super().setUp()
        self.command = [self.hook(f'echo > {self.root}/ran').path]

    def start(self):
        return hook_group.HookGroup(self.command, {'PATH': os.defpath})

    def test_it_does_not_run_before_it_is_let_go(self):
        group = self.start()
        self.assertFalse(group.ends_within(0.2))
        self.assertFalse((self.root / 'ran').exists())
        group.let_go()
        self.assertTrue(group.ends_within(10))
        self.assertEqual(0, group.finish(1))
        self.assertTrue((self.root / 'ran').exists())

    def test_it_never_runs_if_nobody_is_left_to_let_it_go(self):
        group = self.start()
        # as the kernel does when this process dies
        os.dup2(os.open(os.devnull, os.O_WRONLY), group._gate)
        self.assertTrue(group.ends_within(10))
        self.assertEqual(1, group.finish(1))
        self.assertFalse((self.root / 'ran').exists())

    def test_it_runs_once_its_group_is_written_down(self):
        written = []

        def write(group):
            written.append(group)
            self.assertFalse((self.root / 'ran').exists())
            return False

        runner = hooks.LocalHooks(self.environ, on_start=write)
        hook = Hook(self.command[0], Place.HERE)
        outcome = runner.run(hook, 'pre', {}, 10)
        self.assertEqual(HookState.SUCCEEDED, outcome.state)
        self.assertEqual(1, len(written))

    def test_a_bug_before_it_is_let_go_leaves_nothing_at_the_gate(self):
        groups = []

        def write(group):
            groups.append(group)
            raise ValueError('a bug')

        runner = hooks.LocalHooks(self.environ, on_start=write)
        hook = Hook(self.command[0], Place.HERE)
        outcome = runner.run(hook, 'pre', {}, 10)
        self.assertEqual(HookState.FAILED, outcome.state)
        self.assertFalse(is_at_work(str(groups[0])))
        self.assertFalse((self.root / 'ran').exists())


class TestOutput(HooksTestCase):
    def test_what_a_terminal_would_act_on_is_escaped(self):
        outcome = self.run_hook(r"printf 'a\033[2Jb\nc\377'; exit 1")
        self.assertIn('a\\x1b[2Jb\\nc\ufffd', outcome.reason)

    def test_the_end_of_a_lot_of_output_is_quoted(self):
        outcome = self.run_hook('yes | head -c 3000000; echo end; exit 1')
        self.assertTrue(outcome.reason.endswith('y\\ny\\nend'))
        self.assertLess(len(outcome.reason), 700)

    def test_at_most_64_kib_are_kept(self):
        hook = self.hook('yes | head -c 300000')
        group = hook_group.HookGroup([hook.path], {'PATH': os.defpath})
        group.let_go()
        self.assertTrue(group.ends_within(10))
        self.assertEqual(0, group.finish(1))
        self.assertEqual(hook_group.OUTPUT_BYTES, len(group._output))

    def test_a_pipe_that_a_daemon_keeps_open_is_not_waited_for(self):
        began = time.monotonic()
        outcome = self.run_hook(
            f'setsid sh -c "echo \\$\\$ > {self.root}/out; exec sleep 20" &\n'
            f'while ! [ -s {self.root}/out ]; do sleep 0.01; done\n'
            'echo done; exit 1'
        )
        self.addCleanup(os.kill, int(self.written()), signal.SIGKILL)
        self.assertIn('it said: done', outcome.reason)
        self.assertLess(time.monotonic() - began, 10)

    def test_a_hook_that_closes_its_output_is_waited_for(self):
        outcome = self.run_hook('exec >&- 2>&-; sleep 0.1; exit 4')
        self.assertEqual('exit status 4', outcome.reason)
        self.assertGreaterEqual(outcome.seconds, 0.1)


class TestWhatIsLeftBehind(HooksTestCase):
    def test_the_rest_of_the_group_is_ended_with_the_hook(self):
        self.run_hook(f'sleep 60 & echo $! > {self.root}/out')
        self.assertFalse(is_at_work(self.written()))


class TestByHand(HooksTestCase):
    """The command that a message gives, in a shell that has no ssh to do."""

    def post_by_hand(self, hook):
        command = by_hand(hook, 'sh -c')
        environ = {**self.environ, 'TMPDIR': str(self.root / 'there')}
        (self.root / 'there').mkdir()
        subprocess.run(['sh', '-c', command], check=True, env=environ)
        self.assertEqual([], list((self.root / 'there').iterdir()))

    def test_the_interpreter_of_a_hook_in_the_guest_is_its_own(self):
        file = self.root / "the app's hook"
        file.write_text(
            f'#!{sys.executable}\n'
            'import pathlib, sys\n'
            f'pathlib.Path("{self.root}/out").write_text(repr(sys.argv[1:]))\n'
        )
        words = ('thaw', "it's all")
        self.post_by_hand(Hook(str(file), Place.GUEST, None, words))
        self.assertEqual(repr(list(words)), self.written())

    def test_a_hook_here_is_called_by_its_path(self):
        hook = Hook('/the hook', Place.HERE, None, ('post', 'a b'))
        self.assertEqual("'/the hook' post 'a b'", by_hand(hook, ''))
