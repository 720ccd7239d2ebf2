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

"""The postgresql and redis quiescers on the real servers."""

import os
import re
import signal
import socket
import time

from xloudclient.tests.functional import quiescer_hook, quiescer_servers

#: Runs a hook as an account that has nothing.
_RUN = (
    'chmod 755 "${0%/*}"; chmod 644 "$0"; '
    'exec setpriv --reuid=nobody --clear-groups sh "$0" "$@"'
)


class TestPostgresql(quiescer_hook.HookTestCase):
    quiescer = 'postgresql'

    def setUp(self):
        super().setUp()
        self.server = quiescer_servers.shared(
            self, quiescer_servers.PostgreSQL
        )
        self.options = [
            f'socket={self.server.folder}',
            f'port={self.server.port}',
            'user=postgres',
        ]

    def test_evidence_of_a_checkpoint(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                self.server.ask(self.server.writing)
                hook = self.hook(*self.options, shell=shell)
                ready = hook.ready()
                self.assertEqual('application', ready['gives'])
                (data,) = ready['data']
                self.assertEqual(self.server.data, data['path'])
                self.assertRegex(ready['position'], r'^[0-9A-F]+/[0-9A-F]+$')
                redo = self.server.ask(
                    'SELECT redo_lsn <= '
                    f"'{ready['position']}' FROM pg_control_checkpoint()"
                )
                self.assertEqual('t', redo)
                held = hook.verify()
                self.assertEqual(ready['position'], held['position'])
                self.assertEqual(0, hook.release())
                self.assertEqual('released', hook.line())
                self.assertEqual(['postgresql'], hook.scratch_files())

    def test_a_checkpoint_that_takes_too_long_is_given_up_in_time(self):
        process = int(
            self.server.ask(
                'SELECT pid FROM pg_stat_activity '
                "WHERE backend_type = 'checkpointer'"
            )
        )
        os.kill(process, signal.SIGSTOP)
        self.addCleanup(os.kill, process, signal.SIGCONT)
        hook = self.hook(*self.options, 'timeout=1')
        self.assert_refused(hook, 75, 'the checkpoint took longer than 1 s')

    def test_the_position_is_that_of_when_it_was_told_to_hold(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.hook(*self.options, verb='prepare', shell=shell)
                hook.prepared()
                self.server.ask(self.server.writing)
                before = self.server.ask('SELECT pg_current_wal_flush_lsn()')
                hook.tell('hold')
                passed = self.server.ask(
                    f"SELECT '{hook.ready()['position']}' >= "
                    f"'{before}'::pg_lsn"
                )
                self.assertEqual('t', passed)
                hook.verify()
                self.assertEqual(0, hook.release())
                self.assertEqual(['postgresql'], hook.scratch_files())

    def test_it_does_not_stop_writes_and_does_not_say_so(self):
        hook = self.hook(*self.options)
        position = hook.ready()['position']
        self.server.ask(self.server.writing)
        self.server.ask(self.server.writing)
        held = hook.verify()
        self.assertEqual(position, held['position'])
        self.assertNotEqual(position, held['position_now'])

    def test_verify_fails_when_the_server_was_restarted(self):
        hook = self.hook(*self.options)
        hook.ready()
        self.server.restart()
        self.assert_fails_verify(hook, 'PostgreSQL was restarted meanwhile')

    def test_verify_fails_when_the_server_is_gone(self):
        hook = self.hook(*self.options)
        hook.ready()
        self.server.stop()
        self.addCleanup(self.server.start)
        self.assert_fails_verify(hook, "PostgreSQL doesn't answer any more")

    def test_verify_needs_no_new_session_and_survives_the_loss_of_one(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.hook(*self.options, shell=shell)
                position = hook.ready()['position']
                self.let_in('reject')
                try:
                    self.assertEqual(position, hook.verify()['position'])
                finally:
                    self.let_in('trust')
                self.server.ask(
                    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity '
                    "WHERE application_name = 'psql' "
                    'AND pid <> pg_backend_pid()'
                )
                self.assertEqual(position, hook.verify()['position'])
                self.assertEqual(0, hook.release())
                self.assertEqual(['postgresql'], hook.scratch_files())

    def let_in(self, how):
        """Whether there may be new sessions."""
        with open(f'{self.server.data}/pg_hba.conf', 'w') as file:
            file.write(f'local all all {how}\n')
        self.server.process.send_signal(signal.SIGHUP)
        is_wanted = how == 'trust'
        for _ in range(100):
            if (self.server.query('SELECT 1').returncode == 0) is is_wanted:
                return
            time.sleep(0.05)
        self.fail(f'it does not {how}')

    def settings(self, *statements):
        """Change settings; the statements that change them back."""
        *changes, back = statements
        self.addCleanup(self.reload, back)
        self.reload(*changes)

    def reload(self, *statements):
        for statement in statements:
            self.server.ask(statement)
        self.server.ask('SELECT pg_reload_conf()')
        time.sleep(0.3)

    def test_without_fsync_it_gives_less(self):
        self.settings(
            'ALTER SYSTEM SET fsync = off', 'ALTER SYSTEM RESET fsync'
        )
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                ready = self.hook(*self.options, shell=shell).ready()
                self.assertEqual('crash', ready['gives'])
                self.assertIn('fsync=off', ready['reason'])

    def test_commits_that_are_not_waited_for_give_less(self):
        self.server.ask('CREATE ROLE hasty')
        self.addCleanup(self.server.ask, 'DROP ROLE hasty')
        for whose in ('SYSTEM', 'ROLE hasty', 'DATABASE template1'):
            for value, expected in (
                ('off', 'crash'),
                ('FALSE', 'crash'),
                ('local', 'application'),
            ):
                with self.subTest(whose=whose, value=value):
                    self.settings(
                        f"ALTER {whose} SET synchronous_commit = '{value}'",
                        f'ALTER {whose} RESET synchronous_commit',
                    )
                    ready = self.hook(*self.options).ready()
                    self.assertEqual(expected, ready['gives'])
                    self.assertEqual(
                        expected == 'crash',
                        'synchronous_commit=off' in ready.get('reason', ''),
                    )

    def test_a_value_of_its_own_hides_what_the_server_has(self):
        self.settings(
            'ALTER ROLE postgres SET synchronous_commit = on',
            'ALTER ROLE postgres RESET synchronous_commit',
        )
        self.assertEqual('crash', self.hook(*self.options).ready()['gives'])

    def test_verify_fails_when_a_setting_was_changed(self):
        for name in ('fsync', 'full_page_writes', 'synchronous_commit'):
            with self.subTest(name=name):
                hook = self.hook(*self.options)
                hook.ready()
                self.reload(f'ALTER SYSTEM SET {name} = off')
                self.assert_fails_verify(hook, 'was changed meanwhile')
                self.reload(f'ALTER SYSTEM RESET {name}')

    def test_evidence_names_what_is_behind_links(self):
        server = quiescer_servers.PostgreSQL()
        self.addCleanup(server.remove)
        database = server.ask(
            "SELECT oid FROM pg_database WHERE datname = 'postgres'"
        )
        server.stop()
        for name in ('pg_wal', f'base/{database}'):
            place = f'{server.folder}/{os.path.basename(name)}'
            os.rename(f'{server.data}/{name}', place)
            os.symlink(place, f'{server.data}/{name}')
        server.start()
        hook = self.hook(f'socket={server.folder}', *self.options[1:])
        self.assertEqual(
            {
                server.data,
                f'{server.folder}/pg_wal',
                f'{server.folder}/{database}',
            },
            {one['path'] for one in hook.ready()['data']},
        )

    def test_data_of_a_server_that_is_not_here_is_not_seen(self):
        self.need('unshare', 'setpriv')
        server = quiescer_servers.PostgreSQL()
        self.addCleanup(server.remove)
        server.stop()
        server.apart = ('unshare', '--pid', '--fork', '--kill-child')
        server.start()
        hook = self.hook(
            *self.options[1:], PGHOST=server.folder, PGPORT=server.port
        )
        (data,) = hook.ready()['data']
        self.assertEqual([], data['disks'])
        self.assertIn("can't be told", data['problem'])
        text = quiescer_hook.quiescers.script('postgresql')
        hook = self.hook(
            *self.options,
            text=text.replace('inet_client_addr()', "inet '192.0.2.1'"),
        )
        (data,) = hook.ready()['data']
        self.assertEqual('not on this machine', data['problem'])

    def test_another_process_is_refused(self):
        right = f'pid={self.server.process.pid}'
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.hook(*self.options, right, shell=shell)
                ready = hook.ready()
                self.assertNotIn('reason', ready)
                self.assertEqual(0, hook.release())
                hook = self.hook(*self.options, 'pid=1', shell=shell)
                self.assert_refused(
                    hook,
                    1,
                    'the PostgreSQL that answers is process '
                    f'{self.server.process.pid}, not 1',
                )

    def test_a_data_folder_that_can_not_be_entered(self):
        self.server.ask('CREATE ROLE nobody SUPERUSER LOGIN')
        self.addCleanup(self.server.ask, 'DROP ROLE nobody')
        # as an account that may log in and not enter the folder
        self.need('setpriv')
        folder = quiescer_hook.folder(self)
        os.chmod(folder, 0o777)
        hook = self.hook(
            *self.options[:2],
            'user=nobody',
            shell=('sh', '-c', f'export XLOUD_RUN_FOLDER={folder}; {_RUN}'),
        )
        # the last one said of a path
        problems = {
            one['path']: one.get('problem', '') for one in hook.ready()['data']
        }
        self.assertIn("can't enter all of it", problems[self.server.data])

    def test_evidence_names_tablespaces(self):
        place = f'{self.server.folder}/table space'
        if not os.path.isdir(place):
            os.mkdir(place)
        owner = os.stat(self.server.data)
        os.chown(place, owner.st_uid, owner.st_gid)
        self.server.ask(f"CREATE TABLESPACE far LOCATION '{place}'")
        self.addCleanup(self.server.ask, 'DROP TABLESPACE far')
        ready = self.hook(*self.options).ready()
        self.assertIn(place, [one['path'] for one in ready['data']])

    def test_it_says_that_it_could_not_log_in(self):
        hook = self.hook('socket=/nonexistent')
        self.assert_refused(hook, 1, "can't log in to PostgreSQL: psql: error")

    def test_it_says_what_the_account_lacks(self):
        self.server.ask('CREATE ROLE poor LOGIN')
        self.addCleanup(self.server.ask, 'DROP ROLE poor')
        hook = self.hook(*self.options[:2], 'user=poor')
        self.assert_refused(hook, 1, 'this PostgreSQL account may not')


class RedisTestCase(quiescer_hook.HookTestCase):
    quiescer = 'redis'
    server_options = ()

    def setUp(self):
        super().setUp()
        self.use(
            quiescer_servers.shared(
                self, quiescer_servers.Redis, *self.server_options
            )
        )

    def use(self, server):
        self.server = server
        self.option = f'socket={server.socket}'

    def start(self, *options):
        """Start a server that is this test's own."""
        server = quiescer_servers.Redis(*options)
        self.addCleanup(server.remove)
        return server

    def told(self, name):
        """What INFO says."""
        said = self.server.ask('INFO all')
        return re.search(rf'^{name}:([^\r\n]*)', said, re.MULTILINE)[1]

    def await_told(self, name, value):
        self.assertTrue(
            quiescer_hook.wait_for(lambda: self.told(name) == value),
            f'not {name}:{value}',
        )

    def block(self, path):
        """Let Redis fail to rename a file to that name in its folder."""
        path = f'{self.server.data}/{path}'
        if os.path.exists(path):
            os.remove(path)
        os.makedirs(path)
        return path

    def without_room(self):
        """Give the environment in which no file system has any."""
        folder = quiescer_hook.folder(self)
        with open(f'{folder}/df', 'w') as file:
            file.write('#!/bin/sh\necho "my disk 9 2 7 23% /my disk"\n')
        os.chmod(f'{folder}/df', 0o755)
        return {'PATH': f'{folder}:{os.environ["PATH"]}'}

    def held(self, **rest):
        hook = self.hook(self.option, **rest)
        self.ready = hook.ready()
        return hook

    def blocked_write(self):
        writer = self.server.write()
        self.addCleanup(writer.wait)
        self.addCleanup(writer.kill)
        time.sleep(0.3)
        self.assertIsNone(writer.poll(), 'it could write under the pause')
        return writer

    def assert_writes(self, writer):
        self.assertEqual(0, writer.wait(quiescer_hook.FREED_WITHIN))


class TestRedis(RedisTestCase):
    server_options = ('--save', '86400 1000000')

    def test_a_save_that_takes_too_long_is_given_up_in_time(self):
        # of its own: each of its keys takes long
        self.use(self.start(*self.server_options))
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.hook(
                    self.option, 'save_timeout=1', verb='prepare', shell=shell
                )
                hook.prepared()
                self.server.ask('CONFIG SET rdb-key-save-delay 3000000')
                self.server.ask(self.server.writing)
                hook.tell('hold')
                self.await_told('rdb_bgsave_in_progress', '1')
                writer = self.blocked_write()
                self.assertEqual(75, hook.end())
                self.assertIn('did not save within 1 s', hook.errors())
                self.assert_writes(writer)
                self.server.ask('CONFIG SET rdb-key-save-delay 0')
                self.await_told('rdb_bgsave_in_progress', '0')

    def test_prepared_it_holds_nothing_until_it_is_told_to(self):
        self.assert_prepares(self.option)

    def test_no_write_between_ready_and_release(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                self.server.ask(self.server.writing)
                hook = self.held(shell=shell)
                writer = self.blocked_write()
                held = hook.verify()
                self.assertEqual(self.ready['position'], held['position'])
                self.assertEqual(0, hook.release())
                self.assert_writes(writer)
                self.assertEqual('released', hook.line())
                self.assertEqual('', hook.errors())
                self.assertEqual(['redis'], hook.scratch_files())

    def test_the_disk_has_what_memory_has(self):
        mark = f'mark{time.time()}'
        self.server.ask(f'SET mark {mark}')
        hook = self.held()
        self.assertEqual('application', self.ready['gives'])
        (data,) = self.ready['data']
        self.assertEqual(self.server.data, data['path'])
        with open(f'{self.server.data}/dump.rdb', 'rb') as dump:
            self.assertIn(mark.encode(), dump.read())
        hook.release()

    def test_killing_the_hook_releases(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.held(shell=shell)
                writer = self.blocked_write()
                hook.kill()
                self.assert_writes(writer)
                self.assert_output_ends(hook)

    def test_a_server_that_hangs_is_not_waited_for(self):
        server = self.server.process
        self.addCleanup(server.send_signal, signal.SIGCONT)
        hook = self.hook(self.option, verb='prepare')
        hook.prepared()
        server.send_signal(signal.SIGSTOP)
        hook.tell('hold')
        self.assert_refused(hook, 75, 'somebody else has paused it')
        server.send_signal(signal.SIGCONT)
        hook = self.held()
        server.send_signal(signal.SIGSTOP)
        self.assert_fails_verify(hook, "doesn't answer any more")
        server.send_signal(signal.SIGCONT)
        self.assert_writes(self.server.write())

    def test_without_its_kept_client_it_starts_another(self):
        hook = self.held()
        os.kill(hook.child('redis-cli'), signal.SIGKILL)
        held = hook.verify()
        self.assertEqual(self.ready['position'], held['position'])
        writer = self.blocked_write()
        self.assertEqual(0, hook.release())
        self.assert_writes(writer)

    def test_a_lost_connection_hides_no_other_pause(self):
        hook = self.hook(self.option, verb='prepare')
        hook.prepared()
        self.server.ask('CLIENT KILL TYPE normal')
        self.server.ask('CLIENT PAUSE 60000 WRITE')
        self.addCleanup(self.server.ask, 'CLIENT UNPAUSE')
        hook.tell('hold')
        self.assert_refused(hook, 75, 'somebody else has paused it')
        self.blocked_write()

    def test_a_lost_connection_is_made_again(self):
        hook = self.hook(self.option, verb='prepare')
        hook.prepared()
        self.server.ask('CLIENT KILL TYPE normal')
        hook.tell('hold')
        hook.ready()
        self.server.ask('CLIENT KILL TYPE normal')
        hook.verify()
        writer = self.blocked_write()
        self.assertEqual(0, hook.release())
        self.assert_writes(writer)

    def test_an_account_need_not_be_allowed_to_echo(self):
        self.server.ask('ACL SETUSER mute on nopass ~* &* +@all -echo')
        self.addCleanup(self.server.ask, 'ACL DELUSER mute')
        options = (self.option, 'user=mute')
        hook = self.hook(*options, REDISCLI_AUTH='any')
        position = hook.ready()['position']
        self.assertEqual(position, hook.verify()['position'])
        self.assertEqual(0, hook.release())

    def test_a_disk_that_hangs_does_not_keep_the_pause(self):
        text = quiescer_hook.quiescers.script('redis')
        # the first one is before the pause
        slow = text.replace(
            'sync </dev/null >/dev/null 2>&1',
            'sh -c "[ ! -e synced ] || exec sleep 60; true >synced" '
            '</dev/null >/dev/null 2>&1',
        )
        self.assertNotEqual(text, slow)
        hook = self.hook(self.option, text=slow)
        self.addCleanup(os.killpg, hook.process.pid, signal.SIGKILL)
        for _ in range(100):
            writer = self.server.write()
            time.sleep(0.3)
            if writer.poll() is None:
                break
        self.assertIsNone(writer.poll(), 'it could write under the pause')
        hook.kill()
        self.assert_writes(writer)

    def test_end_of_input_and_sigterm_release(self):
        for end in ('end_input', 'process.terminate'):
            hook = self.held()
            writer = self.blocked_write()
            if end == 'end_input':
                hook.end_input()
            else:
                hook.process.terminate()
            self.assert_writes(writer)
            self.assertEqual(0, hook.end())

    def test_a_full_pipe_does_not_stop_the_release(self):
        hook = self.held()
        writer = self.blocked_write()
        hook.fill_output()
        hook.tell('release')
        self.assert_writes(writer)

    def test_a_lease_is_short_and_renewed(self):
        lease = re.compile(r'CLIENT PAUSE (\d+) WRITE')
        text = quiescer_hook.quiescers.script('redis')
        self.assertTrue(all(int(ms) <= 15000 for ms in lease.findall(text)))
        # the same with shorter times, so that the test is short too
        text = text.replace('PAUSE 10000', 'PAUSE 1200')
        hook = self.held(text=text.replace('KILL 3 head', 'KILL 0.4 head'))
        self.blocked_write()
        time.sleep(2)
        hook.verify()
        self.blocked_write()
        hook.release()

    def test_verify_fails_when_somebody_lifted_the_pause(self):
        hook = self.held()
        self.server.ask('CLIENT UNPAUSE')
        self.server.ask(self.server.writing)
        self.assert_fails_verify(hook, 'Redis was written to under the pause')

    def test_verify_fails_when_the_server_was_restarted(self):
        hook = self.held()
        self.server.process.kill()
        self.server.process.wait()
        self.server.start()
        self.assert_fails_verify(hook, 'Redis was restarted meanwhile')

    def test_it_says_that_it_could_not_log_in(self):
        hook = self.hook('socket=/nonexistent')
        self.assert_refused(hook, 1, "can't log in to Redis: Could not")

    def test_verify_fails_when_a_save_hides_what_was_written(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.held(shell=shell)
                self.server.ask('CLIENT UNPAUSE')
                self.server.ask('SET hidden value')
                self.server.ask('SAVE')
                self.server.ask('CLIENT PAUSE 10000 WRITE')
                self.assert_fails_verify(
                    hook, 'Redis was written to under the pause'
                )

    def test_a_save_alone_is_no_write(self):
        hook = self.held()
        time.sleep(1.1)
        self.server.ask('BGSAVE')
        self.server.ask('GET key')
        writer = self.blocked_write()
        hook.verify()
        hook.release()
        self.assert_writes(writer)

    def test_any_save_is_a_failure_where_calls_are_not_known(self):
        text = quiescer_hook.quiescers.script('redis')
        hook = self.held(text=text.replace('ACL CAT write', 'ACL CAT none'))
        hook.verify()
        time.sleep(1.1)
        self.server.ask('SAVE')
        self.assert_fails_verify(hook, 'Redis was written to or saved')

    def test_verify_fails_when_a_key_expired(self):
        self.server.ask('SET short lived PX 700')
        hook = self.held()
        self.server.ask('CLIENT UNPAUSE')
        time.sleep(1.5)
        self.server.ask('SAVE')
        self.server.ask('CLIENT PAUSE 10000 WRITE')
        self.assert_fails_verify(hook, 'Redis was written to under the pause')

    def test_verify_fails_when_it_became_a_replica(self):
        hook = self.held()
        self.server.ask('REPLICAOF 127.0.0.1 1')
        self.addCleanup(self.server.ask, 'REPLICAOF NO ONE')
        self.assert_fails_verify(hook, 'Redis became a replica')

    def test_another_process_is_refused(self):
        right = f'pid={self.server.process.pid}'
        self.assertEqual(0, self.held_with(right).release())
        hook = self.hook(self.option, 'pid=1')
        self.assert_refused(
            hook,
            1,
            f'the Redis that answers is process {self.server.process.pid}, '
            'not 1',
        )

    def held_with(self, *options):
        hook = self.hook(self.option, *options)
        hook.ready()
        return hook

    def test_without_room_for_a_save_none_is_begun(self):
        environment = self.without_room()
        saves = self.told('rdb_saves')
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.hook(self.option, shell=shell, **environment)
                self.assert_refused(
                    hook, 75, f'and 7 KiB are free in {self.server.data}'
                )
        self.assertEqual(saves, self.told('rdb_saves'))
        self.server.ask('CONFIG SET stop-writes-on-bgsave-error no')
        self.addCleanup(
            self.server.ask, 'CONFIG SET stop-writes-on-bgsave-error yes'
        )
        hook = self.held(**environment)
        hook.verify()
        self.assertEqual(0, hook.release())

    def test_a_save_that_fails_is_not_called_released(self):
        self.use(self.start(*self.server_options))
        for verb in ('hold', 'prepare'):
            with self.subTest(verb=verb):
                hook = None
                if verb == 'prepare':
                    hook = self.hook(self.option, verb=verb)
                    hook.prepared()
                    self.server.ask(self.server.writing)
                blocked = self.block('dump.rdb')
                if hook:
                    hook.tell('hold')
                else:
                    hook = self.hook(self.option)
                self.assert_refused(
                    hook, 6, 'could not be released: a save failed, and Redis'
                )
                said = self.server.query(self.server.writing).stdout
                self.assertIn('MISCONF', said)
                hook = self.hook(self.option)
                self.assert_refused(hook, 1, "can't log in to Redis: MISCONF")
                os.rmdir(blocked)
                self.server.ask('SAVE')
                self.server.ask(self.server.writing)

    def test_a_pause_of_somebody_else_is_not_lifted(self):
        for verb in ('hold', 'prepare'):
            with self.subTest(verb=verb):
                hook = None
                if verb == 'prepare':
                    hook = self.hook(self.option, verb=verb)
                    hook.prepared()
                self.server.ask('CLIENT PAUSE 60000 WRITE')
                if hook:
                    hook.tell('hold')
                else:
                    hook = self.hook(self.option)
                self.assert_refused(hook, 75, 'somebody else has paused it')
                writer = self.blocked_write()
                self.server.ask('CLIENT UNPAUSE')
                self.assert_writes(writer)

    def test_a_redis_that_saves_nothing_is_not_made_to(self):
        self.use(self.start())
        self.server.ask(self.server.writing)
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.held(shell=shell)
                self.assertEqual('crash', self.ready['gives'])
                self.assertIn('told to save nothing', self.ready['reason'])
                writer = self.blocked_write()
                hook.verify()
                self.assertEqual(0, hook.release())
                self.assert_writes(writer)
                self.assertEqual([], os.listdir(self.server.data))
        # whoever has made one wants it
        self.server.ask('SAVE')
        self.server.ask(self.server.writing)
        hook = self.held()
        self.assertEqual('application', self.ready['gives'])
        self.assertEqual('0', self.told('rdb_changes_since_last_save'))
        self.assertEqual(0, hook.release())


class TestRedisWithAReplica(RedisTestCase):
    server_options = ('--appendonly', 'yes')

    def setUp(self):
        super().setUp()
        with socket.create_server(('127.0.0.1', 0)) as probe:
            port = str(probe.getsockname()[1])
        self.use(
            self.start(
                *('--appendonly', 'yes', '--port', port),
                *('--repl-ping-replica-period', '1'),
                *('--repl-diskless-sync-delay', '0'),
            )
        )
        self.replica = self.start('--replicaof', '127.0.0.1', port)
        self.assertTrue(
            quiescer_hook.wait_for(
                lambda: 'state=online' in self.server.ask('INFO replication')
            )
        )

    def await_offset(self):
        before = self.told('master_repl_offset')
        self.assertTrue(
            quiescer_hook.wait_for(
                lambda: self.told('master_repl_offset') != before
            )
        )

    def test_what_the_primary_itself_tells_it_is_no_write(self):
        hook = self.held()
        self.await_offset()
        held = hook.verify()
        self.assertNotEqual(held['position'], held['position_now'])
        self.assertEqual(0, hook.release())

    def test_it_is_taken_for_one_where_calls_are_not_known(self):
        text = quiescer_hook.quiescers.script('redis')
        hook = self.held(text=text.replace('ACL CAT write', 'ACL CAT none'))
        self.await_offset()
        self.assert_fails_verify(hook, 'or told its replicas something')


class TestRedisWithAppendOnlyFile(RedisTestCase):
    server_options = ('--appendonly', 'yes')
    first = 'appendonlydir/appendonly.aof.1.base.rdb'
    second = 'appendonlydir/appendonly.aof.2.base.rdb'
    rewriting = 'Redis is setting up or rewriting its append-only file'

    def test_one_that_is_only_being_set_up_does_not_do(self):
        self.use(self.start())
        self.server.ask('CONFIG SET rdb-key-save-delay 10000000')
        self.server.ask(self.server.writing)
        self.server.ask('CONFIG SET appendonly yes')
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.hook(self.option, 'save_timeout=1', shell=shell)
                self.assert_refused(hook, 75, self.rewriting)

    def test_one_whose_first_rewrite_fails_does_not_do(self):
        self.use(self.start())
        self.server.ask(self.server.writing)
        self.block(self.first)
        self.server.ask('CONFIG SET appendonly yes')
        self.await_told('aof_last_bgrewrite_status', 'err')
        hook = self.hook(self.option, 'save_timeout=1')
        self.assert_refused(hook, 75, self.rewriting)

    def test_a_later_rewrite_that_failed_does_no_harm(self):
        self.use(self.start('--appendonly', 'yes'))
        self.block(self.second)
        self.server.ask('BGREWRITEAOF')
        self.await_told('aof_last_bgrewrite_status', 'err')
        self.server.ask('SET last one')
        hook = self.held()
        self.assertEqual('application', self.ready['gives'])
        hook.verify()
        self.assertEqual(0, hook.release())
        self.server.restart()
        self.assertEqual('one', self.server.ask('GET last'))

    def test_one_that_is_switched_on_meanwhile_does_not_do(self):
        for value in ('no', 'yes'):
            with self.subTest(value=value):
                self.use(self.start('--appendonly', 'yes'))
                self.server.ask('CONFIG SET rdb-key-save-delay 10000000')
                self.server.ask(self.server.writing)
                hook = self.hook(self.option, verb='prepare')
                hook.prepared()
                self.server.ask('CONFIG SET appendonly no')
                self.server.ask(f'CONFIG SET appendonly {value}')
                hook.tell('hold')
                said = (1, 'switched on or off meanwhile')
                if value == 'yes':
                    said = (75, self.rewriting)
                self.assert_refused(hook, *said)
                self.server.ask(self.server.writing)

    def test_verify_fails_when_it_was_switched_off(self):
        self.use(self.start('--appendonly', 'yes'))
        hook = self.held()
        self.server.ask('CONFIG SET appendonly no')
        self.assert_fails_verify(hook, 'switched on or off meanwhile')

    def test_a_save_that_is_due_and_fails_is_told_at_the_release(self):
        self.use(self.start('--appendonly', 'yes', '--save', '60 1'))
        self.server.ask(self.server.writing)
        hook = self.hook(self.option, **self.without_room())
        hook.ready()
        self.assertEqual('0', self.told('rdb_saves'))
        self.assertEqual(0, hook.release())
        self.block('dump.rdb')
        hook = self.held()
        self.assertEqual(6, hook.release())
        self.assertEqual('', hook.line())
        self.assertIn('until one succeeds (MISCONF)', hook.errors())

    def test_verify_fails_when_somebody_lifted_the_pause(self):
        hook = self.held()
        self.server.ask('CLIENT UNPAUSE')
        self.server.ask(self.server.writing)
        self.assert_fails_verify(hook, 'Redis was written to under the pause')

    def test_the_disk_has_what_memory_has(self):
        mark = f'mark{time.time()}'
        self.server.ask(f'SET mark {mark}')
        hook = self.held()
        self.assertTrue(self.ready['append_only'])
        found = b''
        folder = f'{self.server.data}/appendonlydir'
        for name in os.listdir(folder):
            with open(f'{folder}/{name}', 'rb') as part:
                found += part.read()
        self.assertIn(mark.encode(), found)
        hook.release()

    def test_a_save_that_takes_long_may_end_under_the_pause(self):
        for setting, value, before in (
            ('save', '60 1', '""'),
            ('rdb-key-save-delay', '2000000', '0'),
        ):
            self.server.ask(f'CONFIG SET {setting} "{value}"')
            self.addCleanup(self.server.ask, f'CONFIG SET {setting} {before}')
        self.server.ask(self.server.writing)
        self.server.ask('SET another key')
        hook = self.hook(self.option, 'save_timeout=1')
        self.await_told('rdb_bgsave_in_progress', '1')
        # of this one the save knows nothing
        self.server.ask(self.server.writing)
        hook.ready()
        self.assertEqual('1', self.told('rdb_bgsave_in_progress'))
        self.await_told('rdb_bgsave_in_progress', '0')
        hook.verify()
        self.assertEqual(0, hook.release())

    def test_what_redis_would_save_soon_is_saved_before(self):
        self.addCleanup(self.server.ask, 'CONFIG SET save ""')
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            for points, is_saved in (
                ('3600 1 60 1', True),
                ('3600 1', False),
                ('60 9', False),
                ('', False),
            ):
                with self.subTest(shell=shell, points=points):
                    self.server.ask(f'CONFIG SET save "{points}"')
                    self.server.ask(self.server.writing)
                    hook = self.held(shell=shell)
                    unsaved = self.told('rdb_changes_since_last_save')
                    self.assertEqual(is_saved, unsaved == '0')
                    hook.verify()
                    self.assertEqual(0, hook.release())
                    self.assertEqual('', hook.errors())
                    self.server.ask('SAVE')


class TestRedisWithPassword(quiescer_hook.HookTestCase):
    quiescer = 'redis'
    password = 'a-redis-secret'

    def setUp(self):
        super().setUp()
        if missing := quiescer_servers.Redis.missing():
            self.fail(f'{missing} is not installed: see tools/prepare')
        server = quiescer_servers.Redis('--appendonly', 'yes')
        self.addCleanup(server.remove)
        server.ask(f'CONFIG SET requirepass {self.password}')
        self.option = f'socket={server.socket}'
        self.file = f'{server.folder}/password'
        with open(self.file, 'w') as file:
            file.write(f'{self.password}\n')

    def test_the_password_comes_from_a_file(self):
        self.assert_refused(self.hook(self.option), 1, 'NOAUTH')
        hook = self.hook(self.option, f'password_file={self.file}')
        self.assertEqual('application', hook.ready()['gives'])
        self.assertEqual(0, hook.release())

    def test_the_password_is_on_no_command_line(self):
        self.assert_not_on_a_command_line(
            self.password, self.option, f'password_file={self.file}'
        )
