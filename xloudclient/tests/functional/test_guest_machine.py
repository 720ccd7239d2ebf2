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

"""A guest to test against: a real sshd on this machine, and its refusals."""

import contextlib
import fcntl
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import types
from collections.abc import Callable
from typing import Any

import fixtures
import testtools

from xloudclient.consistency.errors import (
    Busy,
    GuestUnreachable,
    HostKeyUnknown,
)
from xloudclient.consistency.plan import Quiescer
from xloudclient.guest.access import Access
from xloudclient.guest.ssh import SshGuest
from xloudclient.tests.cloud.guests import account

#: As tools/prepare has it, or as it is installed; without it tests fail.
SSHD = os.environ.get('SSHD') or shutil.which(
    'sshd', path='/usr/sbin:/sbin:/usr/bin:/usr/local/sbin'
)
SHELLS = ('/bin/bash', '/bin/sh', '/bin/dash', '/usr/bin/bash')
#: Who logs in where root has the tests and nobody else has a shell.
GUEST = types.SimpleNamespace(pw_name='guest', pw_uid=20001, pw_gid=20001)
#: Seconds; short, so that tests that wait for its end are.
LEASE = 2

#: Its lock is seen from outside, and is gone with the process at the latest.
HOLDER = """#!/bin/sh
for word; do case $word in lock=*) lock=${word#lock=} ;; esac; done
trap '' PIPE
exec 9>>"$lock"
flock -n 9 || exit 75
echo 'this is a log'
echo 'ready {"position": "p1"}'
while IFS= read -r word; do
    case $word in
    verify) echo 'held {"position": "p1"}' ;;
    release) break ;;
    esac
done
echo "${lock##*/}" >>"${lock%/*}/released"
exec 9>&-
echo released
"""


class Sshd(fixtures.Fixture):
    """An sshd that lets one account in.

    It does not run as root: it is given the rights of some other account
    when the tests have root's.
    """

    def _setUp(self) -> None:
        self.account = _account()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='xloud-guest-'))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.address = f'127.77.{os.getpid() % 250}.{1 + id(self) // 64 % 250}'
        self.port = _free_port(self.address)
        for name in ('host', 'user', 'other'):
            _run('ssh-keygen', '-qt', 'ed25519', '-N', '', '-f', self / name)
        for name in ('home', 'run', 'locks'):
            (self / name).mkdir()
        self._write_config()
        for path in [self.folder, *self.folder.rglob('*')]:
            if os.geteuid() == 0 and path.name not in ('user', 'other'):
                os.chown(path, self.account.pw_uid, self.account.pw_gid)
        self._start()

    def __truediv__(self, name: str) -> pathlib.Path:
        return self.folder / name

    def _write_config(self) -> None:
        key = (self / 'host.pub').read_text().split()
        (self / 'known_hosts').write_text(
            f'[{self.address}]:{self.port} {key[0]} {key[1]}\n'
        )
        (self / 'config').write_text(f"""
            ListenAddress {self.address}:{self.port}
            HostKey {self / 'host'}
            AuthorizedKeysFile {self / 'user.pub'}
            PidFile none
            StrictModes no
            UsePAM no
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            SetEnv HOME={self / 'home'} XDG_RUNTIME_DIR={self / 'run'}
            """)

    def _start(self) -> None:
        environ = dict(os.environ)
        if self.account is GUEST:
            environ |= _wrapped(self.folder)
        process = subprocess.Popen(
            [SSHD, '-D', '-f', self / 'config', '-E', self / 'log'],
            cwd='/',
            env=environ,
            **self.ids,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_until(lambda: _listens(self.address, self.port), 10)

    @property
    def ids(self) -> dict[str, Any]:
        """What makes a process one of its account, for Popen."""
        if os.geteuid():
            return {}
        user, group = self.account.pw_uid, self.account.pw_gid
        return {'user': user, 'group': group, 'extra_groups': []}

    def access(self, **changes: Any) -> Access:
        """Return how to reach it."""
        values: dict[str, Any] = {
            'address': self.address,
            'port': self.port,
            'login': self.account.pw_name,
            'identity': str(self / 'user'),
            'options': (
                f'UserKnownHostsFile={self / "known_hosts"}',
                'GlobalKnownHostsFile=/dev/null',
                'IdentitiesOnly=yes',
                'IdentityAgent=none',
            ),
        }
        return Access(**{**values, **changes})

    def guest(self, shell: str = 'dash', **more: Any) -> SshGuest:
        """Return a client of it."""
        more = {'lease': LEASE, 'use_sudo': False, **more}
        return SshGuest(self.access(), shell=shell, **more)

    def quiescer(self, name: str, script: str = HOLDER) -> Quiescer:
        """Return one that holds the lock of its name."""
        return Quiescer(name, script, (('lock', str(self / 'locks' / name)),))

    def is_locked(self, name: str) -> bool:
        """Whether somebody holds a lock."""
        with open(self / 'locks' / name, 'a') as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def released(self) -> list[str]:
        """Return the locks that were let go in an orderly way."""
        path = self / 'locks' / 'released'
        return path.read_text().split() if path.exists() else []

    def processes(self, *words: str) -> list[int]:
        """Return the processes of the guest with these words in their
        arguments; the sshd's not counted.
        """
        found = []
        for pid in filter(str.isdecimal, os.listdir('/proc')):
            text = arguments(int(pid))
            is_ours = str(self / 'run') in environment(int(pid))
            is_ours = is_ours and 'sshd' not in text
            if is_ours and all(word in text for word in words):
                found.append(int(pid))
        return found

    def main(self) -> int:
        """Return the supervisor's process."""
        return next(
            pid
            for pid in self.processes('xloud-supervisor')
            if 'sshd' in arguments(parent(pid))
        )

    def kill_all(self) -> None:
        """End whatever a test left."""
        for pid in self.processes():
            send(pid, signal.SIGKILL)


def _account() -> Any:
    if os.geteuid():
        return pwd.getpwuid(os.geteuid())
    found = (
        one for one in pwd.getpwall() if one.pw_uid and one.pw_shell in SHELLS
    )
    return next(found, GUEST)


def _wrapped(folder: pathlib.Path) -> dict[str, str]:
    """What makes an sshd know GUEST, where no account has a shell."""
    ids = f'{GUEST.pw_uid}:{GUEST.pw_gid}'
    (folder / 'passwd').write_text(f'guest:x:{ids}:guest:/:/bin/sh\n')
    (folder / 'group').write_text(f'guest:x:{GUEST.pw_gid}:\n')
    return {
        'LD_PRELOAD': account._wrapper(),
        'NSS_WRAPPER_PASSWD': str(folder / 'passwd'),
        'NSS_WRAPPER_GROUP': str(folder / 'group'),
    }


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def _listens(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def _run(*command: 'str | pathlib.Path') -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _read(pid: int, name: str) -> str:
    try:
        data = pathlib.Path(f'/proc/{pid}/{name}').read_bytes()
    except OSError:
        return ''
    return data.replace(b'\0', b' ').decode(errors='replace')


def arguments(pid: int) -> str:
    """Return a process's arguments; empty if it is gone."""
    return _read(pid, 'cmdline')


def environment(pid: int) -> str:
    """Return a process's environment; empty if it is gone."""
    return _read(pid, 'environ')


def parent(pid: int) -> int:
    """Return a process's parent; 0 if it is gone."""
    status = _read(pid, 'stat').rpartition(')')[2].split()
    return int(status[1]) if status else 0


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until(is_so: Callable[[], object], seconds: float) -> float:
    """Wait for something; return how many seconds it took."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() > began + seconds:
            raise AssertionError(f'not so after {seconds:g} s')
        time.sleep(0.02)
    return time.monotonic() - began


class GuestTest(testtools.TestCase):
    """Has an sshd, and sees to it that no process is left."""

    def setUp(self) -> None:
        super().setUp()
        self.sshd = self.useFixture(Sshd())
        self.addCleanup(self.sshd.kill_all)

    def open(self, shell: str = 'dash', **more: Any) -> SshGuest:
        """Return a guest that is connected."""
        guest = self.sshd.guest(shell, **more)
        self.addCleanup(guest.close)
        self.facts = guest.open(20)
        return guest

    def assert_nothing_left(self, seconds: float = 2) -> None:
        """No process, and no folder but the one of the lock."""
        wait_until(lambda: not self.sshd.processes(), seconds)
        left = set(os.listdir(self.sshd / 'run' / 'xloudclient'))
        self.assertLessEqual(left, {'lock', 'report'})


class RefusalTest(GuestTest):
    def refusal(self, **changes: Any) -> Any:
        guest = SshGuest(self.sshd.access(**changes))
        return self.assertRaises(GuestUnreachable, guest.open, 20)

    def test_an_unknown_host_key_names_the_line_that_accepts_it(self) -> None:
        (self.sshd / 'known_hosts').write_text('')
        failure = self.refusal()
        self.assertIsInstance(failure, HostKeyUnknown)
        self.assertIn('is not known', str(failure))
        self.assertIn('ssh -o StrictHostKeyChecking=ask', failure.advice)
        self.assertIn(f'-p {self.sshd.port}', failure.advice)

    def test_a_changed_host_key_is_told_apart(self) -> None:
        key = (self.sshd / 'other.pub').read_text().split()
        (self.sshd / 'known_hosts').write_text(
            f'[{self.sshd.address}]:{self.sshd.port} {key[0]} {key[1]}\n'
        )
        failure = self.refusal()
        self.assertIsInstance(failure, HostKeyUnknown)
        self.assertIn('IS NOT THE KNOWN ONE', str(failure))
        self.assertIn('ssh-keygen -R', failure.advice)

    def test_a_refused_login_is_told_apart(self) -> None:
        failure = self.refusal(identity=str(self.sshd / 'other'))
        self.assertIn('refuses the login', str(failure))
        self.assertIn(self.sshd.address, str(failure))

    def test_nobody_listening_is_told(self) -> None:
        failure = self.refusal(port=_free_port(self.sshd.address))
        self.assertIn('Connection refused', str(failure))

    def test_a_shell_that_is_missing_is_told(self) -> None:
        guest = self.sshd.guest('/nowhere/sh')
        failure = self.assertRaises(GuestUnreachable, guest.open, 20)
        self.assertIn('no usable shell', str(failure))

    def test_ssh_that_is_missing_is_told(self) -> None:
        guest = self.sshd.guest(program='/nowhere/ssh')
        failure = self.assertRaises(GuestUnreachable, guest.open, 20)
        self.assertIn('/nowhere/ssh', str(failure))

    def test_a_second_supervisor_is_busy(self) -> None:
        self.open()
        guest = self.sshd.guest('busybox ash')
        self.assertRaises(Busy, guest.open, 20)
