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

"""Runs in a guest that was launched from a snapshot, before any database is
started there: says as one JSON object what the snapshot is worth.

Arguments are further disks, ``LABEL:FOLDER``, which are checked and mounted.

``disks``   per device: whether its journal had to be replayed, and what fsck
            found (``fsck`` is empty if nothing)
``stores``  per store: the highest row, how many there are, and what is wrong
            with it (``faults`` is empty if nothing)
"""

import json
import os
import pathlib
import re
import subprocess
import sys
from typing import Any

FILE = pathlib.Path('/var/lib/load.log')
LINE = 64
ENGINES = ('InnoDB', 'Aria', 'MyISAM')
BOOT = pathlib.Path('/run/boot')
AOF = '/var/lib/redis/appendonlydir/appendonly.aof.manifest'
PG_AMCHECK = '/usr/lib/postgresql/15/bin/pg_amcheck'

#: What is found of a disk or a store; see above.
Found = dict[str, Any]


def run(*argv: str) -> tuple[int, str]:
    """Run a command; return its status and its output."""
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
        check=False,
        # other users can't enter root's folder, and say so
        cwd='/',
    )
    return done.returncode, done.stdout.strip()


def kernel_says(device: str, what: str) -> bool:
    return bool(re.search(rf'\({device}\): {what}', run('dmesg')[1]))


def root() -> Found:
    """The root disk, which the initial RAM disk has checked and mounted."""
    status = (BOOT / 'fsck.vda.status').read_text().strip()
    said = (BOOT / 'fsck.vda').read_text()
    return {
        'type': 'ext4',
        'replayed': kernel_says('vda', 'recovery complete'),
        'fsck': '' if status == '0' else said[-1500:],
    }


def disk(device: str, folder: str) -> Found:
    """Check another disk and mount it."""
    path = f'/dev/{device}'
    kind = run('blkid', '-o', 'value', '-s', 'TYPE', path)[1]
    if kind == 'xfs':
        return xfs(device, path, folder)
    status, said = run('e2fsck.static', '-f', '-n', path)
    mounted = run('mount', path, folder)[1]
    return {
        'type': kind,
        'replayed': kernel_says(device, 'recovery complete'),
        'fsck': (said[-1500:] if status else '') + mounted,
    }


def xfs(device: str, path: str, folder: str) -> Found:
    """XFS replays its log after each freeze, by design: no fault is seen in
    that. It is checked after the replay.
    """
    mounted = run('mount', path, folder)[1]
    replayed = kernel_says(device, 'Starting recovery')
    run('umount', path)
    status, said = run('xfs_repair', '-n', path)
    mounted += run('mount', path, folder)[1]
    return {
        'type': 'xfs',
        'replayed': replayed,
        'fsck': (said[-1500:] if status else '') + mounted,
    }


def sql(statement: str) -> tuple[int, str]:
    return run('mariadb', '-N', '-B', '-e', statement)


def table(engine: str, faults: list[str]) -> Found:
    name = f'load_test.{engine.lower()}'
    faults = [*faults]
    said = sql(f'CHECK TABLE {name}')[1]
    for line in said.splitlines():
        # an error of the client itself has no columns
        _, _, kind, text = [*line.split('\t'), '', '', '', ''][:4]
        # a table that was open is marked so, and is whole nevertheless
        if kind not in ('status', 'warning', 'note') or (
            kind == 'status' and text != 'OK'
        ):
            faults.append(text or line)
    if faults:
        sql(f'REPAIR TABLE {name}')
    return counted(sql(f'SELECT MAX(n), COUNT(*) FROM {name}'), faults)


def postgresql(faults: list[str]) -> Found:
    found = counted(psql('SELECT MAX(n), COUNT(*) FROM load_test'), faults)
    status, said = run(
        *('runuser', '-u', 'postgres', '--', PG_AMCHECK, '--all'),
        *('--install-missing', '--heapallindexed', '--parent-check'),
    )
    if status:
        found['faults'] += [said[-1000:]]
    return found


def psql(statement: str) -> tuple[int, str]:
    return run(
        *('runuser', '-u', 'postgres', '--', 'psql', '-A', '-t', '-F', '\t'),
        *('-c', statement),
    )


def counted(answer: tuple[int, str], faults: list[str]) -> Found:
    """Rows 1, 2, 3 ... were written: one that is not there is a hole."""
    status, text = answer
    last = rows = 0
    if status:
        faults.append(text)
    elif text:
        last, rows = (
            int(one) if one.isdigit() else 0 for one in text.split('\t')
        )
    if last != rows:
        faults.append(f'{rows} rows, the last one is number {last}')
    return {'last': last, 'rows': rows, 'faults': faults}


def redis(faults: list[str]) -> Found:
    status, text = run('redis-cli', 'LLEN', 'load_test')
    rows = int(text) if not status and text.isdigit() else 0
    last = run('redis-cli', 'LINDEX', 'load_test', '-1')[1]
    answer = f'{last or 0}\t{rows}'
    return counted((status, text if status else answer), faults)


def file() -> Found:
    data = FILE.read_bytes() if FILE.exists() else b''
    last, faults = 0, []
    for start in range(0, len(data), LINE):
        line = data[start : start + LINE]
        if line != f'{last + 1:010d}'.ljust(LINE - 1, '.').encode() + b'\n':
            faults.append(f'line {last + 1} is {line[:20]!r}')
            break
        last += 1
    return {'last': last, 'rows': last, 'faults': faults}


def stores() -> dict[str, Found]:
    """Start the databases as they are, without repair, and look."""
    found = {'file': file()}
    options = ('--myisam-recover-options=OFF', '--aria-recover-options=OFF')
    began = start('mariadb', '/var/log/mysql/error.log', *options)
    for engine in ENGINES:
        found[engine] = table(engine, began)
    log = '/var/log/postgresql/postgresql-15-main.log'
    found['PostgreSQL'] = postgresql(start('postgresql', log))
    began = start('redis', '/var/log/redis/redis-server.log')
    if began:
        # what an administrator is told to do
        run('sh', '-c', f'yes | redis-check-aof --fix {AOF}')
        start('redis', '')
    found['Redis'] = redis(began)
    return found


def start(name: str, log: str, *options: str) -> list[str]:
    """Start a database; return what is wrong if it does not."""
    if run('databases', name, *options)[0]:
        return [f'does not start: {run("tail", "-n", "1", log)[1][-300:]}']
    return []


def main() -> None:
    os.environ['LC_ALL'] = 'C.UTF-8'
    disks = {'vda': root()}
    for pair in sys.argv[1:]:
        label, folder = pair.split(':')
        device = os.path.basename(run('blkid', '-L', label)[1])
        disks[label] = disk(device, folder)
    print(json.dumps({'disks': disks, 'stores': stores()}))


main()
