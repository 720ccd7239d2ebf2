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

"""The owner's side of a cloud: start, stop, and all a test asks of it."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import openstack.connection

from xloudclient.tests.cloud import (
    configuration,
    keeper,
    layout,
    migrate,
    process,
    template,
)
from xloudclient.tests.cloud.orders import Orders
from xloudclient.tests.cloud.resources import Resources

Say = Callable[[str], None]


class CloudError(Exception):
    """A cloud cannot be started or stopped."""


def _tell(text: str) -> None:
    print(f'embedded cloud: {text}', file=sys.stderr, flush=True)


class Cloud(Orders, Resources):
    """A real OpenStack in a folder.

    The methods that give orders to it and read its logs are in orders.py,
    those that make servers and volumes in resources.py.

    :param state: the folder of a cloud that may be up or down
    """

    def __init__(self, state: str | os.PathLike[str]) -> None:
        self.layout = layout.Layout.of(state)
        self._connections: dict[str, openstack.connection.Connection] = {}
        self._warden: subprocess.Popen[str] | None = None

    @classmethod
    def start(
        cls,
        state: str | os.PathLike[str] | None = None,
        *,
        detached: bool = False,
        from_nothing: bool = False,
        guests: bool = True,
        driver: str = 'embedded',
        say: Say = _tell,
    ) -> 'Cloud':
        """Start a cloud and return it once all its services answer.

        :param state: the folder; what is in it from before is kept.  Without
            it, a temporary one, which is removed at the end
        :param detached: stay up until stop(), whatever becomes of this
            process; else the cloud ends with it, even if it is killed
        :param from_nothing: run all migrations and seed, without the cache
        :param guests: give each server an sshd to log in to, where possible
        :param driver: ``embedded``, or ``libvirt``: servers are real guests,
            of an image that can be booted (hypervisor.py); needs root
        :param say: is told what takes long
        :raises CloudError: it did not start; its end of output is in the text
        """
        if state is not None and cls(state).is_up:
            raise CloudError(f'A cloud is already up in {state}')
        is_old = state is not None and cls(state).layout.is_seeded
        source = None
        if not is_old and not from_nothing:
            source = template.ensure(cls._build_template)
        # made as late as can be: until the warden is up, nobody removes it
        cloud = cls(state or tempfile.mkdtemp(prefix='xloudclient-cloud-'))
        if source:
            template.clone(source, cloud.layout)
        options = [f'--driver={driver}']
        # real guests have an sshd of their own
        if not guests or driver != 'embedded':
            options.append('--no-guests')
        if state is None:
            options.append('--delete')
        cloud._start(detached, options, say)
        return cloud

    @classmethod
    def _build_template(cls, folder: pathlib.Path) -> None:
        _tell('building the template, once, about 45 s ...')
        with cls.start(folder, from_nothing=True, guests=False):
            pass
        _tell('the template is built')

    def _start(self, detached: bool, options: list[str], say: Say) -> None:
        argv = [sys.executable, '-m', keeper.__name__, str(self.layout.state)]
        argv += options
        if not detached:
            argv.append(f'--owner={os.getpid()}')
        self._warden = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
            start_new_session=True,
            env=migrate.environment(),
            cwd='/',
        )
        try:
            self._await_start(self._warden, say)
        except BaseException:
            # not stop(): the folder's cloud may be another starter's
            self._warden.terminate()
            self._warden.wait()
            raise

    @staticmethod
    def _await_start(warden: 'subprocess.Popen[str]', say: Say) -> None:
        heard = []
        assert warden.stdout is not None
        with warden.stdout as lines:
            for line in lines:
                if line.strip() == keeper.READY:
                    return
                heard.append(line)
                if line.startswith(keeper.TOLD):
                    say(line.removeprefix(keeper.TOLD).strip())
        raise CloudError(''.join(heard[-40:]).strip() or 'no reason given')

    def stop(self, seconds: float = 20) -> None:
        """End every process of the cloud; a temporary folder goes, too.

        :raises CloudError: something is still there after these seconds
        """
        self.close_connections()
        warden = keeper.warden_of(self.layout)
        if warden:
            process.signal_all([warden], signal.SIGTERM)
        if self._warden:
            if self._warden.stdin:
                self._warden.stdin.close()
            # collected, so that no zombie of it is left here
            self._warden.wait()
            self._warden = None
        end = time.monotonic() + seconds
        while self.is_up:
            if time.monotonic() > end:
                raise CloudError(f'{self.layout.state} does not stop')
            time.sleep(0.02)

    def clone(self, state: str | os.PathLike[str]) -> 'Cloud':
        """Return a copy of this cloud, which must be down; start it later."""
        if self.is_up:
            raise CloudError(f'{self.layout.state} is up: stop it first')
        target = layout.Layout.of(state)
        template.clone(self.layout, target)
        return Cloud(target.state)

    def remove(self) -> None:
        """Stop the cloud and remove its folder."""
        self.stop()
        shutil.rmtree(self.layout.state, ignore_errors=True)

    def __enter__(self) -> 'Cloud':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def is_up(self) -> bool:
        """Whether any process of the cloud is there."""
        return keeper.warden_of(self.layout) is not None

    @property
    def state(self) -> pathlib.Path:
        """The folder."""
        return self.layout.state

    def environ(self, user: str = 'demo') -> dict[str, str]:
        """Return the OS_* variables of ``admin``, ``demo`` or ``other``."""
        return configuration.environ(self.layout.addresses(), user)

    def connection(
        self, user: str = 'demo'
    ) -> openstack.connection.Connection:
        """Return a connection of that user; the same one each time."""
        if user not in self._connections:
            self._connections[user] = self._connect(user)
        return self._connections[user]

    def close_connections(self) -> None:
        """Close what connection() opened."""
        while self._connections:
            self._connections.popitem()[1].close()

    def _connect(self, user: str) -> openstack.connection.Connection:
        names = self.environ(user)
        auth: dict[str, Any] = {
            name[3:].lower(): value
            for name, value in names.items()
            if name not in ('OS_REGION_NAME', 'OS_IDENTITY_API_VERSION')
        }
        return openstack.connection.Connection(
            auth=auth,
            region_name=names['OS_REGION_NAME'],
            identity_api_version='3',
            app_name='embedded-cloud',
        )
