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

"""What is decided around the download; the rest is tested on Glance."""

import contextlib
import hashlib
import io
import os
import pathlib
import signal
import threading

import fixtures
import testtools

from xloudclient.catalog.snapshot import Snapshot
from xloudclient.cloud.image_data import Answer
from xloudclient.consistency.errors import Failure, Interrupted, Refused
from xloudclient.upkeep.saving import Saving

DATA = b'content'
IMAGE = {
    'id': 'an-image',
    'name': 'db',
    'status': 'active',
    'size': len(DATA),
    'image_type': 'snapshot',
    'disk_format': 'qcow2',
    'container_format': 'bare',
    'os_hash_algo': 'sha256',
    'os_hash_value': hashlib.sha256(DATA).hexdigest(),
}


class Finder:
    def __init__(self, image):
        self.image = image

    def find(self, name_or_id):
        return Snapshot(self.image)


class Response:
    def __init__(self, does):
        self.does = does

    def iter_content(self, size):
        yield DATA[:3]
        self.does()
        yield DATA[3:]


class Source:
    """Has the content; something happens in the middle of it."""

    def __init__(self, does):
        self.does = does
        self.asked = 0

    @contextlib.contextmanager
    def ask(self, image_id, offset):
        self.asked += 1
        yield Answer(200, None, -1, Response(self.does))


class TestSaving(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = self.folder / 'db.img'
        self.logger = self.useFixture(fixtures.FakeLogger())
        self.stderr = io.StringIO()
        self.useFixture(fixtures.MonkeyPatch('sys.stderr', self.stderr))

    def save(self, *, does=lambda: None, **changes):
        self.source = Source(does)
        saving = Saving(Finder({**IMAGE, **changes}), self.source, 1)
        saving.to_file('db', str(self.path))
        self.assertEqual(DATA, self.path.read_bytes())
        return self.stderr.getvalue()

    def refuse(self, error=Failure, **what):
        return self.assertRaises(error, self.save, **what)

    def left(self):
        return [path.name for path in self.folder.iterdir()]

    def test_it_says_how_the_file_becomes_an_image_again(self):
        self.assertIn(
            'openstack image create --disk-format qcow2', self.save()
        )

    def test_without_a_hash_nothing_is_called_verified(self):
        self.save(os_hash_value=None)
        # as a warning, which -q does not silence
        said = self.logger.output
        self.assertIn('NOT verified', said)
        self.assertIn(hashlib.sha512(DATA).hexdigest(), said)

    def test_what_is_not_in_it_is_named(self):
        self.save(xloud_image='an-image', xloud_volumes='v1,v2')
        self.assertIn('v1, v2', self.logger.output)

    def test_a_disk_that_is_clearly_too_small(self):
        failure = self.refuse(size=1 << 62)
        self.assertIn('TiB of room', str(failure))
        self.assertEqual(0, self.source.asked)
        self.assertEqual([], self.left())

    def test_zeroes_may_make_a_raw_one_fit(self):
        def full():
            raise OSError(28, 'No space left on device')

        failure = self.refuse(size=1 << 62, disk_format='raw', does=full)
        self.assertIn('no zeroes', self.stderr.getvalue())
        self.assertIn('No space left', str(failure))
        self.assertIn('goes on from there', failure.advice)

    def test_a_signal_ends_it_at_once(self):
        is_over = threading.Event()
        self.addCleanup(is_over.set)

        def stop():
            os.kill(os.getpid(), signal.SIGTERM)
            is_over.wait()
            raise Refused('gone', 404)

        before = signal.getsignal(signal.SIGTERM)
        failure = self.refuse(Interrupted, does=stop)
        self.assertEqual(143, failure.exit_code)
        self.assertIn('3 B of 7 B are in', failure.advice)
        self.assertEqual(before, signal.getsignal(signal.SIGTERM))

    def test_what_is_refused_midway_leaves_the_part(self):
        def refuse():
            raise Refused('gone', 404)

        self.assertIn('goes on from there', self.refuse(does=refuse).advice)
        self.assertEqual(1, len(self.left()))
