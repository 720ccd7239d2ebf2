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

"""What stands in the way of a launch is said before, and what helps."""

import testtools

from xloudclient.catalog import preflight
from xloudclient.catalog.launch import Flavor, Part, Wanted
from xloudclient.catalog.snapshot import GIB, Snapshot
from xloudclient.consistency import errors
from xloudclient.consistency.checks.quota import Allowance

IMAGE = {
    'id': 'a',
    'name': 'db',
    'status': 'active',
    'owner': 'p',
    'visibility': 'private',
    'image_type': 'snapshot',
    'xloud_image': 'a',
    'size': GIB + 1,
    'min_disk': 1,
    'min_ram': 0,
}
VOLUME_BACKED = {
    'block_device_mapping': '[{"snapshot_id": "x", "boot_index": 0}]',
    'size': 0,
}
TINY = Flavor('1', 'm1.tiny', 1, 64, 1)
ROOT = Part('x', '/dev/vda', 'available', 1, True, True, {'boot_index': 0})
DATA = Part('y', '/dev/vdb', 'available', 1)


def snapshot(reader: str = 'p', **more: object) -> Snapshot:
    return Snapshot({**IMAGE, **more}, reader)


def said(problems) -> list[str]:
    return [f'{one}. {one.advice}' for one in problems]


class TestSnapshot(testtools.TestCase):
    def of(self, *parts, wanted=None, **image) -> list[str]:
        found, wanted = snapshot(**image), wanted or Wanted()
        preflight.check_ready(found, wanted)
        return said(preflight.part_problems(found, parts, wanted))

    def not_ready(self, **image) -> str:
        failure = self.assertRaises(errors.Failure, self.of, **image)
        return f'{failure}. {failure.advice}'

    def test_nothing_is_in_the_way(self):
        self.assertEqual([], self.of(DATA))

    def test_an_image_that_is_not_active(self):
        text = self.not_ready(status='saving')
        self.assertIn('db (a) is saving, not active', text)
        self.assertIn('openstack snapshot show a', text)

    def test_a_run_that_has_not_recorded_its_volumes(self):
        text = self.not_ready(xloud_image='')
        self.assertIn('server snapshot recover', text)
        alone = Wanted(with_data=False)
        self.assertEqual([], self.of(xloud_image='', wanted=alone))
        # Nova itself names the volumes of these
        self.assertEqual([], self.of(xloud_image='', **VOLUME_BACKED))

    def test_volume_snapshots_that_are_not_available(self):
        for status, text in (
            ('creating', 'still being made. Try again later.'),
            ('error', 'is error. --no-data-volumes'),
            ('', 'is gone. --no-data-volumes'),
        ):
            [found] = self.of(Part('y', '/dev/vdb', status, 1))
            self.assertIn(text, found)
            self.assertIn('y (/dev/vdb)', found)

    def test_without_a_root_disk_nothing_helps(self):
        [text] = self.of(Part('x', '/dev/vda', '', 0, True), **VOLUME_BACKED)
        self.assertIn('nothing to boot from', text)

    def test_a_volume_snapshot_of_something_else(self):
        [text] = self.of(Part('y', '/dev/vdb', 'available', 1, is_ours=False))
        self.assertIn('does not say that it belongs', text)

    def test_what_is_left_out_does_not_matter(self):
        alone = Wanted(with_data=False)
        broken = Part('y', '/dev/vdb', 'error', 1)
        self.assertEqual([], self.of(ROOT, broken, wanted=alone))
        [text] = self.of(ROOT, Part('y', '', 'error', 1), wanted=alone)
        self.assertIn('only be left out by its device', text)

    def test_only_the_image_was_shared(self):
        unseen = Part('y', '/dev/vdb', '', 0)
        [text] = self.of(unseen, unseen, reader='q')
        self.assertIn('openstack snapshot share --convert a', text)
        self.assertIn('--no-data-volumes', text)
        [text] = self.of(unseen, reader='q', **VOLUME_BACKED)
        self.assertNotIn('--no-data-volumes', text)

    def test_the_images_of_a_converted_one(self):
        def disk(status: str) -> Part:
            return Part('z', '/dev/vdb', status, 1, is_image=True)

        self.assertEqual([], self.of(disk('active'), reader='q'))
        [text] = self.of(disk(''), reader='q')
        self.assertIn('image z (/dev/vdb) is gone, or is not shared', text)
        [text] = self.of(disk('deactivated'), reader='q')
        self.assertIn('is deactivated', text)


class TestFlavor(testtools.TestCase):
    def of(self, flavor, *parts, wanted=None, **image) -> list[str]:
        found = snapshot(**image)
        return said(
            preflight.flavor_problems(found, parts, wanted or Wanted(), flavor)
        )

    def test_the_disk_holds_all_bytes(self):
        [text] = self.of(TINY)
        self.assertIn('root disk of 1 GiB, and the snapshot needs 2', text)
        self.assertIn('--boot-from-volume 2', text)
        self.assertEqual([], self.of(TINY, size=GIB))
        [text] = self.of(TINY, size=9, virtual_size=5 * GIB)
        self.assertIn('needs 5', text)
        [text] = self.of(TINY, size=9, min_disk=20)
        self.assertIn('needs 20', text)

    def test_a_flavor_without_a_disk_takes_any(self):
        self.assertEqual([], self.of(Flavor('0', 'f', 0, 64, 1)))

    def test_a_volume_for_a_root_disk_is_what_counts(self):
        self.assertEqual([], self.of(TINY, wanted=Wanted(root_size=2)))
        [text] = self.of(TINY, wanted=Wanted(root_size=1))
        self.assertIn('--boot-from-volume 1: the snapshot needs 2', text)

    def test_too_little_ram(self):
        [text] = self.of(TINY, size=9, min_ram=128)
        self.assertIn('64 MiB of RAM, and the snapshot needs 128', text)

    def test_a_min_disk_that_nova_wrote_and_refuses(self):
        image = {**VOLUME_BACKED, 'min_disk': 20}
        [text] = self.of(TINY, ROOT, DATA, **image)
        self.assertIn('openstack image set --min-disk 1 a', text)
        self.assertEqual([], self.of(TINY, ROOT, **VOLUME_BACKED))


class TestQuota(testtools.TestCase):
    ALLOWANCES = {
        'instances': Allowance(2, 3),
        'cores': Allowance(9, -1),
        'volumes': Allowance(2, 2),
        'gigabytes': Allowance(4, 10),
    }

    def of(self, *sizes: int, count: int = 1, **more: Allowance) -> list[str]:
        allowances, wanted = self.ALLOWANCES | more, Wanted(count=count)
        volumes = [('fast', size) for size in sizes]
        return said(
            preflight.quota_problems(allowances, volumes, wanted, TINY)
        )

    def test_there_is_room(self):
        self.assertEqual([], self.of())

    def test_each_quota_that_is_full_is_said(self):
        volumes, gigabytes = self.of(4, 3)
        self.assertIn('2 of 2 volumes, and this needs 2 more', volumes)
        self.assertIn('4 of 10 GiB of volumes', gigabytes)
        self.assertIn('needs 7 more', gigabytes)

    def test_each_type_of_volume_has_quotas_of_its_own(self):
        room = {
            'volumes': Allowance(0, 9),
            'gigabytes': Allowance(0, -1),
            'volumes_fast': Allowance(0, -1),
            'volumes_slow': Allowance(1, 1),
            'gigabytes_fast': Allowance(5, 10),
        }
        self.assertEqual([], self.of(2, 3, **room))
        [text] = self.of(2, 4, **room)
        self.assertIn('5 of 10 GiB of volumes and their snapshots', text)
        self.assertIn('of type fast, and this needs 6 more', text)

    def test_several_servers_need_several_times_as_much(self):
        [text] = self.of(count=2)
        self.assertIn('2 of 3 servers, and this needs 2 more', text)
