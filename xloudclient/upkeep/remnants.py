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

"""What deletions that were interrupted left: volume snapshots of no image."""

import dataclasses
from collections.abc import Iterator, Sequence

from xloudclient.catalog.diagnosis.server import left_behind
from xloudclient.cloud.compute import is_uuid
from xloudclient.cloud.volumes import VolumeSnapshots
from xloudclient.consistency.checks.finding import Finding, Result
from xloudclient.upkeep.belonging import Belonging


@dataclasses.dataclass(frozen=True, slots=True)
class Remnants:
    """Finds what is left of snapshots that are gone."""

    volumes: VolumeSnapshots
    belonging: Belonging

    def of_server(
        self, server_id: str, volumes: Sequence[str]
    ) -> tuple[str, ...]:
        """Return the volume snapshots that were made for no image any more.

        :param server_id: the server that they were made of
        :param volumes: those it has; of these others' are seen, too
        """
        found = {
            one['id']: one
            for volume_id in volumes
            for one in self.volumes.matching(volume_id=volume_id)
        }
        for one in self.volumes.marked('xloud_server', server_id):
            found[one['id']] = one
        return tuple(
            part_id
            for part_id, part in found.items()
            if self.belonging.is_orphan(part)
        )

    def of_gone_server(self, server_id: str) -> Iterator[Finding]:
        """Say what is left of the snapshots of a server that is gone."""
        if is_uuid(server_id) and (parts := self.of_server(server_id, ())):
            yield left_behind(parts)

    def of_image(self, image_id: str) -> Iterator[Finding]:
        """Say what is left of a snapshot that is gone."""
        if not is_uuid(image_id):
            return
        if parts := self.volumes.marked('xloud_image', image_id):
            yield Finding(
                'left behind',
                Result.PROBLEM,
                'it does not exist; volume snapshots that are left of it: '
                f'{len(parts)}',
                f'openstack snapshot delete {image_id}',
            )
