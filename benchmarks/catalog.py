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

"""Listing snapshots among many images, beside the native way."""

import dataclasses
from collections.abc import Iterator, Sequence

from benchmarks import measure
from benchmarks.report import Chart, Goal, Report, Row, Table, times
from xloudclient.tests.cloud import Cloud, crowd

TITLE = 'Many images'
PATIENCE_SECONDS = 200
ABOUT = f"""\
Images are written straight into Glance's database, one in a hundred of them
a snapshot, each with the properties that Nova sets. Every command goes through
Glance's API. Native is ``openstack image list --property
image_type=snapshot``, which asks Glance for all images in pages of 25 and
sieves them itself; it does not find those that are volume-backed, and a
native prune would begin with it, too. Each command runs once. Native is
stopped after {PATIENCE_SECONDS} s: it would take longer than is shown.
"""
NATIVE = 'image list --property image_type=snapshot'
LIST = 'snapshot list'
OURS = (
    LIST,
    'snapshot list --limit 20',
    'snapshot list --server 00000000-0000-0000-0000-000000000003',
    'snapshot prune --keep-last 3 --dry-run',
)
SIZES, QUICK_SIZES = (1_000, 10_000, 100_000), (200, 1_000)
ONE_IN = 100
GOAL_TIMES = 50
FLAT_MIB = 10


def measure_all(cloud: Cloud, quick: bool) -> list[Row]:
    """Return what each command took, for each number of images."""
    database = cloud.layout.database('glance')
    rows = []
    for images in QUICK_SIZES if quick else SIZES:
        crowd.clear(database)
        crowd.seed(database, measure.project(cloud), images, images // ONE_IN)
        rows += [_row(cloud, images, words) for words in (*OURS, NATIVE)]
    crowd.clear(database)
    return rows


def _row(cloud: Cloud, images: int, command: str) -> Row:
    words = [*command.split(' '), '-f', 'value']
    cost, requests = measure.counted(cloud, *words, patience=PATIENCE_SECONDS)
    return {
        'images': images,
        'command': command,
        'requests': requests,
        **dataclasses.asdict(cost),
    }


def report(rows: Sequence[Row]) -> Report:
    """Show them."""
    return Report(list(_goals(rows)), [_table(rows)], _chart(rows))


def _sizes(rows: Sequence[Row]) -> list[int]:
    return sorted({row['images'] for row in rows})


def _of(rows: Sequence[Row], images: int, command: str) -> Row:
    [row] = [
        row
        for row in rows
        if (row['images'], row['command']) == (images, command)
    ]
    return row


def _goals(rows: Sequence[Row]) -> Iterator[Goal]:
    fewest, *_, most = _sizes(rows)
    ours, native = _of(rows, most, LIST), _of(rows, most, NATIVE)
    yield Goal(
        f'{most // ONE_IN:,} snapshots among {most:,} images: '
        f'{GOAL_TIMES} times faster than native',
        f'{_times(native, ours)} times',
        native['seconds'] >= GOAL_TIMES * ours['seconds'],
        "Native's time grows with the images, ours with the snapshots; among "
        'few images both take what the client takes to start.',
    )
    for command in OURS:
        little, much = (
            _of(rows, images, command)['peak_mib'] for images in (fewest, most)
        )
        yield Goal(
            f'``{_short(command)}``: no more than {FLAT_MIB} MiB more '
            f'memory for {most:,} images than for {fewest:,}',
            f'{little:.0f} MiB, {much:.0f} MiB',
            much - little <= FLAT_MIB,
            'The snapshots that are shown are in memory until the table is '
            'drawn, so that its columns fit; other images never are.',
        )


def _times(native: Row, ours: Row) -> str:
    """How many times faster ours is; at least, if native was stopped."""
    found = times(native['seconds'], ours['seconds'])
    return found if native['is_whole'] else f'> {found}'


def _time(row: Row) -> str:
    found = f'{row["seconds"]:.1f} s'
    return found if row['is_whole'] else f'> {found}'


def _short(command: str) -> str:
    words = command.split(' ')
    return ' '.join('ID' if word.count('-') == 4 else word for word in words)


def _table(rows: Sequence[Row]) -> Table:
    head = (
        'images', 'command', 'time', 'times faster', 'requests', 'CPU time',
        'memory', 'lines',
    )  # fmt: skip
    return Table(
        head,
        [
            [
                f'{row["images"]:,}',
                _short(row['command']),
                _time(row),
                _times(_of(rows, row['images'], NATIVE), row),
                str(row['requests']),
                f'{row["cpu_seconds"]:.1f} s',
                f'{row["peak_mib"]:.0f} MiB',
                str(row['lines']),
            ]
            for row in rows
        ],
    )


def _chart(rows: Sequence[Row]) -> Chart:
    commands = (LIST, OURS[-1], NATIVE)
    return Chart(
        'Time of a list',
        's',
        commands,
        {
            f'{images:,} images': [
                _of(rows, images, command)['seconds'] for command in commands
            ]
            for images in _sizes(rows)
        },
        is_log=True,
    )
