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


"""An application that writes to MariaDB in a guest, and notes when it could.

It judges a run from the only place that counts: what a lock did to somebody
who writes.
"""

import itertools
import subprocess
import threading
import time

from xloudclient.tests.cloud.guests.guest import Guest

TABLE = (
    'CREATE DATABASE IF NOT EXISTS app; '
    'CREATE TABLE IF NOT EXISTS app.row (n INT PRIMARY KEY);'
    'DELETE FROM app.row;'
)
PAUSE_SECONDS = 0.02


class Writer:
    """Writes row after row, in a session of its own, until it is stopped.

    ``acknowledged`` are the monotonic times at which rows were known to be
    committed.
    """

    def __init__(self, guest: Guest) -> None:
        self.acknowledged: list[float] = []
        guest.run('mariadb', '-e', TABLE, check=True)
        self._process = subprocess.Popen(
            guest.ssh('mariadb', '--unbuffered', '--skip-column-names'),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._is_stopped = False
        self._thread.start()
        self.await_rows(1)

    def _write(self) -> None:
        assert self._process.stdin and self._process.stdout
        for number in itertools.count():
            if self._is_stopped:
                return
            try:
                self._process.stdin.write(
                    f'INSERT INTO app.row VALUES ({number}); SELECT 1;\n'
                )
            except OSError:
                return
            if not self._process.stdout.readline():
                return
            self.acknowledged.append(time.monotonic())
            time.sleep(PAUSE_SECONDS)

    def await_rows(self, count: int, seconds: float = 30.0) -> None:
        """Wait until so many more rows were written.

        :raises TimeoutError: they were not: it is blocked
        """
        wanted = len(self.acknowledged) + count
        end = time.monotonic() + seconds
        while len(self.acknowledged) < wanted:
            if time.monotonic() > end:
                raise TimeoutError('the writer is blocked')
            time.sleep(0.02)

    @property
    def is_blocked(self) -> bool:
        """Whether it could not write for a second."""
        try:
            self.await_rows(1, 1.0)
        except TimeoutError:
            return True
        return False

    @property
    def longest_gap(self) -> tuple[float, float]:
        """The last row before, and the first one after, the longest pause."""
        return max(
            itertools.pairwise(self.acknowledged),
            key=lambda pair: pair[1] - pair[0],
        )

    def stop(self) -> None:
        """End it; idempotent."""
        self._is_stopped = True
        self._process.kill()
        self._process.communicate()
        self._thread.join(5)
