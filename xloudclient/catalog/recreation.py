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

from xloudclient.catalog.properties import properties
from xloudclient.catalog.snapshot import Snapshot

#: Nova's; the client takes it for the owner (openstack/image/v2/image.py, SDK
#: 4.22), and Glance refuses another project's.
OWNER_ID = 'owner_id'


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
        *(word for tag in snapshot.tags for word in _option('--tag', tag)),
        *_properties(snapshot),
        *_option('--file', path),
        *(('--',) if snapshot.name.startswith('-') else ()),
        snapshot.name,
    ]


def _option(name: str, value: object) -> tuple[str, ...]:
    """Give an option its value, also one that looks like an option."""
    if not value:
        return ()
    text = str(value)
    return (f'{name}={text}',) if text.startswith('-') else (name, text)


def _properties(snapshot: Snapshot) -> Iterator[str]:
    for key, value in sorted(properties(snapshot.image).items()):
        if value and key != OWNER_ID:
            yield from _option('--property', f'{key}={value}')
