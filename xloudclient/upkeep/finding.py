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

"""From what a user wrote to the one snapshot that is meant."""

import dataclasses
from typing import Any

from xloudclient.catalog.snapshot import Snapshot, described
from xloudclient.cloud.compute import is_uuid
from xloudclient.cloud.images import Images
from xloudclient.consistency.errors import Failure


class Absent(Failure):
    """There is no such snapshot."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finder:
    """Finds snapshots for a project.

    :param reader: the ID of that project
    """

    images: Images
    reader: str

    def get(self, image_id: str) -> Snapshot | None:
        """Return the snapshot with that ID, None if it is gone."""
        image = self.images.get(image_id)
        return None if image is None else Snapshot(image, self.reader)

    def find(self, name_or_id: str, **filters: str) -> Snapshot:
        """Return the snapshot with that ID, or that name.

        :param filters: what else Glance is asked for, by name
        :raises Absent: there is none
        :raises Failure: it is no snapshot, or there are several with that
            name
        """
        found = self.get(name_or_id) if is_uuid(name_or_id) else None
        if found is not None:
            return self._checked(found)
        named = self._named(name_or_id, **filters)
        snapshots = [one for one in named if one.kind is not None]
        if len(snapshots) > 1:
            raise Failure(
                f'several snapshots are named {name_or_id!r}: '
                + described(snapshots),
                'Name it by its ID.',
            )
        if snapshots:
            return snapshots[0]
        if named:
            return self._checked(named[0])
        raise Absent(f'there is no snapshot {name_or_id!r}')

    def named(self, name: str, **filters: str) -> list[Snapshot]:
        """Return the snapshots with that name.

        :param filters: what else Glance is asked for, by name
        """
        found = self._named(name, **filters)
        return [one for one in found if one.kind is not None]

    def _named(self, name: str, **filters: str) -> list[Snapshot]:
        asked = {'name': f'eq:{name}', **filters}
        found = list(self.images.pages(asked))
        if not found:
            # Glance leaves hidden ones out unless it is asked for them
            found = list(self.images.pages({**asked, 'os_hidden': 'true'}))
        return [Snapshot(image, self.reader) for image in found]

    def _checked(self, found: Snapshot) -> Snapshot:
        if found.kind is None:
            raise Failure(
                f'image {found.label} is no snapshot of a server',
                f'See it with: openstack image show {found.id}',
            )
        return found


def of(conn: Any) -> Finder:
    """Make a finder for the project that a connection works in."""
    return Finder(Images(conn), conn.current_project_id)
