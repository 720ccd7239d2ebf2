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

"""What a server is given; what a snapshot's server had."""

import testtools

from xloudclient.catalog import launch
from xloudclient.catalog.launch import Part, Source, Wanted
from xloudclient.catalog.snapshot import Device, Snapshot

IMAGE = {
    'id': 'a',
    'name': 'db',
    'status': 'active',
    'owner': 'p',
    'visibility': 'private',
    'image_type': 'snapshot',
}
RECORD = {
    'xloud_image': 'a',
    'xloud_flavor': 'm1.small',
    'xloud_networks': 'net,back',
    'xloud_key_name': 'k',
    'xloud_security_groups': '',
}


def snapshot(reader: str = 'p', **more: object) -> Snapshot:
    return Snapshot({**IMAGE, **RECORD, **more}, reader)


class TestSource(testtools.TestCase):
    def test_what_is_recorded_of_this_image_is_taken(self):
        self.assertEqual(
            Source('m1.small', ('net', 'back'), 'k', ()),
            launch.source_of(snapshot()),
        )

    def test_what_is_recorded_of_another_image_never_is(self):
        copy = snapshot(xloud_image='b')
        self.assertIsNone(launch.source_of(copy))
        self.assertIsNone(launch.source_of(copy, True))
        self.assertIn('nothing is recorded', launch.why_no_source(copy, True))

    def test_what_another_project_recorded_has_to_be_asked_for(self):
        others = snapshot(reader='q')
        self.assertIsNone(launch.source_of(others))
        self.assertIn('--source-defaults', launch.why_no_source(others, None))
        self.assertIsNotNone(launch.source_of(others, True))

    def test_nothing_is_taken_if_that_is_asked_for(self):
        self.assertIsNone(launch.source_of(snapshot(), False))
        self.assertIn(
            '--no-source-defaults', launch.why_no_source(snapshot(), False)
        )


class TestPart(testtools.TestCase):
    FOUND = {
        'status': 'available',
        'size': 3,
        'metadata': {'xloud_image': 'a', 'xloud_device': '/dev/vdb'},
    }

    def test_one_beside_an_image_says_itself_whose_it_is(self):
        self.assertEqual(
            Part('x', '/dev/vdb', 'available', 3),
            launch.part('x', self.FOUND, snapshot()),
        )
        strange = {**self.FOUND, 'metadata': {}}
        part = launch.part('x', strange, snapshot())
        self.assertFalse(part.is_ours)
        self.assertEqual('', part.device)

    def test_a_device_is_a_device_or_left_to_nova(self):
        for device in ('vdb', '/dev/../x', '/dev/vdb,tag=x', '/dev/vdb\n'):
            metadata = {'xloud_image': 'a', 'xloud_device': device}
            found = {**self.FOUND, 'metadata': metadata}
            part = launch.part('x', found, snapshot())
            self.assertEqual('', part.device, device)

    def test_one_of_novas_mapping_is_as_that_says(self):
        entry = {'device_name': '/dev/vda', 'boot_index': 0}
        part = launch.part('x', None, snapshot(), entry)
        self.assertTrue(part.is_root)
        self.assertTrue(part.is_ours)
        self.assertEqual('', part.status)

    def test_a_converted_one_names_images(self):
        entry = {'image_id': 'i', 'device_name': '/dev/vdb'}
        device = Device('/dev/vdb', '', 4, image_id='i', entry=entry)
        part = launch.disk_image(device, {'status': 'active'})
        self.assertTrue(part.is_ready)
        asked = launch.block_device(part, Wanted())
        self.assertEqual('image', asked['source_type'])
        self.assertEqual(('i', 4), (asked['uuid'], asked['volume_size']))
        self.assertFalse(launch.disk_image(device, None).is_ready)

    def test_they_are_in_the_order_of_devices(self):
        names = ['/dev/vdaa', '/dev/vdc', '/dev/vdb', '/dev/vda']
        parts = [Part(name, name, 'available', 1) for name in names]
        self.assertEqual(
            names[::-1], [one.id for one in launch.in_order(parts)]
        )


class TestBlockDevice(testtools.TestCase):
    def test_a_data_volume_is_kept_with_its_device(self):
        part = Part('x', '/dev/vdb', 'available', 3)
        self.assertEqual(
            {
                'uuid': 'x',
                'source_type': 'snapshot',
                'destination_type': 'volume',
                'boot_index': -1,
                'volume_size': 3,
                'delete_on_termination': 'false',
                'device_name': '/dev/vdb',
            },
            launch.block_device(part, Wanted()),
        )

    def test_without_a_device_nova_chooses(self):
        part = Part('x', '', 'available', 3)
        self.assertNotIn('device_name', launch.block_device(part, Wanted()))

    def test_what_the_mapping_says_is_kept(self):
        entry = {
            'delete_on_termination': True,
            'boot_index': 0,
            'disk_bus': 'scsi',
            'tag': None,
        }
        part = Part('x', '/dev/sda', 'available', 1, True, True, entry)
        asked = launch.block_device(part, Wanted(with_data=False))
        self.assertEqual('true', asked['delete_on_termination'])
        self.assertEqual(0, asked['boot_index'])
        self.assertEqual('scsi', asked['disk_bus'])
        self.assertNotIn('tag', asked)

    def test_volumes_go_with_the_server_if_that_is_asked_for(self):
        part = Part('x', '/dev/vdb', 'available', 3)
        wanted = Wanted(is_deleted=True, root_size=9)
        for asked in (
            launch.block_device(part, wanted),
            launch.root_volume(snapshot(), wanted),
        ):
            self.assertEqual('true', asked['delete_on_termination'])

    def test_one_that_is_left_out_takes_the_place_of_the_mappings(self):
        part = Part('x', '/dev/vdb', 'available', 3, entry={'tag': 't'})
        asked = launch.block_device(part, Wanted(with_data=False))
        self.assertIs(True, asked['no_device'])
        self.assertEqual('/dev/vdb', asked['device_name'])
        # blank and local, it would count as the flavor's ephemeral disk
        self.assertEqual('volume', asked['destination_type'])
