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

"""Runs in a guest: writes to every store all the time and knows what was
acknowledged when.

It is told what to do on standard input, a word a line, and answers each with
a line of JSON:

``mark``    how many rows of each store were acknowledged until now
``at N``    how many were at that time
``report``  also when writes waited for long, by the guest's monotonic clock

At the end of input it ends. It needs nothing of a disk once it has begun, so
it can be asked while every file system is frozen.
"""

import bisect
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import psycopg2
import pymysql
import redis

FILE = '/var/lib/load.log'
LINE = 64
ENGINES = ('InnoDB', 'Aria', 'MyISAM')
#: Between two rows of a store; an emulated processor is kept busy enough.
REST_SECONDS = 0.05
#: How long a write has to wait before that is worth telling.
PAUSE_SECONDS = 0.5

Write = Callable[[int], None]


class Writer(threading.Thread):
    """Writes rows 1, 2, 3 ... of one store.

    :param count: the rows that are there
    """

    def __init__(self, name: str, count: int, write: Write) -> None:
        super().__init__(daemon=True)
        self.name = name
        self.there = count
        self.count = count
        self.write = write
        #: When the write that is not acknowledged began.
        self.began: float | None = None
        self.times: list[float] = []
        self.pauses: list[tuple[float, float]] = []
        self.error = ''

    def run(self) -> None:
        try:
            while True:
                self.began = time.monotonic()
                self.write(self.count + 1)
                self._acknowledged(self.began)
                time.sleep(REST_SECONDS)
        except Exception as error:
            self.error = f'{type(error).__name__}: {error}'

    def _acknowledged(self, began: float) -> None:
        self.count += 1
        now = time.monotonic()
        if now - began > PAUSE_SECONDS:
            self.pauses.append((began, now))
        self.began = None
        self.times.append(now)

    def pauses_until(self, now: float) -> list[tuple[float, float]]:
        """Return when writes waited; one may do so still."""
        pauses, began = [*self.pauses], self.began
        if began is not None and now - began > PAUSE_SECONDS:
            pauses.append((began, now))
        return pauses

    def count_at(self, when: float) -> int:
        """Return how many rows were acknowledged until then."""
        return self.there + bisect.bisect(self.times[:], when)


def mariadb() -> list[Writer]:
    """Return the writers of one table for each engine."""
    found = []
    for engine in ENGINES:
        link = pymysql.connect(
            unix_socket='/run/mysqld/mysqld.sock', user='root', autocommit=True
        )
        cursor = link.cursor()
        cursor.execute('CREATE DATABASE IF NOT EXISTS load_test')
        table = f'load_test.{engine.lower()}'
        cursor.execute(
            f'CREATE TABLE IF NOT EXISTS {table} '
            f'(n BIGINT PRIMARY KEY, filling VARCHAR(200)) ENGINE={engine}'
        )
        cursor.execute(f'SELECT COALESCE(MAX(n), 0) FROM {table}')
        (count,) = cursor.fetchone()
        insert = f'INSERT INTO {table} VALUES (%s, %s)'

        def write(
            n: int,
            cursor: pymysql.cursors.Cursor = cursor,
            insert: str = insert,
        ) -> None:
            cursor.execute(insert, (n, 'x' * 100))

        found.append(Writer(engine, count, write))
    return found


def postgresql() -> Writer:
    subprocess.run(
        ['runuser', '-u', 'postgres', '--', 'createuser', '-s', 'root'],
        stderr=subprocess.DEVNULL,
        check=False,  # it may be there
    )
    link = psycopg2.connect(dbname='postgres', user='root')
    link.autocommit = True
    cursor = link.cursor()
    cursor.execute(
        'CREATE TABLE IF NOT EXISTS load_test '
        '(n BIGINT PRIMARY KEY, filling VARCHAR(200))'
    )
    cursor.execute('SELECT COALESCE(MAX(n), 0) FROM load_test')
    (count,) = cursor.fetchone()

    def write(n: int) -> None:
        cursor.execute('INSERT INTO load_test VALUES (%s, %s)', (n, 'x' * 100))

    return Writer('PostgreSQL', count, write)


def store() -> Writer:
    link = redis.Redis()

    def write(n: int) -> None:
        link.rpush('load_test', n)

    return Writer('Redis', link.llen('load_test'), write)


def file() -> Writer:
    """Return the writer of a log: lines of one length, never synced."""
    log = os.open(FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(n: int) -> None:
        os.write(log, f'{n:010d}'.ljust(LINE - 1, '.').encode() + b'\n')

    return Writer('file', os.fstat(log).st_size // LINE, write)


def main() -> None:
    writers = [*mariadb(), postgresql(), store(), file()]
    for one in writers:
        one.start()
    answer(writers)
    for line in sys.stdin:
        word, _, when = line.strip().partition(' ')
        answer(writers, float(when or 'inf'), is_long=word == 'report')


def answer(
    writers: list[Writer], when: float = math.inf, is_long: bool = False
) -> None:
    """Print a line about the load until now; its counts, until then."""
    now = time.monotonic()
    said: dict[str, object] = {
        'now': now,
        'counts': {one.name: one.count_at(when) for one in writers},
        'errors': [f'{one.name}: {one.error}' for one in writers if one.error],
    }
    if is_long:
        said['pauses'] = {one.name: one.pauses_until(now) for one in writers}
    print(json.dumps(said), flush=True)


main()
