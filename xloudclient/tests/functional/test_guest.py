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

"""Quiesce, verify and release in a guest, when all goes well."""

import functools
import json
import os
import pathlib
import re
import subprocess
import threading
import time
from importlib import resources

import testscenarios
import testtools

from xloudclient.consistency.answers import Evidence, HookState, Released
from xloudclient.consistency.errors import Busy, NotQuiesced
from xloudclient.consistency.plan import Hook, Place
from xloudclient.guest.ssh import SshGuest
from xloudclient.tests.functional.test_guest_machine import (
    HOLDER,
    GuestTest,
    wait_until,
)

SHELLS = [
    ('dash', {'shell': 'dash'}),
    ('busybox', {'shell': 'busybox ash'}),
]

#: What ``ip -o link`` prints of a bond's member, of a card that has another
#: for a guest, and of a guest's own.
ETHER = 'mtu 1500 \\    link/ether'
BRD = 'brd ff:ff:ff:ff:ff:ff'
LINKS = f"""
1: lo: <UP> mtu 65536 \\    link/loopback 00:00:00:00:00:00
2: ens3: <UP> {ETHER} fa:16:3e:00:00:01 {BRD} permaddr fa:16:3e:00:00:02\\
3: pf0: <UP> {ETHER} 0c:42:a1:00:00:01 {BRD}\\  {ETHER} fa:16:3e:aa:aa:aa
4: macvtap0@pf0: <UP> {ETHER} fa:16:3e:bb:bb:bb {BRD}
"""
SUPERVISOR = (
    resources.files('xloudclient.guest') / 'supervisor.sh'
).read_text()
#: One function of it, and what it calls.
CARDS = f"""
say() {{ echo "n $*"; }}
ip() {{ printf '%s' "$links"; }}
{re.findall(r'^tell_cards.*?^}', SUPERVISOR, re.M | re.S)[0]}
tell_cards
"""
#: It has released, and does not end before another one has, too.
UNTIDY = (
    HOLDER
    + """
until grep -q one "${lock%/*}/released"; do sleep 0.1; done
"""
)
#: It says that it has released, and goes on holding.
EARLY = HOLDER.replace('verify) echo', 'verify) echo released; echo').replace(
    'release) break', 'release) sleep 2; break'
)


class HoldTest(testscenarios.WithScenarios, GuestTest):
    scenarios = SHELLS

    def test_two_hold_and_are_released_in_reverse(self) -> None:
        guest = self.open(self.shell)
        guest.start_lease(30)
        for name in ('one', 'two'):
            ready = guest.hold(self.sshd.quiescer(name), {}, 10)
            self.assertEqual('p1', ready.position)
            self.assertTrue(self.sshd.is_locked(name))
        held = guest.verify(5)
        self.assertEqual(['p1', 'p1'], [one.position for one in held])
        self.assertEqual(
            (Released('two', True), Released('one', True)), guest.release(20)
        )
        self.assertEqual(['two', 'one'], self.sshd.released())
        guest.close()
        self.assert_nothing_left()

    def test_none_waits_for_another_to_clean_up(self) -> None:
        guest = self.open(self.shell)
        for name, text in (('one', HOLDER), ('two', UNTIDY)):
            guest.hold(self.sshd.quiescer(name, text), {}, 10)
        self.assertEqual(
            (Released('two', True), Released('one', True)), guest.release(20)
        )
        self.assertEqual(['two', 'one'], self.sshd.released())

    def test_one_that_was_about_to_start_when_all_are_released(self) -> None:
        slow = HOLDER.replace('release) break', 'release) sleep 2; break')
        guest = self.open(self.shell)
        guest.hold(self.sshd.quiescer('one', slow), {}, 10)
        # as a signal leaves it that came while it was sent
        child = guest._talk.add('two')
        child.is_dropped = True
        guest._holders.append(child)
        for line in ('release', f'drop {child.id}'):
            guest._send(guest._turn, line, time.monotonic() + 5)
        self.assertEqual((Released('one', True),), guest.release(20))

    def test_one_that_was_just_started_when_all_are_released(self) -> None:
        for _ in range(3):
            guest = self.open(self.shell)
            deadline = time.monotonic() + 20
            child = guest._talk.add('one')
            guest._start_holder(
                guest._begin(), child, self.sshd.quiescer('one'), {}, deadline
            )
            self.assertTrue(all(one.is_free for one in guest.release(20)))
            guest.close()
            self.assert_nothing_left()

    def test_what_is_said_to_be_released_is_not_held(self) -> None:
        guest = self.open(self.shell)
        for name, text in (('one', HOLDER), ('two', EARLY)):
            guest.hold(self.sshd.quiescer(name, text), {}, 10)
        one, two = guest.verify(1)
        self.assertIsInstance(one, Evidence)
        self.assertEqual('it did not answer within 1 s', two)
        guest.release(20)
        # Nobody goes by what was said unasked.
        self.assertEqual(['two', 'one'], self.sshd.released())

    def test_what_a_holder_is_told_arrives_as_it_is(self) -> None:
        guest = self.open(self.shell)
        value = 'a b\t\'"\\ %s $HOME `id` ; é\u2003\n!\n'
        script = """#!/bin/sh
            printf '%s|%s' "$2" "$XLOUD_TEXT" >"$XLOUD_RUN_FOLDER/told"
            echo "ready {\\"told\\": \\"$PWD\\"}"
            read -r word; echo released
            """
        quiescer = self.sshd.quiescer('x', script).__class__(
            'x', script, (('key', value),)
        )
        ready = guest.hold(quiescer, {'XLOUD_TEXT': value}, 10)
        told = pathlib.Path(ready.detail['told'], 'told').read_text()
        self.assertEqual(f'key={value}|{value}', told)

    def test_evidence_of_4096_bytes_arrives_whole(self) -> None:
        guest = self.open(self.shell)
        line = json.dumps({'x': 'Áé ' * 500, 'y': ' \\" '}, ensure_ascii=False)
        script = f"""#!/bin/sh
            cat <<'END'\nready {line}\nEND
            read -r word; echo released
            """
        ready = guest.hold(self.sshd.quiescer('x', script), {}, 10)
        self.assertEqual(json.loads(line), ready.detail)

    def test_one_that_fails_says_why_and_the_others_hold_on(self) -> None:
        guest = self.open(self.shell)
        guest.hold(self.sshd.quiescer('one'), {}, 10)
        script = '#!/bin/sh\necho no database \x1b[2J >&2; exit 1\n'
        failure = self.assertRaises(
            NotQuiesced, guest.hold, self.sshd.quiescer('two', script), {}, 10
        )
        self.assertIn('no database \\x1b[2J', str(failure))
        self.assertIsInstance(guest.verify(5)[0], Evidence)
        self.assertEqual((Released('one', True),), guest.release(20))

    def test_not_now_is_busy(self) -> None:
        guest = self.open(self.shell)
        script = '#!/bin/sh\nexit 75\n'
        self.assertRaises(
            Busy, guest.hold, self.sshd.quiescer('two', script), {}, 10
        )

    def test_one_that_is_late_is_released(self) -> None:
        guest = self.open(self.shell)
        script = HOLDER.replace("echo 'ready", "sleep 60; echo 'ready")
        failure = self.assertRaises(
            NotQuiesced, guest.hold, self.sshd.quiescer('x', script), {}, 1
        )
        self.assertIn('was not ready after 1 s', str(failure))
        wait_until(lambda: not self.sshd.is_locked('x'), 6)
        guest.release(20)
        guest.close()
        self.assert_nothing_left()

    def test_one_that_is_prepared_holds_when_it_is_told_to(self) -> None:
        guest = self.open(self.shell)
        script = HOLDER.replace(
            'exec 9>>', 'echo prepared\nread -r word\nexec 9>>', 1
        )
        go = functools.partial(self.tell, guest, 'go')
        go(1)
        failure = self.assertRaises(
            NotQuiesced, guest.hold, self.sshd.quiescer('x', script), {}, 1
        )
        self.assertIn('was not ready after 1 s', str(failure))
        # neither to one that is not there yet, nor to one that has ended
        go(1)
        timer = threading.Timer(1, go, [2])
        timer.start()
        self.addCleanup(timer.join)
        guest.hold(self.sshd.quiescer('y', script), {}, 20)
        self.assertTrue(self.sshd.is_locked('y'))
        self.assertIn(Released('y', True), guest.release(20))
        go(2)
        guest.close()
        self.assert_nothing_left()

    @staticmethod
    def tell(guest: SshGuest, verb: str, number: int) -> None:
        """Say what a client over ssh never does."""
        connection = guest._connection
        assert connection is not None
        connection.send(f'{verb} {number}', time.monotonic() + 5)

    def test_more_than_a_shell_has_descriptors_for_is_refused(self) -> None:
        guest = self.open(self.shell)
        for number in range(6):
            guest.hold(self.sshd.quiescer(f'q{number}'), {}, 10)
        self.assertRaises(
            NotQuiesced, guest.hold, self.sshd.quiescer('q7'), {}, 10
        )
        self.assertEqual(6, len([r for r in guest.release(20) if r.is_free]))


class BashTest(GuestTest):
    def test_bash_will_do(self) -> None:
        guest = self.open('bash --posix')
        guest.start_lease(30)
        for name in ('one', 'two'):
            guest.hold(self.sshd.quiescer(name), {}, 10)
        self.assertEqual(['p1', 'p1'], [h.position for h in guest.verify(5)])
        self.assertTrue(all(one.is_free for one in guest.release(20)))
        guest.close()
        self.assert_nothing_left()


class SudoTest(testscenarios.WithScenarios, GuestTest):
    scenarios = SHELLS

    def sudo(self, text: str) -> str:
        """Put a stand-in for sudo there; a shell that finds it first."""
        (self.sshd / 'bin').mkdir()
        # where the account of the guest may write
        self.calls = self.sshd / 'locks' / 'calls'
        script = self.sshd / 'bin' / 'sudo'
        script.write_text(
            f'#!/bin/sh\nprintf "%s\\0" "$*" >>{self.calls}\n{text}\n'
        )
        script.chmod(0o755)
        path = f'{self.sshd / "bin"}:/usr/bin:/bin:/usr/sbin:/sbin'
        return f'env PATH={path} {self.shell}'

    def called(self) -> list[str]:
        """What it was called with; NULs end calls."""
        return self.calls.read_text().split('\0')[:-1]

    def assert_holds(self, guest: SshGuest) -> None:
        for name in ('one', 'two'):
            guest.hold(self.sshd.quiescer(name), {}, 10)
        self.assertTrue(self.sshd.is_locked('one'))
        self.assertEqual(['p1', 'p1'], [h.position for h in guest.verify(5)])
        self.assertTrue(all(one.is_free for one in guest.release(20)))
        guest.close()
        self.assert_nothing_left()

    def test_sudo_runs_once_and_logs_no_more_than_a_command(self) -> None:
        # it runs the rest, as the account that it was called by
        shell = self.sudo('[ "$1 $2" = "-n --" ] && shift 2 && exec "$@"')
        self.assert_holds(self.open(shell, use_sudo=True))
        (call,) = self.called()
        self.assertLess(len(call), 500)

    def test_a_refusal_of_sudo_is_one_too_and_it_goes_on_without(self) -> None:
        self.assert_holds(self.open(self.sudo('exit 1'), use_sudo=True))
        self.assertEqual(1, len(self.called()))


class NoiseTest(GuestTest):
    def test_noise_of_a_login_shell_is_ignored(self) -> None:
        (self.sshd / 'home' / '.bashrc').write_text(
            'echo welcome; head -c 3000000 /dev/urandom; printf "no end"\n'
        )
        guest = self.open()
        guest.hold(self.sshd.quiescer('one'), {}, 10)
        self.assertIsInstance(guest.verify(5)[0], Evidence)
        self.assertTrue(guest.release(20)[0].is_free)

    def test_a_holder_that_writes_garbage_holds(self) -> None:
        script = HOLDER.replace(
            "echo 'this is a log'",
            'head -c 300000 /dev/urandom; echo; '
            'head -c 300000 /dev/urandom >&2',
        )
        guest = self.open()
        guest.hold(self.sshd.quiescer('one', script), {}, 10)
        self.assertIsInstance(guest.verify(5)[0], Evidence)
        self.assertTrue(guest.release(20)[0].is_free)

    def test_facts_name_the_machine(self) -> None:
        self.open()
        boot = pathlib.Path('/proc/sys/kernel/random/boot_id').read_text()
        self.assertEqual(boot.strip(), self.facts.boot_id)
        self.assertFalse(self.facts.may_freeze)
        self.assertGreater(self.facts.used_bytes, 0)
        own = {
            path.read_text().strip()
            for path in pathlib.Path('/sys/class/net').glob('*/address')
        }
        self.assertLessEqual(set(self.facts.cards), own)


class CardsTest(testscenarios.WithScenarios, testtools.TestCase):
    """What the supervisor tells of network cards, with an ip(8) of ours."""

    scenarios = SHELLS

    def test_a_guest_has_its_own_cards_and_no_others(self) -> None:
        asked = subprocess.run(
            [*self.shell.split(), '-c', CARDS],
            env={**os.environ, 'links': LINKS},
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(
            [
                'n card fa:16:3e:00:00:01',
                'n card fa:16:3e:00:00:02',
                'n card 0c:42:a1:00:00:01',
            ],
            asked.stdout.splitlines(),
        )


class HookTest(testscenarios.WithScenarios, GuestTest):
    scenarios = SHELLS

    def run_hook(self, text: str, timeout: float = 5):
        path = self.sshd / 'hook'
        path.write_text(text)
        self.guest = self.open(self.shell)
        hook = Hook(str(path), Place.GUEST)
        return self.guest.run_hook(
            hook, 'pre', {'XLOUD_PHASE': 'pre'}, timeout
        )

    def assert_still_at_work(self) -> None:
        self.guest.hold(self.sshd.quiescer('one'), {}, 10)
        self.assertTrue(self.guest.release(10)[0].is_free)
        self.guest.close()
        self.assert_nothing_left()

    def test_success(self) -> None:
        outcome = self.run_hook(
            '#!/bin/sh\n[ "$1$XLOUD_PHASE" = prepre ] && ! [ "$SSH_CLIENT" ]\n'
        )
        self.assertEqual(
            (HookState.SUCCEEDED, ''), (outcome.state, outcome.reason)
        )
        self.assert_still_at_work()

    def test_failure_quotes_the_output(self) -> None:
        outcome = self.run_hook('#!/bin/sh\necho out; echo err >&2; exit 3\n')
        self.assertIs(HookState.FAILED, outcome.state)
        self.assertEqual('exit status 3; it said: err', outcome.reason)

    def test_not_now(self) -> None:
        self.assertIs(
            HookState.NOT_NOW, self.run_hook('#!/bin/sh\nexit 75\n').state
        )

    def test_megabytes_of_output(self) -> None:
        outcome = self.run_hook(
            '#!/bin/sh\nhead -c 20000000 /dev/zero\n'
            'yes | head -c 9000000 >&2\n'
        )
        self.assertIs(HookState.SUCCEEDED, outcome.state)
        self.assert_still_at_work()

    def test_one_that_never_ends_is_killed_with_its_group(self) -> None:
        outcome = self.run_hook(
            "#!/bin/sh\ntrap '' TERM\nsleep 333 &\nsleep 333; sleep 333\n", 1
        )
        self.assertIs(HookState.TIMED_OUT, outcome.state)
        self.assertIn('it took longer than 1 s and was ended', outcome.reason)
        self.assertEqual([], self.sshd.processes('sleep 333'))
        self.assert_still_at_work()

    def test_one_that_leaves_a_daemon_is_not_waited_for(self) -> None:
        outcome = self.run_hook(
            '#!/bin/sh\nsetsid sh -c "sleep 15; exit" &\necho started\n'
        )
        self.assertIs(HookState.SUCCEEDED, outcome.state)
        self.assertLess(outcome.seconds, 4)
        self.guest.close()
