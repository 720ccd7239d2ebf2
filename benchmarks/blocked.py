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

"""How long the application is blocked per snapshot."""

import statistics
import threading
from collections.abc import Iterator, Sequence
from concurrent import futures

from benchmarks.lane import (
    AGENT,
    HOLD,
    MAX_FREEZE,
    OURS,
    RECIPE,
    WAYS,
    Lane,
    lane,
)
from benchmarks.report import Chart, Goal, Report, Row, Table, median
from xloudclient.tests.cloud import Cloud

TITLE = 'How long the application is blocked'
ABOUT = """\
Something writes to MariaDB in the guest, row after row. *Blocked* is the
longest pause between two commits that it saw around one snapshot. The cloud
is told how long the copy of the disk (the *capture*) and the *upload* to
Glance take; it logs when the disk was truly captured. A snapshot is
*consistent* if no row was committed between the lock and that moment.

*ours*
    ``openstack server snapshot consistent --quiesce mysql --max-freeze
    {max_freeze}``, and how to reach the guest
*agent hook*
    ours, too: ``openstack server snapshot consistent --quiesce agent``, after
    ``openstack server snapshot hook install`` (see :doc:`agent-hook`). The
    databases are held only around the point in time, at the end of the copy:
    for {held:.2f} s (median; {most:.2f} s at most) from the first lock to the
    last release, as the hook recorded, of all that it held
    ({quiesced}).
    The lock counts from when the hook had told that all are held. These guests
    are no machines: a script stands for their agent, and the freeze of the
    file systems itself is simulated. Real machines are in
    :doc:`real-machines`.
*hold until active*
    a script that keeps the lock until ``openstack server image create
    --wait`` returns (``benchmarks/scripts/hold-until-active``)
*recipe*
    as vendors' pages have it: ``sync``, ``mysql -e "FLUSH TABLES WITH READ
    LOCK"``, ``openstack server image create``, ``mysql -e "UNLOCK
    TABLES"`` (``benchmarks/scripts/recipe``). The lock ends with the first
    ``mysql``, so it blocks nobody and protects nothing.

Each way has servers of its own. Only one snapshot is at its capture at a
time; uploads overlap.
"""
#: Servers for each way; all take all snapshots.
SERVERS = {OURS: 2, AGENT: 2, HOLD: 1, RECIPE: 1}
PHASES = [(1, 10), (1, 60), (5, 10), (5, 60), (20, 10), (20, 60)]
QUICK_PHASES = [(1, 3), (2, 6)]


def measure_all(cloud: Cloud, quick: bool) -> list[Row]:
    """Take snapshots in all ways; a row each."""
    phases = QUICK_PHASES if quick else PHASES
    lanes = [
        lane(cloud, way, number)
        for way, count in SERVERS.items()
        for number in range(1 if quick else count)
    ]
    turn = threading.Lock()

    def run(number: int, one: Lane) -> list[Row]:
        # others capture while one uploads
        order = phases[number:] + phases[:number]
        return [one.snapshot(*phase, turn) for phase in order]

    try:
        with futures.ThreadPoolExecutor(len(lanes)) as pool:
            taken = pool.map(run, range(len(lanes)), lanes)
            rows = [row for rows in taken for row in rows]
            return sorted(rows, key=lambda r: (r['capture'], r['upload']))
    finally:
        for one in lanes:
            one.guest.stop_mariadb()
            cloud.delete(one.server)
        cloud.delete_images()


def report(rows: Sequence[Row]) -> Report:
    """Show them."""
    ours, hooked = _of(rows, OURS), _of(rows, AGENT)
    return Report(
        _about(hooked),
        [*_goals(ours), *_hook_goals(hooked)],
        [_table(rows)],
        _chart(rows),
    )


def _of(rows: Sequence[Row], way: str) -> list[Row]:
    return [row for row in rows if row['way'] == way]


def _at(rows: Sequence[Row], phase: tuple[float, float]) -> list[Row]:
    return [row for row in rows if (row['capture'], row['upload']) == phase]


def _phases(rows: Sequence[Row]) -> list[tuple[float, float]]:
    return list(dict.fromkeys((r['capture'], r['upload']) for r in rows))


def _about(hooked: Sequence[Row]) -> str:
    proven = [row for row in hooked if _is_proven(row)]
    held = [row['held'] for row in proven]
    return ABOUT.format(
        max_freeze=MAX_FREEZE,
        quiesced=', '.join(proven[0]['quiesced']),
        held=statistics.median(held),
        most=max(held),
    )


def _is_proven(row: Row) -> bool:
    return bool(row['claimed'] == 'application')


def _goals(ours: Sequence[Row]) -> Iterator[Goal]:
    over = [row['blocked'] - row['capture'] for row in ours]
    middle, worst, least = statistics.median(over), max(over), min(over)
    nova = statistics.median(row['cloud'] - row['capture'] for row in ours)
    limit = LIMIT.format(nova=nova)
    yield Goal(
        'ours, median: the capture and 0.3 s at most',
        f'the capture and {middle:.2f} s',
        middle <= 0.3,
        limit,
    )
    yield Goal(
        'ours, worst: the capture and 1 s at most',
        f'the capture and {worst:.2f} s',
        worst <= 1,
        limit,
    )
    yield Goal(
        'ours, never less than the capture',
        f'the capture and {least:.2f} s',
        least >= 0,
    )
    own = [row['blocked'] - row['cloud'] for row in ours]
    yield Goal(
        'of it ours, median: 0.3 s at most',
        f'{statistics.median(own):.2f} s ({max(own):.2f} s at most)',
        statistics.median(own) <= 0.3,
        'We look each quarter of a second; the rest is lock and release.',
    )
    yield _known('ours', ours)


def _hook_goals(hooked: Sequence[Row]) -> Iterator[Goal]:
    worst = max(row['blocked'] for row in hooked)
    yield Goal(
        "with the agent hook: blocked for less than 1 s, whatever the disk's "
        'size',
        f'{worst:.2f} s at most',
        worst < 1,
        HOOK_LIMIT,
    )
    yield _known('with the agent hook', hooked)


def _known(who: str, rows: Sequence[Row]) -> Goal:
    good = [row['is_consistent'] and _is_proven(row) for row in rows]
    return Goal(
        f'{who}: every snapshot consistent, and known to be',
        f'{sum(good)} of {len(good)}',
        all(good),
    )


LIMIT = """\
Of what is over, {nova:.2f} s (median) are Nova's: it answers the request,
hands it to the compute host, and after the copy updates the image before it
sends the first byte, which is the first thing that can be seen of the
capture. What we add to the time from the request until then is the goal *of
it ours*."""
HOOK_LIMIT = """\
Nova's freeze and thaw are a session of ssh each here, where the agent of a
machine is told through a device. Those sessions, and all databases that are
held, share the cores with the cloud."""


def _table(rows: Sequence[Row]) -> Table:
    consistent = [f'consistent: {way}' for way in WAYS]
    head = ['capture', 'upload', *WAYS, *consistent]
    cells = []
    for phase in _phases(rows):
        found = [_at(_of(rows, way), phase) for way in WAYS]
        cells.append(
            [
                *(f'{seconds:g} s' for seconds in phase),
                *(_seconds(one) for one in found),
                *(_consistent(one) for one in found),
            ]
        )
    return Table(head, cells)


def _seconds(rows: Sequence[Row]) -> str:
    return median([row['blocked'] for row in rows], 2, 's')


def _consistent(rows: Sequence[Row]) -> str:
    return f'{sum(row["is_consistent"] for row in rows)} of {len(rows)}'


def _chart(rows: Sequence[Row]) -> Chart:
    return Chart(
        'The application is blocked',
        'seconds',
        WAYS,
        {
            f'capture {capture:g} s, upload {upload:g} s': [
                statistics.median(row['blocked'] for row in found)
                for way in WAYS
                if (found := _at(_of(rows, way), (capture, upload)))
            ]
            for capture, upload in _phases(rows)
        },
    )
