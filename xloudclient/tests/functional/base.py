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


"""The real shell on the embedded real cloud."""

import dataclasses
import io
import json
import logging
import os
import pathlib
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import fixtures
import testtools
from openstackclient import shell
from openstackclient.common import clientmanager
from osc_lib.clientmanager import ClientCache

from xloudclient.tests.cloud import fixture
from xloudclient.tests.functional.campaign import processes

#: Seconds after which a subprocess of a test counts as hung.
PATIENCE_SECONDS = 120


@dataclasses.dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def rows(self) -> Any:
        return json.loads(self.stdout)


class FunctionalTestCase(testtools.TestCase):
    """Runs ``openstack`` in this process, or as a process of its own."""

    @classmethod
    def tearDownClass(cls) -> None:
        # a class finds nothing of another one, whatever the order
        fixture.shared().delete_images()
        super().tearDownClass()

    def setUp(self) -> None:
        super().setUp()
        self.place = self.useFixture(fixture.CloudFixture())
        self.cloud = self.place.cloud
        self.home = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.user = 'demo'
        self.addCleanup(self.cloud.reset)

    def environ(self, **more: str) -> dict[str, str]:
        """The environment of a user that has sourced an openrc."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith('OS_')
        }
        return {
            **kept,
            **self.cloud.environ(self.user),
            'XDG_STATE_HOME': str(self.home / 'state'),
            **more,
        }

    def openstack(self, *words: str, **environ: str) -> Result:
        """Run a command in this process, through the real shell."""
        streams = {'stdout': io.StringIO(), 'stderr': io.StringIO()}
        forget_clients()
        handlers = logging.root.handlers[:]
        with (
            fixtures.MonkeyPatch('os.environ', self.environ(**environ)),
            fixtures.MonkeyPatch('sys.stdout', streams['stdout']),
            fixtures.MonkeyPatch('sys.stderr', streams['stderr']),
        ):
            try:
                code = shell.OpenStackShell().run(list(words))
            except SystemExit as error:
                code = int(error.code or 0)
        logging.root.handlers[:] = handlers
        return Result(
            code, streams['stdout'].getvalue(), streams['stderr'].getvalue()
        )

    def snapshot(
        self, command: str, *words: str, expect: int = 0, **environ: str
    ) -> list[Mapping[str, Any]]:
        """Run a snapshot command; return its rows."""
        result = self.openstack(
            'server',
            'snapshot',
            command,
            *words,
            '-f',
            'json',
            '--long',
            **environ,
        )
        self.last = result
        self.assertEqual(expect, result.code, result.stderr)
        return result.rows if result.stdout else []

    def start(
        self, *words: str, stdin: int | None = None, **environ: str
    ) -> 'subprocess.Popen[str]':
        """Start ``openstack`` as a process of its own.

        :param stdin: the descriptor that it reads; None: what we read
        """
        process = subprocess.Popen(
            # what runs the tests in the background ignores SIGINT
            [
                'env',
                '--default-signal',
                sys.executable,
                '-m',
                'openstackclient.shell',
                *words,
            ],
            env=self.environ(**environ),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self._end, process)
        return process

    def _end(self, process: 'subprocess.Popen[str]') -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)

    def script(self, name: str, text: str) -> str:
        """Write a script that a hook may be; return its path."""
        path = self.home / name
        path.write_text(text)
        path.chmod(stat.S_IRWXU)
        return str(path)

    def reach(self, server: Any) -> list[str]:
        """The options that reach a server's guest."""
        guest = self.cloud.guest(server)
        return [
            '--login',
            guest.user,
            '--port',
            str(guest.port),
            '--identity',
            str(guest.identity),
            '--ssh-option',
            f'UserKnownHostsFile={guest.known_hosts}',
        ]

    def kill_recorders(self) -> None:
        """Kill the processes that wait for an upload of this test's."""
        for pid in processes.here(f'XDG_STATE_HOME={self.home}/state'):
            if ' xloudclient.recording ' in processes.arguments(pid):
                processes.send(pid, signal.SIGKILL)

    def image(self, image_id: str) -> dict[str, Any] | None:
        """An image, as Glance sends it; None if it is gone."""
        conn = self.cloud.connection(self.user)
        response = conn.image.get(f'/images/{image_id}')
        return None if response.status_code == 404 else response.json()

    def counts(self) -> tuple[int, int]:
        """How many images and volume snapshots the project has."""
        conn = self.cloud.connection(self.user)
        images = conn.image.images(owner=conn.current_project_id)
        return len(list(images)), len(list(conn.block_storage.snapshots()))

    def captured_at(self, server: Any) -> float:
        """When the disk was truly captured, on the monotonic clock."""
        [event] = self.cloud.events(server.id, 'captured')
        return float(event.monotonic)

    def await_file(self, path: pathlib.Path, seconds: float = 30.0) -> str:
        """Wait until a file has a whole line; return its text."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if path.exists() and path.read_text().endswith('\n'):
                return path.read_text()
            time.sleep(0.02)
        raise AssertionError(f'{path} did not appear')


def without_ids(path: str) -> str:
    """A path, whatever it is of."""
    return re.sub(r'/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '/ID', path)


def forget_clients() -> None:
    """Have the next command make its own clients.

    osc-lib keeps them with the class: those of the first user in a process.
    """
    for place in clientmanager.ClientManager.__mro__:
        for one in vars(place).values():
            if isinstance(one, ClientCache):
                one._handle = None
