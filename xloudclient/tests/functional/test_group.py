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


"""server snapshot consistent --group: several servers, one point in time."""

import fcntl
import signal
import threading
import time

from xloudclient.tests.functional import base

#: Holds the application of a guest by the lock that it writes under.
HOLD = """#!/bin/sh
[ ! -e "$HOME/refuse" ] || exit 1
exec 9>>"$HOME/app.lock"
flock 9
echo 'ready {"gives": "application"}'
while read -r word; do
    case $word in
    verify) echo held ;;
    release) break ;;
    esac
done
exec 9>&-
echo released
"""
#: Gives the turn away only after the counter was passed round again.
MOVED = """#!/bin/sh
[ "$1" = post ] || exit 0
before=$(cat {counter})
until [ $(cat {counter}) -gt $((before + 8)) ]; do sleep 0.05; done
"""


def is_free(lock):
    """Whether the application could write now."""
    with lock.open('a') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class Ring(threading.Thread):
    """A counter that servers pass round; each writes it to its disk.

    At any moment their disks have successive numbers.

    :param members: for each server its lock and its disk
    :param counter: a file for the last number
    """

    def __init__(self, members, counter):
        super().__init__(daemon=True)
        self.members = members
        self.counter = counter
        self.passed = 0
        self.is_stopped = False

    def run(self):
        while not self.is_stopped:
            number = self.passed
            lock, disk = self.members[number % len(self.members)]
            with lock.open('a') as held, disk.open('r+b') as file:
                fcntl.flock(held, fcntl.LOCK_EX)
                file.write(b'%08d' % number)
                file.flush()
            self.counter.with_suffix('.new').write_text(f'{number}\n')
            self.counter.with_suffix('.new').rename(self.counter)
            self.passed += 1
            time.sleep(0.005)

    def stop(self):
        self.is_stopped = True
        self.join(30)


class GroupTestCase(base.FunctionalTestCase):
    def begin(self, count):
        names = [f'member-{number}' for number in range(count)]
        self.servers = [self.place.server(name=name) for name in names]
        self.guests = [self.cloud.guest(one) for one in self.servers]
        known = self.home / 'known_hosts'
        known.write_text(
            ''.join(one.known_hosts.read_text() for one in self.guests)
        )
        reach = self.reach(self.servers[0])
        reach[-1] = f'UserKnownHostsFile={known}'
        hold = self.script('hold', HOLD)
        self.locks = [one.home / 'app.lock' for one in self.guests]
        for guest in self.guests:
            guest.run('touch', 'app.lock', check=True)
        self.words = [*names, '--quiesce', hold, *reach]

    def consistent(self, *words, expect=0):
        return self.snapshot(
            'consistent', *self.words, '--wait', *words, expect=expect
        )


class TestOnePointInTime(GroupTestCase):
    def setUp(self):
        super().setUp()
        self.begin(4)
        for delay, server in zip((0.2, 0.8, 0, 0.5), self.servers):
            self.cloud.control(server.id, capture=delay)
        disks = map(self.cloud.disk, self.servers)
        counter = self.home / 'counter'
        self.moved = self.script('moved', MOVED.format(counter=counter))
        ring = Ring(list(zip(self.locks, disks)), counter)
        ring.start()
        self.addCleanup(ring.stop)
        self.cloud.wait(lambda: ring.passed > 8, 30, 'number on each disk')

    def captured(self, rows):
        """The numbers on the captured disks, in rising order."""
        image = self.cloud.connection().image
        return sorted(
            int(image.get(f'/images/{row["Snapshot ID"]}/file').content[:8])
            for row in rows
        )

    def test_no_disk_knows_of_a_later_step_than_the_others(self):
        rows = self.consistent('--group', '--post-hook', self.moved)
        first, *rest = self.captured(rows)
        self.assertEqual([first + 1, first + 2, first + 3], rest)
        self.assert_recorded(rows)
        self.consistent('--group', '--rehearse')
        self.assertIn('as last time', self.last.stderr)
        rows = self.consistent('--post-hook', self.moved)
        self.assertNotIn('as last time', self.last.stderr)
        first, *_, last = self.captured(rows)
        self.assertGreater(last - first, 3)

    def assert_recorded(self, rows):
        [group] = {row['Group'] for row in rows}
        self.assertRegex(group, r'^\d{8}T\d{6}Z-[0-9a-f]{8}-of-4$')
        self.assertEqual(
            ['application'] * 4, [row['Consistency'] for row in rows]
        )
        result = self.openstack(
            'snapshot', 'list', '--group', group, '-f', 'json'
        )
        self.assertEqual(
            {row['Snapshot ID'] for row in rows},
            {row['ID'] for row in result.rows},
        )


class TestAllOrNothing(GroupTestCase):
    def setUp(self):
        super().setUp()
        self.begin(2)
        self.before = self.counts()

    def assert_nothing_left(self):
        self.assertEqual(self.before, self.counts())
        for lock in self.locks:
            self.assertTrue(is_free(lock))
        runs = self.home / 'state' / 'xloudclient' / 'runs'
        self.assertEqual([], list(runs.iterdir()))

    def await_idle(self):
        compute = self.cloud.connection().compute
        for server in self.servers:
            self.cloud.control(server.id, hang=None)
            self.cloud.wait(
                lambda one=server: compute.get_server(one).task_state is None,
                30,
                'end of the task',
            )

    def test_what_one_cannot_none_does(self):
        self.consistent('--group', '--on-error', 'continue', expect=2)
        refuse = self.guests[1].home / 'refuse'
        refuse.touch()
        self.assert_given_up(3)
        self.assertEqual([], self.cloud.events(self.servers[0].id))
        refuse.unlink()
        self.cloud.control(self.servers[1].id, fail='capture')
        self.assert_given_up(4)
        # Nova may still upload what was given up
        self.await_idle()
        self.cloud.control(self.servers[1].id, fail=None, hang='capture')
        row = self.assert_given_up(7, '--max-freeze', '3s')
        self.assertLess(row['Frozen For'], 4.5)

    def assert_given_up(self, code, *words):
        row, other = self.consistent('--group', *words, expect=code)
        for one in (row, other):
            self.assertNotIn(one['Status'], ('captured', 'active'))
            self.assertIsNone(one['Consistency'])
        self.assertIn('the group was given up', self.last.stderr)
        self.assert_nothing_left()
        return row

    def test_a_signal_ends_all_and_a_killed_run_claims_nothing(self):
        self.assertEqual(130, self.interrupt(signal.SIGINT))
        self.assert_nothing_left()
        self.await_idle()
        self.interrupt(signal.SIGKILL)
        self.await_idle()
        result = self.openstack('server', 'snapshot', 'recover', '-f', 'json')
        self.assertEqual(2, len(result.rows), result.stderr)
        self.assert_nothing_left()

    def interrupt(self, number):
        """Send a signal when everything is held; return the exit code."""
        for server in self.servers:
            self.cloud.control(server.id, hang='capture')
        process = self.start(
            'server', 'snapshot', 'consistent', *self.words, '--group'
        )
        requested = 0
        while requested < 2:
            requested += 'requested: image' in process.stderr.readline()
        self.assertFalse(any(map(is_free, self.locks)))
        process.send_signal(number)
        process.communicate(timeout=base.PATIENCE_SECONDS)
        return process.returncode
