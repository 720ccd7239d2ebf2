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

"""What a server is launched with, from a snapshot.

:mod:`.preflight` judges whether it can be.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

from xloudclient.catalog.snapshot import Device, Snapshot

DEVICE = re.compile(r'/dev/[a-z0-9/]{1,250}')
#: What of Nova's mapping a request for the same volume repeats.
SETTINGS = ('disk_bus', 'device_type', 'guest_format', 'tag', 'volume_type')


@dataclasses.dataclass(frozen=True, slots=True)
class Flavor:
    """A flavor.

    :param disk: GiB of the root disk; 0 is as large as the image
    :param ram: MiB
    """

    id: str
    name: str
    disk: int
    ram: int
    vcpus: int


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """What the server had that a snapshot was made of, by name."""

    flavor: str
    networks: tuple[str, ...]
    key_name: str
    security_groups: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A volume snapshot, or an image, that a volume is made from.

    :param device: e.g. ``/dev/vdb``; '' leaves it to Nova
    :param status: Cinder's or Glance's; '' if this project can't see it
    :param size: GiB
    :param is_ours: whether it says itself that it belongs to the snapshot
    :param entry: what Nova's mapping says of it; empty if it is not there
    :param volume_id: the volume that it is a snapshot of; '' if not known
    """

    id: str
    device: str
    status: str
    size: int
    is_root: bool = False
    is_ours: bool = True
    entry: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    is_image: bool = False
    volume_id: str = ''

    @property
    def label(self) -> str:
        what = 'image' if self.is_image else 'volume snapshot'
        return f'{what} {self.id} ({self.device or "no device"})'

    @property
    def is_ready(self) -> bool:
        return self.status == ('active' if self.is_image else 'available')


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What the options ask for.

    :param count: how many servers
    :param root_size: GiB of the volume that is to be the root disk of an
        image-backed snapshot; 0 for none
    :param is_deleted: whether the volumes go with the server; None is as
        with the source
    """

    count: int = 1
    root_size: int = 0
    with_data: bool = True
    is_deleted: bool | None = None


def source_of(
    snapshot: Snapshot, is_taken: bool | None = None
) -> Source | None:
    """Return what the defaults are to be taken from; None for nothing.

    What another project recorded says where *its* server was, and could be
    meant to lead this one astray: it is taken only if that is asked for.
    """
    if is_taken is None:
        is_taken = snapshot.is_own
    if not (is_taken and snapshot.is_claimed):
        return None
    return Source(
        snapshot.recorded('xloud_flavor'),
        _words(snapshot.recorded('xloud_networks')),
        snapshot.recorded('xloud_key_name'),
        _words(snapshot.recorded('xloud_security_groups')),
    )


def why_no_source(snapshot: Snapshot, is_taken: bool | None) -> str:
    """Why there are no defaults."""
    if is_taken is False:
        return 'with --no-source-defaults there is no default'
    if not snapshot.is_claimed:
        return 'nothing is recorded on the snapshot about its server'
    return (
        'what another project recorded on its snapshot is only taken with '
        '--source-defaults'
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(one for one in text.split(',') if one)


def part(
    part_id: str,
    found: Mapping[str, Any] | None,
    snapshot: Snapshot,
    entry: Mapping[str, Any] | None = None,
) -> Part:
    """Describe a volume snapshot.

    :param found: as Cinder sends it; None if it can't be seen
    :param entry: Nova's mapping of it; None for one that we made
    """
    metadata = (found or {}).get('metadata') or {}
    known = entry or {}
    device = str(known.get('device_name') or metadata.get('xloud_device', ''))
    return Part(
        part_id,
        device if DEVICE.fullmatch(device) else '',
        str((found or {}).get('status', '')),
        int((found or {}).get('size', 0)),
        known.get('boot_index') == 0,
        entry is not None or metadata.get('xloud_image') == snapshot.id,
        known,
        volume_id=str((found or {}).get('volume_id') or ''),
    )


def disk_image(one: Device, found: Mapping[str, Any] | None) -> Part:
    """Describe the image of a further disk of a converted snapshot.

    :param found: as Glance sends it; None if it can't be seen
    """
    return Part(
        one.image_id,
        one.name if DEVICE.fullmatch(one.name) else '',
        str((found or {}).get('status', '')),
        one.size or 0,
        entry=one.entry,
        is_image=True,
    )


def in_order(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Sort by device: libvirt gives names by order, and hears of no other.

    Source: ``default_device_names_for_instance`` in Nova's libvirt driver.
    """
    return tuple(sorted(parts, key=lambda one: (len(one.device), one.device)))


def root_volume(snapshot: Snapshot, wanted: Wanted) -> dict[str, Any]:
    """A root disk that is a new volume with the image's bytes."""
    return {
        'uuid': snapshot.id,
        'source_type': 'image',
        'destination_type': 'volume',
        'boot_index': 0,
        'volume_size': wanted.root_size,
        'delete_on_termination': _flag(wanted.is_deleted),
    }


def block_device(one: Part, wanted: Wanted) -> dict[str, Any]:
    """What Nova is asked for, as ``block_device_mapping_v2`` has it.

    The image of such a snapshot may have entries of its own; one with
    the same device replaces them (``_merge_bdms_lists`` in
    ``nova/compute/api.py``), and one with ``no_device`` leaves them out.
    """
    kind = {
        'source_type': 'image' if one.is_image else 'snapshot',
        'destination_type': 'volume',
    }
    if not (wanted.with_data or one.is_root):
        return {**kind, 'device_name': one.device, 'no_device': True}
    is_deleted = one.entry.get('delete_on_termination')
    index = one.entry.get('boot_index')
    asked = {
        **kind,
        'uuid': one.id,
        'boot_index': index if isinstance(index, int) else -1,
        'volume_size': one.size,
        'delete_on_termination': _flag(
            is_deleted if wanted.is_deleted is None else wanted.is_deleted
        ),
    }
    if one.device:
        asked['device_name'] = one.device
    settings = {key: one.entry.get(key) for key in SETTINGS}
    return asked | {key: value for key, value in settings.items() if value}


def _flag(value: Any) -> str:
    return 'true' if value else 'false'
