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


"""Which snapshots retention looks at, and which of them could be launched."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xloudclient.catalog.pruning import Candidate
from xloudclient.catalog.query import Query
from xloudclient.catalog.snapshot import Kind, Snapshot
from xloudclient.cloud.compute import is_uuid
from xloudclient.upkeep.listing import Listing


@dataclasses.dataclass(slots=True)
class Candidates:
    """Looks at the snapshots of a project, and at their volume snapshots.

    :param has_foreign: those of the servers that others made, too
    """

    listing: Listing
    has_foreign: bool
    _parts: dict[str, Mapping[str, Any]] | None = None

    def of(self, servers: Sequence[str]) -> list[Candidate]:
        """Return the snapshots of servers.

        :param servers: names or IDs; none for all
        :raises Failure: there is no such server
        """
        ids = list(dict.fromkeys(map(self._server_id, servers)))
        found = [
            Candidate(snapshot, server_id, self._flaw(snapshot))
            for snapshot, server_id in self._found(ids)
        ]
        self._check_servers(ids, found)
        return found

    def _server_id(self, name_or_id: str) -> str:
        if is_uuid(name_or_id):
            # it may be deleted
            return name_or_id
        server_id: str = self.listing.cloud.servers.find(name_or_id)['id']
        return server_id

    def _check_servers(
        self, ids: Sequence[str], found: Sequence[Candidate]
    ) -> None:
        """Refuse an ID that nothing is known of: a misspelt one."""
        known = {one.server_id for one in found}
        for server_id in ids:
            if server_id not in known:
                self.listing.cloud.servers.find(server_id)

    def _found(
        self, server_ids: Sequence[str]
    ) -> Iterator[tuple[Snapshot, str]]:
        """Yield the snapshots, and the ID of the server that each is of."""
        reader = self.listing.finder.reader
        for server_id in server_ids or ('',):
            query = Query(owner=reader, reader=reader, server_id=server_id)
            for one in self.listing.snapshots(query):
                yield one, one.server_id
        if self.has_foreign:
            yield from self._foreign_volume_backed(server_ids)

    def _foreign_volume_backed(
        self, server_ids: Sequence[str]
    ) -> Iterator[tuple[Snapshot, str]]:
        """Yield those that Nova made of servers that still exist.

        They do not say of which; the volumes that they were made of do.
        """
        attached = {
            server_id: set(self.listing.cloud.servers.volumes(server_id))
            for server_id in server_ids
        }
        reader = self.listing.finder.reader
        query = Query(owner=reader, reader=reader, kind=Kind.VOLUME)
        for one in self.listing.snapshots(query):
            parts = map(self._all_parts.get, one.mapped_volumes)
            made_of = {part['volume_id'] for part in parts if part}
            if one.is_claimed or not made_of:
                continue
            for server_id, volumes in attached.items():
                if made_of <= volumes:
                    yield one, server_id
                    break

    @property
    def _all_parts(self) -> Mapping[str, Mapping[str, Any]]:
        """All volume snapshots of the project, by ID; asked for once."""
        if self._parts is None:
            pages = self.listing.cloud.volumes.pages()
            self._parts = {one['id']: one for one in pages}
        return self._parts

    def _flaw(self, snapshot: Snapshot) -> str:
        """Why it can't be launched; '' if it can."""
        for part_id in snapshot.volumes:
            part = self._all_parts.get(part_id)
            status = part['status'] if part else 'gone'
            if status != 'available':
                return f'volume snapshot {part_id} is {status}'
        return ''
