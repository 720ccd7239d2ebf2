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


"""What other projects offer this one: accepted, or rejected."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from xloudclient.catalog import offer
from xloudclient.catalog.snapshot import Snapshot
from xloudclient.cloud.compute import is_uuid
from xloudclient.cloud.members import Members
from xloudclient.consistency.errors import Failure, Refused
from xloudclient.consistency.text import printable
from xloudclient.upkeep import finding
from xloudclient.upkeep.finding import Finder

ACCEPTED, REJECTED = 'accepted', 'rejected'


@dataclasses.dataclass(frozen=True, slots=True)
class Offers:
    """The snapshots that are shared with one project.

    Its methods yield sentences, each when it has become true.
    """

    finder: Finder
    members: Members

    def accept(self, name_or_id: str) -> Iterator[str]:
        """Accept a snapshot: it is in this project's lists now.

        :raises Failure: no such snapshot is offered
        """
        snapshot = self._find(name_or_id)
        self._answer(snapshot, ACCEPTED)
        yield f'{snapshot.label} is accepted'
        if snapshot.mapped_volumes:
            yield (
                f"It can't be launched: {offer.volumes_stay(snapshot)}. In "
                f'project {printable(snapshot.project_id)}, openstack '
                f'snapshot share --convert {snapshot.id} '
                f'{self.finder.reader} shares it so that it can be.'
            )
        else:
            yield (
                'Next: openstack snapshot launch --flavor FLAVOR '
                f'{snapshot.id} NAME'
            )

    def reject(self, name_or_id: str) -> Iterator[str]:
        """Reject a snapshot: it is not in this project's lists.

        :raises Failure: no such snapshot is offered
        """
        snapshot = self._find(name_or_id)
        self._answer(snapshot, REJECTED)
        yield f'{snapshot.label} is rejected'
        yield f'Taken back with: openstack snapshot accept {snapshot.id}'

    def _answer(self, snapshot: Snapshot, status: str) -> None:
        if snapshot.is_own:
            raise Failure(f'{snapshot.label} belongs to this project')
        if snapshot.visibility in offer.OPEN:
            raise Failure(
                f'{snapshot.label} is {snapshot.visibility}: every project '
                'can use it, there is nothing to answer'
            )
        try:
            self.members.answer(snapshot.id, self.finder.reader, status)
        except Refused as error:
            raise Failure(
                f'{snapshot.label} is not offered to this project: {error}'
            ) from error

    def _find(self, name_or_id: str) -> Snapshot:
        """Find an offer: by name among those that wait for an answer first."""
        if is_uuid(name_or_id) and self.finder.get(name_or_id):
            return self.finder.find(name_or_id)
        found = self._named(name_or_id, 'pending')
        return offer.chosen(
            found or self._named(name_or_id, 'all'), name_or_id
        )

    def _named(self, name: str, status: str) -> list[Snapshot]:
        """The snapshots of that name that others share with this project."""
        return [
            one
            for one in self.finder.named(
                name, visibility='shared', member_status=status
            )
            if not one.is_own
        ]


def of(conn: Any) -> Offers:
    """Make one for the project that a connection works in."""
    return Offers(finding.of(conn), Members(conn))
