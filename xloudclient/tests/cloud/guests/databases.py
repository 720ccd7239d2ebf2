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

"""Real database servers inside a guest, started over ssh as a user would.

Each belongs to its guest: data and sockets are in the guest's home, the
client programs find them by themselves, and they end with the guest.
"""

import glob
import os
import pathlib
import shlex
import textwrap
import time
from collections.abc import Sequence
from typing import Protocol

SEARCHED = ':'.join(
    [
        '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        *sorted(glob.glob('/usr/lib/postgresql/*/bin'), reverse=True),
        # where tools/prepare has unpacked it
        *filter(None, os.environ.get('PATH', '').split(':')),
    ]
)
SECONDS = 60


class Session(Protocol):
    """What is needed of a guest."""

    @property
    def home(self) -> pathlib.Path: ...

    @property
    def address(self) -> str: ...

    def run(self, *argv: str) -> 'Completed': ...


class Completed(Protocol):
    """The result of a command."""

    returncode: int
    stdout: str
    stderr: str


class DatabaseError(Exception):
    """A database server does not start or stop in a guest."""


class Database:
    """One server program in one guest."""

    name: str
    # run with $data; must leave the server running, or be over
    starts: str
    stops: str
    answers: str

    def __init__(
        self, guest: Session, folder: pathlib.Path | None = None
    ) -> None:
        self.guest = guest
        self.data = folder or guest.home / self.name

    def start(self) -> None:
        """Return once the server answers.

        :raises DatabaseError: it does not; the text tells why
        """
        self._run(self.starts)
        self._await(self.answers)

    def stop(self) -> None:
        """Return once the server has ended."""
        self._run(self.stops)

    def _await(self, script: str) -> None:
        end = time.monotonic() + SECONDS
        while self._call(script).returncode:
            if time.monotonic() > end:
                log = self._call(f'tail -n 40 {self.guest.home}/*.log')
                raise DatabaseError(f'{self.name} is not up:\n{log.stdout}')
            time.sleep(0.1)

    def _run(self, script: str) -> None:
        done = self._call(script)
        if done.returncode:
            raise DatabaseError(f'{self.name}: {done.stdout}{done.stderr}')

    def _call(self, script: str) -> Completed:
        lines = (
            f'PATH={SEARCHED}:$PATH',
            f'data={quoted([str(self.data)])}',
            f'address={self.guest.address}',
            'set -eu',
            'cd',
            textwrap.dedent(script),
        )
        return self.guest.run('sh', '-c', '\n'.join(lines))


class MariaDB(Database):
    """mariadbd, without network; its root needs no password."""

    name = 'mariadb'
    # innodb_*: a fresh server is then 30 MB, and is made within a second
    starts = """
        cat > .my.cnf <<END
        [client]
        socket=$HOME/mysqld.sock
        user=root
        [mariadbd]
        datadir=$data
        socket=$HOME/mysqld.sock
        pid-file=$HOME/mysqld.pid
        log-error=$HOME/mariadb.log
        skip-networking
        innodb_log_file_size=8M
        innodb_buffer_pool_size=16M
        END
        if ! [ -d "$data/mysql" ]; then
            mariadb-install-db --defaults-file=$HOME/.my.cnf \\
                --auth-root-authentication-method=normal --skip-test-db \\
                --force --skip-name-resolve \\
                --datadir="$data" >install.log 2>&1 || {
                cat install.log; exit 1; }
        fi
        setsid mariadbd --defaults-file=$HOME/.my.cnf \\
            </dev/null >/dev/null 2>&1 &
        """
    stops = """
        pid=$(cat mysqld.pid)
        mariadb -e shutdown
        while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
        """
    answers = 'mariadb -e "select 1"'


class PostgreSQL(Database):
    """postgres, on a socket in the home, where PGHOST points."""

    name = 'postgresql'
    starts = """
        [ -e "$data/PG_VERSION" ] || initdb -A trust --no-sync -D "$data" \\
            >initdb.log 2>&1 || { cat initdb.log; exit 1; }
        echo "$data" > .postgresql
        pg_ctl -D "$data" -l postgresql.log -w \\
            -o "-c listen_addresses= -k $HOME" start >/dev/null 2>&1 \\
            </dev/null || { cat postgresql.log; exit 1; }
        """
    stops = 'pg_ctl -D "$(cat .postgresql)" -m fast -w stop >/dev/null'
    answers = 'psql -c "select 1"'


class Redis(Database):
    """redis-server, at the guest's own address."""

    name = 'redis'
    # Debian's redis-tools has the server under another name
    starts = """
        command -v redis-server >/dev/null ||
            ln -sf "$(command -v redis-check-rdb)" bin/redis-server
        PATH=$PATH:$HOME/bin
        mkdir -p "$data"
        redis-server --daemonize yes --bind $address --dir "$data" \\
            --protected-mode no --pidfile $HOME/redis.pid \\
            --logfile $HOME/redis.log >/dev/null
        """
    stops = """
        pid=$(cat redis.pid)
        $HOME/bin/redis-cli shutdown
        while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
        """
    answers = '[ "$($HOME/bin/redis-cli ping)" = PONG ]'


def quoted(argv: Sequence[str]) -> str:
    """Return the words as one line for a remote shell."""
    return shlex.join(argv)
