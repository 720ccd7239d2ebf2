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

"""What a hold costs in the guest, a minute."""

import contextlib
import os
import pathlib
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent import futures

from benchmarks.lane import HOLD, OURS, Lane, lane
from benchmarks.report import Chart, Goal, Report, Row, Table
from xloudclient.tests.cloud import Cloud
from xloudclient.tests.cloud.guests.guest import Guest
from xloudclient.tests.cloud.process import descendants

TITLE = 'The price of holding'
ABOUT = """\
MariaDB is locked and the disk is being copied; for {seconds:g} s of that, all
processes in the guest that were not there before are looked at, and what they
took is shown for a minute. Ours are the ssh session, the supervisor with its
lease, and the ``mysql`` holder with its client. *hold until active* has an ssh
session and the client that keeps the lock, and nobody who would let go of it
if it were forgotten. CPU time is counted in ticks of {tick_ms:g} ms. Bytes are
those that the kernel counted on the ssh connections, in both directions.
"""
WAYS = (OURS, HOLD)
SECONDS, QUICK_SECONDS = 30.0, 10.0
#: Until everything has been started.
SETTLED_SECONDS = 3.0
TICKS = os.sysconf('SC_CLK_TCK')
GOAL_SECONDS = 0.6


def measure_all(cloud: Cloud, quick: bool) -> list[Row]:
    """Return what each way took, over so many seconds."""
    seconds = QUICK_SECONDS if quick else SECONDS
    try:
        with futures.ThreadPoolExecutor() as pool:
            return list(pool.map(lambda one: _hold(cloud, one, seconds), WAYS))
    finally:
        cloud.delete_images()


def _hold(cloud: Cloud, way: str, seconds: float) -> Row:
    with _held(cloud, way, seconds) as (guest, found):
        cpu, sent = sum(map(_cpu, found)), _bytes(guest.address)
        time.sleep(seconds)
        # what came and went meanwhile is counted by its parent
        return {
            'way': way,
            'seconds': seconds,
            'cpu_seconds': sum(map(_cpu, found)) - cpu,
            'bytes': _bytes(guest.address) - sent,
            'processes': len(found),
            'memory_mib': sum(map(_memory, found)),
        }


@contextlib.contextmanager
def _held(
    cloud: Cloud, way: str, seconds: float
) -> Iterator[tuple[Guest, list[int]]]:
    """Keep a guest held; yield it, and the processes that do it."""
    where = lane(cloud, way, 0)
    root = where.guest.machine.pid
    before = set(descendants(root))
    cloud.control(where.server.id, capture=seconds + 3 * SETTLED_SECONDS)
    process = where.start('held')
    try:
        _await_capture(cloud, where)
        time.sleep(SETTLED_SECONDS)
        yield where.guest, sorted(set(descendants(root)) - before)
        process.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()
        where.guest.stop_mariadb()
        cloud.delete(where.server)


def _await_capture(cloud: Cloud, where: Lane) -> None:
    cloud.wait(
        lambda: cloud.events(where.server.id, 'capture-begin'),
        what='capture',
    )


def _cpu(pid: int) -> float:
    """Processor time, with that of its children that have ended."""
    fields = _read(pid, 'stat').rpartition(')')[2].split()[11:15]
    return sum(map(int, fields)) / TICKS


def _memory(pid: int) -> float:
    """In MiB; what is shared with others is shared among them."""
    found = re.search(r'^Pss: +(\d+) kB', _read(pid, 'smaps_rollup'), re.M)
    return int(found[1]) / 1024 if found else 0.0


def _read(pid: int, name: str) -> str:
    """Of a process that may have ended."""
    with contextlib.suppress(OSError):
        return pathlib.Path('/proc', str(pid), name).read_text()
    return ''


def _bytes(address: str) -> int:
    """Sent and received by all connections to a guest's sshd so far."""
    words = ['ss', '-tinH', 'state', 'established', 'dst', address]
    listed = subprocess.check_output(words, text=True)
    counts = re.findall(r'bytes_(?:acked|received):(\d+)', listed)
    return sum(map(int, counts))


def report(rows: Sequence[Row]) -> Report:
    """Show them."""
    found = {row['way']: row for row in rows}
    return Report(
        ABOUT.format(seconds=rows[0]['seconds'], tick_ms=1000 / TICKS),
        [
            Goal(
                'processor time in the guest: a hundredth of a core at most',
                f'{_minute(found[OURS], "cpu_seconds"):.2f} s a minute',
                _minute(found[OURS], 'cpu_seconds') <= GOAL_SECONDS,
            )
        ],
        [_table(found)],
        Chart(
            'Processor time in the guest, a minute held',
            's',
            WAYS,
            {'a minute': [_minute(one, 'cpu_seconds') for one in rows]},
        ),
    )


def _minute(row: Row, what: str) -> float:
    return float(row[what]) * 60 / row['seconds']


def _table(found: dict[str, Row]) -> Table:
    head = ('way', 'CPU time', 'over the network', 'processes', 'memory')
    return Table(
        head,
        [
            [
                way,
                f'{_minute(row, "cpu_seconds"):.2f} s a minute',
                f'{_minute(row, "bytes"):.0f} bytes a minute',
                str(row['processes']),
                f'{row["memory_mib"]:.1f} MiB',
            ]
            for way, row in found.items()
        ],
    )
