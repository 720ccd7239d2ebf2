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

"""Lists snapshots, newest first, as they come from the services."""

import dataclasses
import datetime
import heapq
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from xloudclient.catalog.query import Query
from xloudclient.catalog.snapshot import Kind, Snapshot, moment
from xloudclient.cloud.compute import is_uuid
from xloudclient.cloud.images import PAGE
from xloudclient.cloud.project import OpenStack
from xloudclient.cloud.projects import Projects
from xloudclient.consistency.errors import Failure, Refused
from xloudclient.consistency.plan import Consistency
from xloudclient.upkeep import uploads
from xloudclient.upkeep.finding import Finder

#: Both are sent, so that a list has one order.
NEWEST_FIRST = 'created_at:desc,id:desc'


class Options(Protocol):
    """What a user can ask for; the options' own names."""

    server: str | None
    consistency: str | None
    kind: str | None
    status: str | None
    name: str | None
    tags: list[str]
    run: str | None
    group: str | None
    since: datetime.datetime | None
    before: datetime.datetime | None
    shared: bool
    hidden: bool


@dataclasses.dataclass(slots=True)
class Listing:
    """The snapshots of a cloud, and the names of their servers."""

    cloud: OpenStack
    projects: Projects
    finder: Finder
    _is_of_others: bool = False
    _names: dict[str, str] | None = None
    _seen: set[str] = dataclasses.field(default_factory=set)

    def query(self, options: Options, owner: str | None = None) -> Query:
        """Make the query that the options ask for.

        :param owner: a project's ID, '' for all; None for one's own
        :raises Failure: there is no such server
        """
        reader = self.finder.reader
        owner = reader if owner is None else owner
        self._is_of_others = owner != reader
        server = options.server or ''
        if server and not is_uuid(server):
            found = self.cloud.servers.find(server, self._is_of_others)
            server = found['id']
        return Query(
            owner=owner,
            reader=reader,
            kind=Kind(options.kind) if options.kind else None,
            server_id=server,
            consistency=(
                Consistency.of(options.consistency)
                if options.consistency
                else None
            ),
            status=options.status or '',
            name=options.name or '',
            tags=tuple(options.tags),
            run_id=options.run or '',
            group_id=options.group or '',
            since=options.since,
            before=options.before,
            shared=options.shared,
            hidden=options.hidden,
        )

    def snapshots(
        self, query: Query, limit: int | None = None, marker: str | None = None
    ) -> Iterator[Snapshot]:
        """Yield what a query asks for, the newest first.

        One request is made per kind and page, when it is needed.

        :param limit: how many at most
        :param marker: the ID of the one before the first
        :raises Failure: the marker is in no such list
        """
        if marker:
            # Glance's own marker says nothing in the lists of other kinds
            end = self._second_after(marker)
            before = min(query.before or end, end)
            query = dataclasses.replace(query, before=before)
        size = PAGE if query.is_sieved else min(limit or PAGE, PAGE)
        pages = [self._one_kind(filters, size) for filters in query.requests()]
        found = _each_once(
            # Glance sorts by what it does not show, parts of a second
            heapq.merge(*pages, key=lambda one: one.created_at, reverse=True)
        )
        current: Iterator[Snapshot] = itertools.takewhile(
            lambda s: not query.is_past(s), found
        )
        if marker:
            current = _after(marker, current)
        return itertools.islice(filter(query.matches, current), limit)

    def _second_after(self, marker: str) -> datetime.datetime:
        """The end of the second in which a snapshot was created."""
        found = self.finder.get(marker)
        if found is None:
            raise Failure(f'--marker: there is no snapshot with ID {marker!r}')
        return moment(found.created_at) + datetime.timedelta(seconds=1)

    def _one_kind(
        self, filters: dict[str, str | list[str]], size: int
    ) -> Iterator[Snapshot]:
        asked: dict[str, str | list[str]] = {
            **filters,
            'sort': NEWEST_FIRST,
            'limit': str(size),
        }
        for image in self.finder.images.pages(asked):
            self._seen.add(image['id'])
            yield Snapshot(image, self.finder.reader)

    def server_name(self, snapshot: Snapshot) -> str:
        """The name of a snapshot's server; its ID where none is known.

        What is not recorded is asked for once, for all servers.
        """
        if snapshot.server_name or not snapshot.server_id:
            return snapshot.server_name
        return self.name_of(snapshot.server_id)

    def name_of(self, server_id: str) -> str:
        """The name of a server that exists; else its ID."""
        if self._names is None:
            try:
                self._names = self.cloud.servers.names(self._is_of_others)
            except Refused:
                # they say more than IDs, and nothing depends on them
                self._names = {}
        return self._names.get(server_id, server_id)

    def vanished(self) -> Iterator[str]:
        """Yield a sentence for each snapshot that came to nothing."""
        return uploads.vanished(self.cloud, self._seen)


def _each_once(snapshots: Iterable[Snapshot]) -> Iterator[Snapshot]:
    """Leave out repetitions, which are of the same second."""
    second, seen = '', set[str]()
    for one in snapshots:
        if one.created_at != second:
            second, seen = one.created_at, set()
        if one.id not in seen:
            seen.add(one.id)
            yield one


def _after(marker: str, snapshots: Iterator[Snapshot]) -> Iterator[Snapshot]:
    for one in snapshots:
        if one.id == marker:
            yield from snapshots
            return
    raise Failure(f'--marker: snapshot {marker} is not in this list')


def of(conn: Any) -> Listing:
    """Make a listing of what a connection can see."""
    cloud = OpenStack(conn)
    finder = Finder(cloud.images, conn.current_project_id)
    return Listing(cloud, Projects(conn), finder)
