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

"""The load in a guest, from this side: guest/load.py."""

import json
import subprocess
import threading
import time
from collections.abc import Mapping
from typing import Any

from xloudclient.tests.e2e.machine import Machine

Counts = Mapping[str, int]


class Load:
    """A context manager: all stores are written to within.

    :raises RuntimeError: a store can't be written to
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._lock = threading.Lock()

    def __enter__(self) -> 'Load':
        path = self._machine.send('load.py')
        self._process = subprocess.Popen(
            self._machine.ssh(f'python3 -u {path}'),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._heard()
        #: Seconds since the epoch when the guest's clock was at zero.
        self.epoch = min(self._epoch() for _ in range(3))
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def _epoch(self) -> float:
        # what is late on its way makes this larger, never smaller
        said = self._ask('mark')
        return time.time() - float(said['now'])

    def mark(self) -> Counts:
        """Return how many rows of each store are acknowledged."""
        return self._ask('mark')['counts']

    def mark_at(self, uptime: float) -> Counts:
        """Return how many were at a time of the guest's own clock."""
        return self._ask(f'at {uptime}')['counts']

    def pauses(self) -> dict[str, list[tuple[float, float]]]:
        """Return when writes of each store waited; since the epoch, in s."""
        said = self._ask('report')
        return {
            name: [(self.epoch + a, self.epoch + b) for a, b in pairs]
            for name, pairs in said['pauses'].items()
        }

    def _ask(self, word: str) -> dict[str, Any]:
        assert self._process.stdin
        with self._lock:
            self._process.stdin.write(word + '\n')
            self._process.stdin.flush()
            return self._heard()

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError('the load ended')
        said: dict[str, Any] = json.loads(line)
        if said['errors']:
            raise RuntimeError('; '.join(said['errors']))
        return said
