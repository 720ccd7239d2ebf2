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


"""What becomes of a snapshot's disks, and when which step is due."""

import itertools
import json

import testtools

from xloudclient.catalog import conversion
from xloudclient.catalog.conversion import Disk, Step, next_step
from xloudclient.catalog.snapshot import Snapshot
from xloudclient.consistency import evidence
from xloudclient.consistency.plan import Consistency

OWNER = 'owner'
ROOT, DATA = 'root-snapshot', 'data-snapshot'


def mapped(snapshot_id, device, boot_index):
    return {
        'snapshot_id': snapshot_id,
        'device_name': device,
        'boot_index': boot_index,
        'volume_size': 1,
    }


def snapshot(**properties):
    """A volume-backed one that was claimed, as Glance sends it."""
    # Nova does not put the root disk first
    mapping = [mapped(DATA, '/dev/vdb', None), mapped(ROOT, '/dev/vda', 0)]
    image = {
        'id': 'source',
        'name': 'db',
        'owner': OWNER,
        'status': 'active',
        'visibility': 'private',
        'size': 0,
        'min_disk': 1,
        'min_ram': 512,
        'tags': ['nightly'],
        'image_type': 'snapshot',
        'instance_uuid': 'server',
        'hw_disk_bus': 'scsi',
        'img_signature': 'of other bytes',
        'block_device_mapping': json.dumps(mapping),
        'bdm_v2': 'True',
        'xloud_image': 'source',
        'xloud_consistency': 'application',
        'xloud_server_name': 'db',
        'xloud_run': 'run',
        'xloud_volumes': '',
    }
    return Snapshot({**image, **properties}, OWNER)


PARTS = {DATA: ('/dev/vdb', 3), ROOT: ('/dev/vda', 2)}


class TestDisks(testtools.TestCase):
    def test_the_root_disk_is_the_last(self):
        data, root = conversion.disks(snapshot(), PARTS)
        self.assertEqual(Disk(DATA, '/dev/vdb', 3), data)
        self.assertEqual(Disk(ROOT, '/dev/vda', 2, is_root=True), root)

    def test_an_image_is_the_root_disk_of_its_data_volumes(self):
        source = snapshot(
            block_device_mapping='', xloud_volumes=DATA, size=(1 << 30) + 1
        )
        data, root = conversion.disks(source, PARTS)
        self.assertEqual(Disk(DATA, '/dev/vdb', 3), data)
        self.assertEqual(Disk('source', '', 2, True, True), root)

    def test_the_root_disk_gives_the_snapshot_its_name_and_origin(self):
        source = snapshot()
        data, root = conversion.disks(source, PARTS)
        self.assertEqual('db-converted', root.name(source))
        self.assertEqual('db-converted-vdb', data.name(source))
        self.assertEqual('source', root.converted_from(source))
        self.assertEqual(DATA, data.converted_from(source))

    def test_a_long_name_is_cut(self):
        source = snapshot(name='x' * 255)
        for disk in conversion.disks(source, PARTS):
            self.assertEqual(255, len(disk.name(source)))


class TestProperties(testtools.TestCase):
    def copy(self, **properties):
        source = snapshot(**properties)
        data, root = conversion.disks(source, PARTS)
        found = conversion.root_properties(
            source, root, 'copy', [(data, 'data-image')]
        )
        image = {**found, 'id': 'copy', 'owner': OWNER, 'status': 'active'}
        return Snapshot(image, OWNER)

    def test_the_copy_claims_what_the_snapshot_did_of_itself(self):
        copy = self.copy()
        self.assertTrue(copy.is_claimed)
        self.assertIs(Consistency.APPLICATION, copy.consistency)
        self.assertEqual('source', copy.converted_from)
        self.assertEqual('db', copy.server_name)
        self.assertEqual('server', copy.server_id)
        self.assertEqual('scsi', copy.image['hw_disk_bus'])
        self.assertEqual(['nightly'], copy.tags)
        self.assertEqual(512, copy.image['min_ram'])
        self.assertEqual(2, copy.image['min_disk'])

    def test_the_copy_is_of_no_run_and_has_no_volume_snapshots(self):
        copy = self.copy()
        self.assertEqual(('', ()), (copy.run_id, copy.volumes))
        self.assertNotIn('img_signature', copy.image)

    def test_the_copy_has_its_other_disks_made_at_a_launch(self):
        copy = self.copy()
        self.assertEqual(('data-image',), copy.disk_images)
        [device] = copy.devices
        self.assertEqual(('/dev/vdb', 3), (device.name, device.size))
        self.assertFalse(device.is_root)

    def test_what_others_made_is_not_claimed_by_its_copy(self):
        """Also what was handed on from another image is not."""
        copy = self.copy(xloud_image='another')
        self.assertIsNone(copy.consistency)
        self.assertEqual('it is a copy of one that others made', copy.why)
        self.assertEqual(('', ''), (copy.server_name, copy.server_id))
        self.assertEqual('source', copy.converted_from)

    def test_every_key_is_set(self):
        copy = self.copy(xloud_image='another')
        self.assertEqual(set(), set(evidence.KEYS) - set(copy.image))

    def test_an_upload_under_way_is_no_copy(self):
        source = snapshot()
        root = conversion.disks(source, PARTS)[-1]
        marks = conversion.marks(source, root, 'volume')
        image = {**marks, 'id': 'copy', 'status': 'active'}
        self.assertFalse(conversion.is_finished(image))
        self.assertEqual('', Snapshot(image, OWNER).converted_from)


class TestSteps(testtools.TestCase):
    """The rows of the rule: volume, image, made, uploaded."""

    def assertStep(self, step, *seen):
        self.assertIs(step, next_step(*seen), seen)

    def test_from_nothing_to_the_image(self):
        self.assertStep(Step.MAKE, None, None, False, False)
        self.assertStep(Step.WAIT, 'creating', None, True, False)
        self.assertStep(Step.WAIT, 'downloading', None, True, False)
        self.assertStep(Step.UPLOAD, 'available', None, True, False)
        self.assertStep(Step.WAIT, 'uploading', 'queued', True, True)
        self.assertStep(Step.WAIT, 'uploading', 'saving', True, True)
        self.assertStep(Step.FINISH, 'uploading', 'active', True, True)
        self.assertStep(Step.FINISH, 'available', 'active', True, True)

    def test_another_attempt_goes_on_from_what_it_finds(self):
        self.assertStep(Step.WAIT, 'creating', None, False, False)
        self.assertStep(Step.UPLOAD, 'available', None, False, False)
        self.assertStep(Step.WAIT, 'uploading', 'saving', False, False)
        self.assertStep(Step.FINISH, None, 'active', False, False)

    def test_failures(self):
        self.assertStep(Step.FAIL, None, None, True, False)
        self.assertStep(Step.FAIL, 'error', None, True, False)
        self.assertStep(Step.FAIL, 'error', None, False, False)
        self.assertStep(Step.FAIL, 'available', None, True, True)
        self.assertStep(Step.FAIL, 'in-use', None, True, False)

    def test_an_upload_that_is_over_leaves_no_unfinished_image(self):
        self.assertStep(Step.DOUBT, 'available', 'saving', True, True)
        self.assertStep(Step.DOUBT, 'available', 'queued', False, False)
        # Glance goes on by itself
        self.assertStep(Step.WAIT, 'available', 'importing', True, True)

    def test_nothing_is_asked_for_twice(self):
        statuses = (
            None,
            'creating',
            'available',
            'uploading',
            'error',
            'in-use',
        )
        images = (None, 'queued', 'saving', 'active')
        for volume, image in itertools.product(statuses, images):
            step = next_step(volume, image, True, True)
            self.assertNotIn(step, (Step.MAKE, Step.UPLOAD))
