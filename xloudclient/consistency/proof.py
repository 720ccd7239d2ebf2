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


"""Which class was proven?

The class is what holders could *show* between the capture and the release,
never what was asked for.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xloudclient.consistency.answers import Data, Evidence, GuestFacts
from xloudclient.consistency.plan import (
    Consistency,
    GuestState,
    Kind,
    Plan,
    Quiescer,
    Volume,
)

NO_APPLICATION = 'no application was quiesced'
NOTHING_HELD = 'no application or file system was held'
SEVERAL_DISKS = (
    'several disks were captured at different moments and no freeze of all '
    'their file systems was proven'
)
#: Why a class is not higher although all went as planned.
REASONS = (NO_APPLICATION, NOTHING_HELD, SEVERAL_DISKS)


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    """One holder's testimony.

    :param ready: its ``ready`` line
    :param held: its answer to ``verify``; a sentence if it did not hold
    """

    quiescer: Quiescer
    ready: Evidence
    held: Evidence | str = 'it was not asked'

    @property
    def is_proven(self) -> bool:
        return isinstance(self.held, Evidence) and (
            self.held.position == self.ready.position
        )

    @property
    def gives(self) -> Consistency:
        """The class it declares; a built-in's own is the most it can."""
        declared = self.ready.gives
        own = self.quiescer.gives
        if own is None:
            return Consistency.CRASH if declared is None else declared
        return own if declared is None else min(own, declared)


@dataclasses.dataclass(frozen=True, slots=True)
class Proof:
    """The class that was proven, and why it is not a higher one."""

    consistency: Consistency
    reason: str = ''
    position: str = ''


def read_line(line: Mapping[str, Any]) -> Evidence:
    """Read the JSON of a ``ready`` or ``held`` line.

    It comes from the guest: whatever does not have the right shape counts
    as not said.
    """
    try:
        gives = Consistency.of(str(line['gives'])) if 'gives' in line else None
    except KeyError:
        gives = None
    skipped = {disk for one in _data(line, 'skipped') for disk in one.disks}
    frozen = {disk for one in _data(line, 'frozen') for disk in one.disks}
    return Evidence(
        gives=gives,
        data=_data(line, 'data'),
        frozen=tuple(sorted(frozen - skipped)),
        file_systems=_data(line, 'frozen'),
        position=str(line.get('position') or ''),
        detail=dict(line),
    )


def _data(line: Mapping[str, Any], key: str) -> tuple[Data, ...]:
    found = line.get(key)
    return tuple(
        Data(str(one.get('path', '?')), tuple(map(str, one.get('disks', ()))))
        for one in (found if isinstance(found, list) else ())
        if isinstance(one, dict) and isinstance(one.get('disks', []), list)
    )


def captured_disks(plan: Plan, facts: GuestFacts) -> frozenset[str]:
    """Name the guest's disks that the snapshot holds.

    A Cinder volume shows its ID as the disk's serial number, of which virtio
    keeps 20 characters (``VIRTIO_BLK_ID_BYTES``); SCSI shows it whole. What
    is below ``/`` and is no volume is the server's own disk, if it is one:
    of several (an ephemeral disk in the same volume group) nobody can tell
    which was captured, so none counts. Nor does it if a volume shows no
    serial number, for it may be that one.
    """
    captured = _disks_of(plan.captured_volumes, facts)
    volumes = plan.target.volumes
    attached = _disks_of(volumes, facts)
    own = [disk for disk in facts.root_disks if disk not in attached]
    unseen = [one for one in volumes if not _disks_of([one], facts)]
    if plan.target.kind is Kind.IMAGE:
        is_known = not unseen
    else:
        is_known = len(unseen) == len(volumes) == 1
    if len(own) == 1 and is_known:
        captured = {*captured, *own}
    return frozenset(captured)


def _disks_of(volumes: Iterable[Volume], facts: GuestFacts) -> set[str]:
    ids = [volume.id for volume in volumes]
    return {
        disk
        for disk, serial in facts.serials.items()
        if len(serial) >= 20 and any(one.startswith(serial) for one in ids)
    }


def count_disks(plan: Plan) -> int:
    """Count the disks in the snapshot."""
    own_root = plan.target.kind is Kind.IMAGE
    return int(own_root) + len(plan.captured_volumes)


def prove_idle(plan: Plan) -> Proof:
    """Judge the snapshot of a guest that was not running, all the while."""
    if shared := _shared(plan):
        return Proof(Consistency.NONE, shared)
    if plan.target.state is GuestState.PAUSED:
        return Proof(Consistency.CRASH, 'paused')
    return Proof(Consistency.CRASH, "stopped (whether cleanly can't be seen)")


def prove(
    plan: Plan,
    facts: GuestFacts,
    holders: Sequence[Holder],
    lapses: Iterable[str] = (),
) -> Proof:
    """Judge the snapshot of a running guest by what its holders showed.

    :param holders: every holder that was asked for and started
    :param lapses: what else went wrong and lowers the class (a quiescer or
        pre hook that was dropped, a hold that ended before the capture)
    """
    position = '; '.join(
        one.ready.position for one in holders if one.ready.position
    )
    consistency, reason = _judge(plan, facts, holders, lapses)
    return Proof(consistency, reason, position)


def _judge(
    plan: Plan,
    facts: GuestFacts,
    holders: Sequence[Holder],
    lapses: Iterable[str],
) -> tuple[Consistency, str]:
    if shared := _shared(plan):
        return Consistency.NONE, shared
    disks = captured_disks(plan, facts)
    several = count_disks(plan) > 1
    # the agent freezes them all, but for the capture of one of them
    all_frozen = is_frozen(plan, facts, holders) and not (
        several and plan.by_agent
    )
    if several and (len(disks) < count_disks(plan) or not all_frozen):
        return (
            Consistency.NONE,
            SEVERAL_DISKS,
        )
    if outside := (
        _outside(holders, disks) or _torn(plan, facts, holders, disks)
    ):
        return Consistency.NONE, outside
    if problems := [*lapses, *_broken(holders)]:
        return Consistency.CRASH, '; '.join(problems)
    return _best(holders, all_frozen)


def _shared(plan: Plan) -> str:
    """Name a captured volume that others may write to, held or not."""
    for volume in plan.captured_volumes:
        if volume.is_shared:
            return (
                f'volume {volume.id} is attached to other servers, too, and '
                'what they write is not held'
            )
    return ''


def is_frozen(
    plan: Plan, facts: GuestFacts, holders: Sequence[Holder]
) -> bool:
    """Whether all captured disks were shown to be frozen."""
    disks = captured_disks(plan, facts)
    frozen = {
        disk for one in holders if one.is_proven for disk in one.ready.frozen
    }
    return bool(disks) and disks <= frozen


def _torn(
    plan: Plan,
    facts: GuestFacts,
    holders: Iterable[Holder],
    disks: frozenset[str],
) -> str:
    """Say which file system is in the snapshot in part only."""
    systems = [
        Data('/', facts.root_disks),
        *(data for one in holders for data in one.ready.file_systems),
    ]
    for one in systems:
        missing = ', '.join(sorted(set(one.disks) - disks))
        if missing and not disks.isdisjoint(one.disks):
            return f'{one.path} is also on {missing}, which was not captured'
    attached = _disks_of(plan.target.volumes, facts)
    if plan.target.kind is Kind.IMAGE:
        own = sorted(set(facts.root_disks) - attached)
        if len(own) > 1:
            return f'/ is on {", ".join(own)}, of which one was captured'
    return ''


def _best(
    holders: Sequence[Holder], all_frozen: bool
) -> tuple[Consistency, str]:
    floor = Consistency.FILESYSTEM if all_frozen else Consistency.CRASH
    best = max([floor, *(_gives(one, all_frozen) for one in holders)])
    if best is Consistency.APPLICATION:
        return best, ''
    if best is Consistency.FILESYSTEM:
        return best, NO_APPLICATION
    return best, NOTHING_HELD


def _gives(holder: Holder, all_frozen: bool) -> Consistency:
    if holder.quiescer.gives is Consistency.FILESYSTEM and not all_frozen:
        return Consistency.CRASH
    return holder.gives


def _broken(holders: Iterable[Holder]) -> list[str]:
    return [
        f'{one.quiescer.name}: '
        + (
            one.held
            if isinstance(one.held, str)
            else 'its position moved while it was held'
        )
        for one in holders
        if not one.is_proven
    ] + [
        f'{one.quiescer.name} gives {one.gives}: '
        + str(one.ready.detail.get('reason') or 'it says no more')
        for one in holders
        if one.is_proven and one.gives < (one.quiescer.gives or one.gives)
    ]


def _outside(holders: Iterable[Holder], disks: frozenset[str]) -> str:
    """Say which data is not on a captured disk, if an application's is."""
    for one in holders:
        if one.gives < Consistency.APPLICATION:
            continue
        if not one.ready.data and one.quiescer.gives is not None:
            return f'{one.quiescer.name} did not say where its data lives'
        for data in one.ready.data:
            if not data.disks:
                return f'it is not known which disk {data.path} is on'
            if not set(data.disks) <= disks:
                missing = ', '.join(sorted(set(data.disks) - disks))
                return f'{data.path} is on {missing}, which was not captured'
    return ''
