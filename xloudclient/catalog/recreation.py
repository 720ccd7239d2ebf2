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

"""The way back: the command that makes a saved file an image again."""

from collections.abc import Iterator

from xloudclient.catalog.snapshot import Snapshot

#: What Glance says of an image itself, and nobody sets; or what is an option
#: of its own below. Source: the image schema, ``glance/schemas``.
NOT_PROPERTIES = frozenset(
    (
        'checksum',
        'container_format',
        'created_at',
        'direct_url',
        'disk_format',
        'file',
        'id',
        'locations',
        'min_disk',
        'min_ram',
        'name',
        'os_hash_algo',
        'os_hash_value',
        'os_hidden',
        'owner',
        # Nova's; the client takes it for the owner (openstack/image/v2/
        # image.py, SDK 4.22), and Glance refuses another project's
        'owner_id',
        'protected',
        'schema',
        'self',
        'size',
        'status',
        'stores',
        'tags',
        'updated_at',
        'virtual_size',
        'visibility',
    )
)
#: Names that Glance keeps for itself and refuses.
RESERVED = 'os_glance_'


def words(snapshot: Snapshot, path: str) -> list[str]:
    """Return the command's words: a private image of that file.

    All properties go with it. What ``xloud_*`` ones claim is void there: they
    name the image that it was of.
    """
    image = snapshot.image
    return [
        'openstack',
        'image',
        'create',
        *_option('--disk-format', image.get('disk_format')),
        *_option('--container-format', image.get('container_format')),
        *_option('--min-disk', image.get('min_disk')),
        *_option('--min-ram', image.get('min_ram')),
        *(word for tag in snapshot.tags for word in ('--tag', tag)),
        *_properties(snapshot),
        '--file',
        path,
        snapshot.name,
    ]


def _option(name: str, value: object) -> tuple[str, ...]:
    return (name, str(value)) if value else ()


def _properties(snapshot: Snapshot) -> Iterator[str]:
    for key, value in sorted(snapshot.image.items()):
        if key in NOT_PROPERTIES or key.startswith(RESERVED) or not value:
            continue
        yield from ('--property', f'{key}={value}')
