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


"""The capture rule, judged by the cloud's own log and by who writes.

Five runs by default; XLOUDCLIENT_CAPTURE_RUNS says how many.
"""

import os
import random
from unittest import mock

from xloudclient.consistency import capture
from xloudclient.tests.functional import base
from xloudclient.tests.functional.writer import Writer

RUNS = int(os.environ.get('XLOUDCLIENT_CAPTURE_RUNS', '5'))
#: A row that is acknowledged is known of this much later (seconds).
SLACK_SECONDS = 0.05


class TestCaptureRule(base.FunctionalTestCase):
    def setUp(self):
        super().setUp()
        self.random = random.Random(os.environ.get('XLOUDCLIENT_SEED', '7'))
        self.server = self.place.server(name='db')
        self.guest = self.cloud.guest(self.server)
        self.guest.start_mariadb()
        self.addCleanup(self.guest.stop_mariadb)

    def orders(self):
        return {
            'mode': self.random.choice(['live', 'live', 'direct']),
            'pending': self.random.uniform(0, 0.6),
            'attempt': self.random.uniform(0, 0.6),
            'capture': self.random.uniform(0.2, 1.5),
            'upload': self.random.uniform(0.2, 1.0),
        }

    def run_once(self, **orders):
        """One snapshot under load; return what the judges need."""
        self.cloud.control(self.server.id, **orders)
        before = len(self.cloud.events(self.server.id))
        writer = Writer(self.guest)
        try:
            writer.await_rows(5)
            result = self.openstack(
                'server', 'snapshot', 'consistent', 'db', '-f', 'json',
                '--quiesce', 'mysql', '--wait', *self.reach(self.server),
            )  # fmt: skip
            writer.await_rows(2)
        finally:
            writer.stop()
        self.cloud.wait(
            lambda: (
                'captured'
                in [
                    e.event for e in self.cloud.events(self.server.id)[before:]
                ]
            ),
            30,
            'capture',
        )
        events = self.cloud.events(self.server.id)[before:]
        return result, writer.longest_gap, events

    def judge(self, result, gap, events):
        """The lock was held at the captured moment, and let go soon after."""
        blocked_from, blocked_until = gap
        [captured] = [one for one in events if one.event == 'captured']
        self.assertGreater(
            blocked_until + SLACK_SECONDS, captured.monotonic, result.stderr
        )
        self.assertLess(blocked_from, captured.details['monotonic_begin'])
        return blocked_until

    def polls_after_the_capture(self, row, seen_from, until):
        """How often we looked from the first status other than queued on."""
        return [
            one
            for one in self.cloud.requests(service='glance', method='GET')
            if one.path.endswith(row['Snapshot ID'])
            and 'openstackclient' in one.user_agent
            and seen_from <= one.monotonic <= until
        ]

    def test_the_lock_is_held_until_the_disk_is_captured(self):
        for _ in range(RUNS):
            orders = self.orders()
            result, gap, events = self.run_once(**orders)
            self.assertEqual(0, result.code, result.stderr)
            [row] = result.rows
            self.assertEqual('application', row['Consistency'])
            until = self.judge(result, gap, events)
            if orders['mode'] == 'live':
                [upload] = [e for e in events if e.event == 'upload-begin']
                polls = self.polls_after_the_capture(
                    row, upload.monotonic, until
                )
                self.assertLessEqual(len(polls), 2, orders)

    def refute(self, rule):
        """A wrong rule is found out by the same judge."""
        with mock.patch.object(capture, 'judge', rule):
            result, gap, events = self.run_once(
                mode='live', pending=0.3, attempt=1.0, capture=1.5, upload=0.3
            )
        self.assertRaises(AssertionError, self.judge, result, gap, events)

    def test_release_at_the_reply_is_found_out(self):
        self.refute(lambda seen: capture.Judgement(capture.Verdict.CAPTURED))

    def test_release_at_the_first_image_uploading_is_found_out(self):
        compute = self.cloud.connection().compute
        verdicts = capture.Verdict

        def rule(seen):
            state = compute.get_server(self.server).task_state
            seen_it = state == 'image_uploading' or seen.image == 'active'
            return capture.Judgement(
                verdicts.CAPTURED if seen_it else verdicts.PENDING
            )

        self.refute(rule)


class TestVolumeBacked(base.FunctionalTestCase):
    def test_held_until_every_snapshot_is_available(self):
        server = self.place.server(name='vdb', volume_backed=True)
        guest = self.cloud.guest(server)
        guest.start_mariadb()
        self.addCleanup(guest.stop_mariadb)
        self.cloud.control_volume(snapshot=0.7, finish=0.7)
        writer = Writer(guest)
        self.addCleanup(writer.stop)
        [row] = self.snapshot(
            'consistent', 'vdb', '--quiesce', 'mysql', *self.reach(server)
        )
        writer.await_rows(2)
        _, blocked_until = writer.longest_gap
        captured = self.cloud.events(event='volume-captured')[-1]
        self.assertEqual([captured.details['snapshot']], row['Volumes'])
        self.assertGreater(blocked_until, captured.monotonic)
        self.assertEqual('application', row['Consistency'])
        self.assertGreater(row['Frozen For'], 1.4)
