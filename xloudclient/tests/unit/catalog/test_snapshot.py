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

"""An image is read as what it is, and believed in what it can be."""

import json

import testtools
from hypothesis import given, settings
from hypothesis import strategies as st

from xloudclient.catalog.snapshot import Kind, Snapshot
from xloudclient.consistency.plan import Consistency

IMAGE = {
    'id': 'a',
    'name': 'db-2026-03-18',
    'status': 'active',
    'owner': 'p',
    'visibility': 'private',
    'size': 4096,
    'created_at': '2026-03-18T10:00:00Z',
}
OURS = {
    'image_type': 'snapshot',
    'instance_uuid': 's',
    'xloud_image': 'a',
    'xloud_consistency': 'application',
    'xloud_run': 'r',
    'xloud_server_name': 'db',
    'xloud_frozen_ms': '1234',
    'xloud_volumes': 'v1,v2',
}
MAPPING = json.dumps(
    [
        {'snapshot_id': 'x', 'device_name': '/dev/vda', 'volume_size': 2},
        {'snapshot_id': 'y', 'device_name': '/dev/vdb', 'volume_size': 3},
        {'snapshot_id': None, 'device_name': '/dev/vdc', 'volume_size': 1},
    ]
)
FROM_VOLUMES = {'block_device_mapping': MAPPING, 'bdm_v2': 'True', 'size': 0}


def snapshot(*more: dict, reader: str = 'p') -> Snapshot:
    image = dict(IMAGE)
    for one in more:
        image.update(one)
    return Snapshot(image, reader)


class TestKind(testtools.TestCase):
    def test_by_novas_marks(self):
        for marks, kind in (
            ({}, None),
            ({'image_type': 'base'}, None),
            ({'image_type': 'snapshot'}, Kind.IMAGE),
            ({'image_type': 'backup'}, Kind.BACKUP),
            (FROM_VOLUMES, Kind.VOLUME),
            ({**FROM_VOLUMES, 'image_type': 'snapshot'}, Kind.VOLUME),
        ):
            self.assertEqual(kind, snapshot(marks).kind, marks)

    def test_an_image_with_a_mapping_and_no_snapshots_is_none(self):
        # Glance keeps the mapping of an image made for boot-from-volume
        mapping = json.dumps([{'source_type': 'blank', 'volume_size': 1}])
        self.assertIsNone(snapshot({'block_device_mapping': mapping}).kind)

    def test_shelved_ones_are_marked(self):
        name = {'image_type': 'snapshot', 'name': 'db-shelved'}
        self.assertTrue(snapshot(name).is_shelved)
        self.assertEqual('shelved', snapshot(name).kind_word)

    def test_what_is_ours_may_be_named_so(self):
        self.assertFalse(snapshot(OURS, {'name': 'db-shelved'}).is_shelved)

    @given(
        st.one_of(
            st.text(),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(),
                lambda inner: (
                    st.lists(inner)
                    | st.dictionaries(
                        st.sampled_from(
                            ['snapshot_id', 'volume_size', 'boot_index']
                        ),
                        inner,
                    )
                ),
            ).map(json.dumps),
        )
    )
    @settings(max_examples=40)
    def test_any_mapping_can_be_read(self, mapping):
        found = snapshot({'block_device_mapping': mapping})
        self.assertEqual(bool(found.mapped_volumes), found.kind is Kind.VOLUME)
        self.assertIsInstance(found.size, int | None)


class TestClaims(testtools.TestCase):
    def test_what_a_run_recorded(self):
        found = snapshot(OURS)
        self.assertEqual(Consistency.APPLICATION, found.consistency)
        self.assertEqual('r', found.run_id)
        self.assertEqual('db', found.server_name)
        self.assertEqual(1.234, found.frozen_seconds)
        self.assertEqual(('v1', 'v2'), found.volumes)

    def test_a_copy_claims_nothing(self):
        """A server was launched from ours, and Nova snapshotted that."""
        found = snapshot(OURS, {'id': 'copy'})
        self.assertIsNone(found.consistency)
        self.assertEqual('unknown', found.consistency_word)
        self.assertEqual('', found.run_id)
        self.assertEqual('', found.server_name)
        self.assertIsNone(found.frozen_seconds)
        self.assertEqual((), found.volumes)
        self.assertIn('another image', found.why)

    def test_a_volume_backed_copy_does_not_even_know_its_server(self):
        found = snapshot(OURS, FROM_VOLUMES, {'id': 'copy'})
        self.assertEqual('', found.server_id)
        self.assertEqual(('x', 'y'), found.volumes)

    def test_nova_says_which_server_an_image_is_of(self):
        found = snapshot({'image_type': 'snapshot', 'instance_uuid': 's'})
        self.assertEqual('s', found.server_id)
        self.assertEqual('others made it', found.why)

    def test_another_projects_claim_is_no_proof(self):
        shared = snapshot(OURS, {'visibility': 'shared'}, reader='q')
        self.assertEqual('unknown', shared.consistency_word)
        self.assertIn("'application'", shared.why)

    def test_sharing_ones_own_does_not_change_it(self):
        own = snapshot(OURS, {'visibility': 'shared'})
        self.assertEqual(Consistency.APPLICATION, own.consistency)

    def test_an_administrator_sees_what_a_project_proved(self):
        found = snapshot(OURS, reader='admin')
        self.assertEqual(Consistency.APPLICATION, found.consistency)

    def test_nothing_is_claimed_before_its_upload_ends(self):
        pending = snapshot(OURS, {'xloud_image': '', 'status': 'saving'})
        self.assertEqual('r', pending.run_id)
        self.assertIsNone(pending.consistency)
        self.assertIn('under way', pending.why)

    def test_garbage_is_no_number(self):
        for text in ('', '-1', '1e9', '1' * 40, '\N{ARABIC-INDIC DIGIT ONE}'):
            found = snapshot(OURS, {'xloud_frozen_ms': text})
            self.assertIsNone(found.frozen_seconds)

    def test_an_unknown_class_is_none_of_ours(self):
        found = snapshot(OURS, {'xloud_consistency': 'perfect'})
        self.assertEqual('unknown', found.consistency_word)


class TestSize(testtools.TestCase):
    def test_an_image_has_bytes(self):
        self.assertEqual(4096, snapshot(OURS).size)

    def test_of_volumes_it_is_theirs(self):
        self.assertEqual(5 << 30, snapshot(FROM_VOLUMES).size)

    def test_it_is_not_guessed(self):
        mapping = json.dumps([{'snapshot_id': 'x', 'volume_size': None}])
        found = snapshot(FROM_VOLUMES, {'block_device_mapping': mapping})
        self.assertIsNone(found.size)


class TestPrinted(testtools.TestCase):
    def test_a_label_can_be_printed(self):
        label = snapshot({'name': 'a\x1b[2J\nb'}).label
        self.assertTrue(label.isprintable())
