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

"""What it costs to have us installed, and what our commands cost."""

import dataclasses
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import measure, tax
from benchmarks.report import Chart, Goal, Report, Row, Table, median
from xloudclient.tests.cloud import Cloud

TITLE = 'What it costs to have it installed'
ABOUT = """\
cliff imports the modules of all commands of all plugins at every start of
``openstack``, so every user pays for every plugin. Two folders with the same
packages, one of them without us, take turns as the client's path. Where runs
of one and the same command differ by more than we cost, as their spread shows,
their difference says nothing; so the cost itself is measured on its own: the
client's modules are loaded, then the clock is started and our entry points are
loaded as cliff loads them. Modules are counted as the command ends.

Below, our commands beside their native relatives: CPU time and HTTP requests,
those for the token and the versions included. CPU times are medians ({runs}
runs each above, {pair_runs} below), and from the least to the most.
"""
PAIRS = {
    'snapshot list': 'image list',
    'server snapshot create': 'server image create',
}
RUNS, QUICK_RUNS = 9, 2
PAIR_RUNS, QUICK_PAIR_RUNS = 5, 1
GOAL_MS, GOAL_MODULES = 3.0, 8


def measure_all(cloud: Cloud, quick: bool) -> list[Row]:
    """Return a row for each command, with and without us, and each pair."""
    runs = QUICK_RUNS if quick else RUNS
    rows = list(tax.paid(cloud.environ('demo'), runs))
    return rows + list(_pairs(cloud, QUICK_PAIR_RUNS if quick else PAIR_RUNS))


def _pairs(cloud: Cloud, runs: int) -> Iterator[Row]:
    server = cloud.server(name='web')
    commands = [command for pair in PAIRS.items() for command in pair]
    found: dict[str, list[tuple[float, int]]] = {one: [] for one in commands}
    for command in commands * runs:
        words = command.split()
        if words[0] == 'server':
            words.append('web')
        cost, requests = measure.counted(cloud, *words)
        found[command].append((cost.cpu_seconds, requests))
        _tidy(cloud, server)
    cloud.delete(server)
    for command, pairs in found.items():
        yield {
            'command': command,
            'cpu_seconds': [cpu for cpu, _ in pairs],
            'requests': [requests for _, requests in pairs],
        }


def _tidy(cloud: Cloud, server: Any) -> None:
    compute = cloud.connection().compute
    cloud.wait(
        lambda: compute.get_server(server).task_state is None, what='no task'
    )
    cloud.delete_images()


def report(rows: Sequence[Row]) -> Report:
    """Show them."""
    taxes = [_tax(rows, command) for command in tax.COMMANDS]
    single = {
        row['command']: row
        for row in rows
        if 'command' in row and 'plugin' not in row
    }
    about = ABOUT.format(
        runs=len(taxes[0].with_us),
        pair_runs=len(single[next(iter(PAIRS))]['cpu_seconds']),
    )
    return Report(
        about,
        [*_tax_goals(taxes), *_pair_goals(single)],
        [_tax_table(taxes), _pair_table(single)],
        _chart(single, taxes),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Tax:
    """What a native command pays for us: milliseconds, modules."""

    command: str
    with_us: list[float]
    without: list[float]
    loading: list[float]
    native_modules: int
    our_modules: int


def _tax(rows: Sequence[Row], command: str) -> _Tax:
    [with_us] = _of(rows, command=command, plugin='with')
    [without] = _of(rows, command=command, plugin='without')
    [loading] = _of(rows, loading=command)
    return _Tax(
        command,
        [seconds * 1000 for seconds in with_us['cpu_seconds']],
        [seconds * 1000 for seconds in without['cpu_seconds']],
        loading['milliseconds'],
        without['modules'],
        len(with_us['added']),
    )


def _of(rows: Sequence[Row], **fields: str) -> list[Row]:
    return [row for row in rows if fields.items() <= row.items()]


def _median(row: Row) -> float:
    return statistics.median(row['cpu_seconds'])


def _tax_goals(taxes: Sequence[_Tax]) -> Iterator[Goal]:
    for one in taxes:
        yield Goal(
            f'``openstack {one.command}``: {GOAL_MS:g} ms more at most',
            median(one.loading, 1, 'ms'),
            statistics.median(one.loading) <= GOAL_MS,
            f'It is {one.our_modules} small files that are found and read, '
            'and the classes of our commands; nothing is imported that the '
            'client has not imported before (``test_startup`` has the list).',
        )
        yield Goal(
            f'``openstack {one.command}``: {GOAL_MODULES} modules more at '
            'most',
            f'{one.our_modules}',
            one.our_modules <= GOAL_MODULES,
        )


def _pair_goals(single: dict[str, Row]) -> Iterator[Goal]:
    for ours, native in PAIRS.items():
        one, other = single[ours], single[native]
        yield Goal(
            f'``{ours}``: no more requests than ``{native}``',
            f'{max(one["requests"])} beside {min(other["requests"])}',
            max(one['requests']) <= min(other['requests']),
            LIMITS[ours],
        )
        yield Goal(
            f'``{ours}``: no more CPU time than ``{native}``',
            f'{_seconds(one)} beside {_seconds(other)}',
            _median(one) <= _median(other),
            CPU_LIMIT.format(
                ours=ours, native=native, over=_median(one) - _median(other)
            ),
        )


def _seconds(row: Row) -> str:
    return median(row['cpu_seconds'], 2, 's')


CPU_LIMIT = """\
The start of the client is the same for both. ``{ours}`` took {over:.2f} s
more than ``{native}`` (medians; the table has how far runs of one differ).
What it does besides is to load modules of our own (a snapshot also those of
``rich``, for the progress), and to send its own requests."""
LIMITS = {
    'snapshot list': """\
Glance can't be asked for one property *or* another, so the three kinds of
snapshots take a request each. ``image list`` fetches pages of 25 images: from
50 images on it sends as many requests; see *Many images* for more.""",
    'server snapshot create': """\
It looks whether the name is taken and whether the quota has room, watches
until the disk is captured, and writes down what was proven. The native
command knows nothing of the outcome when it returns; see the fleet below for
``--wait``.""",
}


def _tax_table(taxes: Sequence[_Tax]) -> Table:
    head = (
        'command', 'without us', 'with us', 'loading us', 'modules',
        'of ours',
    )  # fmt: skip
    return Table(
        head,
        [
            [
                f'openstack {one.command}',
                median(one.without, 0, 'ms'),
                median(one.with_us, 0, 'ms'),
                median(one.loading, 1, 'ms'),
                f'{one.native_modules}',
                f'{one.our_modules}',
            ]
            for one in taxes
        ],
    )


def _pair_table(single: dict[str, Row]) -> Table:
    rows = []
    for pair in PAIRS.items():
        for command in pair:
            row = single[command]
            requests = sorted(set(row['requests']))
            rows.append(
                [
                    f'openstack {command}',
                    _seconds(row),
                    ' to '.join(map(str, {requests[0], requests[-1]})),
                ]
            )
    return Table(['command', 'CPU time', 'requests'], rows)


def _chart(single: dict[str, Row], taxes: Sequence[_Tax]) -> Chart:
    groups = {
        f'openstack {one.command}': [
            statistics.median(found) for found in (one.with_us, one.without)
        ]
        for one in taxes
    }
    for ours, native in PAIRS.items():
        groups[ours] = [
            _median(single[command]) * 1000 for command in (ours, native)
        ]
    return Chart(
        'CPU time of a command',
        'ms',
        ('with us, or our command', 'without us, or its native relative'),
        groups,
    )
