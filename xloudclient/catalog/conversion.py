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


"""How a snapshot whose disks are volume snapshots becomes plain images.

Each disk becomes an image: a volume is made of it, uploaded, and deleted. The
image of the root disk is a snapshot again, with all that was recorded, as it
holds the same bytes of the same moment. Its mapping names the images of the
other disks, so that Nova makes new volumes of them at a launch. It is made
last: while it is not there, there is no copy.
"""

import dataclasses
import enum
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xloudclient.catalog.properties import properties
from xloudclient.catalog.snapshot import (
    BDM_V2,
    CONVERTED_FROM,
    GIB,
    Kind,
    Snapshot,
)
from xloudclient.consistency.evidence import KEYS, SCHEMA, VOLUME_KEYS

NAME_LENGTH = 255
#: What is true of the source's bytes or volumes alone.
LEFT_BEHIND = ('block_device_mapping', 'bdm_v2', 'cinder_', 'img_signature')

#: What a copy does not have: no run made it, and it has no volume snapshots.
NOT_ITS_OWN = ('xloud_run', 'xloud_group', *VOLUME_KEYS)


@dataclasses.dataclass(frozen=True, slots=True)
class Disk:
    """A disk to be copied to an image of its own.

    :param source: the ID of a volume snapshot; of the image itself for the
        root disk of an image-backed snapshot
    :param device: as Nova names it, e.g. ``/dev/vdb``; may be empty
    :param size: GiB
    """

    source: str
    device: str
    size: int
    is_root: bool = False
    is_image: bool = False

    def name(self, snapshot: Snapshot) -> str:
        """What its image is called."""
        device = '' if self.is_root else f'-{self.device.rpartition("/")[2]}'
        suffix = f'-converted{device}'
        return snapshot.name[: NAME_LENGTH - len(suffix)] + suffix

    def converted_from(self, snapshot: Snapshot) -> str:
        """What its image says that it was made of."""
        return snapshot.id if self.is_root else self.source


def disks(
    snapshot: Snapshot, parts: Mapping[str, tuple[str, int]]
) -> tuple[Disk, ...]:
    """The disks of a snapshot, the root disk last.

    :param parts: device and size in GiB of each of its volume snapshots
    """
    data = [
        Disk(source, *parts[source])
        for source in snapshot.volumes
        if source != snapshot.root_volume
    ]
    if snapshot.kind is Kind.VOLUME:
        source = snapshot.root_volume
        root = Disk(source, *parts[source], is_root=True)
    else:
        size = _gib_of(snapshot.image)
        root = Disk(snapshot.id, '', size, is_root=True, is_image=True)
    return (*data, root)


def _gib_of(image: Mapping[str, Any]) -> int:
    """As large as a volume of an image must be."""
    largest = max(image.get('size') or 0, image.get('virtual_size') or 0)
    return max(math.ceil(largest / GIB), image.get('min_disk') or 0, 1)


class Step(enum.Enum):
    """What is to be done next about the copy of a disk."""

    MAKE = 'have a volume made of it'
    WAIT = 'wait for a service'
    UPLOAD = 'have the volume uploaded'
    DOUBT = 'the upload seems to be over, and the image is not whole'
    FINISH = 'the image is whole'
    FAIL = 'it came to nothing'


#: A volume's statuses on its way to ``available``.
IN_THE_MAKING = ('creating', 'downloading')


def next_step(
    volume: str | None, image: str | None, made: bool, uploaded: bool
) -> Step:
    """The rule, as a table of what was seen: first the volume, then the image.

    Cinder sets the volume to ``uploading`` before it makes the image. It
    deletes the image of an upload that failed, and sets the volume back at
    the end (``cinder/volume/api.py``, ``manager.py``,
    ``copy_volume_to_image``).

    :param volume: its status; None if there is none
    :param image: as the volume
    :param made: the volume was asked for in this attempt
    :param uploaded: the upload was asked for in this attempt
    """
    if image == 'active':
        return Step.FINISH
    if volume == 'uploading' or volume in IN_THE_MAKING:
        return Step.WAIT
    if image is not None:
        return Step.WAIT if image == 'importing' else Step.DOUBT
    if volume is None:
        return Step.FAIL if made or uploaded else Step.MAKE
    if volume == 'available' and not uploaded:
        return Step.UPLOAD
    return Step.FAIL


def marks(snapshot: Snapshot, disk: Disk, volume_id: str) -> dict[str, str]:
    """What the image of an upload that is under way is known by.

    It claims nothing, and names the volume: no other image can be taken for
    the one that this volume was uploaded to.
    """
    return {
        CONVERTED_FROM: disk.converted_from(snapshot),
        'xloud_image': volume_id,
    }


def is_finished(image: Mapping[str, Any]) -> bool:
    """Whether an image is whole, and all that a copy has is recorded."""
    return image['status'] == 'active' and image['xloud_image'] == image['id']


def disk_properties(
    snapshot: Snapshot, disk: Disk, image_id: str
) -> dict[str, Any]:
    """All that is set on the finished image of a disk but the root disk."""
    return {
        'min_disk': disk.size,
        'xloud_schema': SCHEMA,
        **marks(snapshot, disk, image_id),
    }


def root_properties(
    snapshot: Snapshot,
    root: Disk,
    image_id: str,
    others: Sequence[tuple[Disk, str]],
) -> dict[str, Any]:
    """All that is set on the finished image of the root disk.

    :param others: the other disks, each with the ID of its image
    """
    kept = {
        key: value
        for key, value in properties(snapshot.image).items()
        if not key.startswith(LEFT_BEHIND)
    }
    recorded = {key: snapshot.recorded(key) for key in KEYS}
    return {
        **kept,
        **recorded,
        **dict.fromkeys(NOT_ITS_OWN, ''),
        **_mapping(snapshot, others),
        **marks(snapshot, root, image_id),
        'xloud_schema': SCHEMA,
        'image_type': 'snapshot',
        'instance_uuid': snapshot.server_id,
        'min_disk': max(root.size, snapshot.image.get('min_disk') or 0),
        'min_ram': snapshot.image.get('min_ram') or 0,
        'tags': snapshot.tags,
    }


def _mapping(
    snapshot: Snapshot, others: Iterable[tuple[Disk, str]]
) -> dict[str, str]:
    """The mapping that has Nova make volumes of the other disks' images."""
    mapping = [
        {
            'source_type': 'image',
            'destination_type': 'volume',
            'image_id': image_id,
            'volume_size': disk.size,
            'boot_index': None,
            'device_name': disk.device or None,
            'delete_on_termination': False,
        }
        for disk, image_id in others
    ]
    if not mapping:
        return {}
    return {'block_device_mapping': json.dumps(mapping), 'bdm_v2': BDM_V2}
