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

"""Many servers in one command, beside a loop of native ones."""

import contextlib
import dataclasses
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures

from benchmarks import measure, replies
from benchmarks.measure import Cost
from benchmarks.report import Chart, Goal, Report, Row, Table, times
from xloudclient.tests.cloud import Cloud

TITLE = 'Many servers'
ABOUT = """\
*ours*
    ``openstack server snapshot create --wait web-1 web-2 ...``
*loop*
    ``for s in ...; do openstack server image create --wait --name snap-$s
    $s; done``
*xargs -P8*
    the same native command, eight at a time

First on the cloud, with real servers. There the services take most of the
time, and this machine is one compute host, of which ours takes one snapshot
at a time. Then with the cloud's share taken out: a small server
(``benchmarks/replies.py``) gives the replies that the real one gave for one
server and its snapshot to every request, at once, for any number of servers,
three to a compute host. The clients are the real ones. Native commands know
nothing of each other, so some of them tell the cost of each.

CPU time is the client's, with all that it starts. Memory is that of the
largest process; ``xargs`` has eight of them at a time.
"""
OURS, LOOP, XARGS = WAYS = ('ours', 'loop', 'xargs -P8')
CLOUD, REPLIES = PLACES = ('cloud', 'replies')
NATIVE = 'openstack server image create --wait --name'
#: How many servers are snapshotted in each way.
SIZES = {
    CLOUD: {OURS: (1, 10, 40), LOOP: (10,), XARGS: (10,)},
    REPLIES: {OURS: (1, 10, 100, 300), LOOP: (10,), XARGS: (10,)},
}
QUICK_SIZES = {
    CLOUD: {OURS: (1, 3), LOOP: (1, 3), XARGS: (3,)},
    REPLIES: {OURS: (1, 10, 300), LOOP: (3,), XARGS: (8,)},
}
MOST_MIB = 150


@dataclasses.dataclass(frozen=True, slots=True)
class Fleet:
    """Where there are servers that can be snapshotted.

    :param count: tells the requests since it was last asked
    :param tidy: has everything as it was
    """

    place: str
    user: Mapping[str, str]
    count: Callable[[], int]
    tidy: Callable[[], None]

    def snapshot(self, way: str, servers: int) -> Row:
        """Snapshot the first servers; return what it took."""
        names = [f'web-{number + 1}' for number in range(servers)]
        self.count()
        cost = _run(way, names, self.user)
        requests = self.count()
        self.tidy()
        return {
            'place': self.place,
            'way': way,
            'servers': servers,
            'requests': requests,
            **dataclasses.asdict(cost),
        }


def _run(way: str, names: list[str], user: Mapping[str, str]) -> Cost:
    if way == OURS:
        words = ('server', 'snapshot', 'create', '--wait', *names)
        return measure.openstack(user, *words)
    listed = shlex.join(names)
    if way == LOOP:
        script = f'for s in {listed}; do {NATIVE} snap-$s $s || exit; done'
    else:
        script = f"printf '%s\\n' {listed} | xargs -P8 -I@ {NATIVE} snap-@ @"
    return measure.run(['sh', '-c', script], user)


def measure_all(cloud: Cloud, quick: bool) -> list[Row]:
    """Return a row for each place, way and number of servers."""
    sizes = QUICK_SIZES if quick else SIZES
    most = max(max(one) for one in sizes[CLOUD].values())
    with _real(cloud, most) as fleet:
        rows = list(_all(fleet, sizes[CLOUD]))
        recorded = _record(cloud)
    with replies.served(recorded) as (url, count):
        user = {**cloud.environ('demo'), 'OS_AUTH_URL': url}
        fleet = Fleet(REPLIES, user, count, lambda: None)
        return rows + list(_all(fleet, sizes[REPLIES]))


def _all(fleet: Fleet, sizes: Mapping[str, Sequence[int]]) -> Iterator[Row]:
    for way, numbers in sizes.items():
        for servers in numbers:
            yield fleet.snapshot(way, servers)


@contextlib.contextmanager
def _real(cloud: Cloud, servers: int) -> Iterator[Fleet]:
    with futures.ThreadPoolExecutor(4) as pool:
        names = [f'web-{number + 1}' for number in range(servers)]
        made = list(pool.map(lambda name: cloud.server(name=name), names))
    seen = 0

    def count() -> int:
        nonlocal seen
        before, seen = seen, measure.requests(cloud, 0)
        return seen - before

    try:
        user = cloud.environ('demo')
        yield Fleet(CLOUD, user, count, lambda: _tidy(cloud))
    finally:
        with futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(cloud.delete, made))
        cloud.delete_images()


def _tidy(cloud: Cloud) -> None:
    compute = cloud.connection().compute
    cloud.wait(
        lambda: not any(one.task_state for one in compute.servers()),
        what='no task',
    )
    cloud.delete_images()


def _record(cloud: Cloud) -> replies.Json:
    conn = cloud.connection()
    [server] = conn.compute.servers(name='^web-1$')
    image = conn.compute.create_server_image(server, 'recorded')
    cloud.wait(
        lambda: conn.image.get_image(image.id).status == 'active',
        what='active',
    )
    cloud.wait(
        lambda: conn.compute.get_server(server.id).task_state is None,
        what='no task',
    )
    return replies.record(cloud, server, image.id)


def report(rows: Sequence[Row]) -> Report:
    """Show them."""
    return Report(ABOUT, list(_goals(rows)), [_table(rows)], _chart(rows))


def _of(rows: Sequence[Row], place: str, way: str) -> Row:
    """The row of the most servers."""
    return max(
        (r for r in rows if (r['place'], r['way']) == (place, way)),
        key=lambda row: row['servers'],
    )


def _each(row: Row, what: str) -> float:
    return float(row[what]) / row['servers']


def _goals(rows: Sequence[Row]) -> Iterator[Goal]:
    for place in PLACES:
        ours, loop = (_of(rows, place, way) for way in (OURS, LOOP))
        one, other = (_each(row, 'cpu_seconds') for row in (ours, loop))
        yield Goal(
            f'CPU time of each of {ours["servers"]} servers ({place}): a '
            "tenth of the loop's at most",
            f'{one * 1000:.0f} ms beside {other * 1000:.0f} ms: '
            f'{times(other, one)} times less',
            other >= 10 * one,
            LIMIT,
        )
        one, other = (_each(row, 'requests') for row in (ours, loop))
        yield Goal(
            f"requests of each ({place}): no more than the loop's",
            f'{one:.1f} beside {other:.1f}',
            one <= other,
            POLLS,
        )
    most = _of(rows, REPLIES, OURS)
    yield Goal(
        f'memory for {most["servers"]} servers: {MOST_MIB} MiB at most',
        f'{most["peak_mib"]:.0f} MiB',
        most['peak_mib'] <= MOST_MIB,
    )


LIMIT = """\
A command's CPU time is mostly its start. Ours starts once, so the fewer the
servers, the less it gains; the looks at each image come on top."""
POLLS = """\
We look at an image each quarter of a second until it is captured, native each
two seconds or five."""


def _table(rows: Sequence[Row]) -> Table:
    head = (
        'place', 'way', 'servers', 'wall time', 'CPU time', 'of each',
        'requests of each', 'memory',
    )  # fmt: skip
    return Table(
        head,
        [
            [
                row['place'],
                row['way'],
                str(row['servers']),
                f'{row["seconds"]:.1f} s',
                f'{row["cpu_seconds"]:.1f} s',
                f'{_each(row, "cpu_seconds"):.2f} s',
                f'{_each(row, "requests"):.1f}',
                f'{row["peak_mib"]:.0f} MiB',
            ]
            for row in rows
        ],
    )


def _chart(rows: Sequence[Row]) -> Chart:
    groups: dict[str, list[float | None]] = {}
    for row in rows:
        label = f'{row["place"]}: {row["servers"]} servers'
        cells = groups.setdefault(label, [None] * len(WAYS))
        cells[WAYS.index(row['way'])] = _each(row, 'cpu_seconds') * 1000
    return Chart(
        'CPU time of the client for each server', 'ms', WAYS, groups, True
    )
