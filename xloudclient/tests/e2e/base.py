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

"""What the tests on real guests have in common."""

import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
import time
from typing import Any

import fixtures
import testtools
from openstack import exceptions

from xloudclient.tests.e2e.fixture import EstateFixture
from xloudclient.tests.e2e.machine import GuestError, Machine

#: For a run with an emulated guest, on a busy machine.
PATIENCE_SECONDS = 600
#: What the supervisor in a guest counts until it releases by itself.
LEASE_SECONDS = 15
#: How late a release may be: the guest's processors are emulated.
LATE_SECONDS = 20


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a run of the client ended; ``row`` is empty if it printed none."""

    code: int
    row: dict[str, Any]
    stderr: str
    seconds: float


class MachineTestCase(testtools.TestCase):
    """Runs ``openstack`` against a cloud whose servers are real guests."""

    def setUp(self) -> None:
        super().setUp()
        self.place = self.useFixture(EstateFixture())
        self.estate = self.place.estate
        self.home = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.addCleanup(self._remove_snapshots)

    def _remove_snapshots(self) -> None:
        cloud = self.estate.cloud.connection()
        for image in self.snapshots():
            with contextlib.suppress(exceptions.SDKException):
                cloud.image.delete_image(image['id'])
        self.estate.cloud.delete_snapshots()

    def start(self, machine: Machine, *words: str) -> Any:
        """Start ``server snapshot consistent`` of a guest."""
        process = subprocess.Popen(
            [
                *(sys.executable, '-m', 'openstackclient.shell'),
                *('server', 'snapshot', 'consistent', machine.server.name),
                *('-f', 'json', '--long'),
                *('--events', str(self.events_file)),
                *machine.options,
                *words,
            ],
            env={
                **self.estate.environ(),
                'XDG_STATE_HOME': str(self.home / 'state'),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.client = process
        return process

    def snapshot(self, machine: Machine, *words: str) -> Ended:
        """Run ``server snapshot consistent`` to its end."""
        began = time.monotonic()
        process = self.start(machine, *words)
        stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
        return Ended(
            process.returncode,
            json.loads(stdout)[0] if stdout else {},
            stderr,
            time.monotonic() - began,
        )

    @property
    def events_file(self) -> pathlib.Path:
        return self.home / 'events'

    def events(self) -> list[dict[str, Any]]:
        """Return the steps that the client wrote so far."""
        if not self.events_file.exists():
            return []
        text = self.events_file.read_text().rpartition('\n')[0]
        return [json.loads(line) for line in text.splitlines()]

    def await_event(self, name: str) -> None:
        """Return once the client said that it is there; fail if it won't."""

        def is_there() -> bool:
            has_ended = self.client.poll() is not None
            if name in [one['event'] for one in self.events()]:
                return True
            if has_ended:
                self.fail(f'no {name}: {self.client.communicate()[1]}')
            return False

        self.estate.cloud.wait(is_there, PATIENCE_SECONDS, name)

    def seconds_held(self) -> float:
        """Return how long the guest was held: to the release from the first
        lock asked for, by the client's clock.
        """
        first: dict[str, float] = {}
        for one in self.events():
            first.setdefault(one['event'], one['monotonic'])
        return first['released'] - first['quiescing']

    def await_idle(self, machine: Machine) -> None:
        """Return once Nova has no task for the server."""
        compute = self.estate.cloud.connection().compute
        self.estate.cloud.wait(
            lambda: compute.get_server(machine.server.id).task_state is None,
            PATIENCE_SECONDS,
            'end of the task',
        )

    def hook(self, verb: str, machine: Machine) -> dict[str, Any]:
        """Run ``server snapshot hook``; return its row."""
        done = self.estate.openstack(
            *('server', 'snapshot', 'hook', verb, machine.server.name),
            *(*machine.options, '-f', 'json'),
        )
        self.assertEqual(0, done.returncode, done.stderr)
        [row] = json.loads(done.stdout)
        return dict(row)

    def snapshots(self) -> list[dict[str, Any]]:
        """Return the images that are snapshots, as Glance shows them.

        The SDK's own list does not ask for properties that it does not know.
        """
        image = self.estate.cloud.connection().image
        answer = image.get('/images?image_type=snapshot').json()
        return list(answer['images'])

    def only_class(self) -> str:
        """Return the class on the only snapshot there is; it is complete."""
        [image] = self.snapshots()
        self.assertEqual('active', image['status'])
        return str(image['xloud_consistency'])

    def await_class(self, expected: str) -> None:
        """Return once the evidence says so; it comes after the upload."""
        self.estate.cloud.wait(
            lambda: self.only_class() == expected, what=expected
        )

    def seconds_to_write(self, machine: Machine, seconds: float = 60) -> float:
        """Return after how many seconds the guest can write to its disk.

        Fails when it can't within these: something is held.
        """
        began = time.monotonic()
        while True:
            with contextlib.suppress(GuestError, subprocess.TimeoutExpired):
                machine.run(
                    'timeout 5 sh -c "date >/var/tmp/written && '
                    'sync /var/tmp/written"',
                    seconds=20,
                )
                return time.monotonic() - began
            if time.monotonic() - began > seconds:
                self.fail(f'nothing was written for {seconds} s')
