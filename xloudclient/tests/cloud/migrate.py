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

"""Make the databases of a new cloud with the services' own tools."""

import concurrent.futures
import os
import pathlib
import sqlite3
import subprocess
import sys
import sysconfig

from cryptography import fernet

from xloudclient.tests.cloud import layout

Command = list[str]


def migrate(where: layout.Layout, addresses: layout.Addresses) -> None:
    """Make keys and databases, those of several services at a time.

    :raises RuntimeError: a tool failed; the message ends with its output
    """
    _make_keys(where)
    chains = _chains(where, addresses)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for done in [
            pool.submit(_run, where, name, commands)
            for name, commands in chains.items()
        ]:
            done.result()
    for path in where.path('db').glob('*.sqlite'):
        connection = sqlite3.connect(path)
        # kept in the file: readers then never wait for writers
        connection.execute('PRAGMA journal_mode=WAL')
        connection.close()


def _make_keys(where: layout.Layout) -> None:
    # keystone-manage fernet_setup demands a user and group: do its work
    for kind in ('fernet', 'credential'):
        for name in '01':
            path = where.path('keystone', kind, name)
            path.write_bytes(fernet.Fernet.generate_key())
            path.chmod(0o600)


def _chains(
    where: layout.Layout, addresses: layout.Addresses
) -> dict[str, list[Command]]:
    """Return what is to be run for each service, in order."""

    def manage(service: str, *args: str) -> Command:
        tool = pathlib.Path(sysconfig.get_path('scripts'), f'{service}-manage')
        return [str(tool), '--config-file', _configured(where, service), *args]

    def url(database: str) -> str:
        return f'sqlite:///{where.database(database)}?timeout=60'

    cell0 = ('--database_connection', url('nova_cell0'))
    cell1 = ('--database_connection', url('nova_cell1'))
    rpc = ('--transport-url', 'fake:///')
    schema = 'xloudclient.tests.cloud.neutron_schema'
    return {
        'keystone': [
            manage('keystone', 'db_sync'),
            manage('keystone', *_bootstrap(addresses)),
        ],
        'nova': [
            manage('nova', 'api_db', 'sync'),
            manage('nova', 'cell_v2', 'map_cell0', *cell0),
            manage('nova', 'db', 'sync'),
            manage(
                *('nova', 'cell_v2', 'create_cell', '--name', 'cell1'),
                *(*cell1, *rpc),
            ),
        ],
        'cinder': [manage('cinder', 'db', 'sync')],
        'glance': [manage('glance', 'db_sync')],
        'placement': [manage('placement', 'db', 'sync')],
        'neutron': [[sys.executable, '-m', schema, url('neutron')]],
    }


def _configured(where: layout.Layout, service: str) -> str:
    name = {'glance': 'glance-api'}.get(service, service)
    return str(where.path('etc', f'{name}.conf'))


def _bootstrap(addresses: layout.Addresses) -> list[str]:
    url = addresses.url('keystone')
    # the internal one, too: keystonemiddleware looks for it
    return [
        'bootstrap',
        '--bootstrap-password',
        layout.PASSWORDS['admin'],
        '--bootstrap-region-id',
        'RegionOne',
        '--bootstrap-public-url',
        url,
        '--bootstrap-internal-url',
        url,
        '--bootstrap-admin-url',
        url,
    ]


def _run(where: layout.Layout, name: str, commands: list[Command]) -> None:
    log = where.log / f'migrate-{name}.log'
    for command in commands:
        with open(log, 'ab') as out:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment(),
                check=False,
            )
        if done.returncode:
            raise RuntimeError(
                f'{" ".join(command)} failed:\n{log.read_text()[-3000:]}'
            )


def environment() -> dict[str, str]:
    """Return an environment for the cloud's own processes.

    They find this very package, and no cloud of the user's (OS_*).
    """
    root = str(pathlib.Path(__file__).parents[3])
    paths = [root, os.environ.get('PYTHONPATH', '')]
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith('OS_')
    }
    return {
        **kept,
        'OS_NOVA_DISABLE_EVENTLET_PATCHING': '1',
        'OS_CINDER_DISABLE_EVENTLET_PATCHING': '1',
        'PYTHONPATH': os.pathsep.join(filter(None, paths)),
    }
