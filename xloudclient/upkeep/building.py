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

"""Watches a server being built, and says why if it comes to nothing."""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from xloudclient.cloud.compute import Servers
from xloudclient.cloud.errors import translated
from xloudclient.consistency.errors import Failure, Interrupted, ReplyLost
from xloudclient.consistency.text import printable
from xloudclient.local.progress import Progress
from xloudclient.local.signals import interruptible

#: Seconds between two looks.
INTERVAL = 1.0
#: Looks in a row that may go unanswered.
PATIENCE = 10
#: While a server has one of these, nothing is decided.
UNDECIDED = ('BUILD', 'UNKNOWN')


@dataclasses.dataclass(slots=True)
class Building:
    """One server that is being built.

    :param name: the server's, for people
    """

    servers: Servers
    progress: Progress
    server_id: str
    name: str
    _seen: str = ''
    _began: float = dataclasses.field(default_factory=time.monotonic)

    def watch(self) -> None:
        """Return when the server runs.

        :raises Failure: it won't; what is left of it is named
        :raises Interrupted: it goes on without us
        """
        with self.progress, interruptible(lambda: None) as interruption:
            while self._look() in UNDECIDED:
                if interruption.wait(INTERVAL):
                    raise Interrupted(
                        f'no longer waiting: server {self.label} goes on '
                        'being built. See it with: openstack server show '
                        f'{self.server_id}',
                        interruption.signal_number,
                    )

    @property
    def label(self) -> str:
        return f'{printable(self.name)} ({self.server_id})'

    def _look(self) -> str:
        """Return the server's status, once it has been said."""
        server = self._get()
        status = str(server['status'])
        task = server.get('OS-EXT-STS:task_state')
        self._say(
            f'building: {task or "waiting"}'
            if status == 'BUILD'
            else status.lower()
        )
        if status == 'ERROR':
            raise self._failed(server)
        return status

    def _say(self, text: str) -> None:
        if text != self._seen:
            elapsed = time.monotonic() - self._began
            self.progress.step(self.name, text, {'elapsed': elapsed})
        self._seen = text

    def _get(self) -> Mapping[str, Any]:
        for _ in range(PATIENCE):
            try:
                with translated():
                    server = self.servers.get(self.server_id)
            except ReplyLost as error:
                lost = error
                time.sleep(INTERVAL)
                continue
            if server is None:
                raise Failure(f'server {self.label} was deleted meanwhile')
            return server
        raise Failure(
            f'Nova no longer says how server {self.label} gets on ({lost})',
            f'See it with: openstack server show {self.server_id}.',
        )

    def _failed(self, server: Mapping[str, Any]) -> Failure:
        fault = server.get('fault') or {}
        why = printable(str(fault.get('message') or 'Nova does not say why'))
        return Failure(
            f'server {self.label} is in ERROR: {why.rstrip(".")}',
            f'This removes it: {self._removal(server)}.',
        )

    def _removal(self, server: Mapping[str, Any]) -> str:
        """The command that removes it, and the volumes that would stay."""
        command = f'openstack server delete --wait {self.server_id}'
        kept = [
            one['id']
            for one in server.get('os-extended-volumes:volumes_attached', ())
            if not one.get('delete_on_termination')
        ]
        if kept:
            command += f' && openstack volume delete {" ".join(kept)}'
        return command


def of(conn: Any, server_id: str, name: str, verbosity: int) -> Building:
    """Make one for a server of the project that a connection works in.

    :param verbosity: the shell's: 0 with ``-q``
    """
    return Building(Servers(conn), Progress(verbosity), server_id, name)
