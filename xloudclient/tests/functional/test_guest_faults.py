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

"""No guest stays held: what happens when something here or there breaks.

Each test breaks one thing while two locks are held, and sees from outside
that they are gone in time.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from importlib import resources

import testscenarios

from xloudclient.consistency.answers import Evidence
from xloudclient.consistency.errors import Busy, GuestLost, NotQuiesced
from xloudclient.consistency.plan import Quiescer
from xloudclient.guest.child import Child
from xloudclient.guest.session import delivery, parcel
from xloudclient.tests.functional.test_guest import SHELLS
from xloudclient.tests.functional.test_guest_machine import (
    HOLDER,
    LEASE,
    GuestTest,
    parent,
    send,
    wait_until,
)

KILL, STOP, CONT = signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT
#: Seconds for what is to happen at once, on a busy machine.
SOON = 3
#: A lease and a tick.
LATER = LEASE + SOON

CLIENT = """
import sys, time
from xloudclient.guest.access import Access
from xloudclient.guest.ssh import SshGuest
from xloudclient.consistency.plan import Quiescer
access, shell, locks, script = eval(sys.argv[1])
guest = SshGuest(Access(**access), shell=shell, lease=2, use_sudo=False)
guest.open(20)
guest.start_lease(60)
for name in ('one', 'two'):
    quiescer = Quiescer(name, script, (('lock', f'{locks}/{name}'),))
    guest.hold(quiescer, {}, 20)
print('held', flush=True)
time.sleep(300)
"""


#: Never ready, and only a kill ends it.
STUBBORN = HOLDER.replace("trap '' PIPE", "trap '' PIPE TERM").replace(
    "echo 'ready", "sleep 60; sleep 60; echo 'ready"
)


class FaultTest(GuestTest):
    shell = 'dash'

    def hold_two(self, shell: str = 'dash', script: str = HOLDER) -> None:
        self.guest = self.open(shell)
        self.guest.start_lease(60)
        for name in ('one', 'two'):
            self.guest.hold(self.sshd.quiescer(name, script), {}, 20)
        self.assert_locked()

    def assert_locked(self, *names: str) -> None:
        for name in names or ('one', 'two'):
            self.assertTrue(self.sshd.is_locked(name), name)

    def assert_free(self, seconds: float) -> float:
        names = ('one', 'two')
        took = wait_until(
            lambda: not any(map(self.sshd.is_locked, names)), seconds
        )
        # For the table in the documentation: stestr last --subunit shows it.
        self.addDetail('seconds', _text(f'{took:.1f}'))
        return took

    def assert_proven_free(self, seconds: float = 9) -> None:
        released = self.guest.release(seconds)
        self.assertEqual(['two', 'one'], [one.name for one in released])
        self.assertEqual([True, True], [one.is_free for one in released])

    def role(self, name: str) -> int:
        """Return the process that plays a role in the guest."""
        if name == 'main':
            return self.sshd.main()
        if name in ('timer', 'log'):
            return self.sshd.processes(f'xloud-{name}')[0]
        if name == 'holder':
            return self.sshd.processes('/d.2/file')[0]
        found = [
            pid
            for pid in self.sshd.processes('xloud-supervisor')
            if parent(pid) == self.sshd.main() and _is_relay(pid)
        ]
        return found[0]

    def break_role(self, name: str, number: int, seconds: float) -> None:
        self.hold_two(self.shell)
        send(self.role(name), number)
        self.assert_free(seconds)

    def ssh(self) -> int:
        return self.guest._connection._process.pid


def _is_relay(pid: int) -> bool:
    return os.readlink(f'/proc/{pid}/fd/0').startswith(('pipe:', 'socket:'))


def _text(text: str):
    from testtools.content import text_content

    return text_content(text)


class ClientFaultTest(FaultTest):
    shell = 'busybox ash'

    def start_client(self) -> 'subprocess.Popen[bytes]':
        access = {
            name: getattr(self.sshd.access(), name)
            for name in ('address', 'port', 'login', 'identity', 'options')
        }
        words = (access, self.shell, str(self.sshd / 'locks'), HOLDER)
        process = subprocess.Popen(
            [sys.executable, '-c', CLIENT, repr(words)],
            stdout=subprocess.PIPE,
            env={**os.environ, 'PYTHONPATH': ':'.join(sys.path)},
        )
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual(b'held\n', process.stdout.readline())
        self.assert_locked()
        return process

    def test_client_killed(self) -> None:
        self.start_client().kill()
        self.assert_free(SOON)
        self.assert_nothing_left()
        self.assertEqual(['two', 'one'], self.sshd.released())

    def test_client_at_work_keeps_the_hold_until_it_is_stopped(self) -> None:
        client = self.start_client()
        time.sleep(1.5 * LEASE)
        self.assert_locked()
        client.send_signal(STOP)
        self.assert_free(LATER)
        self.assert_nothing_left(3 * LEASE)
        # The next run is told of it.
        self.open()
        self.assertIn('client was not heard', self.facts.earlier)


class LinkFaultTest(FaultTest):
    def test_ssh_killed(self) -> None:
        self.hold_two()
        send(self.ssh(), KILL)
        self.assert_free(SOON)
        self.assertRaises(GuestLost, self.guest.verify, 5)
        self.assert_proven_free()
        self.guest.close()
        self.assert_nothing_left()

    def test_ssh_stopped(self) -> None:
        self.hold_two()
        send(self.ssh(), STOP)
        self.assert_free(LATER)
        held = self.guest.verify(1)
        self.assertEqual(['it did not answer within 1 s'] * 2, list(held))
        self.assert_proven_free(6)
        self.guest.close()
        self.assert_nothing_left()

    def test_sshd_of_the_session_killed(self) -> None:
        self.hold_two()
        send(parent(self.sshd.main()), KILL)
        self.assert_free(SOON)
        self.assert_proven_free()

    def test_sshd_of_the_session_stopped(self) -> None:
        self.hold_two()
        session = parent(self.sshd.main())
        send(session, STOP)
        self.assert_free(LATER)
        self.assert_proven_free(6)
        send(session, CONT)

    def test_guest_that_is_not_reached_again_is_not_said_to_be_free(
        self,
    ) -> None:
        self.hold_two()
        (self.sshd / 'known_hosts').write_text('')
        send(self.ssh(), KILL)
        released = self.guest.release(3)
        self.assertEqual([False, False], [one.is_free for one in released])


class GuestFaultTest(testscenarios.WithScenarios, FaultTest):
    scenarios = SHELLS

    def test_supervisor_killed(self) -> None:
        self.break_role('main', KILL, SOON)
        self.assert_proven_free()
        self.guest.close()
        self.assert_nothing_left(5)

    def test_supervisor_terminated(self) -> None:
        self.break_role('main', signal.SIGTERM, SOON)
        self.assert_proven_free()
        self.guest.close()
        self.assert_nothing_left()

    def test_all_are_terminated_at_once(self) -> None:
        # as when a login is ended, or the machine
        deaf = HOLDER.replace("trap '' PIPE", "trap '' PIPE TERM")
        self.hold_two(self.shell, deaf)
        for pid in self.sshd.processes():
            send(pid, signal.SIGTERM)
        self.assert_free(SOON)
        self.assert_proven_free()
        self.guest.close()
        self.assert_nothing_left()

    def test_a_holder_hears_that_it_is_ended(self) -> None:
        # all others that the supervisor starts ignore SIGTERM
        heard = 'echo heard >>"${lock%/*}/released"; exit 1'
        script = HOLDER.replace("trap '' PIPE", f"trap '{heard}' TERM")
        script = script.replace("echo 'ready", "sleep 60; echo 'ready")
        self.guest = self.open(self.shell)
        self.guest.start_lease(60)
        with contextlib.suppress(GuestLost, NotQuiesced, TimeoutError):
            self.guest.hold(self.sshd.quiescer('one', script), {}, 1)
            self.fail('it is never ready')
        self.guest.release(9)
        self.assertEqual(['heard'], self.sshd.released())

    def test_one_that_ends_at_once_is_in_no_other_one_s_way(self) -> None:
        text = (
            resources.files('xloudclient.guest') / 'supervisor.sh'
        ).read_text()
        words = ('xloud-supervisor', 'main', 'nonce', '15', '12', 'no')
        for _ in range(3):
            done = subprocess.run(
                [*self.shell.split(), '-c', 'eval "$t"', *words, self.shell],
                env={
                    't': text,
                    'PATH': os.environ['PATH'],
                    'XDG_RUNTIME_DIR': str(self.sshd / 'run'),
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=20,
                **self.sshd.ids,
            )
            self.assertNotIn(b'busy', done.stdout)
            self.assertIn(b'lapsed the client is gone', done.stdout)

    def test_supervisor_killed_before_anything_was_held(self) -> None:
        self.guest = self.open(self.shell)
        send(self.role('main'), KILL)
        with contextlib.suppress(GuestLost, NotQuiesced):
            self.guest.hold(self.sshd.quiescer('one'), {}, 20)
            self.fail('nobody is there to hold it')
        self.assertEqual([], [r for r in self.guest.release(9) if r.was_held])

    def test_timer_killed(self) -> None:
        self.break_role('timer', KILL, SOON)
        held = self.guest.verify(5)
        self.assertIn('its timer is gone', held[0])
        self.assert_proven_free()
        self.guest.close()
        self.assert_nothing_left()

    def test_holder_killed(self) -> None:
        self.hold_two(self.shell)
        send(self.role('holder'), KILL)
        wait_until(lambda: not self.sshd.is_locked('two'), SOON)
        held = self.guest.verify(5)
        self.assertIsInstance(held[0], Evidence)
        self.assertEqual(
            'it has ended: it was ended by signal 9', held[1][:38]
        )
        two, one = self.guest.release(20)
        self.assertEqual((False, False), (two.is_free, two.was_held))
        self.assertEqual((True, True), (one.is_free, one.was_held))

    def test_holder_stopped(self) -> None:
        self.hold_two(self.shell)
        send(self.role('holder'), STOP)
        held = self.guest.verify(1)
        self.assertIsInstance(held[0], Evidence)
        self.assertEqual('it did not answer within 1 s', held[1])
        # It is continued, reads what it was told, and releases.
        self.assert_proven_free()
        self.assert_free(SOON)


class SlowGuestFaultTest(FaultTest):
    """These wait for a lease: one shell will do."""

    shell = 'busybox ash'

    def test_everything_of_the_session_killed(self) -> None:
        self.hold_two(self.shell)
        os.killpg(self.sshd.main(), KILL)
        self.assert_free(SOON)
        # Those who could tell that they said `released` are gone, too.
        released = self.guest.release(10)
        self.assertEqual([False, False], [one.is_free for one in released])

    def test_supervisor_stopped(self) -> None:
        self.break_role('main', STOP, LATER)
        self.assert_proven_free()
        self.guest.close()
        self.assert_nothing_left(5)

    def test_timer_stopped(self) -> None:
        self.break_role('timer', STOP, 12)
        self.assert_proven_free()
        self.guest.close()
        self.assert_nothing_left()

    def test_timer_stopped_and_the_release_takes_longer_than_we_wait(
        self,
    ) -> None:
        script = HOLDER.replace('release) break', 'release) sleep 11; break')
        self.guest = self.open(self.shell)
        for name, text in (('one', HOLDER), ('two', script)):
            self.guest.hold(self.sshd.quiescer(name, text), {}, 20)
        send(self.role('timer'), STOP)
        self.assert_proven_free(18)

    def test_relay_killed(self) -> None:
        self.break_role('relay', KILL, LATER)
        self.assert_proven_free()

    def test_supervisor_and_holders_stopped(self) -> None:
        self.hold_two(self.shell)
        for pid in [*self.sshd.processes('/file'), self.sshd.main()]:
            send(pid, STOP)
        self.assert_free(LATER)
        self.assert_proven_free()


class LeftByAHolderTest(FaultTest):
    def test_what_it_started_at_its_release_is_left_alone(self) -> None:
        script = HOLDER.replace(
            'release) break', 'release) sleep 98 9>&- & break'
        )
        self.guest = self.open('busybox ash')
        self.guest.hold(self.sshd.quiescer('one', script), {}, 20)
        (released,) = self.guest.release(20)
        self.assertTrue(released.is_free, released)
        self.guest.close()
        self.assertEqual(1, len(self.sshd.processes('sleep 98')))


class FullPipeTest(testscenarios.WithScenarios, FaultTest):
    scenarios = SHELLS

    def test_the_timer_waits_for_no_pipe(self) -> None:
        # what it says unasked fills the supervisor's pipe, while what the
        # supervisor says fills that of a session that stands still
        talk = "{ p=$(printf '%03980d' 1); sleep 1; while echo held $p; do :; "
        talk += 'done; } 9>&- &\nwhile IFS= read'
        script = HOLDER.replace('while IFS= read', talk)
        self.hold_two(self.shell, script)
        session = parent(self.sshd.main())
        send(session, STOP)
        self.addCleanup(send, session, CONT)
        self.assert_free(LATER + SOON)
        self.assert_proven_free(9)
        send(session, CONT)
        self.guest.close()
        self.assert_nothing_left(3 * LEASE)


class BurstTest(FaultTest):
    """A client may say more before it was heard."""

    shell = 'dash'

    def add(self, name: str, *more: str, script: str = HOLDER) -> Child:
        """Have one hold, in the words of the protocol; and say more."""
        child = self.guest._talk.add(name)
        files, words = parcel(self.sshd.quiescer(name, script), 'hold')
        lines = [*delivery(child, files, words, {}), f'hold {child.id}']
        for line in [*lines, *more]:
            self.tell(line)
        return child

    def tell(self, line: str) -> None:
        self.guest._connection.send(line, time.monotonic() + 5)

    def test_one_is_begun_while_another_is_dropped(self) -> None:
        self.guest = self.open(self.shell)
        self.add('one', 'drop 1')
        two = self.add('two')
        wait_until(lambda: two.is_ready, 10)
        three = self.add('three')
        wait_until(lambda: three.is_ready, 10)
        self.tell('drop 2')
        wait_until(lambda: not self.sshd.is_locked('two'), SOON)
        self.assertTrue(self.sshd.is_locked('three'))
        self.tell('release')
        wait_until(lambda: bool(three.ended), SOON)
        self.guest.close()
        self.assert_nothing_left()

    def test_a_release_comes_before_drops_that_wait(self) -> None:
        self.guest = self.open(self.shell)
        for name in ('one', 'two'):
            self.add(name, script=STUBBORN)
        three = self.add('three')
        wait_until(lambda: three.is_ready, 10)
        for line in ('drop 1', 'drop 2', 'release'):
            self.tell(line)
        # the time that one of them takes to be killed, not both
        wait_until(lambda: not self.sshd.is_locked('three'), 8)

    def test_one_is_dropped_while_another_is_dropped(self) -> None:
        self.guest = self.open(self.shell)
        self.guest.hold(self.sshd.quiescer('zero'), {}, 20)
        for name, script in (('one', STUBBORN), ('two', HOLDER)):
            quiescer = self.sshd.quiescer(name, script)
            with contextlib.suppress(NotQuiesced):
                # the second one has it at once, and is not heard
                self.guest.hold(quiescer, {}, 2)
                self.fail('neither is to be ready in time')
        wait_until(lambda: not self.sshd.is_locked('two'), 12)
        self.assertTrue(self.sshd.is_locked('zero'))
        self.assertIsInstance(self.guest.verify(5)[0], Evidence)
        stuck = [r.name for r in self.guest.release(20) if not r.is_free]
        # it had to be killed, and only it knows
        self.assertEqual(['one'], stuck)


class StubbornTest(FaultTest):
    shell = 'busybox ash'

    def test_released_was_said_too_early_and_then_it_hangs(self) -> None:
        # what it has started has the lock, whatever becomes of it
        script = HOLDER.replace('exec 9>&-', 'sleep 98').replace(
            'while IFS= read', 'setsid sleep 96 &\nwhile IFS= read'
        )
        script = script.replace("trap '' PIPE", "trap '' PIPE TERM")
        script = script.replace('verify) echo', 'verify) echo released; echo')
        self.guest = self.open(self.shell, grace=1)
        self.guest.hold(self.sshd.quiescer('one', script), {}, 20)
        self.assertNotIsInstance(self.guest.verify(2)[0], Evidence)
        (released,) = self.guest.release(20)
        self.assertTrue(self.sshd.is_locked('one'))
        self.assertFalse(released.is_free, released)

    def test_nor_does_it_count_where_the_supervisor_was_killed(self) -> None:
        script = HOLDER.replace("trap '' PIPE", "trap '' PIPE TERM")
        script = script.replace('verify) echo', 'verify) echo released; echo')
        script = script.replace('exec 9>&-', 'sleep 98')
        self.guest = self.open(self.shell, grace=1)
        self.guest.hold(self.sshd.quiescer('one', script), {}, 20)
        self.guest.verify(2)
        send(self.role('main'), KILL)
        (released,) = self.guest.release(20)
        self.assertFalse(released.is_free, released)

    def test_a_holder_that_hangs_when_it_is_asked_does_not_get_all_the_grace(
        self,
    ) -> None:
        script = HOLDER.replace('verify) echo', 'verify) sleep 97; echo')
        self.guest = self.open(self.shell, grace=60)
        for name, text in (('one', HOLDER), ('two', script)):
            self.guest.hold(self.sshd.quiescer(name, text), {}, 20)
        one, two = self.guest.verify(1)
        self.assertIsInstance(one, Evidence)
        self.assertEqual('it did not answer within 1 s', two)
        began = time.monotonic()
        self.guest.release(30)
        self.assertLess(time.monotonic() - began, 20)
        self.assert_free(SOON)

    def test_what_it_says_after_its_supervisor_was_killed_counts(self) -> None:
        # a shell that has nobody to talk to goes on, and its exit tells so
        script = HOLDER.replace('exec 9>&-', 'exec 9>&-; echo held; sleep 1')
        self.hold_two(self.shell, script)
        send(self.role('main'), KILL)
        self.assert_proven_free()

    def test_a_holder_that_never_releases_is_ended(self) -> None:
        script = HOLDER.replace('release) break', 'release) sleep 99 9>&-')
        script = script.replace("trap '' PIPE", "trap '' PIPE TERM")
        self.guest = self.open(self.shell, grace=1)
        self.guest.hold(self.sshd.quiescer('one', script), {}, 20)
        (released,) = self.guest.release(20)
        self.assertEqual(
            'it had to be killed, and only it knows whether it released',
            released.reason[:58],
        )
        self.assertFalse(released.is_free)
        self.assertFalse(self.sshd.is_locked('one'))
        self.guest.close()
        self.assert_nothing_left()

    def test_the_longest_time_is_kept_by_the_guest(self) -> None:
        self.hold_two(self.shell)
        self.guest.start_lease(1)
        self.assert_free(SOON)
        held = self.guest.verify(5)
        self.assertIn('the longest time allowed is over', held[0])
        self.assert_proven_free()
        self.assertRaises(
            NotQuiesced, self.guest.hold, self.sshd.quiescer('new'), {}, 10
        )

    def test_one_that_ends_in_the_middle_of_a_line_is_heard(self) -> None:
        for script, said in (
            ('printf oh; exit 75', Busy),
            ('printf oh; exit 1', NotQuiesced),
        ):
            guest = self.open(self.shell)
            self.assertRaises(
                said, guest.hold, self.sshd.quiescer('one', script), {}, 20
            )
            self.assertEqual((), guest.release(9))
            guest.close()

    def test_a_killed_lock_of_a_database_session_is_free(self) -> None:
        self.guest = self.open(self.shell)
        options = (('lock', str(self.sshd / 'locks' / 'one')),)
        self.guest.hold(Quiescer('mysql', HOLDER, options), {}, 20)
        send(self.sshd.processes('/d.1/file')[0], KILL)
        self.assertIn('signal 9', self.guest.verify(5)[0])
        (released,) = self.guest.release(20)
        self.assertEqual((True, False), (released.is_free, released.was_held))


class LeftoverTest(FaultTest):
    def test_what_was_just_begun_ends_with_its_supervisor(self) -> None:
        self.hold_two()
        run = next((self.sshd / 'run' / 'xloudclient').glob('run.*'))
        # it waits for somebody to write, and then would run the holder
        words = 'mkdir d.9; true >d.9/file >pid.9; mkfifo in.9 say.9 err.9; '
        words += 'echo begun; read -r _ <in.9; [ -e d.9/file ]'
        host = subprocess.Popen(
            ['sh', '-c', words],
            cwd=run,
            stdout=subprocess.PIPE,
            **self.sshd.ids,
        )
        self.addCleanup(host.stdout.close)
        self.addCleanup(host.wait)
        self.addCleanup(host.kill)
        self.assertEqual(b'begun\n', host.stdout.readline())
        send(self.role('main'), KILL)
        self.assertNotEqual(0, host.wait(LATER + SOON))
        self.guest.close()
        self.assert_nothing_left(5)

    def test_what_a_killed_supervisor_and_timer_left_is_ended_by_the_next(
        self,
    ) -> None:
        self.hold_two()
        holders = self.sshd.processes('/file')
        for pid in holders:
            send(pid, STOP)
        for role in ('supervisor', 'timer', 'log'):
            for pid in self.sshd.processes(f'xloud-{role}'):
                send(pid, KILL)
        self.assert_locked()
        self.open('busybox ash')
        self.assert_free(SOON)

    def test_no_descriptor_of_another_one_is_kept(self) -> None:
        self.hold_two()
        for pid in self.sshd.processes('/file'):
            found = {
                os.readlink(one)
                for one in pathlib.Path(f'/proc/{pid}/fd').iterdir()
            }
            pipes = {pathlib.Path(one).stem for one in found if '/run' in one}
            # Besides its own three, dash has the script open.
            self.assertEqual({'err', 'in', 'say'}, pipes - {'file'})
            self.assertLessEqual(len(found), 5, found)
