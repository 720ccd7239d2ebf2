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

"""Gathers what is known of a snapshot or a server, and has it judged."""

import dataclasses
import datetime
import os
from collections.abc import Iterator, Mapping
from typing import Any

from xloudclient.catalog.diagnosis import server as of_server
from xloudclient.catalog.diagnosis import snapshot as of_snapshot
from xloudclient.catalog.diagnosis.facts import (
    DeadRun,
    Part,
    Quota,
    Request,
    ServerFacts,
    ServerState,
    SnapshotFacts,
)
from xloudclient.catalog.query import Query
from xloudclient.catalog.snapshot import Snapshot, moment
from xloudclient.cloud.members import Members
from xloudclient.cloud.project import OpenStack
from xloudclient.consistency.checks.cloud import AGENT, REQUIRED, is_yes
from xloudclient.consistency.checks.finding import Finding, Result
from xloudclient.consistency.checks.quota import OF_IMAGES, needs_of
from xloudclient.consistency.errors import Failure
from xloudclient.consistency.text import printable
from xloudclient.local import runs
from xloudclient.local.journal import runs_folder
from xloudclient.upkeep import listing, uploads
from xloudclient.upkeep.belonging import Belonging
from xloudclient.upkeep.finding import Absent, Finder
from xloudclient.upkeep.listing import Listing
from xloudclient.upkeep.remnants import Remnants

#: How many of a server's snapshots are looked at.
NEWEST = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Diagnosing:
    """Says what is wrong with snapshots and servers."""

    listing: Listing
    members: Members

    @property
    def cloud(self) -> OpenStack:
        return self.listing.cloud

    @property
    def finder(self) -> Finder:
        return self.listing.finder

    @property
    def _remnants(self) -> Remnants:
        return Remnants(
            self.cloud.volumes,
            Belonging(
                self.cloud.images, self.cloud.volumes, self.finder.reader
            ),
        )

    def diagnose(self, name_or_id: str) -> list[Finding]:
        """Say what is wrong with what has that name or ID.

        A name that a snapshot and a server have stands for both.

        :raises Failure: nothing has, or several have
        """
        found: list[Finding] = []
        try:
            found += self.of_snapshot(self.finder.find(name_or_id))
        except Absent:
            found += self._vanished(name_or_id)
            found += self._remnants.of_image(name_or_id)
        try:
            found += self.of_server(self.cloud.servers.find(name_or_id))
        except Failure:
            found += self._remnants.of_gone_server(name_or_id)
            if not found:
                raise Failure(
                    f'there is no snapshot or server {name_or_id!r}',
                    'Of a snapshot that failed nothing is left: diagnose '
                    'its server.',
                ) from None
        return [
            dataclasses.replace(one.printable(), check=printable(one.check))
            for one in found
        ]

    def of_snapshot(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Say what is wrong with a snapshot."""
        server = None
        if snapshot.server_id:
            found = self.cloud.servers.get(snapshot.server_id)
            server = _server(found) if found else None
        members = {}
        if snapshot.visibility == 'shared':
            members = self.members.statuses(snapshot.id)
        yield from of_snapshot.findings(
            SnapshotFacts(
                snapshot,
                datetime.datetime.now(datetime.UTC),
                server=server,
                parts=tuple(map(self._part, snapshot.volumes)),
                members=tuple(members) if snapshot.is_own else (),
                is_pending_offer=members.get(self.finder.reader) == 'pending',
                dead_run=_dead_run(snapshot) if snapshot.is_own else '',
            )
        )

    def _part(self, part_id: str) -> Part:
        found = self.cloud.volumes.get(part_id)
        if found is None:
            return Part(part_id, '')
        status = found['status']
        message = ''
        if status.startswith('error'):
            message = self.cloud.volumes.user_message(part_id).rstrip('.')
        return Part(part_id, status, message)

    def of_server(self, found: Mapping[str, Any]) -> Iterator[Finding]:
        """Say what is wrong with a server, and with its snapshots."""
        server = _server(found)
        snapshots = tuple(self._snapshots(server.id))
        properties = self._boot_properties(found)
        yield from of_server.findings(
            ServerFacts(
                server,
                found['tenant_id'],
                datetime.datetime.now(datetime.UTC),
                snapshots=snapshots,
                requests=tuple(
                    Request(moment(time), printable(error))
                    for time, error in self.cloud.servers.snapshot_requests(
                        server.id
                    )
                ),
                orphans=self._remnants.of_server(
                    server.id,
                    [one.id for one in self.cloud.servers.attached(found)],
                ),
                quotas=tuple(self._quotas(found)),
                needs_agent=is_yes(properties, REQUIRED),
                has_agent=is_yes(properties, AGENT),
                dead_runs=tuple(
                    DeadRun(record.run_id, uploads.quiesced(record))
                    for record in runs.dead_runs(runs_folder(os.environ))
                    if record.server_id == server.id
                ),
            )
        )
        for snapshot in snapshots:
            if snapshot.status != 'active' or snapshot.volumes:
                yield from self._trouble_with(snapshot)

    def _trouble_with(self, snapshot: Snapshot) -> Iterator[Finding]:
        """What is wrong with one of a server's snapshots, if anything."""
        for one in self.of_snapshot(snapshot):
            if one.result is Result.PROBLEM:
                check = f'{printable(snapshot.name)}: {one.check}'
                yield dataclasses.replace(one, check=check)

    def _snapshots(self, server_id: str) -> Iterator[Snapshot]:
        reader = self.finder.reader
        query = Query(owner=reader, reader=reader, server_id=server_id)
        return self.listing.snapshots(query, limit=NEWEST)

    def _boot_properties(self, found: Mapping[str, Any]) -> Mapping[str, Any]:
        """The properties of the image that a server was booted from."""
        if found['image']:
            return self.cloud.images.get(found['image']['id']) or {}
        attached = self.cloud.servers.attached(found)
        if not attached:
            return {}
        return self.cloud.volumes.image_properties(attached[0].id)

    def _quotas(self, found: Mapping[str, Any]) -> Iterator[Quota]:
        """Yield the quotas that a snapshot with all volumes counts for."""
        quotas = self.cloud.quotas
        volumes = [
            self.cloud.volumes.details(one.id)
            for one in self.cloud.servers.attached(found)
        ]
        for needs, ask in (
            (OF_IMAGES if found['image'] else {}, quotas.images),
            (needs_of(volumes), lambda: quotas.volumes(found['tenant_id'])),
        ):
            allowances = ask() if needs else {}
            for name, needed in needs.items():
                if name in allowances:
                    yield Quota(name, allowances[name], needed)

    def _vanished(self, image_id: str) -> Iterator[Finding]:
        """Say what is known of an image that is not there."""
        for record in runs.dead_runs(runs_folder(os.environ)):
            if uploads.image_of(record) == image_id:
                yield Finding(
                    'image',
                    Result.PROBLEM,
                    'it vanished: its upload failed, or somebody deleted '
                    f'it; its server is {record.server_id}',
                    f'openstack server snapshot recover {record.run_id}',
                )


def of(conn: Any) -> Diagnosing:
    """Make one for what a connection can see."""
    return Diagnosing(listing.of(conn), Members(conn))


def _server(found: Mapping[str, Any]) -> ServerState:
    return ServerState(
        found['id'],
        printable(found['name']),
        found['status'],
        found['OS-EXT-STS:task_state'] or '',
        moment(found['updated']),
    )


def _dead_run(snapshot: Snapshot) -> str:
    """The run that is to record a snapshot's proof, and is not at work."""
    for record in runs.dead_runs(runs_folder(os.environ)):
        if uploads.image_of(record) == snapshot.id:
            return record.run_id
    return ''
