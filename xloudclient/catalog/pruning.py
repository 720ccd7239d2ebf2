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


"""Which snapshots are pruned, and why each of the others is kept.

Retention is applied to each server by its ID: names are given twice, and
servers are renamed. What may not count is set aside before, what may not be
deleted is kept after, so a protected snapshot is the one of its day like any
other, and one that can't be launched is never the reason to delete one that
can.
"""

import dataclasses
import datetime
import enum
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from xloudclient.catalog import retention
from xloudclient.catalog.snapshot import Kind, Snapshot, moment
from xloudclient.consistency.errors import Misuse
from xloudclient.consistency.plan import Consistency

T = TypeVar('T')
#: With these, every project sees it.
OPEN = ('public', 'community')
#: The fields of a policy, and the options, that count.
COUNTED = ('last', *retention.PERIODS)


class Options(Protocol):
    """What a user can ask for; the options' own names.

    :ivar keep_within: a span; and so for each of :data:`COUNTED` a number
    """

    servers: list[str]
    keep_within: str | None
    consistency: str | None
    include_foreign: bool


class Action(enum.StrEnum):
    """What is to happen to a snapshot, or has happened."""

    KEEP = 'keep'
    DELETE = 'delete'


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A snapshot that is looked at.

    :param server_id: whose it is; '' if that is not known
    :param flaw: why it can't be launched; '' if it can
    """

    snapshot: Snapshot
    server_id: str
    flaw: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a snapshot, and why."""

    candidate: Candidate
    action: Action
    reason: str

    @property
    def snapshot(self) -> Snapshot:
        return self.candidate.snapshot

    @property
    def is_deletion(self) -> bool:
        return self.action is Action.DELETE

    def kept(self, reason: str) -> 'Verdict':
        """The same snapshot, kept after all."""
        return dataclasses.replace(self, action=Action.KEEP, reason=reason)

    def because(self, reason: str) -> 'Verdict':
        """The same verdict, for another reason."""
        return dataclasses.replace(self, reason=reason)


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """What is wanted.

    :param lowest: what is below this class is left alone; None: nothing is
    :param has_foreign: snapshots that others made count as well
    """

    policy: retention.Policy
    lowest: Consistency | None = None
    has_foreign: bool = False

    @classmethod
    def of(cls, options: Options) -> 'Rules':
        """Read the rules that the options give.

        :raises Misuse: there are none, or one makes no sense
        """
        counts = {
            name: _read(f'--keep-{name}', retention.count, value)
            for name in COUNTED
            if (value := getattr(options, f'keep_{name}')) is not None
        }
        within = options.keep_within
        span = _read('--keep-within', retention.Span.of, within or '0h')
        policy = retention.Policy(**counts, within=span)
        if policy.is_empty:
            raise Misuse(
                'nothing says what to keep',
                'Give at least one --keep option above zero.',
            )
        if options.include_foreign and not options.servers:
            raise Misuse('--include-foreign needs the servers it is for')
        lowest = options.consistency
        return cls(
            policy,
            Consistency.of(lowest) if lowest else None,
            options.include_foreign,
        )

    def why_aside(self, candidate: Candidate) -> str:
        """Why a snapshot neither counts nor is deleted; '' if it does."""
        snapshot = candidate.snapshot
        if snapshot.is_uploading:
            return f'uploading ({snapshot.status})'
        if snapshot.is_shelved:
            return snapshot.why
        if snapshot.converted_from:
            return 'a copy that was made to be shared'
        if not snapshot.is_claimed:
            if not self.has_foreign:
                return snapshot.why
            if snapshot.kind is Kind.BACKUP:
                return 'a backup, which Nova rotates'
        if not candidate.server_id:
            return 'its server is not known'
        if snapshot.status != 'active':
            return f'its status is {snapshot.status}'
        return candidate.flaw or self._why_below(snapshot)

    def _why_below(self, snapshot: Snapshot) -> str:
        known = snapshot.consistency
        if self.lowest is None or (known is not None and known >= self.lowest):
            return ''
        word = snapshot.consistency_word
        return f'its class is {word}, not {self.lowest} or higher'


def _read(option: str, read: Callable[[str], T], text: str) -> T:
    try:
        return read(text)
    except ValueError as error:
        raise Misuse(f'{option}: {error}') from error


def verdicts(
    candidates: Iterable[Candidate], rules: Rules, now: datetime.datetime
) -> list[Verdict]:
    """Return one verdict for each snapshot, in the same order.

    :param now: UTC; see :func:`.retention.reasons_to_keep`
    """
    # one that is listed twice must not count twice
    everyone = list({one.snapshot.id: one for one in candidates}.values())
    decided: dict[str, Verdict] = {}
    servers: dict[str, list[Candidate]] = {}
    for one in everyone:
        if why := rules.why_aside(one):
            decided[one.snapshot.id] = Verdict(one, Action.KEEP, why)
        else:
            servers.setdefault(one.server_id, []).append(one)
    for found in servers.values():
        for verdict in _of_one_server(found, rules.policy, now):
            decided[verdict.snapshot.id] = verdict
    return [decided[one.snapshot.id] for one in everyone]


def _of_one_server(
    found: list[Candidate], policy: retention.Policy, now: datetime.datetime
) -> Iterable[Verdict]:
    # those of one moment in an order that every run has
    found.sort(key=lambda one: one.snapshot.id)
    moments = [moment(one.snapshot.created_at) for one in found]
    reasons = retention.reasons_to_keep(policy, moments, now)
    return map(_verdict, found, reasons)


def _verdict(candidate: Candidate, kept: Sequence[str]) -> Verdict:
    snapshot = candidate.snapshot
    if kept:
        return Verdict(candidate, Action.KEEP, ', '.join(kept))
    if snapshot.is_protected:
        return Verdict(candidate, Action.KEEP, 'protected')
    if snapshot.visibility in OPEN:
        return Verdict(candidate, Action.KEEP, snapshot.visibility)
    return Verdict(candidate, Action.DELETE, 'no rule keeps it')
