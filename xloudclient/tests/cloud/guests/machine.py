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

"""Nova's side of a guest: its folder, its power switch and its disks.

``STATE/guests/UUID`` is the guest's home::

    .ssh/authorized_keys   the cloud's key, and that of Nova's key pair
    .machine/              sshd's files; passwd and group for nss_wrapper;
                           ``disks``, which bin/findmnt and bin/lsblk read;
                           ``cards``, which bin/ip reads
    bin/                   first in PATH
    mnt/VOLUME-ID/         where an attached volume is mounted, so to speak
    etc/qemu/fsfreeze-hook if a test puts it there: run by quiesce and thaw
"""

import contextlib
import dataclasses
import importlib.resources
import os
import pathlib
import shutil
import signal
import subprocess
import sys

from xloudclient.tests.cloud import addressing, layout, process
from xloudclient.tests.cloud.guests import account, init, login

COMMANDS = importlib.resources.files('xloudclient.tests.cloud.guests') / 'bin'
HOOK = 'etc/qemu/fsfreeze-hook'
#: Where guests keep what a boot is to find no more.
MEMORY = '/dev/shm'


@dataclasses.dataclass(frozen=True, slots=True)
class Volume:
    """A volume of a server: its Cinder id and its file."""

    id: str
    path: str


@dataclasses.dataclass(frozen=True, slots=True)
class Machine:
    """The guest of one server; with guests off, nothing happens at all."""

    layout: layout.Layout
    uuid: str

    @property
    def home(self) -> pathlib.Path:
        return self.layout.path('guests', self.uuid)

    @property
    def account(self) -> account.Account:
        return account.of(self.layout)

    @property
    def pid(self) -> int | None:
        """The guest's first process, or None."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int(self._file('pid').read_text())
            if process.is_alive(pid):
                return pid
        return None

    @property
    def is_running(self) -> bool:
        return self.pid is not None

    @property
    def exists(self) -> bool:
        return self._file('address').exists()

    @property
    def address(self) -> str:
        """The first fixed address, in the network the cloud now has."""
        octet = self.layout.addresses().octet
        end = self._file('address').read_text().split('.', 2)[2]
        return f'127.{octet}.{end}'

    def make(
        self, addresses: list[str], cards: list[str], public_key: str | None
    ) -> None:
        """Make the guest's folder, for a server that has an address.

        :param addresses: fixed addresses; the first in 127/8 is taken
        :param cards: hardware addresses of its network cards
        :param public_key: of the server's key pair, if it has one
        """
        loopback = [one for one in addresses if one.startswith('127.')]
        if self.account.off or not loopback:
            return
        for name in ('.machine', '.ssh', 'bin', 'mnt'):
            self.home.joinpath(name).mkdir(parents=True, exist_ok=True)
        self._file('address').write_text(loopback[0])
        self._file('cards').write_text(''.join(f'{one}\n' for one in cards))
        self._login.make_keys(public_key)
        for command in COMMANDS.iterdir():
            target = self.home / 'bin' / command.name
            target.write_text(command.read_text())
            target.chmod(0o755)

    def start(self) -> None:
        """Boot: return once the sshd answers.

        :raises subprocess.CalledProcessError: it does not
        """
        if not self.exists or self.is_running:
            return
        self.forget()
        who = self._login
        who.write()
        self._own()
        subprocess.run(
            [
                sys.executable,
                '-I',
                '-S',
                init.__file__,
                *map(str, self._ids()),
                str(self._file('pid')),
                self.address,
                str(addressing.SSH_PORT),
                *who.sshd,
            ],
            stdin=subprocess.DEVNULL,
            check=True,
            cwd='/',
            env=who.environment,
        )

    def stop(self) -> None:
        """Pull the plug: kill all processes of the guest."""
        pid = self.pid
        if pid:
            process.kill_tree(pid)
            self._file('pid').unlink(missing_ok=True)

    def suspend(self) -> None:
        """Stop every process of the guest."""
        if self.pid:
            process.signal_all(process.descendants(self.pid), signal.SIGSTOP)
            # those that were forked in between
            process.signal_all(process.descendants(self.pid), signal.SIGSTOP)

    def resume(self) -> None:
        """Let every process of the guest go on."""
        if self.pid:
            process.signal_all(process.descendants(self.pid), signal.SIGCONT)

    def forget(self) -> None:
        """Lose what is in memory, as a machine without power does.

        An id of its own may have been another guest's before.
        """
        if not self.exists or self.account.uid is not None:
            return
        own, _ = self._ids()
        for path in pathlib.Path(MEMORY).iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.lstat().st_uid != own:
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()

    def remove(self) -> None:
        """Remove the guest's folder."""
        self.forget()
        shutil.rmtree(self.home, ignore_errors=True)

    def freeze_hook(self, verb: str) -> bool:
        """Run the guest's hook as qemu-ga does; whether it allowed it."""
        if not os.access(self.home / HOOK, os.X_OK):
            return True
        from xloudclient.tests.cloud.guests import guest

        done = guest.Guest(self).run(str(self.home / HOOK), verb)
        return done.returncode == 0

    def set_root(self, volume: Volume | None) -> None:
        """Show the guest its root disk, which is a volume or not."""
        if self.exists:
            self._set_disks([f'vda {volume.id[:20] if volume else "-"} /'])

    def attach(self, device: str, volume: Volume) -> None:
        """Show the guest one more disk."""
        if self.exists:
            mount = f'mnt/{volume.id}'
            folder = self.home / mount
            folder.mkdir(exist_ok=True)
            os.chown(folder, *self._ids())
            name = os.path.basename(device)
            self._set_disks(
                [*self._disks(), f'{name} {volume.id[:20]} {mount}']
            )

    def detach(self, device: str) -> None:
        """Take a disk away; what was in its folder stays there."""
        if self.exists:
            name = os.path.basename(device)
            self._set_disks(
                [one for one in self._disks() if one.split()[0] != name]
            )

    def _disks(self) -> list[str]:
        return self._file('disks').read_text().splitlines()

    def _set_disks(self, lines: list[str]) -> None:
        self._file('disks').write_text(''.join(f'{one}\n' for one in lines))

    def _file(self, name: str) -> pathlib.Path:
        return self.home / '.machine' / name

    def _ids(self) -> tuple[int, int]:
        return self.account.ids(self.address)

    @property
    def _login(self) -> login.Login:
        return login.Login(self.home, self.account, self.address)

    def _own(self) -> None:
        if os.geteuid():
            return
        ids = self._ids()
        for folder, _, names in os.walk(self.home):
            for name in ('', *names):
                os.lchown(os.path.join(folder, name), *ids)
