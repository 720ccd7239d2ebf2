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


import testtools

from xloudclient.consistency import capture
from xloudclient.consistency.capture import Seen, Verdict


class TestTheRule(testtools.TestCase):
    """Each row of the table is one test."""

    def expect(self, verdict, **seen):
        self.assertEqual(verdict, capture.judge(Seen(**seen)).verdict)

    def test_a_queued_image_is_not_captured(self):
        self.expect(Verdict.PENDING, image='queued')

    def test_any_other_status_is(self):
        for status in ('saving', 'importing', 'uploading', 'active'):
            self.expect(Verdict.CAPTURED, image=status)

    def test_an_image_that_is_gone_failed(self):
        for status in capture.GONE:
            self.expect(Verdict.FAILED, image=status)

    def test_queued_after_the_task_was_over_failed(self):
        self.expect(Verdict.FAILED, image='queued', since_task_over=5.0)

    def test_queued_just_after_the_task_was_over_is_not(self):
        self.expect(Verdict.PENDING, image='queued', since_task_over=4.9)

    def test_saving_after_the_task_was_over_is_captured(self):
        self.expect(Verdict.CAPTURED, image='saving', since_task_over=9.0)

    def test_an_active_volume_backed_image_waits_for_its_snapshots(self):
        self.expect(
            Verdict.PENDING,
            image='active',
            volumes=('available', 'creating'),
            is_volume_backed=True,
        )

    def test_all_snapshots_available_is_captured(self):
        self.expect(
            Verdict.CAPTURED,
            image='active',
            volumes=('available', 'available'),
            is_volume_backed=True,
        )

    def test_one_snapshot_in_error_fails_all(self):
        for status in ('error', 'error_deleting', 'deleting', None):
            self.expect(
                Verdict.FAILED,
                image='active',
                volumes=('available', status, 'creating'),
                is_volume_backed=True,
            )

    def test_an_attached_volume_delays_an_image_backed_one(self):
        self.expect(Verdict.PENDING, image='saving', volumes=('creating',))
        self.expect(Verdict.PENDING, image='queued', volumes=('available',))

    def test_an_unknown_snapshot_status_is_waited_for(self):
        self.expect(Verdict.PENDING, image='active', volumes=('odd',))

    def test_a_failure_says_why(self):
        judgement = capture.judge(Seen(image=None))
        self.assertIn('the image is gone', judgement.reason)
