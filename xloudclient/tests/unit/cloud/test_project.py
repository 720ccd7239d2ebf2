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

"""What a run made is known by more than what anybody can write."""

from http import HTTPStatus
from unittest import mock

import testtools

from xloudclient.cloud.project import OpenStack
from xloudclient.consistency.answers import Requested
from xloudclient.consistency.errors import CaptureFailed, Refused
from xloudclient.tests.fakes import world as fakes


class TestFindRun(testtools.TestCase):
    def find(self, *images: dict) -> Requested | None:
        cloud = OpenStack(mock.Mock(current_project_id='p'))
        cloud.images = mock.Mock()
        cloud.images.matching.return_value = list(images)
        cloud.volumes = mock.Mock()
        cloud.volumes.of_run.return_value = ()
        cloud.volumes.get.side_effect = lambda part_id: {
            'volume_id': {'ours': 'v', 'theirs': 'w'}[part_id]
        }
        found = cloud.find_run('run', 'server', ['v'])
        self.asked = cloud.images.matching.call_args.kwargs
        return found

    def image(self, claim: str, part: str = 'ours') -> dict:
        mapping = f'[{{"snapshot_id": "{part}"}}]'
        return {
            'id': 'i',
            'xloud_image': claim,
            'block_device_mapping': mapping,
        }

    def test_one_that_claims_nothing_yet_or_itself(self):
        for claim in ('', 'i'):
            found = self.find(self.image(claim))
            self.assertEqual(Requested('i', ('ours',)), found)
        self.assertEqual('p', self.asked['owner'])

    def test_a_copy_is_not_found(self):
        self.assertIsNone(self.find(self.image('another')))

    def test_a_forged_mapping_names_nothing_of_ours(self):
        found = self.find(self.image('', part='theirs'))
        self.assertEqual(Requested('i', ()), found)

    def test_two_are_named_and_none_is_taken(self):
        other = {**self.image(''), 'id': 'j'}
        failure = self.assertRaises(
            CaptureFailed, self.find, self.image(''), other
        )
        self.assertIn('made them: i, j', str(failure))


class TestRequest(testtools.TestCase):
    def request(self, status: int, *images: dict) -> Requested:
        self.cloud = OpenStack(mock.Mock())
        self.cloud.servers = mock.Mock()
        refused = Refused('no', status)
        self.cloud.servers.create_image.side_effect = refused
        self.cloud.images = mock.Mock()
        self.cloud.images.matching.return_value = list(images)
        return self.cloud.request(fakes.plan(), {})

    def test_a_conflict_with_itself_is_none(self):
        image = {'id': fakes.IMAGE, 'xloud_image': ''}
        self.assertEqual(
            Requested(fakes.IMAGE), self.request(HTTPStatus.CONFLICT, image)
        )

    def test_a_conflict_with_another_is_one(self):
        self.assertRaises(Refused, self.request, HTTPStatus.CONFLICT)

    def test_nobody_looks_for_what_was_refused_otherwise(self):
        self.assertRaises(Refused, self.request, HTTPStatus.FORBIDDEN)
        self.cloud.images.matching.assert_not_called()
