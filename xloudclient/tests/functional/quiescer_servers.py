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

"""Real databases for the quiescers' tests, on sockets in a folder.

They keep their data in memory: that is quicker, and nothing here depends on
the disk.
"""

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile

from xloudclient.tests.functional import quiescer_hook

_PATH = quiescer_hook.SEARCH_PATH


_shared = {}


def shared(test, kind, *options):
    """Give a server that the tests of this process have in common."""
    if missing := kind.missing():
        test.fail(f'{missing} is not installed: see tools/prepare')
    if (kind, options) not in _shared:
        server = _shared[kind, options] = kind(*options)
        atexit.register(server.remove)
    return _shared[kind, options]


class Server:
    """A database server in a folder of its own."""

    account = None
    place = '/dev/shm'
    #: The command that gives it a view of the machine of its own.
    apart = ()

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix='quiescer-', dir=self.place)
        self.socket = os.path.join(self.folder, 'socket')
        self.data = os.path.join(self.folder, 'data')
        self.process = None
        os.chmod(self.folder, 0o755)

    @classmethod
    def missing(cls):
        """Name a program that is not installed, or None."""
        return next(
            (
                name
                for name in cls.programs
                if not shutil.which(name, path=_PATH)
            ),
            None,
        )

    def start(self):
        with open(os.path.join(self.folder, 'log'), 'a') as log:
            self.process = self._spawn_apart(self.command(), log)
        if not quiescer_hook.wait_for(self._is_settled) or not self.answers():
            with open(os.path.join(self.folder, 'log')) as log:
                said = log.read()
            self.remove()
            raise AssertionError(f'{self.programs[0]}: {said}')

    def _is_settled(self):
        return self.process.poll() is not None or self.answers()

    def stop(self):
        self.process.terminate()
        self.process.wait(30)

    def restart(self):
        self.stop()
        self.start()

    def answers(self):
        return self.query(self.hello).returncode == 0

    def query(self, statement):
        return subprocess.run(
            [*self.client(), statement],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def ask(self, statement):
        done = self.query(statement)
        if done.returncode:
            raise AssertionError(done.stderr)
        return done.stdout.strip()

    def write(self):
        """Begin a write; a process that ends when the write has."""
        return subprocess.Popen(
            [*self.client(), self.writing],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def remove(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _spawn_apart(self, command, log):
        if not self.apart:
            return self._spawn(command, log)
        account = pwd.getpwnam(self.account or 'root')
        return subprocess.Popen(
            [
                *self.apart,
                'setpriv',
                f'--reuid={account.pw_uid}',
                f'--regid={account.pw_gid}',
                '--clear-groups',
                *command,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self.folder,
        )

    def _spawn(self, command, log):
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self.folder,
            user=self.account,
            group=pwd.getpwnam(self.account).pw_gid if self.account else None,
        )

    def _run(self, command):
        with open(os.path.join(self.folder, 'log'), 'a') as log:
            code = self._spawn(command, log).wait()
        if code:
            with open(os.path.join(self.folder, 'log')) as log:
                raise AssertionError(log.read())


class MariaDB(Server):
    programs = ('mariadbd', 'mariadb-install-db', 'mariadb')
    hello = 'SELECT 1'
    writing = 'INSERT INTO d.t VALUES (NULL)'

    def __init__(self, *options):
        super().__init__()
        self.options = options
        self.defaults = os.path.join(self.folder, 'client.cnf')
        with open(self.defaults, 'w') as defaults:
            defaults.write(f'[client]\nuser=root\nsocket={self.socket}\n')
        self.logs = os.path.join(self.folder, 'logs')
        os.mkdir(self.logs)
        self._run(
            [
                'mariadb-install-db',
                '--no-defaults',
                f'--user={pwd.getpwuid(os.geteuid()).pw_name}',
                f'--datadir={self.data}',
                '--auth-root-authentication-method=normal',
                '--skip-test-db',
                '--skip-name-resolve',
                '--force',
            ]
        )
        os.rename(f'{self.data}/ib_logfile0', f'{self.logs}/ib_logfile0')
        self.start()
        self.ask(
            'CREATE DATABASE d;'
            'CREATE TABLE d.t (i INT AUTO_INCREMENT PRIMARY KEY);'
            'CREATE TABLE d.few (i INT PRIMARY KEY);'
            'INSERT INTO d.few VALUES (1);'
        )

    def command(self):
        return [
            shutil.which('mariadbd', path=_PATH),
            '--no-defaults',
            f'--user={pwd.getpwuid(os.geteuid()).pw_name}',
            f'--datadir={self.data}',
            f'--socket={self.socket}',
            f'--pid-file={self.folder}/pid',
            f'--innodb-log-group-home-dir={self.logs}',
            '--skip-networking',
            '--innodb-buffer-pool-size=16M',
            '--innodb-log-file-size=4M',
            '--innodb-flush-log-at-trx-commit=2',
            *self.options,
        ]

    def client(self):
        return [
            'mariadb',
            '--no-defaults',
            f'--socket={self.socket}',
            '--user=root',
            '--comments',
            '-BNe',
        ]


class MariaDBOnDisk(MariaDB):
    """One that has its files where there is a disk below.

    In memory, MariaDB maps its log instead of writing it: a copy has then
    what a disk would not.
    """

    place = '/var/tmp'


def with_mounts(script):
    """Give the command for a server with other mounts than we have.

    :param script: shell text; it runs in the server's folder
    """
    return ('unshare', '--mount', 'sh', '-ec', f'{script}; exec "$@"', 'sh')


def _unprivileged():
    """Name an account for a server that refuses to run as root."""
    accounts = {one.pw_name for one in pwd.getpwall()}
    return 'postgres' if 'postgres' in accounts else 'daemon'


class PostgreSQL(Server):
    programs = ('postgres', 'psql')
    hello = 'SELECT 1'
    writing = 'INSERT INTO t VALUES (1)'
    port = '5999'

    def __init__(self, *options):
        super().__init__()
        self.options = options
        # The server refuses to run as root.
        if os.geteuid() == 0:
            self.account = _unprivileged()
            shutil.chown(self.folder, self.account)
        self.programs_folder = os.path.dirname(
            os.path.realpath(shutil.which('postgres', path=_PATH))
        )
        self._run(
            [
                f'{self.programs_folder}/initdb',
                f'--pgdata={self.data}',
                '--auth=trust',
                '--username=postgres',
                '--no-sync',
            ]
        )
        self.start()
        self.ask('CREATE TABLE t (i int)')

    def command(self):
        return [
            f'{self.programs_folder}/postgres',
            '-D',
            self.data,
            '-k',
            self.folder,
            '-p',
            self.port,
            '-c',
            'listen_addresses=',
            # in its folder, so that nothing is left when it is killed
            '-c',
            'dynamic_shared_memory_type=mmap',
            *self.options,
        ]

    def client(self):
        return [
            'psql',
            '-XAtq',
            '-v',
            'ON_ERROR_STOP=1',
            f'--host={self.folder}',
            f'--port={self.port}',
            '--username=postgres',
            '--dbname=postgres',
            '-c',
        ]

    def stop(self):
        # SIGINT: it doesn't wait for its clients.
        self.process.send_signal(2)
        self.process.wait(30)


class Postmaster(PostgreSQL):
    """One that runs by the name that it has in Red Hat's systems."""

    def command(self):
        name = os.path.join(self.folder, 'postmaster')
        program, *options = super().command()
        if not os.path.islink(name):
            os.symlink(program, name)
        return [name, *options]


class Redis(Server):
    programs = ('redis-check-rdb', 'redis-cli')
    hello = 'PING'
    writing = 'SET key value'

    def __init__(self, *options):
        super().__init__()
        self.options = options
        os.mkdir(self.data)
        # Debian's check tools are the server under another name.
        self.program = os.path.join(self.folder, 'redis-server')
        os.symlink(shutil.which('redis-check-rdb', path=_PATH), self.program)
        self.start()

    def answers(self):
        # redis-cli ends with 0 also when it could not connect
        return self.query(self.hello).stdout.strip() == 'PONG'

    def command(self):
        return [
            self.program,
            '--port',
            '0',
            '--unixsocket',
            self.socket,
            '--dir',
            self.data,
            '--save',
            '',
            *self.options,
        ]

    def client(self):
        # its words come from standard input, as one line
        return ['sh', '-c', f'echo "$1" | redis-cli -e -s {self.socket}', 'sh']
