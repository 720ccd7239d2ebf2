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

"""A real guest, as its administrator reaches it: by ssh, as root."""

import dataclasses
import pathlib
import subprocess
import time
from typing import Any

from xloudclient.tests.cloud import addressing
from xloudclient.tests.e2e.image import Image

FILES = pathlib.Path(__file__).with_name('guest')
#: From the request for a server until its sshd answers, at most.
BOOT_SECONDS = 300.0


class GuestError(Exception):
    """A command in a guest failed; what it said is in the message."""


@dataclasses.dataclass(frozen=True, slots=True)
class Machine:
    """The guest of one server.

    :param server: Nova's server
    :param address: where its sshd is, on the loopback network
    """

    server: Any
    address: str
    image: Image

    @property
    def domain(self) -> str:
        """What libvirt calls it."""
        return str(self.server.instance_name)

    @property
    def options(self) -> list[str]:
        """The client's options that lead into it."""
        return [
            *('--login', 'root', '--port', str(addressing.SSH_PORT)),
            *('--identity', str(self.image.identity)),
            *('--ssh-option', f'UserKnownHostsFile={self.image.known_hosts}'),
        ]

    def ssh(self, *words: str) -> list[str]:
        """Return the command that runs one in the guest."""
        return [
            *('ssh', '-T', '-q', '-F', 'none', '-o', 'BatchMode=yes'),
            *('-o', f'UserKnownHostsFile={self.image.known_hosts}'),
            *('-o', 'ConnectTimeout=20', '-i', str(self.image.identity)),
            *('-p', str(addressing.SSH_PORT), f'root@{self.address}'),
            *words,
        ]

    def run(self, command: str, seconds: float = 300, text: str = '') -> str:
        """Run a shell command in the guest and return what it printed.

        :param text: its standard input
        :raises GuestError: it failed
        """
        done = subprocess.run(
            self.ssh(command),
            input=text,
            capture_output=True,
            text=True,
            errors='replace',
            timeout=seconds,
            check=False,
        )
        if done.returncode:
            raise GuestError(
                f'{command!r} ended with {done.returncode}: '
                f'{done.stdout[-1000:]}{done.stderr[-2000:]}'
            )
        return done.stdout

    def send(self, name: str) -> str:
        """Put one of our programs into the guest; return its path there."""
        path = f'/run/{name}'
        self.run(f'cat >{path}', text=(FILES / name).read_text())
        return path

    def await_boot(self, seconds: float = BOOT_SECONDS) -> None:
        """Return once its sshd answers.

        :raises TimeoutError: it does not
        """
        end = time.monotonic() + seconds
        while not self._answers():
            if time.monotonic() > end:
                raise TimeoutError(f'{self.server.name} did not boot')
            time.sleep(0.3)

    def _answers(self) -> bool:
        try:
            self.run('true', seconds=30)
        except (GuestError, subprocess.TimeoutExpired):
            return False
        return True
