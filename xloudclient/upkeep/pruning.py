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


"""Applies retention to what a project has, and deletes the rest.

Between the list and a deletion somebody may protect the snapshot, share it,
or delete it, another ``prune`` for instance. So each is read again right
before, and one that changed is kept.
"""

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from xloudclient.catalog.pruning import Rules, Verdict, verdicts
from xloudclient.catalog.snapshot import Snapshot
from xloudclient.cloud.members import Members
from xloudclient.consistency.errors import Busy, CloudError, Failure
from xloudclient.upkeep import listing, removing
from xloudclient.upkeep.candidates import Candidates
from xloudclient.upkeep.listing import Listing
from xloudclient.upkeep.removing import DeletedInPart, InTheWay, Removing

__all__ = ('Outcome', 'Pruning', 'Rules', 'of')

#: What tells that an image is not what it was.
WATCHED = ('status', 'protected', 'visibility', 'os_hash_value', 'updated_at')


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a snapshot.

    :param failure: why it is not gone, if it should be
    :param notes: what was kept of it, and why, as sentences
    """

    verdict: Verdict
    failure: Exception | None = None
    notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Pruning:
    """Prunes the snapshots of one project.

    :param now: UTC
    """

    listing: Listing
    members: Members
    removing: Removing
    rules: Rules
    now: datetime.datetime

    def plan(self, servers: Sequence[str]) -> list[Verdict]:
        """Return what is to become of each snapshot; nothing is changed.

        Those of one server are together, the newest first.

        :param servers: names or IDs; none for all
        :raises Failure: there is no such server
        """
        look = Candidates(self.listing, self.rules.has_foreign)
        decided = verdicts(look.of(servers), self.rules, self.now)
        return self._by_server(map(self._keep_shared, decided))

    def plan_again(
        self, servers: Sequence[str], agreed: Iterable[Verdict]
    ) -> list[Verdict]:
        """Plan anew what somebody took time to agree to.

        What was to stay may be gone by now: then other snapshots stay.
        """
        deletable = {one.snapshot.id for one in agreed if one.is_deletion}
        return [
            one
            if one.snapshot.id in deletable or not one.is_deletion
            else one.kept('it was not to be deleted when you agreed')
            for one in self.plan(servers)
        ]

    def _by_server(self, decided: Iterable[Verdict]) -> list[Verdict]:
        """Sort by the servers' names; a renamed one has its newest."""
        found = sorted(decided, key=_age, reverse=True)
        names: dict[str, str] = {}
        for one in found:
            names.setdefault(one.candidate.server_id, self.server_name(one))

        def place(one: Verdict) -> tuple[str, str]:
            server_id = one.candidate.server_id
            return names[server_id], server_id

        return sorted(found, key=place)

    def server_name(self, verdict: Verdict) -> str:
        """What the server was called, or is; '' if it is not known."""
        server_id = verdict.candidate.server_id
        if verdict.snapshot.server_name or not server_id:
            return verdict.snapshot.server_name
        return self.listing.name_of(server_id)

    def _keep_shared(self, verdict: Verdict) -> Verdict:
        """Keep what other projects may use."""
        snapshot = verdict.snapshot
        if not verdict.is_deletion or snapshot.visibility != 'shared':
            return verdict
        number = len(self.members.statuses(snapshot.id))
        return verdict.kept(f'shared ({number})') if number else verdict

    def carry_out(self, planned: Sequence[Verdict]) -> Iterator[Outcome]:
        """Do what was planned, one after the other; yield what was done."""
        for verdict in planned:
            if verdict.is_deletion:
                yield self._delete(verdict)
            else:
                yield Outcome(verdict)

    def _delete(self, verdict: Verdict) -> Outcome:
        try:
            snapshot = self.listing.finder.get(verdict.snapshot.id)
            if snapshot is None:
                return Outcome(verdict.because('it was gone already'))
            if changed := changes(verdict.snapshot, snapshot):
                return Outcome(verdict.kept(f'changed meanwhile: {changed}'))
            verdict = self._keep_shared(verdict)
            if not verdict.is_deletion:
                return Outcome(verdict)
            return Outcome(verdict, notes=self.removing.remove(snapshot))
        except (Busy, InTheWay) as reason:
            return Outcome(verdict.kept(str(reason)))
        except DeletedInPart as failure:
            return Outcome(verdict.because(str(failure)), failure)
        except (Failure, CloudError) as failure:
            return Outcome(verdict.kept(str(failure)), failure)


def _age(verdict: Verdict) -> tuple[str, str]:
    return verdict.snapshot.created_at, verdict.snapshot.id


def changes(before: Snapshot, now: Snapshot) -> str:
    """Tell what somebody changed of an image; '' if nothing."""
    return ', '.join(
        key for key in WATCHED if before.image.get(key) != now.image.get(key)
    )


def of(conn: Any, wanted: Rules) -> Pruning:
    """Make one for the project that a connection works in."""
    return Pruning(
        listing.of(conn),
        Members(conn),
        removing.of(conn),
        wanted,
        datetime.datetime.now(datetime.UTC),
    )
