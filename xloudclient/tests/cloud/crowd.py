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

"""Many images at once, written straight into Glance's database.

To make them through the API would take hours. They have no bytes, and
properties as Nova sets them.
"""

import contextlib
import datetime
import json
import pathlib
import sqlite3
import uuid
from collections.abc import Iterator

#: What the names of all of them begin with.
PREFIX = 'crowd-'
FIRST = datetime.datetime(2020, 1, 1)
INHERITED = {
    'base_image_ref': str(uuid.UUID(int=1)),
    'boot_roles': 'member,reader',
    'image_location': 'snapshot',
    'image_state': 'available',
    'owner_project_name': 'demo',
    'owner_user_name': 'demo',
}


def seed(
    database: pathlib.Path, owner: str, images: int, snapshots: int
) -> None:
    """Write images, one a minute since 2020, into a Glance's database.

    :param owner: the ID of their project
    :param images: how many in all
    :param snapshots: how many of these are snapshots of ten servers, evenly
        spread, every tenth of them volume-backed
    """
    with _open(database) as connection:
        every = images // snapshots
        connection.executemany(
            'insert into images (id, name, size, status, created_at, '
            'updated_at, deleted, disk_format, container_format, owner, '
            'min_disk, min_ram, visibility, checksum) values (?, ?, ?, '
            "'active', ?, ?, 0, 'qcow2', 'bare', ?, 1, 0, 'private', ?)",
            (_image(number, owner) for number in range(images)),
        )
        connection.executemany(
            'insert into image_properties (image_id, name, value, '
            'created_at, updated_at, deleted) values (?, ?, ?, ?, ?, 0)',
            (
                (_id(number), name, value, _time(number), _time(number))
                for number in range(images)
                for name, value in _properties(number, every)
            ),
        )


def clear(database: pathlib.Path) -> None:
    """Take them out again."""
    with _open(database) as connection:
        chosen = f"select id from images where name like '{PREFIX}%'"
        connection.execute(
            f'delete from image_properties where image_id in ({chosen})'
        )
        connection.execute(f"delete from images where name like '{PREFIX}%'")


@contextlib.contextmanager
def _open(database: pathlib.Path) -> Iterator[sqlite3.Connection]:
    with (
        contextlib.closing(
            sqlite3.connect(database, timeout=60)
        ) as connection,
        connection,
    ):
        yield connection


def _id(number: int) -> str:
    return str(uuid.UUID(int=(0xC << 124) + number))


def _time(number: int) -> str:
    return f'{FIRST + datetime.timedelta(minutes=number)}.000000'


def _image(number: int, owner: str) -> tuple[str | int, ...]:
    time = _time(number)
    return (
        _id(number),
        f'{PREFIX}{number}',
        number * 4096,
        time,
        time,
        owner,
        f'{number:032x}',
    )


def _properties(number: int, every: int) -> Iterator[tuple[str, str]]:
    yield from INHERITED.items()
    if number % every:
        return
    server = str(uuid.UUID(int=number // every % 10))
    if number // every % 10 == 9:
        mapping = [{'snapshot_id': _id(number), 'volume_size': 1}]
        yield 'bdm_v2', 'True'
        yield 'block_device_mapping', json.dumps(mapping)
        return
    yield 'image_type', 'snapshot'
    yield 'instance_uuid', server
    yield 'xloud_image', _id(number)
    yield 'xloud_consistency', 'crash'
    yield 'xloud_server_name', f'server-{number // every % 10}'
