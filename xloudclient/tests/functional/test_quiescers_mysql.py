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

"""The mysql quiescer on a real MariaDB."""

import contextlib
import json
import os
import pathlib
import shutil
import time

from xloudclient.tests.functional import quiescer_hook, quiescer_servers


class MysqlTestCase(quiescer_hook.HookTestCase):
    quiescer = 'mysql'
    server_options = ('--log-bin=bin',)

    def setUp(self):
        super().setUp()
        self.server = quiescer_servers.shared(
            self, quiescer_servers.MariaDB, *self.server_options
        )

    def hook(self, *options, **rest):
        return super().hook(
            f'defaults_file={self.server.defaults}', *options, **rest
        )

    def held(self, *options, **rest):
        hook = self.hook(*options, **rest)
        self.ready = hook.ready()
        return hook

    def blocked_write(self):
        writer = self.server.write()
        self.addCleanup(writer.wait)
        self.addCleanup(writer.kill)
        time.sleep(0.3)
        self.assertIsNone(writer.poll(), 'it could write under the lock')
        return writer

    def option_file(self, *lines):
        """Write an option file of the client; its path."""
        path = os.path.join(quiescer_hook.folder(self), 'options.cnf')
        with open(path, 'w') as options:
            options.write('\n'.join(lines) + '\n')
        return path

    def account(self, name, grants='RELOAD', password='secret'):
        """Make an account; the path of an option file that logs it in."""
        self.server.ask(
            f"CREATE USER {name}@localhost IDENTIFIED BY '{password}';"
            f'GRANT {grants} ON *.* TO {name}@localhost'
        )
        self.addCleanup(self.server.ask, f'DROP USER {name}@localhost')
        return self.option_file(
            '[client]',
            f'user={name}',
            f'password={password}',
            f'socket={self.server.socket}',
        )

    def assert_writes(self, writer):
        self.assertEqual(0, writer.wait(quiescer_hook.FREED_WITHIN))

    def in_another_session(self, statement, known_by=None):
        """Start a statement that takes long; a process."""
        writing = self.server.writing
        try:
            self.server.writing = statement
            process = self.server.write()
        finally:
            self.server.writing = writing
        self.addCleanup(process.wait)
        self.assertTrue(self.is_seen(known_by or statement))
        return process

    def is_seen(self, statement):
        """Wait until the server is at it; whether it ever was."""
        return quiescer_hook.wait_for(
            lambda: statement in self.server.ask('SHOW FULL PROCESSLIST')
        )

    def end_statements(self, pattern):
        for connection in self.server.ask(
            'SELECT id FROM information_schema.processlist '
            f"WHERE info LIKE '{pattern}' AND id <> CONNECTION_ID()"
        ).split():
            self.server.ask(f'KILL {connection}')


def sleeps(seconds):
    """Processes of this machine that sleep so long."""
    words = f'sleep\0{seconds}\0'.encode()
    found = []
    for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        with contextlib.suppress(OSError):
            if path.read_bytes().endswith(words):
                found.append(path.parent.name)
    return found


def clients(hook, program):
    """Processes of a hook that are this program, not what runs it."""
    found = []
    for path in pathlib.Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            if (path / 'exe').samefile(program) and (path / 'cwd').samefile(
                hook.folder
            ):
                found.append(int(path.name))
    return found


class TestMysqlHolds(MysqlTestCase):
    def test_no_write_between_ready_and_release(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.held(shell=shell)
                writer = self.blocked_write()
                held = hook.verify()
                self.assertEqual(self.ready['position'], held['position'])
                self.assertEqual(self.ready['connection'], held['connection'])
                self.assertEqual(held, hook.verify())
                self.assertEqual(0, hook.release())
                self.assert_writes(writer)
                self.assertEqual('released', hook.line())
                self.assertEqual('', hook.errors())
                self.assertEqual(['mysql'], hook.scratch_files())

    def test_prepared_it_holds_nothing_until_it_is_told_to(self):
        self.assert_prepares()

    def test_evidence_names_position_and_every_place_of_data(self):
        hook = self.held()
        first = self.ready
        hook.release()
        self.assertEqual('application', first['gives'])
        places = {one['path']: one for one in first['data']}
        self.assertEqual({self.server.data, self.server.logs}, set(places))
        where = {'disks': [], 'problem': 'tmpfs'}
        self.assertEqual(
            {'path': self.server.data, **where}, places[self.server.data]
        )
        self.assertRegex(first['position'], r'^bin\.\d+:\d+ gtid 0-1-\d+$')
        self.server.ask(self.server.writing)
        self.held().release()
        self.assertNotEqual(first['position'], self.ready['position'])

    def test_evidence_names_a_tablespace_elsewhere(self):
        place = os.path.join(self.server.folder, 'else "where"')
        os.mkdir(place)
        self.server.ask(f"CREATE TABLE d.far (i INT) DATA DIRECTORY='{place}'")
        self.addCleanup(self.server.ask, 'DROP TABLE d.far')
        self.held().release()
        places = [one['path'] for one in self.ready['data']]
        self.assertIn(f'{place}/d', places)

    def test_an_account_that_sees_no_tablespaces_finds_their_files(self):
        place = os.path.join(self.server.folder, 'isl where')
        os.mkdir(place)
        self.server.ask(f"CREATE TABLE d.isl (i INT) DATA DIRECTORY='{place}'")
        self.addCleanup(self.server.ask, 'DROP TABLE d.isl')
        path = self.account('reloads')
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.held(f'defaults_file={path}', shell=shell)
                places = [one['path'] for one in self.ready['data']]
                self.assertIn(f'{place}/d', places)
                # it can't see either that this is no replica
                self.assertEqual('application', self.ready['gives'])
                hook.verify()
                hook.release()

    def test_what_can_not_be_seen_is_in_the_evidence(self):
        path = self.account('blind')
        # the data folder as an account sees it that can't enter it
        text = quiescer_hook.quiescers.script('mysql').replace(
            'links_of() {\n', 'links_of() {\n    return 1\n'
        )
        hook = self.held(f'defaults_file={path}', text=text)
        problems = [one.get('problem', '') for one in self.ready['data']]
        hook.release()
        self.assertIn("this account can't enter all", ' '.join(problems))
        self.assertIn('it needs PROCESS', ' '.join(problems))

    def test_where_the_process_is_not_known_all_servers_count(self):
        other = quiescer_servers.MariaDB()
        self.addCleanup(other.remove)
        pid_file = f'{self.server.folder}/pid'
        os.rename(pid_file, f'{pid_file}.hidden')
        self.addCleanup(os.rename, f'{pid_file}.hidden', pid_file)
        self.held().release()
        self.assertEqual('tmpfs', self.ready['data'][0]['problem'])
        other.stop()
        other.apart = quiescer_servers.with_mounts(
            f'mount -t tmpfs none {self.server.data}'
        )
        other.start()
        self.held().release()
        self.assertEqual(
            'the server sees another file system there',
            self.ready['data'][0]['problem'],
        )

    def test_end_of_input_releases(self):
        hook = self.held()
        writer = self.blocked_write()
        hook.end_input()
        self.assert_writes(writer)
        self.assertEqual(0, hook.end())

    def test_killing_the_hook_releases(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.held(shell=shell)
                writer = self.blocked_write()
                hook.kill()
                self.assert_writes(writer)
                self.assert_output_ends(hook)

    def test_sigterm_releases_and_other_signals_do_not(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.held(shell=shell)
                for number in (1, 2, 13):
                    hook.process.send_signal(number)
                writer = self.blocked_write()
                hook.verify()
                hook.process.terminate()
                self.assert_writes(writer)
                self.assertEqual('released', hook.line())
                self.assertEqual(0, hook.end())

    def test_a_full_pipe_does_not_stop_the_release(self):
        hook = self.held()
        writer = self.blocked_write()
        hook.fill_output()
        hook.tell('release')
        self.assert_writes(writer)

    def test_a_closed_pipe_does_not_stop_the_release(self):
        hook = self.held()
        writer = self.blocked_write()
        hook.close_output()
        self.assertEqual(0, hook.release())
        self.assert_writes(writer)

    def test_a_server_that_drops_idle_sessions_keeps_this_one(self):
        before = self.server.ask('SELECT @@GLOBAL.wait_timeout')
        self.addCleanup(self.server.ask, f'SET GLOBAL wait_timeout = {before}')
        self.server.ask('SET GLOBAL wait_timeout = 1')
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.held(shell=shell)
                time.sleep(3)
                writer = self.blocked_write()
                hook.verify()
                self.assertEqual(0, hook.release())
                self.assert_writes(writer)

    def test_rotating_the_log_is_no_write(self):
        hook = self.held()
        self.server.ask('FLUSH BINARY LOGS')
        held = hook.verify()
        self.assertEqual(self.ready['position'], held['position'])
        self.assertNotEqual(held['position'], held['position_now'])
        hook.release()


class TestMysqlWhateverTheOptionFileSays(MysqlTestCase):
    def test_a_client_that_goes_on_after_an_error_is_no_lock(self):
        path = self.account('forced', 'USAGE')
        with open(path, 'a') as options:
            options.write('[mysql]\nforce\n')
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.hook(f'defaults_file={path}', shell=shell)
                self.assert_refused(hook, 1, "can't lock MariaDB: ERROR 1227")
                # even if the client could not be kept from going on
                text = quiescer_hook.quiescers.script('mysql')
                hook = self.hook(
                    f'defaults_file={path}',
                    shell=shell,
                    text=text.replace('--skip-force', '--force'),
                )
                self.assert_refused(hook, 1, "can't lock MariaDB")

    def test_how_the_client_prints_does_not_matter(self):
        for word in (
            'delimiter=//',
            'force',
            'vertical',
            'table',
            'html',
            'xml',
            'column-names',
            'column-type-info',
            'auto-vertical-output',
            'reconnect',
            'show-warnings',
            'binary-mode',
            'safe-updates',
            'named-commands',
            'init-command=SELECT 1',
        ):
            path = self.option_file(
                '[client]',
                'user=root',
                f'socket={self.server.socket}',
                '[mysql]',
                word,
            )
            with self.subTest(word=word):
                hook = self.held(f'defaults_file={path}')
                self.assertRegex(self.ready['position'], r'^bin\.\d+:\d+ gt')
                hook.verify()
                self.assertEqual(0, hook.release())
                self.assertEqual('', hook.errors())

    def test_a_client_that_says_more_is_refused(self):
        path = self.option_file(
            '[client]',
            'user=root',
            f'socket={self.server.socket}',
            '[mysql]',
            'verbose',
        )
        hook = self.hook(f'defaults_file={path}')
        self.assert_refused(hook, 1, 'says more than it is asked')

    def test_its_password_is_on_no_command_line(self):
        password = 'a-mysql-secret'
        path = self.account('careful', 'ALL', password)
        self.assert_not_on_a_command_line(password, f'defaults_file={path}')


class TestMysqlIsTheServerThatIsMeant(MysqlTestCase):
    def setUp(self):
        super().setUp()
        self.port = 13999
        self.other = quiescer_servers.shared(
            self,
            quiescer_servers.MariaDB,
            '--skip-skip-networking',
            '--bind-address=127.0.0.1',
            f'--port={self.port}',
        )

    def elsewhere(self):
        self.other.ask(
            "CREATE USER IF NOT EXISTS root@127.0.0.1 IDENTIFIED BY '';"
            'GRANT ALL ON *.* TO root@127.0.0.1'
        )
        return self.option_file(
            '[client]',
            'user=root',
            'host=127.0.0.1',
            f'port={self.port}',
            'protocol=tcp',
        )

    def test_the_socket_wins_over_the_option_file(self):
        path = self.elsewhere()
        self.held(f'defaults_file={path}').release()
        self.assertIn(
            self.other.data, [one['path'] for one in self.ready['data']]
        )
        hook = self.held(
            f'defaults_file={path}', f'socket={self.server.socket}'
        )
        self.assertIn(
            self.server.data, [one['path'] for one in self.ready['data']]
        )
        self.blocked_write()
        hook.release()

    def test_a_socket_by_another_name_is_the_same(self):
        link = os.path.join(quiescer_hook.folder(self), 'link')
        os.symlink(self.server.socket, link)
        self.held(f'socket={link}').release()

    def test_a_socket_that_leads_to_another_server_is_refused(self):
        moved = os.path.join(quiescer_hook.folder(self), 'socket')
        os.link(self.other.socket, moved)
        hook = self.hook(f'socket={moved}')
        self.assert_refused(hook, 1, 'is not the one of the socket')

    def test_another_process_is_refused(self):
        right = f'pid={self.server.process.pid}'
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                self.held(right, shell=shell).release()
                hook = self.hook(f'pid={self.other.process.pid}', shell=shell)
                self.assert_refused(
                    hook,
                    1,
                    'the MariaDB that answers is process '
                    f'{self.server.process.pid}, not',
                )

    def test_a_process_that_can_not_be_told_is_refused(self):
        pid_file = f'{self.server.folder}/pid'
        os.rename(pid_file, f'{pid_file}.hidden')
        self.addCleanup(os.rename, f'{pid_file}.hidden', pid_file)
        hook = self.hook(f'pid={self.server.process.pid}')
        self.assert_refused(hook, 1, "can't tell whether")


class TestMysqlOnDisk(MysqlTestCase):
    """What a copy of the files has that was made under the lock."""

    def copy_of(self, server):
        """Start a server on a copy of another's files."""
        copy = quiescer_servers.MariaDB.__new__(quiescer_servers.MariaDB)
        copy.options = server.options
        copy.folder = quiescer_hook.folder(self)
        os.chmod(copy.folder, 0o755)
        for name in ('data', 'logs'):
            shutil.copytree(
                getattr(server, name),
                f'{copy.folder}/{name}',
                ignore=shutil.ignore_patterns('*.pid', 'ibtmp*'),
            )
        copy.data, copy.logs = f'{copy.folder}/data', f'{copy.folder}/logs'
        copy.socket = f'{copy.folder}/socket'
        self.addCleanup(copy.remove)
        return copy

    def own_server(self, *options):
        server = quiescer_servers.MariaDBOnDisk(*options)
        self.addCleanup(server.remove)
        for engine in ('Aria', 'Aria TRANSACTIONAL=0', 'MyISAM', 'CSV'):
            name = engine[:4] + str(len(engine))
            server.ask(
                f'CREATE TABLE d.{name} (i INT NOT NULL) ENGINE={engine}'
            )
        self.tables = ['t', 'Aria4', 'Aria20', 'MyIS6', 'CSV3']
        # so that its timer may have had its turn before the rows
        time.sleep(1.2)
        for name in self.tables:
            server.ask(f'INSERT INTO d.{name} VALUES (7), (8), (9)')
        self.server = server
        return server

    def rows(self, server):
        return {
            name: server.ask(f'SELECT COUNT(*) FROM d.{name}')
            for name in self.tables
        }

    def test_every_commit_is_there_if_it_says_application(self):
        for settings in (
            ('--innodb-flush-log-at-trx-commit=0',),
            (
                '--innodb-flush-log-at-trx-commit=2',
                '--innodb-flush-log-at-timeout=2700',
            ),
            ('--innodb-flush-log-at-trx-commit=1', '--log-bin=bin'),
        ):
            with self.subTest(settings=settings):
                server = self.own_server(*settings)
                hook = self.held()
                self.assertEqual('application', self.ready['gives'])
                self.assertNotIn('reason', self.ready)
                copy = self.copy_of(server)
                hook.verify()
                hook.release()
                copy.start()
                self.assertEqual(
                    dict.fromkeys(self.tables, '3'), self.rows(copy)
                )

    def test_commits_in_memory_only_give_less_and_it_says_why(self):
        server = self.own_server(
            '--innodb-flush-log-at-trx-commit=0',
            '--innodb-flush-log-at-timeout=2700',
        )
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            server.ask(server.writing)
            with self.subTest(shell=shell):
                hook = self.held(shell=shell)
                self.assertEqual('crash', self.ready['gives'])
                self.assertIn(
                    'innodb_flush_log_at_timeout=2700', self.ready['reason']
                )
                copy = self.copy_of(server)
                hook.verify()
                self.assertEqual(0, hook.release())
                # it is not said without need
                copy.start()
                self.assertNotEqual(self.rows(server), self.rows(copy))

    def test_files_that_may_not_recover_give_less_and_it_says_why(self):
        server = quiescer_servers.MariaDB(
            '--innodb-flush-method=nosync', '--innodb-doublewrite=0'
        )
        self.addCleanup(server.remove)
        self.server = server
        for verb in ('hold', 'check'):
            hook = self.hook(verb=verb)
            ready = hook.ready() if verb == 'hold' else json.loads(hook.line())
            self.assertEqual('crash', ready['gives'])
            self.assertIn('innodb_flush_method=nosync; ', ready['reason'])
            self.assertIn('innodb_doublewrite=OFF', ready['reason'])

    def test_a_torn_page_that_is_only_found_gives_less(self):
        """A value that MySQL 8 has and MariaDB has not."""
        text = quiescer_hook.quiescers.script('mysql')
        for value, gives in (
            ('DETECT_ONLY', 'crash'),
            ('DETECT_AND_RECOVER', 'application'),
        ):
            start = 'check_recovery() {\n'
            hook = self.held(
                text=text.replace(
                    start, f'{start}innodb_doublewrite={value}\n'
                )
            )
            self.assertEqual(gives, self.ready['gives'])
            hook.release()

    def test_flushing_the_log_is_not_in_the_binary_log(self):
        self.server.ask(self.server.writing)
        before = self.server.ask('SHOW MASTER STATUS')
        self.held().release()
        self.assertEqual(before, self.server.ask('SHOW MASTER STATUS'))


class TestMysqlReplica(MysqlTestCase):
    port = 13998

    def setUp(self):
        super().setUp()
        source = quiescer_servers.MariaDB(
            '--log-bin=bin',
            '--server-id=1',
            '--skip-skip-networking',
            '--bind-address=127.0.0.1',
            f'--port={self.port}',
        )
        self.addCleanup(source.remove)
        source.ask(
            "CREATE USER copy@'127.0.0.1' IDENTIFIED BY 'secret';"
            "GRANT REPLICATION SLAVE ON *.* TO copy@'127.0.0.1'"
        )
        self.server = quiescer_servers.MariaDB(
            '--server-id=2', '--relay-log=received'
        )
        self.addCleanup(self.server.remove)
        log, position, *_ = source.ask('SHOW MASTER STATUS').split()
        gtid = source.ask('SELECT @@gtid_binlog_pos')
        self.server.ask(
            f"SET GLOBAL gtid_slave_pos = '{gtid}';"
            "CHANGE MASTER 'one' TO MASTER_HOST = '127.0.0.1', "
            f'MASTER_PORT = {self.port}, '
            "MASTER_USER = 'copy', MASTER_PASSWORD = 'secret', "
            f"MASTER_LOG_FILE = '{log}', MASTER_LOG_POS = {position}"
        )

    def replicate(self, gtid):
        self.server.ask(
            "STOP SLAVE 'one';"
            f"CHANGE MASTER 'one' TO MASTER_USE_GTID = {gtid};"
            "START SLAVE 'one'"
        )
        self.assertTrue(
            quiescer_hook.wait_for(
                lambda: (
                    '\tYes\tYes\t' in self.server.ask('SHOW ALL SLAVES STATUS')
                )
            )
        )

    def test_one_by_file_and_position_gives_less(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            for gtid, gives in (('no', 'crash'), ('slave_pos', 'application')):
                self.replicate(gtid)
                with self.subTest(shell=shell, gtid=gtid):
                    hook = self.held(shell=shell)
                    self.assertEqual(gives, self.ready['gives'])
                    self.assertEqual(
                        gives == 'crash',
                        'is a replica' in self.ready.get('reason', ''),
                    )
                    hook.verify()
                    hook.release()
        self.server.ask("STOP SLAVE 'one'")
        self.replicate('no')
        self.server.ask("STOP SLAVE 'one'")
        self.held().release()
        self.assertEqual('application', self.ready['gives'])

    def test_one_that_can_not_be_looked_at_gives_less(self):
        self.replicate('slave_pos')
        hook = self.held(f'defaults_file={self.account("unseeing")}')
        hook.release()
        self.assertEqual('crash', self.ready['gives'])
        self.assertIn('SLAVE MONITOR', self.ready['reason'])

    def test_mysql_that_fetches_its_relay_log_again_gives_all(self):
        self.replicate('no')
        start = 'check_replica() {\n'
        text = quiescer_hook.quiescers.script('mysql').replace(
            start, f'{start}gtid_binlog_pos=none relay_log_recovery=ON\n'
        )
        hook = self.hook(text=text, verb='check')
        self.assertEqual('application', json.loads(hook.line())['gives'])


class TestMysqlLosesTheLock(MysqlTestCase):
    def test_verify_fails_when_its_session_unlocked(self):
        text = quiescer_hook.quiescers.script('mysql')
        text = text.replace(
            'verify() {\n',
            "verify() {\n    tell 'UNLOCK TABLES//'\n",
        )
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.held(shell=shell, text=text)
                self.assert_fails_verify(hook, 'does not have the lock')
                self.server.ask(self.server.writing)

    def test_verify_fails_when_its_session_was_killed(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.held(shell=shell)
                self.server.ask(f'KILL {self.ready["connection"]}')
                self.server.ask(self.server.writing)
                self.assert_fails_verify(
                    hook, 'the database session that held the lock is gone'
                )

    def test_verify_fails_when_its_client_has_reconnected(self):
        folder = quiescer_hook.folder(self)
        client = shutil.which('mariadb')
        with open(os.path.join(folder, 'mariadb'), 'w') as script:
            # one that was killed begins anew, with the same input
            script.write(
                f'#!/bin/sh\n{client} "$@"\ncode=$?\n'
                f'[ $code != 137 ] || exec {client} "$@"\nexit $code\n'
            )
        os.chmod(script.name, 0o755)
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.held(
                    shell=shell, PATH=f'{folder}:{quiescer_hook.SEARCH_PATH}'
                )
                lost = self.ready['connection']
                self.kill(hook, client)
                self.assert_fails_verify(
                    hook, f'its connection was {lost} and is '
                )

    def kill(self, hook, client):
        """Kill its clients; one that is dying may yet take what we ask."""
        killed = set(clients(hook, client))
        for process in killed:
            os.kill(process, 9)
        self.assertTrue(
            quiescer_hook.wait_for(
                lambda: killed.isdisjoint(clients(hook, client))
            )
        )

    def test_verify_fails_when_its_client_was_killed(self):
        hook = self.held()
        with open(
            f'/proc/{hook.process.pid}/task/{hook.process.pid}/children'
        ) as children:
            # the other one would end our statement if that had to wait
            client, _ = children.read().split()
        os.kill(int(client), 9)
        self.assert_fails_verify(
            hook, 'the database session that held the lock is gone'
        )

    def test_verify_fails_when_the_server_was_restarted(self):
        hook = self.held()
        self.server.restart()
        self.assert_fails_verify(
            hook, 'the database session that held the lock is gone'
        )

    def test_releasing_a_lost_lock_is_no_failure(self):
        hook = self.held()
        self.server.ask(f'KILL {self.ready["connection"]}')
        self.assertEqual(0, hook.release())


class TestMysqlIsNotToBeHad(MysqlTestCase):
    def test_the_application_waits_no_longer_than_the_budget(self):
        blocker = self.in_another_session(
            'SELECT i, SLEEP(60) FROM d.few FOR UPDATE'
        )
        self.addCleanup(self.end_statements, 'SELECT i, SLEEP(60)%')
        hook = self.hook('lock_wait_timeout=3')
        self.assertTrue(self.is_seen('FLUSH TABLES WITH READ LOCK'))
        writer = self.server.write()
        self.assertTrue(self.is_seen(self.server.writing))
        self.assertIsNone(hook.process.poll())
        self.assertEqual(75, hook.end(), hook.errors())
        self.assertEqual(0, writer.wait(quiescer_hook.PATIENCE))
        self.server.ask('INSERT INTO d.t VALUES ()')
        self.assertIsNone(
            blocker.poll(), 'the statement was ended, or waited for'
        )
        self.assertIn('not to be had within 3 s', hook.errors())
        self.assertEqual('', hook.line())

    def test_sigterm_ends_the_wait_for_the_lock(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                blocker = self.in_another_session(
                    'SELECT i, SLEEP(1.5) FROM d.few FOR UPDATE'
                )
                hook = self.hook('lock_wait_timeout=9', shell=shell)
                time.sleep(0.4)
                self.assertIsNone(hook.process.poll())
                hook.process.terminate()
                self.assert_refused(hook, 1, 'ended before it was ready')
                self.server.ask(self.server.writing)
                self.assertIsNone(blocker.poll())
                blocker.wait()

    def test_what_bounds_the_wait_is_gone_when_it_is_over(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                # no other process has a number like this
                seconds = 10**6 + os.getpid()
                hook = self.held(f'lock_wait_timeout={seconds}', shell=shell)
                self.assertEqual([], sleeps(seconds))
                self.assertEqual(0, hook.release())

    def test_a_statement_that_runs_long_is_not_even_hindered(self):
        blocker = self.in_another_session(
            'SELECT i, SLEEP(2) FROM d.few FOR UPDATE'
        )
        time.sleep(1.1)
        hook = self.hook('long_query=1')
        self.assert_refused(hook, 75, 'running too long')
        self.assertIsNone(blocker.poll())

    def test_a_reader_that_runs_long_does_not_matter(self):
        self.in_another_session('SELECT i, SLEEP(1) FROM d.few')
        self.held('lock_wait_timeout=1').release()

    def is_hindered_by(self, statement):
        """Whether it would not even ask for the lock."""
        process = self.in_another_session(
            f'/**/{statement}', known_by='SLEEP(7)'
        )
        time.sleep(1.1)
        hook = self.hook('long_query=1', verb='check')
        is_hindered = 'running too long' in (hook.line() or hook.errors())
        self.end_statements('%SLEEP(7)%')
        process.wait()
        return is_hindered

    def test_it_knows_a_reader_by_more_than_its_first_letters(self):
        for statement in (
            'WITH a AS (SELECT SLEEP(7)) SELECT * FROM a',
            '(SELECT SLEEP(7)) UNION (SELECT 2)',
            "/* a * / ' */ ( /**/ select SLEEP(7))",
            "# ours\n-- too\nSELECT SLEEP(7), 'DELETE'",
        ):
            with self.subTest(statement=statement):
                self.assertFalse(self.is_hindered_by(statement))
        for statement in (
            'select i, SLEEP(7) FROM d.few for\n update',
            'WITH a AS (SELECT 1) SELECT i, SLEEP(7) FROM d.few FOR UPDATE',
            '/*!50000 UPDATE */ d.few SET i = 1 WHERE SLEEP(7)',
            'DO SLEEP(7)',
        ):
            with self.subTest(statement=statement):
                self.assertTrue(self.is_hindered_by(statement))

    def test_a_second_session_that_is_refused_is_said_before_the_lock(self):
        path = self.account('lonely')
        self.server.ask(
            'GRANT USAGE ON *.* TO lonely@localhost '
            'WITH MAX_USER_CONNECTIONS 1'
        )
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.hook(f'defaults_file={path}', shell=shell)
                self.assert_refused(hook, 1, 'a second time')

    def test_it_names_what_hinders_the_lock(self):
        self.in_another_session('SELECT i, SLEEP(3) FROM d.few FOR UPDATE')
        self.in_another_session(
            f"SELECT '\t\x1b', SLEEP(3), '{'x' * 80}' FROM d.few FOR UPDATE",
            known_by='x' * 30,
        )
        time.sleep(1)
        writer = self.server.write()
        self.addCleanup(writer.wait)
        hook = self.hook('lock_wait_timeout=1')
        self.assertEqual(75, hook.end())
        said = hook.errors()
        self.assertRegex(
            said,
            r'\(connection \d+ of root for \d+ s: SELECT \([A-Za-z ]+\); con',
        )
        self.assertNotIn('INSERT', said)
        # what anybody has in a statement is nobody's business
        self.assertNotIn('SLEEP', said)
        self.assertNotIn('xx', said)
        self.assertEqual(1, said.count('\n'))

    def test_it_says_that_it_could_not_log_in(self):
        for option in ('socket=/nonexistent', 'defaults_file=/nonexistent'):
            hook = self.hook(option)
            self.assert_refused(hook, 1, "can't log in to MariaDB: ")

    def test_it_says_what_the_account_lacks(self):
        self.server.ask("CREATE USER poor@localhost IDENTIFIED BY 'secret'")
        self.addCleanup(self.server.ask, 'DROP USER poor@localhost')
        folder = self.server.folder
        with open(f'{folder}/poor.cnf', 'w') as defaults:
            defaults.write('[client]\nuser=poor\npassword=secret\n')
        hook = self.hook(
            f'defaults_file={folder}/poor.cnf', f'socket={self.server.socket}'
        )
        self.assert_refused(hook, 1, "can't lock MariaDB: ERROR 1227")

    def test_wrong_options_are_a_usage_error(self):
        for option in (
            'lock_wait_timeout=1s',
            'colour=red',
            'socket',
            'a b=1',
        ):
            self.assertEqual(2, self.hook(option).end(), option)


class TestMysqlWithoutBinaryLog(MysqlTestCase):
    server_options = ()

    def test_the_log_sequence_number_is_recorded_not_compared(self):
        hook = self.held()
        self.assertRegex(self.ready['position'], r'^Innodb_lsn_current:\d+$')
        self.assertEqual(self.ready['position'], hook.verify()['position'])
        hook.release()
