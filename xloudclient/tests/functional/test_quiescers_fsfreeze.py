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

"""The fsfreeze quiescer on file systems of its own, mounted from files.

A process that writes to a frozen file system can't be killed. So every test
thaws what it mounted, whatever happens, before anything else.
"""

import contextlib
import ctypes
import fcntl
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from xloudclient.consistency.errors import Busy
from xloudclient.consistency.plan import Consistency, Quiescer
from xloudclient.guest import access, quiescers
from xloudclient.guest.ssh import SshGuest
from xloudclient.tests.functional import quiescer_hook

_STAND_IN = """#!/bin/sh
set -- "$1" "$(readlink "$2")"
case $1 in
--freeze)
    echo "freeze $2" >>{log}
    ! grep -qx "frozen $2" {log} || {{
        echo "fsfreeze: $2: freeze failed: Device or resource busy" >&2
        exit 1
    }}
    echo "frozen $2" >>{log}
    ;;
--unfreeze)
    echo "thaw $2" >>{log}
    ;;
esac
"""


#: What setsid(1) does first, where it does not start a pin.
_BUT_FOR_PINS = """case " $* " in *" pin "*) ;; *) {} ;; esac
exec /usr/bin/setsid "$@"
"""

#: findmnt(8) where nothing is mounted but what a test has mounted, its xfs as
#: a vfat, which can't be had everywhere, and what is on no disk of a machine.
_FINDMNT = """case "$*" in *TARGET,*) ;; *) exec /usr/bin/findmnt "$@" ;; esac
/usr/bin/findmnt "$@" | grep -F {}/ | sed 's/ xfs / vfat /'
echo '/srv/far far:/srv nfs4 rw,hard'
echo '/srv/home host: fuse.sshfs rw'
echo '/srv/fast tmpfs tmpfs rw'"""

#: Seconds from a kill to the thaw, at most: what is promised.
THAWED_WITHIN = 2
#: Where systemd has its control groups: the unified hierarchy (cgroups(7)),
#: also beside older ones, and those that have its own.
_CONTROL_GROUPS = (
    '/sys/fs/cgroup/unified',
    '/sys/fs/cgroup/systemd',
    '/sys/fs/cgroup',
)
#: linux/sched.h
_CLONE_NEWNS = 0x20000


def _run(*command):
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, 'PATH': quiescer_hook.SEARCH_PATH},
    )


@functools.cache
def have_own_mounts():
    """See to it that nobody else sees what this process mounts from now on.

    The freeze hooks of other tests look at whatever is mounted where they run.
    There is no way back, which from a chroot would lead out of it.

    :raises OSError: if that is not allowed
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), 'unshare')
    done = _run('mount', '--make-rprivate', '/')
    if done.returncode:
        raise OSError(done.stderr)


def inside(group, shell):
    """Return what has a shell run in a control group."""
    return ('sh', '-c', f'echo $$ >{group}; exec "$0" "$@"', *shell)


class FsfreezeTestCase(quiescer_hook.HookTestCase):
    quiescer = 'fsfreeze'

    def setUp(self):
        super().setUp()
        self.need('fsfreeze', 'findmnt', 'lsblk', 'setsid')
        if os.geteuid():
            self.skipTest('only root can freeze file systems')


class MountsTestCase(FsfreezeTestCase):
    """Two real file systems, in files."""

    def setUp(self):
        super().setUp()
        self.need('mkfs.ext4', 'mkfs.xfs')
        try:
            have_own_mounts()
        except OSError as error:
            self.skipTest(f'nothing can be mounted here: {error}')
        # the supervisors and freeze hooks of root: one at a time
        lock = open('/run/xloudclient-mounts.lock', 'w')  # noqa: SIM115
        self.addCleanup(lock.close)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.folder = tempfile.mkdtemp(prefix='quiescer-')
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.places = []
        self.first = self.mounted('ext4', 'first *\\ one', '16M')
        self.second = self.mounted('xfs', 'second', '320M')
        self.option = f'mounts={self.first}:{self.second}'

    def tools(self, **texts):
        """Return a path in which programs of a test's own come first."""
        folder = quiescer_hook.folder(self)
        for name, text in texts.items():
            with open(os.path.join(folder, name), 'w') as script:
                script.write(f'#!/bin/sh\n{text}\n')
            os.chmod(script.name, 0o755)
        return f'{folder}:{quiescer_hook.SEARCH_PATH}'

    def fsfreeze_of_ours(self):
        """Return an fsfreeze(8) for nothing else of this machine."""
        program = shutil.which('fsfreeze', path=quiescer_hook.SEARCH_PATH)
        return (
            f'case $(readlink "$2") in {self.folder}/* | "") ;; '
            f'*) exit 9 ;; esac\nexec {program} "$@"'
        )

    def mounted(self, kind, name, size, where=None):
        image = f'{len(self.places)}.{kind}'
        image = os.path.join(where or self.folder, image)
        place = os.path.join(self.folder, name)
        os.mkdir(place)
        _run('truncate', '-s', size, image)
        _run(f'mkfs.{kind}', '-q', image)
        mounted = _run('mount', '-o', 'loop', image, place)
        if mounted.returncode:
            self.skipTest(f'nothing can be mounted here: {mounted.stderr}')
        self.clean_up(place)
        return place

    def clean_up(self, place):
        """Have it thawed and unmounted, once what was killed has ended."""
        self.addCleanup(
            quiescer_hook.wait_for,
            lambda: 'busy' not in _run('umount', place).stderr,
        )
        self.addCleanup(_run, 'fsfreeze', '-u', place)
        self.places.append(place)

    def control_group(self):
        """Make one; return the file that has its processes."""
        for root in map(pathlib.Path, _CONTROL_GROUPS):
            # it may be read-only, or there may be none
            if os.access(root / 'cgroup.procs', os.W_OK):
                group = root / pathlib.Path(self.folder).name
                group.mkdir(exist_ok=True)
                self.addCleanup(_run, 'rmdir', group)
                return group / 'cgroup.procs'
        self.skipTest('no control group can be made here')

    def kill_all_in(self, group):
        """Kill all processes of a control group, as systemd does."""

        def is_empty():
            found = group.read_text().split()
            for pid in map(int, found):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not found

        self.assertTrue(quiescer_hook.wait_for(is_empty))

    def held(self, **rest):
        hook = self.hook(self.option, **rest)
        self.ready = hook.ready()
        return hook

    def write(self, place):
        """Begin a write; a process that ends when the write has."""
        return subprocess.Popen(
            ['sh', '-c', 'echo x >"$0"', os.path.join(place, 'file')],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def blocked_writes(self):
        writers = [self.write(self.first), self.write(self.second)]
        time.sleep(0.2)
        for writer in writers:
            self.assertIsNone(writer.poll(), 'it could write when frozen')
        return writers

    def assert_writes(self, writers):
        try:
            for writer in writers:
                self.assertEqual(0, writer.wait(quiescer_hook.FREED_WITHIN))
        finally:
            for place in self.places:
                _run('fsfreeze', '-u', place)

    @contextlib.contextmanager
    def thawed_in_time(self, writers):
        """What is done inside is a kill; writers write in time after it."""
        began = time.monotonic()
        yield
        self.assert_writes(writers)
        self.assertLess(time.monotonic() - began, THAWED_WITHIN)

    def is_frozen(self, place):
        """Say whether it was, leaving it thawed."""
        return _run('fsfreeze', '-u', place).returncode == 0


class TestFsfreeze(MountsTestCase):
    def test_no_write_between_ready_and_release(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.held(shell=shell)
                writers = self.blocked_writes()
                held = hook.verify()
                self.assertEqual(held, hook.verify())
                code = hook.release()
                self.assert_writes(writers)
                self.assertEqual(0, code)
                self.assertEqual('released', hook.line())
                self.assertEqual('', hook.errors())
                self.assertEqual(['fsfreeze'], hook.scratch_files())

    def test_evidence_names_the_file_systems_and_their_disks(self):
        hook = self.held()
        hook.release()
        self.assertEqual('filesystem', self.ready['gives'])
        frozen = [one['path'] for one in self.ready['frozen']]
        self.assertEqual([self.second, self.first], frozen)
        self.assertEqual([], self.ready['skipped'])
        if disk := _disk_of(self.folder):
            for one in self.ready['frozen']:
                self.assertEqual([disk], one['disks'])

    def test_evidence_names_what_can_not_be_frozen(self):
        path = self.tools(
            findmnt=_FINDMNT.format(self.folder),
            fsfreeze=self.fsfreeze_of_ours(),
        )
        for shell in quiescer_hook.SHELLS:
            with self.subTest(shell=shell):
                hook = self.hook(PATH=path, shell=shell)
                ready = hook.ready()
                self.assertEqual(
                    [self.first], [one['path'] for one in ready['frozen']]
                )
                self.assertEqual(
                    [self.second], [one['path'] for one in ready['still']]
                )
                self.assertEqual(
                    [
                        ('/srv/far', "nfs4 can't be frozen"),
                        ('/srv/home', "fuse.sshfs can't be frozen"),
                    ],
                    [(one['path'], one['reason']) for one in ready['skipped']],
                )
                hook.verify()
                self.write(self.second).wait()
                _run('sync', '-f', self.second)
                self.assert_fails_verify(hook, 'something was written')
        for name in (self.second, '/srv/far'):
            hook = self.hook(f'mounts={name}', PATH=path)
            self.assert_refused(hook, 1, f"{name} can't be frozen: ")

    def test_killing_the_hook_thaws(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.held(shell=shell)
                with self.thawed_in_time(self.blocked_writes()):
                    hook.kill()
                self.assert_output_ends(hook)

    def test_killing_all_of_its_session_thaws(self):
        hook = self.held()
        with self.thawed_in_time(self.blocked_writes()):
            os.killpg(hook.process.pid, 9)

    def test_killing_the_guard_thaws(self):
        hook = self.held()
        guard = first_guard(hook)
        with self.thawed_in_time(self.blocked_writes()):
            os.kill(guard, 9)
        self.assert_fails_verify(hook, 'the process that was to thaw')

    def test_end_of_input_and_sigterm_thaw(self):
        for end in ('end_input', 'terminate'):
            hook = self.held()
            writers = self.blocked_writes()
            if end == 'end_input':
                hook.end_input()
            else:
                hook.process.terminate()
            self.assert_writes(writers)
            self.assertEqual(0, hook.end())

    def test_a_full_pipe_does_not_stop_the_thaw(self):
        hook = self.held()
        writers = self.blocked_writes()
        hook.fill_output()
        hook.tell('release')
        self.assert_writes(writers)

    def test_verify_fails_when_somebody_thawed_and_all_is_thawed(self):
        hook = self.held()
        _run('fsfreeze', '-u', self.first)
        self.assert_fails_verify(hook, 'was thawed by somebody else')
        self.assertFalse(self.is_frozen(self.first))
        self.assertFalse(self.is_frozen(self.second))

    def test_verify_fails_when_somebody_thawed_and_froze_again(self):
        hook = self.held()
        _run('fsfreeze', '-u', self.first)
        _run('fsfreeze', '-f', self.first)
        self.assert_fails_verify(hook, 'something was written meanwhile')

    def test_a_sync_of_others_writes_nothing(self):
        hook = self.held()
        held = hook.verify()
        _run('sync')
        self.assertEqual(held, hook.verify())
        self.assertEqual(0, hook.release())

    def test_thawed_already_is_no_failure_but_said(self):
        hook = self.held()
        _run('fsfreeze', '-u', self.first)
        self.assertEqual(0, hook.release())
        self.assertEqual('released', hook.line())
        self.assertIn(f'thawed by somebody else: {self.first}', hook.errors())
        self.assertFalse(self.is_frozen(self.second))

    def test_a_freeze_that_is_not_ours_is_left_alone(self):
        _run('fsfreeze', '-f', self.first)
        hook = self.hook(self.option)
        self.assert_refused(hook, 75, 'a freeze that is not ours')
        self.assertFalse(self.is_frozen(self.second))
        self.assertTrue(self.is_frozen(self.first))

    def test_the_run_folder_is_never_frozen(self):
        hook = self.hook(self.option, XLOUD_RUN_FOLDER=self.second)
        self.assert_refused(hook, 1, 'the folder that this hook runs in')
        self.assertFalse(self.is_frozen(self.first))

    def test_what_can_not_be_frozen_is_refused_by_name(self):
        hook = self.hook('mounts=/dev/shm')
        self.assert_refused(hook, 1, 'tmpfs has no disk of its own')
        hook = self.hook(f'mounts={self.folder}')
        self.assert_refused(hook, 1, 'there is no file system mounted at')


class TestLostPath(MountsTestCase):
    """The path leads elsewhere before the thaw.

    What is frozen is mounted at a second place, too, where a test sees it.
    """

    def setUp(self):
        super().setUp()
        self.parent = os.path.join(self.folder, 'parent')
        os.mkdir(self.parent)
        self.lost = self.mounted('ext4', 'parent/lost', '16M')
        self.seen = self.seen_at(self.lost, 'seen')
        self.option = f'mounts={self.lost}'

    def seen_at(self, place, name):
        other = os.path.join(self.folder, name)
        os.mkdir(other)
        bound = _run('mount', '--bind', place, other)
        self.assertEqual(0, bound.returncode, bound.stderr)
        self.clean_up(other)
        return other

    @contextlib.contextmanager
    def renamed(self):
        os.rename(self.parent, self.parent + ' before')
        os.makedirs(self.lost)
        try:
            yield
        finally:
            shutil.rmtree(self.parent)
            os.rename(self.parent + ' before', self.parent)

    @contextlib.contextmanager
    def mounted_over(self):
        """The second one is, which is not frozen."""
        _run('mount', '--bind', self.second, self.lost)
        try:
            yield
        finally:
            _run('umount', self.lost)

    @contextlib.contextmanager
    def detached(self):
        """Mounted here no more, though it is busy."""
        _run('umount', '-l', self.lost)
        try:
            yield
        finally:
            _run('mount', '--bind', self.seen, self.lost)

    def kill_the_pin(self):
        [pin] = working_in(self.lost)
        os.kill(pin, 9)
        self.wait_for_none_in(self.lost)

    def wait_for_none_in(self, folder):
        self.assertTrue(quiescer_hook.wait_for(lambda: not working_in(folder)))

    def assert_busy(self):
        refused = _run('umount', self.lost)
        self.assertIn('busy', refused.stderr)

    def assert_free(self):
        """Nothing of ours keeps it from being unmounted."""
        self.assertEqual('', _run('umount', self.lost).stderr)
        _run('mount', '--bind', self.seen, self.lost)

    def blocked_write(self):
        writer = self.write(self.seen)
        time.sleep(0.2)
        self.assertIsNone(writer.poll(), 'it could write when frozen')
        return writer

    def test_it_can_not_be_unmounted_before_the_end(self):
        for shell in quiescer_hook.SHELLS:
            with self.subTest(shell=shell):
                hook = self.held(shell=shell)
                self.assert_busy()
                hook.verify()
                hook.release()
                self.assert_free()
                self.assertFalse(self.is_frozen(self.seen))

                hook = self.held(shell=shell)
                os.killpg(hook.process.pid, 9)
                self.wait_for_none_in(self.lost)
                self.assert_free()
                self.assertFalse(self.is_frozen(self.seen))

    def test_a_refusal_and_a_check_leave_it_free(self):
        hook = self.hook(self.option, verb='check')
        self.assertEqual(0, hook.end())
        self.assert_free()
        _run('fsfreeze', '-f', self.seen)
        hook = self.hook(self.option)
        self.assert_refused(hook, 75, f'{self.lost} is frozen already')
        self.assert_free()
        self.assertTrue(self.is_frozen(self.seen))

    def test_it_is_verified_and_thawed_wherever_it_is(self):
        def release(hook):
            self.assertEqual(0, hook.release(), hook.errors())
            self.assertEqual('released', hook.line())
            self.assertEqual('', hook.errors())

        def kill_the_first_guard_too(hook):
            os.kill(first_guard(hook), 9)
            hook.kill()

        def kill_the_session(hook):
            os.killpg(hook.process.pid, 9)

        def kill(hook):
            hook.kill()

        for shell in quiescer_hook.SHELLS:
            for move in (self.renamed, self.mounted_over, self.detached):
                for end in (
                    release,
                    kill,
                    kill_the_first_guard_too,
                    kill_the_session,
                ):
                    with self.subTest(
                        shell=shell, move=move.__name__, end=end.__name__
                    ):
                        hook = self.held(shell=shell)
                        with move():
                            writer = self.blocked_write()
                            hook.verify()
                            end(hook)
                            self.assert_writes([writer])

    def test_it_is_thawed_wherever_it_is_when_all_of_a_group_are_killed(self):
        group = self.control_group()
        for shell in quiescer_hook.SHELLS:
            for move in (self.renamed, self.mounted_over, self.detached):
                with self.subTest(shell=shell, move=move.__name__):
                    self.held(shell=inside(group, shell))
                    with move():
                        writer = self.blocked_write()
                        self.kill_all_in(group)
                        self.assert_writes([writer])

    def test_verify_does_not_mistake_what_is_around_it(self):
        """Which is frozen, too, and would be busy when frozen once more."""
        self.parent = os.path.join(self.second, 'parent')
        inner = os.path.join(self.parent, 'inner')
        os.makedirs(inner)
        _run('mount', '--bind', self.seen, inner)
        self.addCleanup(_run, 'umount', inner)
        self.option = f'mounts={self.second}:{inner}'
        for shell in quiescer_hook.SHELLS:
            with self.subTest(shell=shell):
                hook = self.held(shell=shell)
                _run('umount', '-l', inner)
                writers = [self.write(self.second), self.write(self.seen)]
                hook.verify()
                _run('fsfreeze', '-u', self.seen)
                self.assert_fails_verify(hook, 'was thawed by somebody else')
                self.assert_writes(writers)
                _run('mount', '--bind', self.seen, inner)

    def test_what_is_frozen_is_what_was_described(self):
        self.addCleanup(_run, 'umount', self.lost)
        once = f'mkdir {self.folder}/once 2>/dev/null'
        mount = f'mount --bind {self.second} {self.lost}'
        path = self.tools(lsblk=f'{once} && {mount}; exec /usr/bin/lsblk "$@"')
        hook = self.hook(self.option, PATH=path)
        self.assert_refused(hook, 75, 'leads elsewhere than a moment ago')

    def test_there_may_be_more_than_a_shell_has_descriptors(self):
        for number in range(10):
            self.mounted('ext4', str(number), '1M')
        self.option = 'mounts=' + ':'.join(
            place for place in self.places if place != self.seen
        )
        for shell in quiescer_hook.SHELLS:
            with self.subTest(shell=shell):
                hook = self.held(shell=shell)
                self.assertEqual(13, len(self.ready['frozen']))
                writers = list(map(self.write, self.places))
                time.sleep(0.2)
                self.assertEqual({None}, {one.poll() for one in writers})
                hook.verify()
                hook.kill()
                self.assert_writes(writers)

    def test_thawed_by_somebody_else_is_still_no_failure(self):
        hook = self.held()
        with self.renamed():
            _run('fsfreeze', '-u', self.seen)
            self.assertEqual(0, hook.release())
            self.assertEqual('released', hook.line())
            said = f'thawed by somebody else: {self.lost}'
            self.assertIn(said, hook.errors())

    def test_without_a_pin_it_is_thawed_by_its_path(self):
        for shell in quiescer_hook.SHELLS:
            for end in ('kill', 'release'):
                with self.subTest(shell=shell, end=end):
                    hook = self.held(shell=shell)
                    writer = self.blocked_write()
                    self.kill_the_pin()
                    hook.kill() if end == 'kill' else hook.release()
                    self.assert_writes([writer])
                    # the pin would have told whether that is right
                    if end == 'release':
                        self.assertEqual(6, hook.end())

    def test_what_the_agent_freezes_is_not_mistaken_either(self):
        hook = self.held_by_agent()
        self.assert_busy()
        with self.mounted_over():
            self.freeze_for_a_moment(self.second)
            self.assert_fails_verify(hook, 'was not seen to freeze')
        hook = self.held_by_agent()
        with self.renamed():
            self.freeze_for_a_moment(self.seen)
            hook.verify()
            self.assertEqual(0, hook.release())
        hook = self.held_by_agent()
        hook.kill()
        self.wait_for_none_in(hook.folder)
        self.wait_for_none_in(self.lost)
        self.assert_free()

    def held_by_agent(self):
        hook = self.hook('by=agent', self.option)
        hook.ready()
        return hook

    def freeze_for_a_moment(self, place):
        _run('fsfreeze', '-f', place)
        time.sleep(0.5)
        _run('fsfreeze', '-u', place)


class TestSlowDisk(MountsTestCase):
    """The second one's disk does not answer: it is itself on a frozen one."""

    def setUp(self):
        super().setUp()
        self.outer = self.mounted('ext4', 'outer', '64M')
        self.slow = self.mounted('ext4', 'slow', '16M', self.outer)
        self.fast = self.mounted('ext4', 'fast', '16M')
        # last of all the first to be thawed
        self.addCleanup(_run, 'fsfreeze', '-u', self.outer)
        self.option = f'mounts={self.slow}:{self.fast}'
        # it would wait for that disk before anything is frozen
        self.path = self.tools(sync='exit 0')

    def stall(self):
        _run('sync')
        frozen = _run('fsfreeze', '-f', self.outer)
        self.assertEqual(0, frozen.returncode, frozen.stderr)

    def answer(self):
        _run('fsfreeze', '-u', self.outer)

    def waiting(self, hook, verb):
        """Give the processes that freeze or thaw it."""

        def is_one(pid):
            words = os.fsdecode(_command_line(pid)).split('\0')
            return verb in words and os.path.realpath(words[2]) == self.slow

        return list(filter(is_one, quiescer_processes(hook)))

    def is_stuck(self, hook):
        """Whether one of them is in the kernel, where nothing ends it."""
        return 'D' in map(_state, self.waiting(hook, '--freeze'))

    def freezing(self, shell=quiescer_hook.DASH):
        """The first one is frozen, the second one about to be."""
        self.stall()
        hook = self.hook(self.option, shell=shell, PATH=self.path)
        self.assertTrue(
            quiescer_hook.wait_for(lambda: self.is_stuck(hook)),
            hook.errors(),
        )
        return hook

    def assert_free(self, place):
        writer = self.write(place)
        self.assertEqual(0, writer.wait(quiescer_hook.FREED_WITHIN))

    def assert_nothing_left(self, hook):
        self.assertTrue(
            quiescer_hook.wait_for(lambda: not quiescer_processes(hook))
        )
        for place in (self.slow, self.fast):
            self.assertFalse(self.is_frozen(place))

    def test_what_is_ended_in_a_freeze_thaws_it(self):
        def end_group(hook):
            os.killpg(hook.process.pid, signal.SIGTERM)

        def end_hook(hook):
            hook.process.terminate()

        def kill_the_one_that_freezes(hook):
            os.kill(self.waiting(hook, '--freeze')[0], signal.SIGKILL)

        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            for end in (end_group, end_hook, kill_the_one_that_freezes):
                with self.subTest(shell=shell, end=end.__name__):
                    hook = self.freezing(shell)
                    end(hook)
                    time.sleep(0.2)
                    self.answer()
                    self.assertEqual(1, hook.end(), hook.errors())
                    self.assert_nothing_left(hook)

    def test_killing_the_hook_thaws_at_once_and_what_comes_later(self):
        for shell in quiescer_hook.SHELLS:
            with self.subTest(shell=shell):
                hook = self.freezing(shell)
                writer = self.write(self.fast)
                time.sleep(0.2)
                self.assertIsNone(writer.poll(), 'it could write when frozen')
                hook.kill()
                self.assertEqual(0, writer.wait(quiescer_hook.FREED_WITHIN))
                self.assertTrue(self.waiting(hook, '--freeze'))
                # somebody else's freeze is not to be lifted
                _run('fsfreeze', '-f', self.fast)
                self.answer()
                self.assert_output_ends(hook)
                self.assert_free(self.slow)
                self.assertTrue(self.is_frozen(self.fast))
                self.assert_nothing_left(hook)

    def test_nothing_is_ready_without_a_guard(self):
        hook = self.freezing()
        os.kill(first_guard(hook), 9)
        self.answer()
        self.assertEqual('', hook.line())
        self.assertEqual(1, hook.end())
        self.assertIn('the process that was to thaw has ended', hook.errors())
        self.assert_nothing_left(hook)

    def test_a_slow_thaw_keeps_no_other_frozen(self):
        for end in ('release', 'kill'):
            with self.subTest(end=end):
                hook = self.hook(self.option, PATH=self.path)
                hook.ready()
                self.stall()
                hook.kill() if end == 'kill' else hook.tell('release')
                self.assert_free(self.fast)
                self.assertTrue(self.waiting(hook, '--unfreeze'))
                self.answer()
                self.assert_free(self.slow)
                self.assert_nothing_left(hook)


class TestGuards(MountsTestCase):
    """They start late, or not at all, or are all that is left."""

    def test_it_waits_for_a_guard_that_starts_late(self):
        path = self.tools(setsid=_BUT_FOR_PINS.format('sleep 1'))
        hook = self.hook(self.option, PATH=path)
        self.assertTrue(
            quiescer_hook.wait_for(
                lambda: any(
                    b'setsid' in _command_line(one)
                    for one in quiescer_processes(hook)
                )
            )
        )
        os.killpg(hook.process.pid, 9)
        self.assert_nothing_left(hook)

    def test_nothing_is_frozen_without_one(self):
        for setsid, sentence in (
            (_BUT_FOR_PINS.format('exit 1'), 'that thaws'),
            ('exit 1', f'that stays in {self.second}'),
        ):
            path = self.tools(setsid=setsid)
            hook = self.hook(self.option, PATH=path)
            sentence = f'no process could be started {sentence}'
            self.assert_refused(hook, 1, sentence)
            self.assert_nothing_left(hook)

    def test_a_mount_point_that_ends_in_a_newline(self):
        self.mounted('ext4', 'end\n', '16M')
        path = self.tools(
            findmnt='case "$*" in *TARGET,*) /usr/bin/findmnt "$@" | '
            f'grep -F {self.folder}/ ;; *) exec /usr/bin/findmnt "$@" ;; esac',
            fsfreeze=self.fsfreeze_of_ours(),
        )
        hook = self.hook(PATH=path)
        self.assertEqual(len(self.places), len(hook.ready()['frozen']))
        hook.kill()
        self.assert_nothing_left(hook)

    def test_killing_all_of_its_control_group_thaws(self):
        for shell in quiescer_hook.SHELLS:
            with self.subTest(shell=shell):
                group = self.control_group()
                hook = self.held(shell=inside(group, shell))
                with self.thawed_in_time(self.blocked_writes()):
                    self.kill_all_in(group)
                self.assert_nothing_left(hook)

    def assert_nothing_left(self, hook):
        self.assertTrue(
            quiescer_hook.wait_for(lambda: not quiescer_processes(hook))
        )
        for place in self.places:
            self.assertFalse(self.is_frozen(place))


def _disk_of(path):
    """Name the whole disk that a file is on, where the kernel tells it."""
    device = os.stat(path).st_dev
    number = f'{os.major(device)}:{os.minor(device)}'
    block = pathlib.Path('/sys/dev/block', number).resolve()
    if (block / 'partition').exists():
        block = block.parent
    # one that is made of others has no device of its own
    return block.name if (block / 'device').exists() else None


def _command_line(pid):
    return _of_process(pid, 'cmdline')


def _state(pid):
    """Give its state: D if it can't be ended (proc(5))."""
    return _of_process(pid, 'stat').decode().rpartition(') ')[2][:1]


def _of_process(pid, name):
    try:
        with open(f'/proc/{pid}/{name}', 'rb') as file:
            return file.read()
    except OSError:
        return b''


class TestFsfreezeCheck(MountsTestCase):
    """What is asked before anything is frozen, and nothing else."""

    def check(self, *options, **rest):
        return self.hook(*options, verb='check', **rest)

    def test_it_says_the_same_as_a_hold_and_freezes_nothing(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.check(self.option, shell=shell)
                said = json.loads(hook.line())
                self.assertEqual(0, hook.end())
                self.assertEqual('', hook.errors())
                self.assertFalse(self.is_frozen(self.first))
                self.assertFalse(self.is_frozen(self.second))
                self.held().release()
                self.assertEqual(self.ready, said)

    def test_a_freeze_that_is_not_ours_is_seen_and_left_alone(self):
        before = os.listdir(self.second)
        for shell in quiescer_hook.SHELLS:
            _run('fsfreeze', '-f', self.second)
            hook = self.check(self.option, shell=shell)
            self.assert_refused(hook, 75, f'{self.second} is frozen already')
            self.assertTrue(self.is_frozen(self.second))
            self.assertFalse(self.is_frozen(self.first))
        self.assertEqual(before, os.listdir(self.second))


class TestFsfreezeEverything(FsfreezeTestCase):
    """With a stand-in for fsfreeze(8): this machine is not frozen."""

    def test_every_file_system_with_the_root_last(self):
        kind = _run('findmnt', '-n', '-o', 'FSTYPE', '--target', '/')
        if kind.stdout.strip() not in ('ext4', 'xfs', 'btrfs'):
            self.skipTest('the root file system is of a kind that has no disk')
        folder = tempfile.mkdtemp(dir='/dev/shm')
        self.addCleanup(shutil.rmtree, folder)
        log = os.path.join(folder, 'log')
        with open(os.path.join(folder, 'fsfreeze'), 'w') as script:
            script.write(_STAND_IN.format(log=log))
        os.chmod(script.name, 0o755)
        path = f'{folder}:{quiescer_hook.SEARCH_PATH}'
        self.assertEqual(script.name, shutil.which('fsfreeze', path=path))
        hook = self.hook(PATH=path)
        frozen = [one['path'] for one in hook.ready()['frozen']]
        self.assertEqual('/', frozen[-1])
        self.assertNotIn('/proc', frozen)
        self.assertEqual(0, hook.release())
        with open(log) as lines:
            done = [line.rstrip('\n') for line in lines]
        thawed = [one.split(' ', 1)[1] for one in done if 'thaw' in one]
        self.assertEqual(frozen[::-1], thawed)


def quiescer_processes(hook):
    """Give the process IDs at work in a hook's run folder, but its own."""
    return [one for one in working_in(hook.folder) if one != hook.process.pid]


def working_in(folder):
    found = []
    for name in os.listdir('/proc'):
        try:
            if os.readlink(f'/proc/{name}/cwd') == folder:
                found.append(int(name))
        except (OSError, ValueError):
            continue
    return found


def first_guard(hook):
    """Give the process that thaws when the hook's session is killed."""
    [guard] = [
        one
        for one in quiescer_processes(hook)
        if os.getsid(one) != hook.process.pid
    ]
    return guard


class TestSupervisedFreeze(MountsTestCase):
    """The whole way: the client's supervisor, but no ssh in between."""

    def setUp(self):
        super().setUp()
        ssh = os.path.join(self.folder, 'ssh')
        with open(ssh, 'w') as script:
            # runs the remote command, the last word, on this machine
            script.write('#!/bin/sh\nfor command; do :; done\n')
            script.write('exec sh -c "$command"\n')
        os.chmod(ssh, 0o700)
        self.guest = self.opened(ssh)
        self.guest.start_lease(60)
        options = (('mounts', f'{self.first}:{self.second}'),)
        script = quiescers.script('fsfreeze')
        self.guest.hold(
            Quiescer('fsfreeze', script, options, Consistency.FILESYSTEM),
            {},
            20,
        )

    def opened(self, ssh):
        """A supervisor of an earlier test may still be on its way out."""
        for _ in range(40):
            guest = SshGuest(
                access.Access('127.0.0.1'), program=ssh, use_sudo=False
            )
            self.addCleanup(guest.close)
            try:
                guest.open(20)
                return guest
            except Busy:
                time.sleep(0.5)
        raise AssertionError('the machine stays busy')

    def test_a_killed_supervisor_thaws_within_two_seconds(self):
        with self.thawed_in_time(self.blocked_writes()):
            # exec: what the stand-in for ssh became
            os.kill(self.guest._connection._process.pid, signal.SIGKILL)

    def test_a_freeze_that_was_lifted_from_outside_is_not_verified(self):
        [held] = self.guest.verify(10)
        self.assertNotIsInstance(held, str)
        _run('fsfreeze', '-u', self.first)
        [told] = self.guest.verify(10)
        self.assertIsInstance(told, str)

    def test_it_is_released_in_the_end(self):
        writers = self.blocked_writes()
        [released] = self.guest.release(20)
        self.assertTrue(released.is_free)
        self.assert_writes(writers)
