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

import errno
import json
import logging
import os
import pathlib
import stat
import subprocess
import sys
import threading

import fixtures
import testtools

from xloudclient.consistency.errors import Busy, Failure
from xloudclient.local import journal, journal_files, machine, runs
from xloudclient.local.trust import user_name

SERVER = '11111111-2222-3333-4444-555555555555'


class JournalTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.folder = self.root / 'state' / 'runs'
        self.ticks = 0
        self.useFixture(
            fixtures.MonkeyPatch(
                'xloudclient.local.journal_files.LOCK_SECONDS', 0.05
            )
        )
        # a busy disk is no reason for a test to fail
        self.be_patient(30)

    def be_patient(self, seconds):
        self.useFixture(
            fixtures.MonkeyPatch(
                'xloudclient.local.journal.PATIENCE_SECONDS', seconds
            )
        )

    def utc(self):
        self.ticks += 1
        return f'2026-03-18T12:00:{self.ticks:02}.000Z'

    def new(self, run_id='r1'):
        one = journal.FileJournal(self.folder, run_id, self.utc)
        self.addCleanup(one.close, done=False)
        return one

    def begun(self, run_id='r1', server_id=SERVER):
        one = self.new(run_id)
        one.begin(server_id)
        return one

    def lines(self, one):
        return [json.loads(t) for t in one.path.read_text().splitlines()]


class TestWriting(JournalTestCase):
    def test_nobody_else_can_read_it(self):
        one = self.begun()
        for path, mode in ((one.path, 0o600), (self.folder, 0o700)):
            self.assertEqual(mode, stat.S_IMODE(path.stat().st_mode))

    def test_each_line_is_there_when_write_returns(self):
        one = self.begun()
        one.write('request', name='web', at='here')
        self.assertEqual(
            [
                {
                    'time': '2026-03-18T12:00:01.000Z',
                    'event': 'begin',
                    'server': SERVER,
                    'machine': machine.identity(),
                    'host': machine.name(),
                },
                {
                    'time': '2026-03-18T12:00:02.000Z',
                    'event': 'request',
                    'name': 'web',
                    'at': 'here',
                },
            ],
            self.lines(one),
        )

    def test_each_line_is_synced(self):
        synced = []
        self.useFixture(fixtures.MonkeyPatch('os.fsync', synced.append))
        one = self.begun()
        before = len(synced)
        one.write('request')
        self.assertEqual(before + 1, len(synced))

    def test_values_that_json_does_not_know_are_written_as_text(self):
        one = self.begun()
        one.write('odd', path=pathlib.Path('/x'), error=ValueError('bad'))
        self.assertEqual('/x', self.lines(one)[1]['path'])
        self.assertEqual('bad', self.lines(one)[1]['error'])

    def test_a_run_that_is_done_leaves_nothing(self):
        one = self.begun()
        one.close(done=True)
        self.assertEqual([], list(self.folder.iterdir()))

    def test_a_run_that_is_not_done_leaves_its_journal(self):
        one = self.begun()
        one.close(done=False)
        self.assertEqual('closed', self.lines(one)[-1]['event'])
        self.assertEqual(
            ['r1'], [r.run_id for r in runs.dead_runs(self.folder)]
        )

    def test_closing_twice_or_before_the_beginning_does_nothing(self):
        one = self.new()
        one.close(done=True)
        one.begin(SERVER)
        one.close(done=True)
        one.close(done=True)


class TestBeginning(JournalTestCase):
    def test_a_folder_that_cannot_be_made_is_a_failure(self):
        (self.root / 'state').write_text('a file')
        failure = self.assertRaises(Failure, self.new().begin, SERVER)
        self.assertIn("can't use the journal", str(failure))
        self.assertIn('nothing was touched', failure.advice)

    def test_a_full_disk_is_a_failure_that_leaves_nothing(self):
        def full(descriptor, text):
            raise OSError(28, 'No space left on device')

        with fixtures.MonkeyPatch('os.write', full):
            failure = self.assertRaises(Failure, self.new().begin, SERVER)
        self.assertIn('No space left', str(failure))
        self.assertEqual([], list(self.folder.iterdir()))

    def test_the_same_run_twice_is_a_failure(self):
        one = self.begun()
        self.assertRaises(Failure, self.new().begin, SERVER)
        self.assertTrue(one.path.exists())

    def test_another_run_on_the_server_is_busy(self):
        self.begun('r1')
        busy = self.assertRaises(Busy, self.new('r2').begin, SERVER)
        self.assertIn('r1', str(busy))
        self.assertEqual(['r1.jsonl'], os.listdir(self.folder))

    def test_runs_on_other_servers_are_not(self):
        self.begun('r1')
        self.begun('r2', 'other')

    def test_it_is_never_seen_unlocked(self):
        """Not even between its making and its lock."""
        seen = []
        lock = journal_files.lock

        def look(descriptor):
            seen.extend(runs.dead_runs(self.folder))
            lock(descriptor)
            seen.extend(runs.dead_runs(self.folder))

        self.useFixture(
            fixtures.MonkeyPatch('xloudclient.local.journal_files.lock', look)
        )
        self.begun()
        self.assertEqual([], seen)


class TestTrouble(JournalTestCase):
    """Once the run has begun, trouble with the disk does not stop it."""

    def test_a_full_disk_is_only_reported(self):
        one = self.begun()
        log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        write = os.write

        def part(descriptor, text):
            if descriptor == one._writer._descriptor:
                write(descriptor, text[:5])
                raise OSError(28, 'No space left on device')
            return write(descriptor, text)

        with fixtures.MonkeyPatch('os.write', part):
            one.write('lost')
        self.assertFalse(one.is_written(10))
        one.write('kept')
        self.assertTrue(one.is_written(10))
        self.assertIn('No space left', log.output)
        events = runs.parse('r1', one.path.read_bytes()).events
        self.assertEqual(['begin', 'kept'], [e['event'] for e in events])

    def test_a_disk_that_hangs_is_waited_for_once(self):
        before = set(threading.enumerate())
        one = self.begun()
        self.be_patient(0.05)
        log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        answers = threading.Event()
        [writer] = set(threading.enumerate()) - before
        waits = []
        wait = journal._Line.wait

        def counted(line, seconds):
            waits.append(seconds)
            return wait(line, seconds)

        self.useFixture(
            fixtures.MonkeyPatch(
                'xloudclient.local.journal._Line.wait', counted
            )
        )

        def hang(_):
            # not once for each line, if we are waited for after all
            if not answers.wait(5):
                answers.set()

        with fixtures.MonkeyPatch('os.fsync', hang):
            for number in range(50):
                one.write('late', number=number)
            one.close(done=False)
            self.assertTrue(writer.is_alive(), 'the end waited for the disk')
            answers.set()
            # or it would sync the rest in the middle of another test
            writer.join()
        self.assertEqual([0.05], waits)
        self.assertIn('is late', log.output)

    def test_a_slow_disk_can_be_waited_for(self):
        one = self.begun()
        self.be_patient(0.0)
        answers = threading.Event()
        self.addCleanup(answers.set)
        with fixtures.MonkeyPatch('os.fsync', lambda _: answers.wait(10)):
            self.assertFalse(one.write('late'))
            self.assertFalse(one.is_written(0.01))
            answers.set()
            self.assertTrue(one.is_written(10))

    def test_what_is_not_seen_to_be_agreed_is_not(self):
        one = self.begun()
        path = runs.agreement(self.folder, 'g')

        def full(descriptor):
            raise OSError(28, 'No space left on device')

        with fixtures.MonkeyPatch('os.fsync', full):
            self.assertFalse(one.agree('g', 60))
        self.assertFalse(path.exists())
        self.assertFalse(one.agree('g', 0), 'it came too late')
        self.assertFalse(path.exists())
        self.assertTrue(one.agree('g', 60))
        self.assertTrue(path.exists())


class TestRecovering(JournalTestCase):
    def test_a_dead_run_is_taken_over(self):
        dead = self.begun()
        dead.write('request', name='web')
        dead.close(done=False)
        one = self.new()
        record = one.adopt()
        self.assertEqual(SERVER, record.server_id)
        self.assertEqual('request', record.events[1]['event'])
        self.assertEqual((), runs.dead_runs(self.folder))
        one.write('recovered')
        one.close(done=True)
        self.assertEqual([], list(self.folder.iterdir()))

    def test_what_is_added_survives_a_tail_that_was_cut(self):
        dead = self.begun()
        dead.close(done=False)
        text = dead.path.read_bytes()
        dead.path.write_bytes(text[:-9])
        one = self.new()
        one.adopt()
        one.write('recovered')
        events = runs.parse('r1', one.path.read_bytes()).events
        self.assertEqual(['begin', 'recovered'], [e['event'] for e in events])

    def test_a_live_run_is_busy(self):
        self.begun()
        self.assertRaises(Busy, self.new().adopt)

    def test_a_run_that_is_gone_is_a_failure(self):
        self.assertRaises(Failure, self.new('none').adopt)

    def test_a_run_that_somebody_just_recovered_is_busy(self):
        self.begun().close(done=False)
        path = self.folder / 'r1.jsonl'
        lock = journal_files.lock

        def late(descriptor):
            path.unlink()
            lock(descriptor)

        with fixtures.MonkeyPatch(
            'xloudclient.local.journal_files.lock', late
        ):
            self.assertRaises(Busy, self.new().adopt)


class TestReading(JournalTestCase):
    def test_a_live_run_is_found_by_its_server(self):
        self.begun()
        self.assertEqual('r1', runs.live_run(self.folder, SERVER).run_id)
        self.assertIsNone(runs.live_run(self.folder, 'other'))
        self.assertIsNone(runs.live_run(self.folder, SERVER, 'r1'))

    def test_without_a_folder_there_are_no_runs(self):
        self.assertIsNone(runs.live_run(self.folder, SERVER))
        self.assertEqual((), runs.dead_runs(self.folder))

    def test_dead_runs_come_the_oldest_first(self):
        for run_id in ('b', 'c', 'a'):
            self.begun(run_id, run_id).close(done=False)
        found = [record.run_id for record in runs.dead_runs(self.folder)]
        self.assertEqual(['b', 'c', 'a'], found)

    def test_looking_does_not_disturb_a_run(self):
        one = self.begun()
        for _ in range(3):
            runs.dead_runs(self.folder)
            runs.live_run(self.folder, SERVER)
        one.write('request')
        self.assertEqual(2, len(self.lines(one)))

    def test_a_journal_may_be_cut_at_any_byte(self):
        one = self.begun()
        one.write('request', name='wéb "1"', volumes=['a', {'b': 1}])
        one.write('captured')
        whole = one.path.read_bytes()
        complete = runs.parse('r1', whole).events
        self.assertEqual(3, len(complete))
        for length in range(len(whole)):
            events = runs.parse('r1', whole[:length]).events
            self.assertEqual(complete[: len(events)], events)
            ends = whole[:length].count(b'\n')
            self.assertIn(len(events), (ends, ends + 1))

    def test_noise_is_left_out(self):
        text = b'\x00\xff\n[1]\n"text"\n{"event": "begin", "server": "s"}\n'
        record = runs.parse('r1', text)
        self.assertEqual('s', record.server_id)
        self.assertEqual(1, len(record.events))

    def test_a_killed_process_leaves_a_dead_run(self):
        script = (
            'import os, pathlib, sys\n'
            'from xloudclient.local import journal\n'
            'one = journal.FileJournal(pathlib.Path(sys.argv[1]), "r9", str)\n'
            'one.begin("s")\n'
            'one.write("hold")\n'
            'os.kill(os.getpid(), 9)\n'
        )
        subprocess.run([sys.executable, '-c', script, str(self.folder)])
        (record,) = runs.dead_runs(self.folder)
        self.assertEqual('r9', record.run_id)
        self.assertEqual('hold', record.events[-1]['event'])


class TestTrust(JournalTestCase):
    """What somebody else can have written is neither obeyed nor removed."""

    def setUp(self):
        super().setUp()
        self.one = self.begun()
        self.one.close(done=False)
        self.path = self.one.path

    def assertRefused(self, why):
        self.assertEqual([(self.path, why)], list(runs.refused(self.folder)))
        self.assertEqual((), runs.dead_runs(self.folder))
        self.assertIsNone(runs.live_run(self.folder, SERVER))
        failure = self.assertRaises(Failure, self.new().adopt)
        self.assertIn(why, str(failure))
        self.assertTrue(os.path.lexists(self.path))

    def test_one_of_ours_is_obeyed(self):
        self.assertEqual([], list(runs.refused(self.folder)))
        self.assertEqual(1, len(runs.dead_runs(self.folder)))

    def test_one_that_others_can_write_is_refused(self):
        for mode in (0o620, 0o602):
            self.path.chmod(mode)
            self.assertRefused('its group or others can write it')

    def test_a_link_to_one_is_refused(self):
        self.path.rename(self.root / 'r1.jsonl')
        self.path.symlink_to(self.root / 'r1.jsonl')
        self.assertRefused(os.strerror(errno.ELOOP))

    def test_a_pipe_is_refused_and_not_waited_for(self):
        self.path.unlink()
        os.mkfifo(self.path)
        self.assertRefused('it is not a file')

    def test_one_of_somebody_else_is_refused(self):
        owner = self.path.stat().st_uid
        folder = self.folder.stat()
        # as if it alone was somebody else's
        fstat = os.fstat

        def mine(descriptor):
            status = fstat(descriptor)
            if status.st_ino != folder.st_ino:
                return status
            return os.stat_result((*status[:4], owner + 1, *status[5:]))

        self.useFixture(fixtures.MonkeyPatch('os.fstat', mine))
        self.useFixture(fixtures.MonkeyPatch('os.geteuid', lambda: owner + 1))
        self.assertRefused(f'it belongs to {user_name(owner)}')

    def test_a_run_of_others_on_the_server_does_not_block_it(self):
        self.path.chmod(0o620)
        self.begun('r2').close(done=True)
        self.assertTrue(self.path.exists())

    def refused_folder(self, why):
        for call in (
            lambda: runs.dead_runs(self.folder),
            lambda: runs.live_run(self.folder, SERVER),
            lambda: list(runs.refused(self.folder)),
            lambda: self.new('r2').begin(SERVER),
        ):
            failure = self.assertRaises(Failure, call)
            self.assertIn(f'{self.folder} is refused: {why}', str(failure))
        runs.forget_groups(self.folder)
        self.assertEqual(['r1.jsonl'], os.listdir(self.folder))

    def test_a_folder_that_others_can_write_is_refused(self):
        self.folder.chmod(0o770)
        self.refused_folder('its group or others can write it')

    def test_a_folder_of_somebody_else_is_refused(self):
        owner = self.folder.stat().st_uid
        self.useFixture(fixtures.MonkeyPatch('os.geteuid', lambda: owner + 1))
        self.refused_folder(f'it belongs to {user_name(owner)}')


class TestMachine(JournalTestCase):
    def on(self, identity):
        return fixtures.MonkeyPatch(
            'xloudclient.local.machine.identity', lambda: identity
        )

    def test_only_its_own_machine_can_call_a_run_dead(self):
        with self.on('a'):
            self.begun().close(done=False)
            self.assertEqual((), runs.runs_elsewhere(self.folder))
            self.assertEqual(1, len(runs.dead_runs(self.folder)))
        with self.on('b'):
            self.assertEqual((), runs.dead_runs(self.folder))
            [record] = runs.runs_elsewhere(self.folder)
        self.assertEqual(machine.name(), record.host)

    def test_where_the_lock_is_seen_it_lives_for_all(self):
        with self.on('a'):
            self.begun()
        with self.on('b'):
            self.assertEqual((), runs.runs_elsewhere(self.folder))
            self.assertTrue(runs.is_live(self.folder, 'r1'))

    def test_without_an_id_its_name_tells(self):
        file = self.root / 'id'
        self.useFixture(
            fixtures.MonkeyPatch('xloudclient.local.machine.MACHINE_ID', file)
        )
        self.assertEqual(machine.name(), machine.identity())
        file.write_text('uninitialized\n')
        self.assertEqual(machine.name(), machine.identity())
        file.write_text('0123456789abcdef' * 2 + '\n')
        self.assertEqual('0123456789abcdef' * 2, machine.identity())


class TestFolder(testtools.TestCase):
    def test_it_is_below_the_state_folder(self):
        environ = {'XDG_STATE_HOME': '/state', 'HOME': '/h'}
        folder = journal.runs_folder(environ)
        self.assertEqual(pathlib.Path('/state/xloudclient/runs'), folder)

    def test_it_is_at_home_otherwise(self):
        home = pathlib.Path('/h/.local/state/xloudclient/runs')
        self.assertEqual(home, journal.runs_folder({'HOME': '/h'}))

    def test_a_relative_state_folder_is_ignored(self):
        environ = {'XDG_STATE_HOME': 'state', 'HOME': '/h'}
        self.assertEqual('/h', str(journal.runs_folder(environ).parents[3]))
