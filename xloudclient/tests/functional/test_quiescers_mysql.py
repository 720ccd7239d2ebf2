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

import os
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

    def assert_writes(self, writer):
        self.assertEqual(0, writer.wait(quiescer_hook.FREED_WITHIN))

    def in_another_session(self, statement):
        """Start a statement that takes long; a process."""
        writing = self.server.writing
        try:
            self.server.writing = statement
            process = self.server.write()
        finally:
            self.server.writing = writing
        self.addCleanup(process.wait)
        self.assertTrue(
            quiescer_hook.wait_for(
                lambda: statement in self.server.ask('SHOW PROCESSLIST')
            )
        )
        return process


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

    def test_rotating_the_log_is_no_write(self):
        hook = self.held()
        self.server.ask('FLUSH BINARY LOGS')
        held = hook.verify()
        self.assertEqual(self.ready['position'], held['position'])
        self.assertNotEqual(held['position'], held['position_now'])
        hook.release()


class TestMysqlLosesTheLock(MysqlTestCase):
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

    def test_verify_fails_when_its_client_was_killed(self):
        hook = self.held()
        with open(
            f'/proc/{hook.process.pid}/task/{hook.process.pid}/children'
        ) as children:
            (client,) = children.read().split()
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
            'SELECT i, SLEEP(2) FROM d.few FOR UPDATE'
        )
        hook = self.hook('lock_wait_timeout=1')
        time.sleep(0.5)
        started = time.monotonic()
        writer = self.server.write()
        self.assertEqual(75, hook.end())
        self.server.ask('INSERT INTO d.t VALUES ()')
        self.assertLess(time.monotonic() - started, 1.5)
        self.assertIn('not to be had within 1 s', hook.errors())
        self.assertEqual('', hook.line())
        self.assertEqual(0, blocker.wait(), 'the statement was ended')
        self.assertEqual(0, writer.wait())

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
