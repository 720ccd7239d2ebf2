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

from xloudclient.consistency import evidence
from xloudclient.consistency.plan import Consistency
from xloudclient.consistency.proof import Proof
from xloudclient.tests.fakes import world as fakes


class TestProperties(testtools.TestCase):
    def test_a_request_sets_every_key_and_claims_nothing(self):
        made = evidence.requested_properties(fakes.plan())
        self.assertLessEqual(set(evidence.KEYS), set(made))
        self.assertEqual('none', made['xloud_consistency'])
        self.assertEqual('', made['xloud_image'])
        self.assertEqual('snapshot', made['image_type'])
        self.assertEqual(fakes.SERVER, made['instance_uuid'])

    def test_values_fit(self):
        plan = fakes.plan(group_id='g' * 300)
        for value in evidence.requested_properties(plan).values():
            self.assertLessEqual(len(value), 255)

    def test_many_volume_snapshots_are_split_and_read_back(self):
        ids = [f'{n:08d}-0000-4000-8000-000000000000' for n in range(30)]
        proof = Proof(Consistency.NONE)
        made = evidence.proven_properties('i', proof, '', None, (), ids)
        self.assertEqual(tuple(ids), evidence.volume_snapshots(made))
        for value in made.values():
            self.assertLessEqual(len(value), 255)

    def test_a_claim_about_another_image_is_void(self):
        made = {'xloud_image': 'a', 'xloud_consistency': 'application'}
        self.assertEqual(
            Consistency.APPLICATION, evidence.recorded_class('a', made)
        )
        self.assertIsNone(evidence.recorded_class('b', made))
        self.assertIsNone(evidence.recorded_class('b', {}))
        forged = {'xloud_image': 'a', 'xloud_consistency': 'best'}
        self.assertIsNone(evidence.recorded_class('a', forged))
