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

"""Applications that write all the time, and note when they could.

Unlike :class:`~xloudclient.tests.functional.writer.Writer`, these come back
when their server was restarted or their session was killed.
"""

import contextlib
import itertools
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

from xloudclient.tests.cloud.guests.guest import Guest

TABLE = (
    'CREATE DATABASE IF NOT EXISTS app; CREATE TABLE IF NOT EXISTS app.row '
    '(n BIGINT AUTO_INCREMENT PRIMARY KEY);'
)
PAUSE_SECONDS = 0.03
REDIS_PORT = 6379
#: A pause of this length is a lock; on a busy machine less may be nothing.
GAP_SECONDS = 0.8


class Witness:
    """Writes again and again; ``acknowledged`` are monotonic times."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.acknowledged: list[float] = []
        self._is_stopped = False
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def _rows(self) -> Iterator[None]:
        """Write a row in each step; end when the server is lost."""
        raise NotImplementedError

    def close(self) -> None:
        """Cut the session; idempotent."""
        raise NotImplementedError

    def _write(self) -> None:
        while not self._is_stopped:
            with contextlib.suppress(OSError, ValueError):
                for _ in self._rows():
                    self.acknowledged.append(time.monotonic())
                    time.sleep(PAUSE_SECONDS)
                    if self._is_stopped:
                        return
            self.close()
            time.sleep(0.2)

    def stop(self) -> None:
        """End it; idempotent."""
        self._is_stopped = True
        self.close()
        self._thread.join(5)

    @property
    def is_flowing(self) -> bool:
        """Whether it could write just now."""
        last = self.acknowledged[-1:] or [0.0]
        return time.monotonic() - last[0] < GAP_SECONDS

    def freed_at(self, since: float, machine: 'Witness') -> float | None:
        """When it could write again after its last long pause.

        :param machine: writes what nobody locks; as long as it was silent
            too, the machine stood still
        :returns: monotonic time; None if there was none that ended after
            ``since``
        """
        gaps = [
            after
            for before, after in itertools.pairwise(list(self.acknowledged))
            if after - before > GAP_SECONDS
            and after > since
            and after - before - machine.silence(before, after) > GAP_SECONDS
        ]
        return gaps[-1] if gaps else None

    def silence(self, begin: float, end: float) -> float:
        """The longest time without a row between two moments."""
        rows = [one for one in list(self.acknowledged) if begin < one < end]
        times = itertools.pairwise([begin, *rows, end])
        return max(after - before for before, after in times)

    def rows_between(self, begin: float, end: float) -> int:
        """How many rows were acknowledged in that time."""
        return sum(begin < one < end for one in list(self.acknowledged))


class MariaWitness(Witness):
    """Writes to MariaDB in a session of its own; ``connection`` is its ID."""

    connection = '0'
    _process: 'subprocess.Popen[str] | None' = None

    def __init__(self, guest: Guest) -> None:
        guest.run('mariadb', '-e', TABLE, check=True)
        super().__init__(guest)

    def _rows(self) -> Iterator[None]:
        with subprocess.Popen(
            self.guest.ssh('mariadb', '--unbuffered', '--skip-column-names'),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        ) as process:
            self._process = process
            assert process.stdin and process.stdout
            process.stdin.write('SELECT CONNECTION_ID();\n')
            self.connection = process.stdout.readline().strip() or '0'
            while True:
                process.stdin.write(
                    'INSERT INTO app.row VALUES (NULL); SELECT 1;\n'
                )
                if not process.stdout.readline():
                    return
                yield

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()


class MachineWitness(Witness):
    """Writes to the guest's disk what no application has a part in."""

    def _rows(self) -> Iterator[None]:
        path = self.guest.home / 'machine'
        with path.open('wb', buffering=0) as file:
            for number in itertools.count():
                os.pwrite(file.fileno(), f'{number}\n'.encode(), 0)
                os.fsync(file.fileno())
                yield

    def close(self) -> None:
        """Nothing has to be cut."""


class RedisWitness(Witness):
    """Writes to Redis over a connection of its own."""

    _socket: socket.socket | None = None

    def _rows(self) -> Iterator[None]:
        address = (self.guest.address, REDIS_PORT)
        self._socket = socket.create_connection(address, 5)
        self._socket.settimeout(120)
        for number in itertools.count():
            self._socket.sendall(f'SET row {number}\r\n'.encode())
            if not self._socket.recv(64).startswith(b'+OK'):
                return
            yield

    def close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
