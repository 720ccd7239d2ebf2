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

"""The server that is snapshot: its guest, its databases, its writers."""

import contextlib
import pathlib
import shutil
import time
from typing import Any

from xloudclient.tests.cloud import Cloud
from xloudclient.tests.functional.campaign import processes
from xloudclient.tests.functional.campaign.witness import (
    MachineWitness,
    MariaWitness,
    RedisWitness,
    Witness,
)

READY_SECONDS = 60.0


class Subject:
    """One server with MariaDB, PostgreSQL and Redis, all at work.

    :param cloud: an embedded cloud that is up
    """

    def __init__(self, cloud: Cloud, volume_backed: bool) -> None:
        self.cloud = cloud
        self.name = 'volume' if volume_backed else 'db'
        self.server = cloud.server(name=self.name, volume_backed=volume_backed)
        self.guest = cloud.guest(self.server)
        self.gate = self.guest.home / 'gate'
        self.reached = self.guest.home / 'reached'
        self.bashrc = self.guest.home / '.bashrc'
        self.blocker: Any = None
        self.guest.start_mariadb()
        self.guest.start_postgresql()
        self.guest.start_redis()
        self.machine = MachineWitness(self.guest)
        self.maria = MariaWitness(self.guest)
        self.witnesses: dict[str, Witness] = {
            'mysql': self.maria,
            'redis': RedisWitness(self.guest),
        }
        self.await_flow()

    @property
    def root(self) -> int:
        """The guest's first process."""
        return self.guest.machine.pid or 0

    @property
    def tmpfs(self) -> list[pathlib.Path]:
        """Where the supervisor may keep files."""
        owner = self.guest.home.stat().st_uid
        return [
            pathlib.Path(folder, f'xloudclient-{owner}')
            for folder in ('/dev/shm', '/tmp')
        ]

    def sql(self, text: str) -> list[str]:
        """Run statements in a new session; return the lines of the result."""
        done = self.guest.run('mariadb', '--skip-column-names', '-e', text)
        return done.stdout.split('\n')[:-1]

    def restart_database(self) -> None:
        """Kill the database server, as a power failure would; start it."""
        self._kill('mariadbd')
        self.guest.start_mariadb()

    def restart_redis(self) -> None:
        """Kill Redis in the same way; start it."""
        self._kill('redis-server')
        self.guest.start_redis()

    def restart_postgresql(self) -> None:
        """Kill PostgreSQL in the same way; start it."""
        # those that serve sessions are called "postgres: ..."
        self._kill('postgres', 'postgres:')
        self.guest.start_postgresql()

    def _kill(self, *programs: str) -> None:
        for program in programs:
            for pid in processes.below(self.root, program):
                processes.send(pid, 9)

    @property
    def blocked(self) -> list[str]:
        """The applications that can't write now."""
        return [
            name
            for name, witness in self.witnesses.items()
            if not witness.is_flowing
        ]

    def silent_since(self, moment: float) -> list[str]:
        """The applications that have written nothing since then."""
        return [
            name
            for name, witness in self.witnesses.items()
            if not witness.is_flowing or witness.acknowledged[-1] <= moment
        ]

    def await_flow(self) -> None:
        """Wait until every application writes.

        :raises TimeoutError: one doesn't
        """
        end = time.monotonic() + READY_SECONDS
        while blocked := self.blocked:
            if time.monotonic() > end:
                raise TimeoutError(f'not ready: {blocked} can not write')
            time.sleep(0.05)

    def open_gate(self) -> None:
        """Let everything go on that waits at the gate."""
        self.gate.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Have it as it was before the first cell."""
        self.open_gate()
        self.reached.unlink(missing_ok=True)
        self.bashrc.unlink(missing_ok=True)
        if self.blocker is not None:
            self.blocker.communicate('', timeout=10)
            self.blocker = None
        for pid in processes.ours(self.root):
            processes.send(pid, 18)
            processes.send(pid, 9)
        for folder in self.tmpfs:
            shutil.rmtree(folder, ignore_errors=True)
        self.await_flow()

    def stop(self) -> None:
        """End its writers."""
        for witness in (self.machine, *self.witnesses.values()):
            with contextlib.suppress(OSError):
                witness.stop()
