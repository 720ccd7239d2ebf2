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


"""server snapshot consistent, from the quiescing to the release."""

import signal
import time
from importlib import resources

from xloudclient.guest import quiescers
from xloudclient.tests.functional import base
from xloudclient.tests.functional.writer import Writer

HOOK = """#!/bin/sh
echo "$XLOUD_PHASE $1 $XLOUD_RESULT $XLOUD_SNAPSHOT_ID $OS_PASSWORD" >> {log}
[ "$1" = post ] || exit {code}
"""
OWN = """#!/bin/sh
[ "$1" = hold ] || exit 2
echo 'ready {"gives": "application"}'
while read -r word; do
    case $word in
    verify) echo held ;;
    release) break ;;
    esac
done
echo released
"""


class ConsistentTestCase(base.FunctionalTestCase):
    def setUp(self):
        super().setUp()
        self.server = self.place.server(name='db')
        self.guest = self.cloud.guest(self.server)

    def consistent(self, *words, expect=0):
        return self.snapshot(
            'consistent',
            'db',
            *words,
            *self.reach(self.server),
            expect=expect,
        )[0]

    def start_mariadb(self):
        self.guest.start_mariadb()
        self.addCleanup(self.guest.stop_mariadb)

    def attach(self):
        volume = self.place.volume()
        self.cloud.attach(self.server, volume)
        self.addCleanup(self.cloud.detach, self.server, volume)
        return volume

    def hook(self, name, code=0):
        self.log = self.home / 'log'
        return self.script(name, HOOK.format(log=self.log, code=code))

    def begin(self, *words):
        """Start a run that hangs in the capture; return once it holds."""
        process = self.start(
            'server', 'snapshot', 'consistent', 'db', '--quiesce', 'mysql',
            *words, *self.reach(self.server), '-f', 'json',
        )  # fmt: skip
        for line in process.stderr:
            if 'requested: image' in line:
                return process
        raise AssertionError('it did not come to a request')


class TestConsistent(ConsistentTestCase):
    def test_auto_finds_the_database(self):
        self.start_mariadb()
        row = self.consistent('--wait')
        self.assertEqual('application', row['Consistency'])
        self.assertEqual(['mysql', 'sync'], row['Quiesced'])
        image = self.image(row['Snapshot ID'])
        self.assertEqual('application', image['xloud_consistency'])
        self.assertEqual('mysql,sync', image['xloud_quiesced'])
        self.assertNotEqual('', image['xloud_position'])
        self.assertGreater(int(image['xloud_frozen_ms']), 0)

    def test_sync_alone_is_crash(self):
        row = self.consistent('--quiesce', 'sync')
        self.assertEqual('crash', row['Consistency'])

    def test_without_wait_the_evidence_follows_the_upload(self):
        self.cloud.control(self.server.id, upload=3)
        row = self.consistent('--quiesce', 'sync', '--tag', 'late')
        self.assertEqual('captured', row['Status'])
        self.cloud.wait(
            lambda: self.image(row['Snapshot ID'])['tags'],
            30,
            'the evidence',
        )
        image = self.image(row['Snapshot ID'])
        self.assertEqual('active', image['status'])
        self.assertEqual(['late'], image['tags'])
        runs = self.home / 'state' / 'xloudclient' / 'runs'
        self.cloud.wait(lambda: not list(runs.iterdir()), 10, 'the end')

    def test_evidence_whose_writer_was_killed_is_written_by_the_next(self):
        self.cloud.control(self.server.id, upload=2)
        row = self.consistent('--quiesce', 'sync')
        self.kill_recorders()
        conn = self.cloud.connection()
        conn.image.wait_for_status(
            conn.image.get_image(row['Snapshot ID']), 'active', interval=0.3
        )
        self.assertEqual('', self.image(row['Snapshot ID'])['xloud_image'])
        self.cloud.control(self.server.id, upload=None)
        self.consistent('--quiesce', 'sync', '--wait')
        image = self.image(row['Snapshot ID'])
        self.assertEqual(row['Snapshot ID'], image['xloud_image'])

    def test_own_holding_hook_and_pair(self):
        own = self.script('own', OWN)
        row = self.consistent('--quiesce', own, '--wait')
        self.assertEqual('application', row['Consistency'])
        self.assertEqual([own], row['Quiesced'])
        log = self.guest.home / 'paired'
        pair = self.script('pair', f'#!/bin/sh\necho "$1" >> {log}\n')
        row = self.consistent(
            '--quiesce', f'pair,file={pair},pre=freeze,post=thaw'
        )
        self.assertEqual('crash', row['Consistency'])
        self.assertEqual('freeze\nthaw\n', log.read_text())

    def test_a_copy_of_a_built_in_quiescer_is_an_own_one(self):
        self.start_mariadb()
        text = (resources.files(quiescers) / 'mysql.sh').read_text()
        own = self.script('my-mysql.sh', f'{text}# mine\n')
        row = self.consistent(
            '--quiesce', f'{own},lock_wait_timeout=5', '--wait'
        )
        self.assertEqual('application', row['Consistency'])
        self.assertEqual([own], row['Quiesced'])

    def test_hooks_run_around_it_with_a_clean_environment(self):
        one, two = self.hook('one'), self.hook('two')
        row = self.consistent(
            '--quiesce', 'none', '--hook', one, '--hook', two, '--wait'
        )
        lines = [w.strip() for w in self.log.read_text().splitlines()]
        self.assertEqual(['pre pre', 'pre pre'], lines[:2])
        after = f'post post captured {row["Snapshot ID"]}'
        self.assertEqual([after, after], lines[2:])

    def test_a_guest_hook_runs_in_the_guest(self):
        log = self.guest.home / 'log'
        hook = self.script('there', HOOK.format(log=log, code=0))
        self.consistent('--quiesce', 'none', '--guest-hook', hook)
        self.assertEqual(2, len(log.read_text().splitlines()))

    def test_a_failed_pre_hook_runs_every_post_and_takes_nothing(self):
        before = self.counts()
        bad, good = self.hook('bad', 1), self.hook('good')
        row = self.consistent(
            '--quiesce', 'sync', '--hook', good, '--hook', bad,
            '--on-error', 'fail', expect=3,
        )  # fmt: skip
        self.assertEqual('skipped', row['Status'])
        self.assertIsNone(row['Snapshot Name'])
        self.assertEqual(before, self.counts())
        phases = [w.split()[0] for w in self.log.read_text().splitlines()]
        self.assertEqual(['pre', 'pre', 'post', 'post'], phases)

    def test_a_hook_that_says_not_now(self):
        self.consistent(
            '--quiesce', 'none', '--pre-hook', self.hook('h', 75), expect=75
        )

    def test_on_error_continue_drops_the_class(self):
        row = self.consistent(
            '--quiesce', 'mysql', '--on-error', 'continue', expect=5
        )
        self.assertEqual('crash', row['Consistency'])
        self.assertIn('dropped', row['Reason'])

    def test_a_database_that_is_not_there(self):
        before = self.counts()
        self.consistent('--quiesce', 'mysql', expect=3)
        self.assertEqual(before, self.counts())

    def test_an_attached_volume_takes_the_class(self):
        self.start_mariadb()
        self.attach()
        row = self.consistent('--quiesce', 'mysql', expect=5)
        self.assertEqual('none', row['Consistency'])
        self.assertIn('several disks', row['Reason'])
        row = self.consistent('--quiesce', 'mysql', '--no-data-volumes')
        self.assertEqual('application', row['Consistency'])

    def test_data_on_a_volume_that_is_left_out(self):
        volume = self.attach()
        self.guest.start_mariadb(self.guest.mount(volume) / 'db')
        self.addCleanup(self.guest.stop_mariadb)
        row = self.consistent(
            '--quiesce', 'mysql', '--no-data-volumes', expect=5
        )
        self.assertEqual('none', row['Consistency'])
        self.assertIn('vdb', row['Reason'])

    def test_max_freeze_releases_and_says_so(self):
        self.start_mariadb()
        self.cloud.control(self.server.id, capture=8)
        writer = Writer(self.guest)
        self.addCleanup(writer.stop)
        row = self.consistent(
            '--quiesce', 'mysql', '--max-freeze', '3s', expect=7
        )
        self.assertEqual('crash', row['Consistency'])
        self.assertLess(row['Frozen For'], 4.5)
        self.assertIn(row['Status'], ('captured', 'active'))
        before, after = writer.longest_gap
        self.assertLess(after - before, 5.0)

    def test_a_measured_hold_is_what_the_next_one_is_refused_by(self):
        self.cloud.control(self.server.id, capture=2)
        self.consistent('--quiesce', 'sync', '--wait')
        self.consistent('--quiesce', 'sync', '--max-freeze', '1', expect=3)
        self.assertIn('as last time', self.last.stderr)

    def test_a_hold_that_went_wrong_predicts_nothing(self):
        row = self.consistent('--quiesce', 'sync', '--wait')
        self.cloud.connection(self.user).image.update_image(
            row['Snapshot ID'], xloud_reason='at the release: x (stuck)'
        )
        self.consistent('--quiesce', 'sync', '--wait')
        self.assertNotIn('as last time', self.last.stderr)

    def test_a_rehearsal_holds_proves_and_makes_nothing(self):
        self.start_mariadb()
        before, hook = self.counts(), self.hook('h')
        row = self.consistent('--rehearse', '--hook', hook)
        self.assertEqual('skipped', row['Status'])
        self.assertEqual('application', row['Consistency'])
        self.assertEqual(['mysql', 'sync'], row['Quiesced'])
        self.assertGreater(row['Frozen For'], 0)
        self.assertIsNone(row['Snapshot ID'])
        lines = [line.strip() for line in self.log.read_text().splitlines()]
        self.assertEqual(['pre pre', 'post post aborted'], lines)
        self.assertEqual(before, self.counts())
        self.assertEqual([], self.cloud.events(self.server.id))
        runs = self.home / 'state' / 'xloudclient' / 'runs'
        self.assertEqual([], list(runs.iterdir()))

    def test_a_rehearsal_shows_what_volumes_do_to_the_class(self):
        self.start_mariadb()
        self.attach()
        row = self.consistent('--rehearse', expect=5)
        self.assertEqual('none', row['Consistency'])
        self.assertIn('several disks', row['Reason'])

    def test_an_unknown_host_key_is_said_with_the_line_that_accepts_it(self):
        words = self.reach(self.server)
        empty = self.home / 'empty'
        empty.touch()
        words = [
            f'UserKnownHostsFile={empty}' if 'KnownHosts' in w else w
            for w in words
        ]
        rows = self.snapshot(
            'consistent', 'db', '--quiesce', 'sync', *words, expect=3
        )
        self.assertEqual('skipped', rows[0]['Status'])
        self.assertIn('StrictHostKeyChecking=ask', self.last.stderr)

    def test_a_hung_glance_lets_go_of_the_guest(self):
        self.start_mariadb()
        self.cloud.control(self.server.id, hang='capture')
        writer = Writer(self.guest)
        self.addCleanup(writer.stop)
        process = self.begin('--max-freeze', '6s', '--timeout', '12s')
        self.cloud.suspend('glance')
        self.addCleanup(self.cloud.resume, 'glance')
        self.assertTrue(writer.is_blocked)
        writer.await_rows(2, 10)
        self.cloud.resume('glance')
        process.communicate(timeout=60)
        self.assertEqual(7, process.returncode)


class TestSignals(ConsistentTestCase):
    def setUp(self):
        super().setUp()
        self.start_mariadb()
        self.cloud.control(self.server.id, hang='capture')
        self.writer = Writer(self.guest)
        self.addCleanup(self.writer.stop)
        self.before = self.counts()

    def interrupt(self, number, *words):
        process = self.begin('--max-freeze', '60s', *words)
        self.assertTrue(self.writer.is_blocked)
        process.send_signal(number)
        return process

    def test_each_signal_releases_first(self):
        for number, code in (
            (signal.SIGINT, 130),
            (signal.SIGTERM, 143),
            (signal.SIGHUP, 129),
        ):
            process = self.interrupt(number)
            self.writer.await_rows(2, 5)
            _, stderr = process.communicate(timeout=60)
            self.assertEqual(code, process.returncode, stderr)
            self.assertIn('The guest is released', stderr)
            self.assertEqual(self.before, self.counts())
            self.cloud.wait(self.is_idle, 30, 'end of the task')

    def is_idle(self):
        compute = self.cloud.connection().compute
        return compute.get_server(self.server).task_state is None

    def test_a_killed_client_releases_at_once(self):
        process = self.interrupt(signal.SIGKILL)
        self.writer.await_rows(2, 5)
        process.wait(10)

    def test_the_next_run_clears_up_after_a_killed_one(self):
        process = self.interrupt(signal.SIGKILL, '--hook', self.hook('h'))
        process.wait(10)
        self.assertEqual('pre pre', self.log.read_text().strip())
        self.cloud.control(self.server.id, hang=None)
        self.cloud.wait(self.is_idle, 30, 'end of the task')
        self.consistent('--quiesce', 'mysql', '--wait')
        self.assertIn('without cleaning up; it is clean now', self.last.stderr)
        self.assertIn('post post aborted', self.log.read_text())
        images, volumes = self.before
        self.assertEqual((images + 1, volumes), self.counts())
        self.consistent('--quiesce', 'mysql')
        self.assertNotIn('cleaning up', self.last.stderr)

    def test_a_stopped_client_releases_within_the_lease(self):
        self.interrupt(signal.SIGSTOP)
        began = time.monotonic()
        self.writer.await_rows(2, 20)
        self.assertGreater(time.monotonic() - began, 3)

    def interrupt_pre(self, hook, log):
        """Send SIGINT while a pre hook runs, which has begun the log."""
        process = self.start(
            'server', 'snapshot', 'consistent', 'db', '--quiesce', 'none',
            '--hook', hook,
        )  # fmt: skip
        self.await_file(log)
        process.send_signal(signal.SIGINT)
        return process

    def test_a_second_signal_says_what_is_waited_for(self):
        log, gate = self.home / 'log', self.home / 'gate'
        slow = self.script(
            'slow',
            f'#!/bin/sh\necho "$1" >> {log}\n'
            f'until [ -e {gate} ]; do sleep 0.1; done\n',
        )
        process = self.interrupt_pre(slow, log)
        self.cloud.wait(lambda: 'post' in log.read_text(), 15, 'post hook')
        process.send_signal(signal.SIGINT)
        # the end of what is said, if it says nothing of it
        said = next(
            (line for line in process.stderr if 'please wait' in line), ''
        )
        self.assertIn('releasing first, please wait (db: post hook', said)
        gate.touch()
        process.communicate(timeout=15)
        self.assertEqual(130, process.returncode)
        self.assertEqual('pre\npost\n', log.read_text())

    def test_a_signal_ends_a_pre_hook_and_its_post_runs(self):
        log = self.home / 'log'
        slow = self.script(
            'slow',
            f'#!/bin/sh\necho "$1" >> {log}\n[ "$1" = post ] || sleep 25\n',
        )
        process = self.interrupt_pre(slow, log)
        process.communicate(timeout=15)
        self.assertEqual(130, process.returncode)
        self.assertEqual('pre\npost\n', log.read_text())
