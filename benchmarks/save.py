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

"""How fast a snapshot is fetched."""

import contextlib
import dataclasses
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence

from benchmarks import measure
from benchmarks.report import Chart, Goal, Report, Row, Table
from xloudclient.tests.cloud import Cloud

TITLE = 'Fetching a snapshot'
ABOUT = """\
A snapshot of {mib:.0f} MiB of random bytes goes from Glance to a file on this
machine: as fast as loopback carries it ({loopback} times in each way, in
turns), and at the rate of a line of 1 Gbit/s ({line}; Glance pauses between
its pieces). Client and Glance share the machine.

*ours*
    ``openstack snapshot save --file``: it verifies the SHA-512, has the file
    on disk (``fsync``) before it has its name, and can go on after an
    interruption
*native*
    ``openstack image save --file``: it verifies the hash
*curl*
    ``curl -o`` of the same URL, with a token
*curl, sha512sum, sync*
    and then what ``save`` does besides, one after the other

Time counts from the request for the bytes to the last change of the file:
for ours that is when it has its name, for the last way when all is done. What
``openstack`` takes to start and to end is the same for both clients, and has
nothing to do with the size. The rate is the median of the runs.
"""
OURS, NATIVE, CURL, CAREFUL = WAYS = (
    'ours',
    'native',
    'curl',
    'curl, sha512sum, sync',
)
LOOPBACK, LINE = LINES = ('loopback', '1 Gbit/s')
LINE_RATE = 125_000_000
MIB, GIB = 1 << 20, 1 << 30
SIZE, QUICK_SIZE = 1024 * MIB, 128 * MIB
RUNS, QUICK_RUNS = {LOOPBACK: 3, LINE: 1}, {LOOPBACK: 2, LINE: 1}


def measure_all(cloud: Cloud, quick: bool) -> list[Row]:
    """Return a row for each run."""
    size = QUICK_SIZE if quick else SIZE
    with (
        _image(cloud, size) as image_id,
        tempfile.TemporaryDirectory(prefix='benchmark-') as folder,
    ):
        path = pathlib.Path(folder, 'saved')
        commands = _commands(cloud, image_id, path)
        return [
            row
            for line, runs in (QUICK_RUNS if quick else RUNS).items()
            for _ in range(runs)
            for row in _each(cloud, line, commands, path)
        ]


@contextlib.contextmanager
def _image(cloud: Cloud, size: int) -> Iterator[str]:
    images = cloud.connection().image
    with tempfile.NamedTemporaryFile(prefix='benchmark-') as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
        file.flush()
        image = images.create_image(
            'big',
            filename=file.name,
            disk_format='raw',
            container_format='bare',
            image_type='snapshot',
            validate_checksum=False,
        )
    yield str(image.id)
    images.delete_image(image.id)


def _commands(
    cloud: Cloud, image_id: str, path: pathlib.Path
) -> dict[str, list[str]]:
    glance = cloud.layout.addresses().url('glance')
    curl = [
        'curl', '--silent', '--fail', '--output', str(path), '--header',
        f'X-Auth-Token: {cloud.connection().auth_token}',
        f'{glance}/v2/images/{image_id}/file',
    ]  # fmt: skip
    script = '"$@" && sha512sum "$0" && sync "$0"'
    words = ('save', '--file', str(path), image_id)
    return {
        OURS: [*measure.OPENSTACK, 'snapshot', *words],
        NATIVE: [*measure.OPENSTACK, 'image', *words],
        CURL: curl,
        CAREFUL: ['sh', '-c', script, str(path), *curl],
    }


def _each(
    cloud: Cloud,
    line: str,
    commands: dict[str, list[str]],
    path: pathlib.Path,
) -> Iterator[Row]:
    for way, argv in commands.items():
        if line == LINE:
            cloud.fault('glance', path='/file$', rate=LINE_RATE)
        since = time.time()
        cost = measure.run(argv, cloud.environ('demo'))
        # a rename counts as a change, too
        ended = time.time() if way == CAREFUL else path.stat().st_ctime
        cloud.reset()
        [asked] = [
            one
            for one in cloud.requests(since, service='glance')
            if one.path.endswith('/file')
        ]
        yield {
            'line': line,
            'way': way,
            'bytes': path.stat().st_size,
            'transfer': ended - asked.time,
            **dataclasses.asdict(cost),
        }
        path.unlink()


def report(rows: Sequence[Row]) -> Report:
    """Show them."""
    about = ABOUT.format(
        mib=rows[0]['bytes'] / MIB,
        loopback=len(_of(rows, LOOPBACK, OURS)),
        line=len(_of(rows, LINE, OURS)),
    )
    return Report(about, list(_goals(rows)), [_table(rows)], _chart(rows))


def _of(rows: Sequence[Row], line: str, way: str) -> list[Row]:
    return [row for row in rows if (row['line'], row['way']) == (line, way)]


def _rate(rows: Sequence[Row], line: str, way: str) -> float:
    """The median, in MiB a second."""
    return statistics.median(
        row['bytes'] / MIB / row['transfer'] for row in _of(rows, line, way)
    )


def _cpu_seconds(rows: Sequence[Row], line: str, way: str) -> float:
    return statistics.median(r['cpu_seconds'] for r in _of(rows, line, way))


def _goals(rows: Sequence[Row]) -> Iterator[Goal]:
    hashing = _cpu_seconds(rows, LOOPBACK, CAREFUL)
    hashing -= _cpu_seconds(rows, LOOPBACK, CURL)
    limit = LIMIT.format(
        hashing=hashing * GIB / rows[0]['bytes'],
        curl=GIB / MIB / _rate(rows, LOOPBACK, CURL),
    )
    for line in LINES:
        for way in (CURL, CAREFUL):
            ours, other = (_rate(rows, line, one) for one in (OURS, way))
            yield Goal(
                f'{line}: as fast as {way}, 5 % slower at most',
                f'{ours:.0f} MiB/s beside {other:.0f}: '
                f'{(ours / other - 1) * 100:+.0f} %',
                ours >= 0.95 * other,
                limit,
            )


LIMIT = """\
The hash is what costs: ``sha512sum`` takes {hashing:.1f} s of a core for each
GiB, and ``curl`` {curl:.1f} s to fetch it over loopback. ``save`` hashes in a
thread of its own while the next bytes come, but Glance, elsewhere on a machine
of its own, needs the cores, too, and ``fsync`` waits for the disk. Bytes that
nobody verified do not get the name."""


def _table(rows: Sequence[Row]) -> Table:
    cells = []
    for line in LINES:
        for way in WAYS:
            found = _of(rows, line, way)
            rate = _rate(rows, line, way)
            cpu = _cpu_seconds(rows, line, way)
            peak = max(row['peak_mib'] for row in found)
            cells.append(
                [
                    line,
                    way,
                    f'{rate:.0f} MiB/s',
                    f'{rate / _rate(rows, line, CURL):.2f}',
                    f'{cpu:.1f} s',
                    f'{peak:.0f} MiB',
                ]
            )
    head = ('line', 'way', 'rate', 'of curl', 'CPU time', 'memory')
    return Table(head, cells)


def _chart(rows: Sequence[Row]) -> Chart:
    groups = {line: [_rate(rows, line, way) for way in WAYS] for line in LINES}
    return Chart('Rate of a transfer', 'MiB/s', WAYS, groups)
