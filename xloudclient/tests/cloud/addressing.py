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

"""Find free ports and a free network; move a cloud's databases to them.

Nothing is guessed: ports and network are taken by binding sockets, which
stay bound as long as the cloud is up, so that clouds side by side never
collide.
"""

import contextlib
import random
import socket
import sqlite3
from collections.abc import Iterable, Iterator

from xloudclient.tests.cloud import layout

SSH_PORT = 2222
OCTETS = range(2, 255)  # 127.0 and 127.1 are left to the machine


def bind_ports(wanted: layout.Addresses | None) -> dict[str, socket.socket]:
    """Return a listening socket for each service.

    :param wanted: addresses of before; used again as far as they are free
    """
    ports = wanted.ports if wanted else {}
    return {name: _listen(ports.get(name, 0)) for name in layout.SERVICES}


def bind_network(wanted: layout.Addresses | None) -> socket.socket:
    """Return a socket which stands for the exclusive use of a network.

    :raises RuntimeError: every 127.N.0.0/16 is some cloud's
    """
    octets: list[int] = random.sample(OCTETS, len(OCTETS))
    if wanted:
        octets.insert(0, wanted.octet)
    for octet in octets:
        with contextlib.suppress(OSError):
            # the network's own address: never a server's
            return _bound(f'127.{octet}.0.0', SSH_PORT)
    raise RuntimeError('No free network 127.N.0.0/16 on this machine')


def addresses(
    where: layout.Layout,
    ports: dict[str, socket.socket],
    network: socket.socket,
) -> layout.Addresses:
    """Return the addresses these sockets stand for."""
    octet = int(network.getsockname()[0].split('.')[1])
    return layout.Addresses(
        str(where.state),
        octet,
        {name: one.getsockname()[1] for name, one in ports.items()},
    )


def relocate(where: layout.Layout, new: layout.Addresses) -> None:
    """Change all paths, ports and addresses in the databases."""
    old = where.addresses()
    if old == new:
        return
    for database, table, column, before, after in _changes(old, new):
        _replace(where, database, table, column, before, after)
    where.write_addresses(new)


def _changes(
    old: layout.Addresses, new: layout.Addresses
) -> Iterator[tuple[str, str, str, str, str]]:
    yield (
        'nova_api',
        'cell_mappings',
        'database_connection',
        old.state,
        new.state,
    )
    yield 'glance', 'image_locations', 'value', old.state, new.state
    # in two steps, since the new port of one may be the old one of another
    for name in layout.SERVICES:
        yield ('keystone', 'endpoint', 'url', old.url(name), f'<{name}>')
    for name in layout.SERVICES:
        yield ('keystone', 'endpoint', 'url', f'<{name}>', new.url(name))
    for database, table, column in (
        ('neutron', 'subnets', 'cidr'),
        ('neutron', 'ipallocationpools', 'first_ip'),
        ('neutron', 'ipallocationpools', 'last_ip'),
        ('neutron', 'ipallocations', 'ip_address'),
        ('neutron', 'ipamallocationpools', 'first_ip'),
        ('neutron', 'ipamallocationpools', 'last_ip'),
        ('neutron', 'ipamallocations', 'ip_address'),
        ('nova_cell1', 'instance_info_caches', 'network_info'),
    ):
        yield (
            database,
            table,
            column,
            f'127.{old.octet}.',
            f'127.{new.octet}.',
        )


def _replace(
    where: layout.Layout,
    database: str,
    table: str,
    column: str,
    before: str,
    after: str,
) -> None:
    with contextlib.closing(
        sqlite3.connect(where.database(database))
    ) as connection:
        # names are ours, see _changes
        connection.execute(
            f'UPDATE {table} SET {column} = replace({column}, ?, ?)',
            (before, after),
        )
        connection.commit()


def _listen(port: int) -> socket.socket:
    for candidate in _candidates(port):
        with contextlib.suppress(OSError):
            bound = _bound(layout.HOST, candidate)
            bound.listen(64)
            return bound
    raise RuntimeError('No free port on 127.0.0.1')


def _candidates(port: int) -> Iterable[int]:
    return (port, 0) if port else (0,)


def _bound(host: str, port: int) -> socket.socket:
    one = socket.socket()
    try:
        if port and host == layout.HOST:
            # else connections of a cloud of before block its port a while
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((host, port))
    except OSError:
        one.close()
        raise
    return one
