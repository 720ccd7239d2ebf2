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


"""What may be shared, and what others would see."""

import testtools

from xloudclient.catalog import offer
from xloudclient.catalog.snapshot import Snapshot
from xloudclient.consistency.errors import Failure


def snapshot(**properties):
    image = {
        'id': 'image',
        'name': 'db',
        'owner': 'us',
        'status': 'active',
        'visibility': 'private',
        'image_type': 'snapshot',
    }
    return Snapshot({**image, **properties}, 'us')


class TestOffer(testtools.TestCase):
    def refusal(self, **properties):
        failure = self.assertRaises(
            Failure, offer.check, snapshot(**properties)
        )
        return str(failure)

    def test_an_active_one_of_our_own_may_be_shared(self):
        offer.check(snapshot())

    def test_refusals_have_their_reason(self):
        self.assertIn('project them', self.refusal(owner='them'))
        self.assertIn('is saving', self.refusal(status='saving'))
        self.assertIn('shelved server', self.refusal(name='db-shelved'))

    def test_what_others_would_see(self):
        one = snapshot(
            xloud_server_name='db\x1b[2J',
            xloud_key_name='',
            xloud_image='image',
            owner_user_name='ann',
            hw_disk_bus='scsi',
        )
        self.assertEqual(
            ['owner_user_name=ann', 'xloud_server_name=db\\x1b[2J'],
            list(offer.seen_by_others(one)),
        )

    def test_a_name_that_two_projects_offer_is_refused_with_both(self):
        offers = [
            snapshot(id='a', owner='them', created_at='2026-03-17T10:00:00Z'),
            snapshot(id='b', created_at='2026-03-18T10:00:00Z'),
        ]
        failure = self.assertRaises(Failure, offer.chosen, offers, 'db')
        self.assertIn(
            'b (of project us, created at 2026-03-18T10:00:00Z), '
            'a (of project them, created at 2026-03-17T10:00:00Z)',
            str(failure),
        )
