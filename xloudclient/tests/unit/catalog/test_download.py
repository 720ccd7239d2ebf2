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

import dataclasses

import testtools

from xloudclient.catalog import recreation
from xloudclient.catalog.download import Content, Meaning, meaning
from xloudclient.catalog.snapshot import Snapshot
from xloudclient.consistency.errors import Failure

IMAGE = {
    'id': 'an-image',
    'name': 'db; rm -rf /',
    'status': 'active',
    'size': 100,
    'image_type': 'snapshot',
    'os_hash_algo': 'sha256',
    'os_hash_value': 'ABCDEF0123456789',
    'checksum': '0123',
    'disk_format': 'qcow2',
    'container_format': 'bare',
    'min_disk': 1,
    'min_ram': 0,
    'tags': ['nightly', 'b c'],
    'hw_disk_bus': 'scsi',
    'xloud_run': '',
    'os_glance_stage_host': 'x',
}


def content(**changes):
    return Content.of(Snapshot({**IMAGE, **changes}))


class TestContent(testtools.TestCase):
    def test_the_best_hash_there_is(self):
        self.assertEqual(
            ('sha256', 'abcdef0123456789'),
            (content().algorithm, content().digest),
        )
        for changes in (
            {'os_hash_algo': None, 'os_hash_value': None},
            {'os_hash_algo': 'whirlpool-9'},
        ):
            found = content(**changes)
            self.assertEqual(('md5', '0123'), (found.algorithm, found.digest))

    def test_without_a_hash_any_bytes_are_right(self):
        found = content(os_hash_value=None, checksum=None)
        self.assertEqual(('sha512', ''), (found.algorithm, found.digest))
        self.assertTrue(found.is_right('any'))
        self.assertFalse(content().is_right('any'))

    def test_other_bytes_have_another_tag(self):
        tags = {
            content(**changes).tag
            for changes in ({}, {'id': 'b'}, {'os_hash_value': 'b'})
        }
        self.assertEqual(3, len(tags))

    def test_what_has_no_bytes_is_refused(self):
        volumes = (
            '[{"snapshot_id": "a"}, {"snapshot_id": "r", "boot_index": 0}]'
        )
        for changes, words in (
            ({'status': 'saving'}, 'is saving'),
            ({'status': 'deactivated'}, 'is deactivated'),
            ({'size': 0}, 'no bytes'),
            ({'size': None}, 'no bytes'),
            ({'size': 0, 'block_device_mapping': volumes}, 'volume-backed'),
        ):
            failure = self.assertRaises(Failure, content, **changes)
            self.assertIn(words, str(failure))
        self.assertIn('create --snapshot r copy', failure.advice)


class TestMeaning(testtools.TestCase):
    def test_each_answer(self):
        size = 100
        for offset, status, start, length, means in (
            (0, 200, None, size, Meaning.CONTINUES),
            (0, 200, None, -1, Meaning.CONTINUES),
            (0, 200, None, 99, Meaning.OTHER_SIZE),
            (0, 204, None, 0, Meaning.NO_DATA),
            (40, 204, None, 0, Meaning.NO_DATA),
            (40, 206, 40, 60, Meaning.CONTINUES),
            (40, 206, 40, -1, Meaning.CONTINUES),
            (40, 206, 40, 61, Meaning.NO_RANGES),
            (40, 206, 0, 100, Meaning.NO_RANGES),
            (40, 206, None, 60, Meaning.NO_RANGES),
            (40, 200, None, size, Meaning.STARTS_OVER),
            (40, 200, None, 60, Meaning.OTHER_SIZE),
            (40, 400, None, 5, Meaning.NO_RANGES),
            (40, 416, None, 5, Meaning.NO_RANGES),
            (0, 206, 3, 97, Meaning.OTHER_SIZE),
        ):
            self.assertEqual(
                means,
                meaning(
                    dataclasses.replace(content(), size=size),
                    offset, status, start, length,
                ),
                (offset, status, start, length),
            )  # fmt: skip


class TestRecreation(testtools.TestCase):
    def test_all_that_may_be_set(self):
        self.assertEqual(
            [
                'openstack', 'image', 'create',
                '--disk-format', 'qcow2', '--container-format', 'bare',
                '--min-disk', '1', '--tag', 'b c', '--tag', 'nightly',
                '--property', 'hw_disk_bus=scsi',
                '--property', 'image_type=snapshot',
                '--file', 'a file', 'db; rm -rf /',
            ],
            recreation.words(Snapshot(IMAGE), 'a file'),
        )  # fmt: skip

    def test_what_looks_like_an_option_is_none(self):
        image = {**IMAGE, 'name': '--verify', 'tags': ['-t'], '-key': 'v'}
        words = recreation.words(Snapshot(image), '-file')
        self.assertIn('--tag=-t', words)
        self.assertIn('--property=-key=v', words)
        self.assertEqual(['--file=-file', '--', '--verify'], words[-3:])
