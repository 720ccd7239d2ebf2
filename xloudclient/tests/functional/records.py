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


"""Snapshots by the dozen: images that tell what a run would have recorded."""

import contextlib
import datetime
import sqlite3
from typing import Any

from xloudclient.cloud.images import Images
from xloudclient.consistency import evidence
from xloudclient.tests.cloud import Cloud


def record(
    cloud: Cloud,
    server_id: str,
    created_at: datetime.datetime | None = None,
    **properties: Any,
) -> str:
    """Make a small image that says it is our snapshot; return its ID.

    :param properties: what it has beside what it needs, or instead
    """
    glance = cloud.connection().image
    made = post_image(
        cloud,
        instance_uuid=server_id,
        **dict.fromkeys(evidence.KEYS, ''),
    )
    glance.put(
        f'/images/{made}/file',
        data=b'disk',
        headers={'Content-Type': 'application/octet-stream'},
    )
    claims = {'xloud_image': made, 'xloud_consistency': 'application'}
    Images(cloud.connection()).update(made, claims | properties)
    if created_at:
        set_created(cloud, made, created_at)
    return made


def post_image(cloud: Cloud, **properties: Any) -> str:
    """Make an image without data, as Nova does; return its ID."""
    wanted = {
        'name': 'made',
        'image_type': 'snapshot',
        'disk_format': 'raw',
        'container_format': 'bare',
        'visibility': 'private',
    }
    response = cloud.connection().image.post(
        '/images', json=wanted | properties
    )
    return str(response.json()['id'])


def set_created(
    cloud: Cloud, image_id: str, created_at: datetime.datetime
) -> None:
    """Let Glance's database say when an image was created."""
    path = cloud.layout.path('db', 'glance.sqlite')
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as base, base:
        base.execute(
            'UPDATE images SET created_at = ? WHERE id = ?',
            (f'{created_at:%Y-%m-%d %H:%M:%S.%f}', image_id),
        )
