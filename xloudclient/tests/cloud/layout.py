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

"""Where everything of one cloud lives and how it is reached.

A cloud is a folder (``STATE``).  All other modules ask this one for paths,
ports and URLs; only the standard library is used, so that every process of
the cloud, and the owner's, can import it at once.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

HOST = '127.0.0.1'
SERVICES = ('keystone', 'glance', 'placement', 'nova', 'cinder', 'neutron')
#: What plays the servers: processes of this machine, or real guests.
DRIVERS = ('embedded', 'libvirt')
# Placement has a configuration object of its own, so it can live in Nova's
# process; the others all use the global one, so each needs a process.
PROCESSES = ('keystone', 'nova', 'cinder', 'neutron', 'glance')
PATHS_OF_APIS = {'keystone': '/v3', 'nova': '/v2.1', 'cinder': '/v3'}
PASSWORDS = {
    'admin': 'admin-pw',
    'demo': 'demo-pw',
    'other': 'other-pw',
    'service': 'service-pw',
}
USERS = ('admin', 'demo', 'other')
FOLDERS = (
    'etc',
    'db',
    'log',
    'lock',
    'run',
    'ctl',
    'guests',
    'keystone/fernet',
    'keystone/credential',
    'glance/images',
    'glance/staging',
    'glance/tasks',
    'glance/cache',
    'nova/instances',
    'cinder/volumes',
    'cinder/files',
    'cinder/conversion',
    'cinder/coordination',
    'neutron',
)


@dataclasses.dataclass(frozen=True, slots=True)
class Addresses:
    """What the rows in the databases point at.

    :param state: the folder, as an absolute path
    :param octet: N of the servers' network 127.N.0.0/16
    :param ports: the loopback port of each of SERVICES
    """

    state: str
    octet: int
    ports: Mapping[str, int]

    def url(self, service: str) -> str:
        """Return the URL under which the service is in the catalog."""
        path = PATHS_OF_APIS.get(service, '')
        return f'http://{HOST}:{self.ports[service]}{path}'

    @property
    def network(self) -> str:
        """The servers' network; loopback, so that an sshd can be there."""
        return f'127.{self.octet}.0.0/16'


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """The folder of a cloud."""

    state: pathlib.Path

    @classmethod
    def of(cls, state: str | os.PathLike[str]) -> 'Layout':
        """Return the layout of a folder, which need not exist."""
        return cls(pathlib.Path(os.path.abspath(state)))

    def path(self, *names: str) -> pathlib.Path:
        """Return the path of something in the folder."""
        return self.state.joinpath(*names)

    def database(self, name: str) -> pathlib.Path:
        """Return the SQLite file of a database."""
        return self.path('db', name + '.sqlite')

    @property
    def log(self) -> pathlib.Path:
        return self.path('log')

    @property
    def is_seeded(self) -> bool:
        """Whether the databases are there and filled."""
        return self.path('seeded').exists()

    @property
    def driver(self) -> str:
        """One of DRIVERS: the one that this cloud was last started with."""
        path = self.path('run', 'driver')
        return path.read_text() if path.exists() else DRIVERS[0]

    def write_driver(self, name: str) -> None:
        """Record the driver for the services that start from now on."""
        self.path('run', 'driver').write_text(name)

    def make_folders(self) -> None:
        """Make every folder.

        Others may pass through the upper ones (not list them), because as
        root the guests run under other user ids and their homes are inside.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        for name in FOLDERS:
            self.path(name).mkdir(parents=True, exist_ok=True)
        for name in ('fernet', 'credential'):
            self.path('keystone', name).chmod(0o700)
        for passage in (self.state, self.path('guests')):
            passage.chmod(0o711)

    def addresses(self) -> Addresses:
        """Return the addresses now in the databases.

        :raises FileNotFoundError: the cloud was never started
        """
        return Addresses(**read_json(self.path('addresses.json')))

    def write_addresses(self, addresses: Addresses) -> None:
        """Record what the databases point at from now on."""
        write_json(self.path('addresses.json'), dataclasses.asdict(addresses))


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Return the file's object."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def write_json(path: pathlib.Path, value: Any) -> None:
    """Replace the file at once, so that no reader ever sees half of it."""
    fresh = path.with_name(f'.{path.name}.{os.getpid()}')
    fresh.write_text(json.dumps(value))
    os.replace(fresh, path)
