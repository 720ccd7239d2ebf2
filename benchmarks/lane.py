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

"""A server whose MariaDB is written to, and a way to snapshot it."""

import dataclasses
import json
import pathlib
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import measure
from benchmarks.report import Row
from xloudclient.consistency.errors import ExitCode
from xloudclient.tests.cloud import Cloud
from xloudclient.tests.functional.writer import Writer

OURS, HOLD, RECIPE = WAYS = ('ours', 'hold until active', 'recipe')
SCRIPTS = pathlib.Path(__file__).parent / 'scripts'
#: A row is known of so much later than it was committed, at most (seconds).
SLACK_SECONDS = 0.05
#: After the capture, until the next snapshot may begin.
RELEASE_SECONDS = 1.0
PATIENCE_SECONDS = 300
#: Longer than what is measured here; the default is a minute.
MAX_FREEZE = '3m'


@dataclasses.dataclass(frozen=True, slots=True)
class Lane:
    """A server with MariaDB, and the way in which it is snapshotted."""

    cloud: Cloud
    way: str
    server: Any
    guest: Any

    def argv(self, name: str) -> list[str]:
        if self.way != OURS:
            script = SCRIPTS / self.way.replace(' ', '-')
            ssh = self.guest.ssh()
            return [str(script), self.server.id, name, *ssh]
        known = f'UserKnownHostsFile={self.guest.known_hosts}'
        return [
            *measure.OPENSTACK, 'server', 'snapshot', 'consistent',
            self.server.id, '--name', name, '--quiesce', 'mysql',
            '--max-freeze', MAX_FREEZE, '--login', self.guest.user,
            '--port', str(self.guest.port), '--ssh-option', known,
            '--identity', str(self.guest.identity), '-f', 'json',
        ]  # fmt: skip

    def snapshot(
        self, capture: float, upload: float, turn: threading.Lock
    ) -> Row:
        """Take one; return what came of it."""
        self.cloud.control(self.server.id, capture=capture, upload=upload)
        writer = Writer(self.guest)
        try:
            with turn:
                writer.await_rows(25)
                since = time.time()
                process = self.start(f'{self.way}-{since:.0f}')
                captured = self._await_capture(since)
                time.sleep(RELEASE_SECONDS)
            stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
            # what proves less than was asked is a result, too
            if (code := process.returncode) not in (0, ExitCode.LOWER_CLASS):
                raise RuntimeError(f'{self.way}: exit {code}: {stderr}')
            writer.await_rows(25)
        finally:
            writer.stop()
        self._await_idle()
        blocked_from, blocked_until = writer.longest_gap
        return {
            'way': self.way,
            'capture': capture,
            'upload': upload,
            'blocked': blocked_until - blocked_from,
            'is_consistent': is_consistent(
                blocked_from, captured, writer.acknowledged
            ),
            'cloud': self._cloud_seconds(since, captured.details['image']),
            'claimed': _class(stdout) if self.way == OURS else None,
        }

    def start(self, name: str) -> 'subprocess.Popen[str]':
        return subprocess.Popen(
            self.argv(name),
            env=measure.environ(self.cloud.environ('demo')),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _await_capture(self, since: float) -> Any:
        [event] = self.cloud.wait(
            lambda: self.cloud.events(self.server.id, 'captured', since),
            PATIENCE_SECONDS,
            'capture',
        )
        return event

    def _await_idle(self) -> None:
        compute = self.cloud.connection().compute
        while compute.get_server(self.server).task_state:
            time.sleep(1)

    def _cloud_seconds(self, since: float, image_id: str) -> float:
        """From the request until Glance could say that it is captured."""
        requests = self.cloud.requests(since)
        [asked] = [
            one
            for one in requests
            if one.path.endswith(f'{self.server.id}/action')
        ]
        [upload] = [
            one
            for one in requests
            if one.method == 'PUT' and one.path.endswith(f'{image_id}/file')
        ]
        return upload.time - asked.time


def is_consistent(
    locked: float, captured: Any, acknowledged: Sequence[float]
) -> bool:
    """Whether no row was committed between the lock and the capture.

    :param locked: when the lock was there, on the monotonic clock
    :param captured: the event
    :param acknowledged: when each row was known to be committed
    """
    return locked < captured.details['monotonic_begin'] and not any(
        locked < one < captured.monotonic + SLACK_SECONDS
        for one in acknowledged
    )


def _class(stdout: str) -> str:
    return str(json.loads(stdout)[0]['Consistency'])


def lane(cloud: Cloud, way: str, number: int) -> Lane:
    server = cloud.server(name=f'{way.split()[0]}-{number}')
    guest = cloud.guest(server)
    guest.start_mariadb()
    return Lane(cloud, way, server, guest)
