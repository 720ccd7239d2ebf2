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


"""Turns snapshots with volume snapshots into images that can be shared."""

import dataclasses
import time
from typing import Any

from xloudclient.catalog import conversion
from xloudclient.catalog.conversion import Disk
from xloudclient.catalog.snapshot import Kind, Snapshot
from xloudclient.cloud.copies import TemporaryVolumes
from xloudclient.consistency.errors import Failure
from xloudclient.consistency.text import printable
from xloudclient.local.clock import SystemClock
from xloudclient.local.progress import Progress
from xloudclient.local.signals import interruptible
from xloudclient.upkeep import showing, workshop
from xloudclient.upkeep.copying import DiskCopy
from xloudclient.upkeep.finding import Finder
from xloudclient.upkeep.showing import Showing
from xloudclient.upkeep.workshop import Workshop


@dataclasses.dataclass(frozen=True, slots=True)
class Converting:
    """Converts the snapshots of one project.

    :param verbosity: 0 says nothing of the progress
    """

    finder: Finder
    showing: Showing
    volumes: TemporaryVolumes
    verbosity: int

    def convert(self, snapshot: Snapshot) -> Snapshot:
        """Return the copy of a snapshot; make it if need be.

        :raises Failure: it can't be made; what is left is named
        :raises Interrupted: by a signal; the same command goes on
        """
        disks = self._disks(snapshot)
        progress, began = Progress(self.verbosity), time.monotonic()

        def say(text: str) -> None:
            elapsed = time.monotonic() - began
            progress.step(snapshot.name, text, {'elapsed': elapsed})

        with progress, interruptible(lambda: None) as interruption:
            shop = Workshop(
                self.finder.images,
                self.volumes,
                SystemClock(interruption),
                self.finder.reader,
                say,
            )
            copy_id = _copy(shop, snapshot, disks)
        copy = self.finder.get(copy_id)
        if copy is None:
            raise Failure(f'the copy {copy_id} is gone')
        return copy

    def copies(self, snapshot: Snapshot) -> list[Snapshot]:
        """Return the copies that were made of a snapshot."""
        reader = self.finder.reader
        found = workshop.copies(self.finder.images, snapshot.id, reader)
        return [Snapshot(image, reader) for image in found]

    def _disks(self, snapshot: Snapshot) -> tuple[Disk, ...]:
        parts = {}
        for part in self.showing.parts(snapshot):
            if part.status != 'available':
                raise Failure(
                    f'{snapshot.label} lacks volume snapshot {part.id}: it '
                    f'is {part.status}'
                )
            parts[part.id] = (printable(part.device), part.size)
        if snapshot.kind is Kind.VOLUME and not snapshot.root_volume:
            raise Failure(f'{snapshot.label} names no root disk')
        return conversion.disks(snapshot, parts)


def _copy(shop: Workshop, snapshot: Snapshot, disks: tuple[Disk, ...]) -> str:
    """Return the ID of the image of the last disk, the root disk."""
    others: list[tuple[Disk, str]] = []
    # it is made last: when it is there, all are
    for disk in disks[-1:] if shop.copies(snapshot.id) else disks:
        copy = DiskCopy(shop, snapshot, disk, tuple(others))
        others.append((disk, copy.make()))
    return others[-1][1]


def of(conn: Any, finder: Finder, verbosity: int) -> Converting:
    """Make one for the project that a connection works in."""
    return Converting(
        finder, showing.of(conn), TemporaryVolumes(conn), verbosity
    )
