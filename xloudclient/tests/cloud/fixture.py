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

"""One cloud per test process, and what a test makes in it."""

import atexit
import functools
import importlib.util
import os
import shutil
import uuid
from typing import Any

import fixtures

from xloudclient.tests.cloud.cloud import Cloud
from xloudclient.tests.cloud.guests import databases

# import names of what the cloud consists of
NEEDED = (
    'keystone',
    'glance',
    'nova',
    'cinder',
    'neutron',
    'placement',
    'cheroot',
)


def missing() -> str:
    """Return what keeps the cloud from being used here, or ''."""
    absent = [name for name in NEEDED if not importlib.util.find_spec(name)]
    return f'not installed: {", ".join(absent)}' if absent else ''


@functools.cache
def shared() -> Cloud:
    """Return this process's cloud; the first call starts it.

    It ends with the process, however that ends.
    """
    cloud = Cloud.start()
    atexit.register(_stop, cloud, os.getpid())
    return cloud


def _stop(cloud: Cloud, owner: int) -> None:
    # what a test forks has the same handlers
    if os.getpid() == owner:
        cloud.stop()


class CloudFixture(fixtures.Fixture):
    """The shared cloud, clean of a test's orders, servers and images.

    ``cloud`` is the Cloud.  What is made through server(), volume() and
    image() is removed at the end of the test, and all orders and faults are
    taken back.
    """

    def _setUp(self) -> None:
        self.cloud = shared()
        self.addCleanup(self._recover)

    def _recover(self) -> None:
        self.cloud.reset()
        for service in self.cloud.pids():
            self.cloud.resume(service)

    def server(self, **what: Any) -> Any:
        """Return a new server; see Cloud.server()."""
        what.setdefault('name', f'server-{uuid.uuid4().hex[:8]}')
        self.addCleanup(
            self._delete_server, what['name'], what.get('user', 'demo')
        )
        return self.cloud.server(**what)

    def _delete_server(self, name: str, user: str) -> None:
        # orders may keep it from going: hang in a snapshot, dead compute
        self._recover()
        compute = self.cloud.connection(user).compute
        for server in compute.servers(name=f'^{name}$'):
            self.cloud.delete(server, user)

    def volume(self, **what: Any) -> str:
        """Return the id of a new volume; see Cloud.volume()."""
        made = self.cloud.volume(**what)
        self.addCleanup(
            self.cloud.delete_volume, made, what.get('user', 'demo')
        )
        return made

    def image(self, **what: Any) -> str:
        """Return the id of a new image; see Cloud.image()."""
        made = self.cloud.image(**what)
        images = self.cloud.connection(what.get('user', 'demo')).image
        self.addCleanup(images.delete_image, made)
        return made


def has_command(name: str) -> bool:
    """Whether a program that guests run is installed on this machine."""
    return bool(shutil.which(name, path=databases.SEARCHED))
