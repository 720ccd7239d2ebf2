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


"""Which of an image's keys are properties that somebody set."""

from collections.abc import Mapping
from typing import Any

#: What Glance says of an image itself. Source: the image schema,
#: ``glance/schemas``.
NO_PROPERTIES = frozenset(
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


def properties(image: Mapping[str, Any]) -> dict[str, str]:
    """Return the properties of an image, as Glance sends it."""
    return {
        key: value
        for key, value in image.items()
        if key not in NO_PROPERTIES
        and not key.startswith(RESERVED)
        and isinstance(value, str)
    }
