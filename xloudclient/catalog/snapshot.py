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

"""An image, read as the snapshot of a server that it is.

Nova marks its images in three ways: ``image_type=snapshot`` and ``=backup``
on image-backed ones, ``bdm_v2=True`` on volume-backed ones, which have no
bytes of their own (``nova/compute/api.py``, ``nova/compute/utils.py``). All
of these travel to servers launched from such an image and from there to
images made of those, so none of them is believed where it can be a copy.
"""

import dataclasses
import datetime
import enum
import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from xloudclient.consistency import evidence
from xloudclient.consistency.plan import Consistency
from xloudclient.consistency.text import printable

GIB = 1 << 30
UNKNOWN = 'unknown'
SHELVED = '-shelved'
#: Glance's statuses of an image that is not whole yet.
UPLOADING = ('queued', 'saving', 'uploading', 'importing')
#: Nova's value of ``bdm_v2``: Python's True, as a string.
BDM_V2 = 'True'
#: On a copy that ``snapshot share --convert`` made: the ID of the snapshot.
CONVERTED_FROM = 'xloud_converted_from'


class Kind(enum.StrEnum):
    """What a snapshot is made of, and by which of Nova's actions."""

    IMAGE = 'image'
    VOLUME = 'volume'
    BACKUP = 'backup'


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """A disk of a volume-backed snapshot.

    :param name: as Nova names it, e.g. ``/dev/vda``; may be empty
    :param snapshot_id: the volume snapshot it is launched from; '' for a
        disk that was not captured and begins blank
    :param size: GiB; None if Nova did not say
    :param image_id: the image it is launched from, in a converted snapshot
    :param entry: the mapping's own words
    """

    name: str
    snapshot_id: str
    size: int | None
    is_root: bool = False
    image_id: str = ''
    entry: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A snapshot, a backup, or what shelving made.

    :param image: the image, as Glance sends it
    :param reader: the project that looks at it
    """

    image: Mapping[str, Any]
    reader: str = ''

    @property
    def id(self) -> str:
        return str(self.image['id'])

    @property
    def name(self) -> str:
        return self._text('name')

    @property
    def status(self) -> str:
        return self._text('status')

    @property
    def is_uploading(self) -> bool:
        return self.status in UPLOADING

    @property
    def project_id(self) -> str:
        return self._text('owner')

    @property
    def visibility(self) -> str:
        return self._text('visibility')

    @property
    def created_at(self) -> str:
        """ISO 8601, UTC: when it was requested."""
        return self._text('created_at')

    @property
    def tags(self) -> list[str]:
        return sorted(map(str, self.image.get('tags') or ()))

    @property
    def is_protected(self) -> bool:
        return bool(self.image.get('protected'))

    @property
    def is_hidden(self) -> bool:
        return bool(self.image.get('os_hidden'))

    @functools.cached_property
    def devices(self) -> tuple[Device, ...]:
        """The disks that Nova recorded for a volume-backed server."""
        return tuple(_devices(self._text('block_device_mapping')))

    @property
    def kind(self) -> Kind | None:
        """None for an image that is no snapshot at all."""
        if any(one.snapshot_id for one in self.devices):
            return Kind.VOLUME
        if self._text('image_type') == 'backup':
            return Kind.BACKUP
        if self._text('image_type') == 'snapshot':
            return Kind.IMAGE
        return None

    @property
    def kind_word(self) -> str:
        """What it is, for people: shelving's images are named as such."""
        return SHELVED.lstrip('-') if self.is_shelved else str(self.kind)

    @property
    def is_claimed(self) -> bool:
        """Whether what is recorded here is recorded of this very image."""
        return evidence.is_ours(self.id, self.image)

    @property
    def is_own(self) -> bool:
        """Whether it belongs to the project that looks at it."""
        return self.project_id == self.reader

    @property
    def is_pending(self) -> bool:
        """Whether it is being uploaded for a run of ours.

        Each request of ours sets ``xloud_image`` to nothing, and it is
        claimed once it is active; in a copy it names what was copied.
        """
        return (
            self.status not in ('active', 'deactivated')
            and self.image.get('xloud_image') == ''
        )

    @property
    def is_shelved(self) -> bool:
        """Whether it looks like the disk of a shelved server.

        Only its name tells (``nova/compute/api.py``, ``shelve``).
        """
        return (
            self.kind is Kind.IMAGE
            and not self.is_claimed
            and self.name.endswith(SHELVED)
        )

    @property
    def consistency(self) -> Consistency | None:
        """The class that was proven; None where nothing can be said.

        What another project recorded is not known to be true.
        """
        if self.project_id != self.reader and self.visibility != 'private':
            return None
        return evidence.recorded_class(self.id, self.image)

    @property
    def consistency_word(self) -> str:
        known = self.consistency
        return UNKNOWN if known is None else str(known)

    @property
    def server_id(self) -> str:
        """The server it was made of; '' if that can't be known.

        On a volume-backed image Nova does not set ``instance_uuid``; what is
        there is ours, or handed on from the image it was booted from.
        """
        if self.kind is Kind.VOLUME and not self.is_claimed:
            return ''
        return self._text('instance_uuid')

    @property
    def server_name(self) -> str:
        """Its name when the snapshot was made; '' if it is not recorded."""
        return self.recorded('xloud_server_name')

    @property
    def size(self) -> int | None:
        """Bytes; of a volume-backed one those of its volumes."""
        if self.kind is not Kind.VOLUME:
            size: int | None = self.image.get('size')
            return size
        sizes = [one.size for one in self.devices if one.snapshot_id]
        if None in sizes:
            return None
        return sum(size for size in sizes if size) * GIB

    @property
    def mapped_volumes(self) -> tuple[str, ...]:
        """The volume snapshots that Nova boots it from."""
        return tuple(
            one.snapshot_id for one in self.devices if one.snapshot_id
        )

    @property
    def data_volumes(self) -> tuple[str, ...]:
        """The volume snapshots that we made beside an image."""
        if self.kind is Kind.VOLUME or not self.is_claimed:
            return ()
        return evidence.volume_snapshots(self.image)

    @property
    def volumes(self) -> tuple[str, ...]:
        """All volume snapshots that belong to it."""
        return self.mapped_volumes + self.data_volumes

    @property
    def root_volume(self) -> str:
        """The volume snapshot of a volume-backed one's root disk."""
        roots = [one.snapshot_id for one in self.devices if one.is_root]
        return roots[0] if roots else ''

    @property
    def converted_from(self) -> str:
        """The ID of the snapshot that this is a copy of; '' if of none."""
        return self.recorded(CONVERTED_FROM)

    @property
    def disk_images(self) -> tuple[str, ...]:
        """The images of a converted snapshot's other disks."""
        if not self.converted_from:
            return ()
        return tuple(one.image_id for one in self.devices if one.image_id)

    @property
    def run_id(self) -> str:
        return self.recorded('xloud_run')

    @property
    def group_id(self) -> str:
        return self.recorded('xloud_group')

    @property
    def captured_at(self) -> str:
        """ISO 8601, UTC; when it was seen captured; '' if not known."""
        return self.recorded('xloud_captured_at')

    @property
    def frozen_seconds(self) -> float | None:
        held = self.recorded('xloud_frozen_ms')
        is_number = held.isascii() and held.isdecimal() and len(held) < 12
        return int(held) / 1000 if is_number else None

    @property
    def reason(self) -> str:
        """Why the class is not higher; '' if it is not known."""
        return self.recorded('xloud_reason')

    def recorded(self, key: str) -> str:
        """What the run recorded; '' where that is not about this image."""
        return self._text(key) if self.is_claimed or self.is_pending else ''

    def _text(self, key: str) -> str:
        value = self.image.get(key)
        return '' if value is None else str(value)

    @property
    def why(self) -> str:
        """Why its class is what it is, and not higher."""
        if self.consistency is not None:
            return self.reason
        if self.is_pending:
            return 'its upload is under way: the proof is recorded at its end'
        if self.is_claimed:
            claimed = self.recorded('xloud_consistency')
            if self.converted_from and not claimed:
                return 'it is a copy of one that others made'
            return f'another project recorded it as {claimed!r}'
        if self._text('xloud_image'):
            return 'what is recorded on it is about another image'
        if self.is_shelved:
            return 'it is the disk of a shelved server'
        return 'others made it'

    @property
    def label(self) -> str:
        """How messages name it: name and ID."""
        return f'{printable(self.name)} ({self.id})'


def described(snapshots: Iterable[Snapshot]) -> str:
    """Tell snapshots of one name from each other: the newest first."""
    newest_first = sorted(
        snapshots, key=lambda one: (one.created_at, one.id), reverse=True
    )
    return ', '.join(
        f'{one.id} (of project {printable(one.project_id)}, created at '
        f'{one.created_at})'
        for one in newest_first
    )


def _devices(mapping: str) -> Iterator[Device]:
    """Read Nova's mapping; another's that has no sense has no devices."""
    try:
        found = json.loads(mapping or '[]')
    except (ValueError, RecursionError):
        return
    if not isinstance(found, list):
        return
    for one in found:
        if isinstance(one, dict):
            size = one.get('volume_size')
            yield Device(
                str(one.get('device_name') or ''),
                str(one.get('snapshot_id') or ''),
                size if isinstance(size, int) else None,
                one.get('boot_index') == 0,
                str(one.get('image_id') or ''),
                one,
            )


def moment(text: str) -> datetime.datetime:
    """Read a time as the services and we write it: ISO 8601, UTC.

    :raises ValueError: it is none
    """
    read = datetime.datetime.fromisoformat(text)
    if read.tzinfo is None:
        read = read.replace(tzinfo=datetime.UTC)
    return read.astimezone(datetime.UTC)
