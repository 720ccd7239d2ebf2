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
import math
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
from xloudclient.tests.functional import agent_guest
from xloudclient.tests.functional.writer import Writer

OURS, AGENT, HOLD, RECIPE = WAYS = (
    'ours', 'agent hook', 'hold until active', 'recipe',
)  # fmt: skip
SCRIPTS = pathlib.Path(__file__).parent / 'scripts'
#: A row is known of so much later than it was committed, at most (seconds).
SLACK_SECONDS = 0.05
#: After the capture, until the next snapshot may begin.
RELEASE_SECONDS = 1.0
PATIENCE_SECONDS = 300
#: Longer than what is measured here; the default is a minute.
MAX_FREEZE = '3m'
#: Those that are ours; the others are scripts.
QUIESCE = {
    OURS: ('--quiesce', 'mysql', '--max-freeze', MAX_FREEZE),
    AGENT: ('--quiesce', 'agent'),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Lane:
    """A server with MariaDB, and the way in which it is snapshotted.

    :param openstack: the client, as it is run for this guest
    """

    cloud: Cloud
    way: str
    server: Any
    guest: Any
    openstack: Sequence[str] = measure.OPENSTACK

    def argv(self, name: str) -> list[str]:
        if self.way in QUIESCE:
            return self.ours(
                'consistent', '--long', '--name', name, *QUIESCE[self.way]
            )
        script = SCRIPTS / self.way.replace(' ', '-')
        return [str(script), self.server.id, name, *self.guest.ssh()]

    def ours(self, *words: str) -> list[str]:
        """Return a command of ours, with how to reach the guest."""
        known = f'UserKnownHostsFile={self.guest.known_hosts}'
        return [
            *self.openstack, 'server', 'snapshot', *words, self.server.id,
            '--login', self.guest.user, '--port', str(self.guest.port),
            '--identity', str(self.guest.identity), '--ssh-option', known,
            '-f', 'json',
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
        began, ended = writer.longest_gap
        told = json.loads(stdout)[0] if self.way in QUIESCE else {}
        return {
            'way': self.way,
            'capture': capture,
            'upload': upload,
            'blocked': ended - began,
            'is_consistent': is_consistent(
                self._locked(writer, since), captured, writer.acknowledged
            ),
            'cloud': self._cloud_seconds(since, captured.details['image']),
            'claimed': told.get('Consistency'),
            'quiesced': told.get('Quiesced'),
            'held': told.get('Frozen For'),
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

    def _locked(self, writer: Writer, since: float) -> float:
        """When the lock was there, at the latest.

        The hook holds by the end of the freeze; its pause is so short that
        another one may be longer.
        """
        if self.way != AGENT:
            return writer.longest_gap[0]
        freezes = self.cloud.events(self.server.id, 'freeze', since)
        return max((one.monotonic for one in freezes), default=math.inf)

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


def lane(cloud: Cloud, way: str, number: int) -> Lane:
    image = cloud.image(**agent_guest.PROPERTIES) if way == AGENT else None
    server = cloud.server(name=f'{way.split()[0]}-{number}', image=image)
    guest = cloud.guest(server)
    guest.start_mariadb()
    made = Lane(cloud, way, server, guest)
    return _hooked(made) if way == AGENT else made


def _hooked(one: Lane) -> Lane:
    """Have the agent of its guest hold MariaDB, and two more databases."""
    one.guest.start_postgresql()
    one.guest.start_redis()
    agent = agent_guest.AgentGuest(one.guest)
    agent.prepare()
    hooked = dataclasses.replace(one, openstack=agent.openstack)
    user = one.cloud.environ('demo')
    measure.run(hooked.ours('hook', 'install'), user)
    agent.restart_agent()
    return hooked
