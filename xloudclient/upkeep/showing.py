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

"""Gathers all that is known of one snapshot."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from xloudclient.catalog.snapshot import Snapshot
from xloudclient.cloud.volumes import VolumeSnapshots
from xloudclient.upkeep import listing
from xloudclient.upkeep.listing import Listing

GONE = 'gone'
SECOND = '2026-03-18T10:00:00'


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A volume snapshot that a snapshot is made of.

    :param device: as Nova names it; '' if it is not known
    :param status: Cinder's, or ``gone``
    :param size: GiB; 0 if it is gone
    :param created_at: ISO 8601, UTC; '' if it is gone
    """

    id: str
    device: str
    status: str
    size: int
    created_at: str

    @classmethod
    def of(
        cls, part_id: str, device: str, found: Mapping[str, Any] | None
    ) -> 'Part':
        if found is None:
            return cls(part_id, device, GONE, 0, '')
        metadata = found.get('metadata') or {}
        return cls(
            part_id,
            device or metadata.get('xloud_device', ''),
            found['status'],
            found['size'],
            found['created_at'].partition('.')[0] + 'Z',
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """A snapshot with its parts, as they are now."""

    snapshot: Snapshot
    server_name: str
    parts: tuple[Part, ...]

    def timeline(self) -> Iterator[tuple[str, str]]:
        """Yield what happened when (ISO 8601, UTC), in order."""
        snapshot = self.snapshot
        seen = [(snapshot.created_at, 'requested')]
        seen += [
            (part.created_at, f'volume snapshot {part.id} begun')
            for part in self.parts
            if part.created_at
        ]
        if snapshot.captured_at:
            seen.append((snapshot.captured_at, 'seen captured'))
        seen.append((str(snapshot.image['updated_at']), 'last changed'))
        # most are whole seconds: within one, they are in the order above
        yield from sorted(seen, key=lambda one: one[0][: len(SECOND)])


@dataclasses.dataclass(frozen=True, slots=True)
class Showing:
    """Shows snapshots."""

    listing: Listing
    volumes: VolumeSnapshots

    def show(self, name_or_id: str) -> Shown:
        """Find a snapshot, and ask for each of its parts.

        :raises Failure: it can't be found
        """
        snapshot = self.listing.finder.find(name_or_id)
        return Shown(
            snapshot,
            self._server_name(snapshot),
            tuple(self.parts(snapshot)),
        )

    def _server_name(self, snapshot: Snapshot) -> str:
        if snapshot.server_name or not snapshot.server_id:
            return snapshot.server_name
        server = self.listing.cloud.servers.get(snapshot.server_id)
        return server['name'] if server else snapshot.server_id

    def parts(self, snapshot: Snapshot) -> Iterator[Part]:
        """Yield the volume snapshots of a snapshot, as they are now."""
        devices = {one.snapshot_id: one.name for one in snapshot.devices}
        for part_id in snapshot.volumes:
            found = self.volumes.get(part_id)
            yield Part.of(part_id, devices.get(part_id, ''), found)


def of(conn: Any) -> Showing:
    """Make one for what a connection can see."""
    catalog = listing.of(conn)
    return Showing(catalog, catalog.cloud.volumes)
