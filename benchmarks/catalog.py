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
ABOUT = """\
Images are written straight into Glance's database, one in a hundred of them
a snapshot, each with the properties that Nova sets. Every command goes through
Glance's API. Native is ``openstack image list --property
image_type=snapshot``, which asks Glance for all images in pages of 25 and
sieves them itself; it does not find those that are volume-backed, and a
native prune would begin with it, too. All have ``-f value``.

``snapshot list`` and native take turns, native fewer where it is slow; of
several runs, the one is shown whose time is the median.
"""
STOPPED = """\
Among {images:,} images, native was stopped after {seconds:.0f} s. It would
have taken more of everything that is shown: ``>``.
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
TURNS = 3
#: Native runs once if it takes longer than this.
LONG_SECONDS = 20
#: Native is stopped when it has taken so many times as long as ours: the
#: goal, and a fifth for our runs that come after it.
STOP_TIMES = 60
FLAT_MIB = 10


def measure_all(cloud: Cloud, quick: bool) -> list[Row]:
    """Return what each command took, for each number of images."""
    database = cloud.layout.database('glance')
    rows: list[Row] = []
    for images in QUICK_SIZES if quick else SIZES:
        crowd.clear(database)
        crowd.seed(database, measure.project(cloud), images, images // ONE_IN)
        rows += _turns(cloud, images)
        rows += [_row(cloud, images, words) for words in OURS if words != LIST]
    crowd.clear(database)
    return rows


def _turns(cloud: Cloud, images: int) -> Iterator[Row]:
    """Yield rows of our list and the native one, which may be stopped."""
    slowest = took = 0.0
    for _ in range(TURNS):
        ours = _row(cloud, images, LIST)
        yield ours
        slowest = max(slowest, ours['seconds'])
        if took <= LONG_SECONDS:
            native = _row(cloud, images, NATIVE, STOP_TIMES * slowest)
            yield native
            took = native['seconds']


def _row(
    cloud: Cloud,
    images: int,
    command: str,
    patience: float = measure.PATIENCE_SECONDS,
) -> Row:
    words = [*command.split(' '), '-f', 'value']
    cost, requests = measure.counted(cloud, *words, patience=patience)
    return {
        'images': images,
        'command': command,
        'requests': requests,
        **dataclasses.asdict(cost),
    }


def report(rows: Sequence[Row]) -> Report:
    """Show them."""
    stopped = [
        STOPPED.format(**row)
        for images in _sizes(rows)
        if not (row := _of(rows, images, NATIVE))['is_whole']
    ]
    about = '\n'.join([ABOUT, *stopped])
    return Report(about, list(_goals(rows)), [_table(rows)], _chart(rows))


def _sizes(rows: Sequence[Row]) -> list[int]:
    return sorted({row['images'] for row in rows})


def _runs(rows: Sequence[Row], images: int, command: str) -> list[Row]:
    return [
        row
        for row in rows
        if (row['images'], row['command']) == (images, command)
    ]


def _of(rows: Sequence[Row], images: int, command: str) -> Row:
    """The run whose time is the median."""
    found = _runs(rows, images, command)
    return sorted(found, key=lambda row: row['seconds'])[len(found) // 2]


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
            max(row['peak_mib'] for row in _runs(rows, images, command))
            for images in (fewest, most)
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
    return _least(native, times(native['seconds'], ours['seconds']))


def _least(row: Row, found: str) -> str:
    """Mark what would have been more, if the command was stopped."""
    return found if row['is_whole'] else f'> {found}'


def _short(command: str) -> str:
    words = command.split(' ')
    return ' '.join('ID' if word.count('-') == 4 else word for word in words)


def _table(rows: Sequence[Row]) -> Table:
    head = (
        'images', 'command', 'runs', 'time', 'times faster', 'requests',
        'CPU time', 'memory', 'lines',
    )  # fmt: skip
    return Table(
        head,
        [
            _cells(rows, _of(rows, images, command))
            for images in _sizes(rows)
            for command in (*OURS, NATIVE)
        ],
    )


def _cells(rows: Sequence[Row], row: Row) -> list[str]:
    images, command = row['images'], row['command']
    native = _of(rows, images, NATIVE)
    took = (
        str(row['requests']),
        f'{row["cpu_seconds"]:.1f} s',
        f'{row["peak_mib"]:.0f} MiB',
        str(row['lines']),
    )
    return [
        f'{images:,}',
        _short(command),
        str(len(_runs(rows, images, command))),
        _least(row, f'{row["seconds"]:.1f} s'),
        '1' if command == NATIVE else _times(native, row),
        *(_least(row, one) for one in took),
    ]


def _chart(rows: Sequence[Row]) -> Chart:
    commands = (LIST, OURS[-1], NATIVE)
    return Chart(
        'Time of a list',
        's',
        commands,
        {
            _label(_of(rows, images, NATIVE)): [
                _of(rows, images, command)['seconds'] for command in commands
            ]
            for images in _sizes(rows)
        },
        is_log=True,
    )


def _label(native: Row) -> str:
    mark = '' if native['is_whole'] else ', last one >'
    return f'{native["images"]:,} images{mark}'
