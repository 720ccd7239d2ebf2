"""Nova's side of a guest: its folder, its power switch and its disks.

``STATE/guests/UUID`` is the guest's home::

    .ssh/authorized_keys   the cloud's key, and that of Nova's key pair
    .machine/              sshd's files; passwd and group for nss_wrapper;
                           ``disks``, which bin/findmnt and bin/lsblk read
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

from xloudclient.tests.cloud import addressing
from xloudclient.tests.cloud import layout
from xloudclient.tests.cloud import process
from xloudclient.tests.cloud.guests import account
from xloudclient.tests.cloud.guests import init

COMMANDS = importlib.resources.files('xloudclient.tests.cloud.guests') / 'bin'
HOOK = 'etc/qemu/fsfreeze-hook'


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

    def make(self, addresses: list[str], public_key: str | None) -> None:
        """Make the guest's folder, for a server that has an address.

        :param addresses: fixed addresses; the first in 127/8 is taken
        :param public_key: of the server's key pair, if it has one
        """
        loopback = [one for one in addresses if one.startswith('127.')]
        if self.account.off or not loopback:
            return
        for name in ('.machine', '.ssh', 'bin', 'mnt'):
            self.home.joinpath(name).mkdir(parents=True, exist_ok=True)
        self._file('address').write_text(loopback[0])
        self._make_keys(public_key)
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
        self._write_passwd()
        self._write_sshd_config()
        self._own(self.home)
        uid, gid = self._ids()
        subprocess.run(
            [sys.executable, '-I', '-S', init.__file__, str(uid), str(gid),
             str(self._file('pid')), self.account.sshd,
             str(self._file('sshd_config')), str(self._file('sshd.log')),
             self.address, str(addressing.SSH_PORT)],
            stdin=subprocess.DEVNULL, check=True, cwd='/',
            env=self.environment())

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

    def remove(self) -> None:
        """Remove the guest's folder."""
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
            folder = self.home / 'mnt' / volume.id
            folder.mkdir(exist_ok=True)
            os.chown(folder, *self._ids())
            name = os.path.basename(device)
            self._set_disks([*self._disks(),
                             f'{name} {volume.id[:20]} {folder}'])

    def detach(self, device: str) -> None:
        """Take a disk away; what was in its folder stays there."""
        if self.exists:
            name = os.path.basename(device)
            self._set_disks([one for one in self._disks()
                             if one.split()[0] != name])

    def _disks(self) -> list[str]:
        return self._file('disks').read_text().splitlines()

    def _set_disks(self, lines: list[str]) -> None:
        self._file('disks').write_text(''.join(f'{one}\n' for one in lines))

    def _file(self, name: str) -> pathlib.Path:
        return self.home / '.machine' / name

    def _ids(self) -> tuple[int, int]:
        return self.account.ids(self.address)

    def _make_keys(self, public_key: str | None) -> None:
        account.make_key(self._file('host_key'))
        mine = self.layout.path('guests', 'identity.pub').read_text()
        (self.home / '.ssh' / 'authorized_keys').write_text(
            mine + (public_key or ''))

    def _write_passwd(self) -> None:
        uid, gid = self._ids()
        name = self.account.name
        shell = shutil.which('bash') or '/bin/sh'
        # first, since more than one line may have the id
        passwd = f'{name}:x:{uid}:{gid}:guest:{self.home}:{shell}\n'
        group = f'{name}:x:{gid}:\n'
        for kind, line in (('passwd', passwd), ('group', group)):
            rest = pathlib.Path('/etc', kind).read_text()
            self._file(kind).write_text(line + rest)

    def environment(self) -> dict[str, str]:
        """Return what every process of the guest has in its environment."""
        found = {'PATH': f'{self.home}/bin:{account.SYSTEM_PATH}',
                 'HOME': str(self.home), 'XLOUD_GUEST': self.uuid,
                 'XLOUD_ADDRESS': self.address,
                 'PGHOST': str(self.home), 'PGDATABASE': 'postgres'}
        if self.account.wrapper:
            found |= {'LD_PRELOAD': self.account.wrapper,
                      'NSS_WRAPPER_PASSWD': str(self._file('passwd')),
                      'NSS_WRAPPER_GROUP': str(self._file('group'))}
        return found

    def _write_sshd_config(self) -> None:
        variables = ' '.join(f'"{name}={value}"' for name, value
                             in self.environment().items())
        self._file('sshd_config').write_text('\n'.join((
            f'ListenAddress {self.address}:{addressing.SSH_PORT}',
            f'HostKey {self._file("host_key")}',
            f'AuthorizedKeysFile {self.home}/.ssh/authorized_keys',
            f'SetEnv {variables}', 'PidFile none', 'StrictModes no',
            'UsePAM no', 'PasswordAuthentication no',
            'KbdInteractiveAuthentication no', 'PrintMotd no',
            'Subsystem sftp internal-sftp', 'MaxStartups 100', '')))

    def _own(self, path: pathlib.Path) -> None:
        if os.geteuid():
            return
        ids = self._ids()
        for folder, _, names in os.walk(path):
            for name in ('', *names):
                os.lchown(os.path.join(folder, name), *ids)
