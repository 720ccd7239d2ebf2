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

"""The test's side of a guest: log in to it, and run databases in it."""

import dataclasses
import pathlib
import subprocess
from typing import Any

from xloudclient.tests.cloud import addressing, layout
from xloudclient.tests.cloud.guests import databases, machine


@dataclasses.dataclass(frozen=True, slots=True)
class Guest:
    """The guest of a server that was booted at least once."""

    machine: machine.Machine

    @property
    def address(self) -> str:
        """The fixed address at which its sshd listens."""
        return self.machine.address

    @property
    def port(self) -> int:
        return addressing.SSH_PORT

    @property
    def user(self) -> str:
        """The user to log in as."""
        return self.machine.account.name

    @property
    def home(self) -> pathlib.Path:
        """The home folder; the same path inside and outside."""
        return self.machine.home

    @property
    def identity(self) -> pathlib.Path:
        """The private key to log in with."""
        return self.machine.layout.path('guests', 'identity')

    @property
    def known_hosts_line(self) -> str:
        """The guest's line for a known_hosts file."""
        key = self._own('host_key.pub').read_text().split()
        return f'[{self.address}]:{self.port} {key[0]} {key[1]}'

    @property
    def known_hosts(self) -> pathlib.Path:
        """A known_hosts file with that line."""
        path = self.machine.layout.path(
            'guests', f'known_hosts-{self.machine.uuid}'
        )
        path.write_text(self.known_hosts_line + '\n')
        return path

    def ssh_options(self) -> list[str]:
        """Return options for ``ssh``, all but user and address."""
        options = {
            'Port': self.port,
            'IdentityFile': self.identity,
            'IdentitiesOnly': 'yes',
            'BatchMode': 'yes',
            'UserKnownHostsFile': self.known_hosts,
            'StrictHostKeyChecking': 'yes',
            'ConnectTimeout': 10,
        }
        # none of the caller's own configuration
        found = ['-F', 'none']
        for name, value in options.items():
            found += ['-o', f'{name}={value}']
        return found

    def ssh(self, *command: str) -> list[str]:
        """Return the whole argument list of a session."""
        return [
            'ssh',
            *self.ssh_options(),
            f'{self.user}@{self.address}',
            *command,
        ]

    def run(
        self,
        *argv: str,
        input: str | None = None,
        check: bool = False,
        seconds: float = 120,
    ) -> 'subprocess.CompletedProcess[str]':
        """Run a command in a session; stdout and stderr are in the result.

        :param argv: each word arrives as it is
        """
        how: dict[str, Any] = (
            {'input': input}
            if input is not None
            else {'stdin': subprocess.DEVNULL}
        )
        return subprocess.run(
            self.ssh(databases.quoted(argv)),
            capture_output=True,
            text=True,
            check=check,
            timeout=seconds,
            **how,
        )

    def mount(self, volume_id: str) -> pathlib.Path:
        """Return the folder that is on an attached volume."""
        return self.home / 'mnt' / volume_id

    def set_freeze_hook(self, script: str) -> None:
        """Let Nova's quiesce run this, with ``freeze`` and ``thaw``."""
        hook = self.home / machine.HOOK
        hook.parent.mkdir(parents=True, exist_ok=True)
        hook.write_text(script)
        hook.chmod(0o755)

    def start_mariadb(self, folder: pathlib.Path | None = None) -> None:
        """Start a MariaDB server; plain ``mariadb`` then finds it.

        :param folder: of its data; by default in the home
        """
        databases.MariaDB(self, folder).start()

    def stop_mariadb(self) -> None:
        """Stop it in an orderly way."""
        databases.MariaDB(self).stop()

    def start_postgresql(self, folder: pathlib.Path | None = None) -> None:
        """Start a PostgreSQL server; plain ``psql`` then finds it."""
        databases.PostgreSQL(self, folder).start()

    def start_redis(self, folder: pathlib.Path | None = None) -> None:
        """Start a Redis server; plain ``redis-cli`` then finds it."""
        databases.Redis(self, folder).start()

    def _own(self, name: str) -> pathlib.Path:
        return self.home / '.machine' / name


def of(where: layout.Layout, server_id: str) -> Guest:
    """Return the guest of a server.

    :raises LookupError: the server has none; the message tells why
    """
    found = machine.Machine(where, server_id)
    if found.account.off:
        raise LookupError(f'No guests in this cloud: {found.account.off}')
    if not found.exists:
        raise LookupError(
            f'Server {server_id} has no guest: not booted yet, '
            'or without an address in 127.0.0.0/8'
        )
    return Guest(found)
