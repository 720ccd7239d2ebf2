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

"""What is kept of a trial, and what follows from it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

Counts = Mapping[str, int]
STORES = ('InnoDB', 'Aria', 'MyISAM', 'PostgreSQL', 'Redis', 'file')
#: Those that ours lets nobody write to.
HELD = ('InnoDB', 'Aria', 'MyISAM', 'Redis')


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """One trial; times are seconds since the epoch.

    :param arm: the name of the arm
    :param run: 1, 2, 3 ...
    :param position: rows of each store that were acknowledged when the
        snapshot's user believed them to be safe; see arms.py
    :param events: what happened when, in order: pairs of name and time
    :param pauses: per store, when a write waited for long
    :param claimed: the class that was recorded; empty if none
    :param disks: per disk what the judge said, see guest/judge.py
    :param stores: per store what the judge said
    :param seconds: that the trial took
    :param note: why there is no verdict; empty if there is one
    :param commit: what was run
    """

    arm: str
    run: int
    position: Counts = dataclasses.field(default_factory=dict)
    events: Sequence[tuple[str, float]] = ()
    pauses: Mapping[str, Sequence[tuple[float, float]]] = dataclasses.field(
        default_factory=dict
    )
    claimed: str = ''
    disks: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    stores: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    note: str = ''
    commit: str = ''

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> 'Result':
        """Return the result that was kept as JSON."""
        return cls(**fields)

    def at(self, event: str) -> float | None:
        """Return when something happened first; None if it did not."""
        return next(
            (when for name, when in self.events if name == event), None
        )

    def lost(self, store: str) -> int:
        """Return how many acknowledged rows of a store are not there."""
        rows = self.stores[store]['rows']
        return max(0, self.position[store] - rows)

    def beyond(self, store: str) -> int:
        """Return how many rows are there from after the position."""
        return max(0, self.stores[store]['last'] - self.position[store])

    @property
    def leaked(self) -> list[str]:
        """The stores that were written to although we say that we held."""
        return [one for one in HELD if self.claimed and self.beyond(one)]

    @property
    def torn(self) -> list[str]:
        """The stores that are damaged."""
        return [one for one in STORES if self.stores[one]['faults']]

    @property
    def replayed(self) -> list[str]:
        """The disks whose journal had to be replayed.

        XFS replays its log after each freeze, by design (xfs_fs_freeze in
        Linux): it says nothing there.
        """
        return [
            name
            for name, disk in self.disks.items()
            if disk['replayed'] and disk['type'] != 'xfs'
        ]

    @property
    def unclean(self) -> list[str]:
        """The disks that fsck has something against."""
        return [name for name, disk in self.disks.items() if disk['fsck']]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is lost, leaked, torn or to be repaired."""
        return not (
            self.note
            or any(self.lost(store) for store in STORES)
            or self.leaked
            or self.torn
            or self.replayed
            or self.unclean
        )

    def blocked(self, store: str) -> float:
        """Return the longest pause of a store around the snapshot, in s."""
        begin, end = self.events[0][1], self.events[-1][1]
        return max(
            (
                b - a
                for a, b in self.pauses.get(store, ())
                if b > begin and a < end
            ),
            default=0.0,
        )
