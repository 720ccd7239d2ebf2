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

import hashlib
import os
import pathlib
import stat

import fixtures
import testtools

from xloudclient.consistency.errors import Busy, Failure, Misuse
from xloudclient.local import digest, partial_file

MIB = 1 << 20


def ignore(position):
    pass


class TestPartialFile(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.final = self.folder / 'db.img'

    def open(self, final=None, tag='tag'):
        part = partial_file.PartialFile(final or self.final, tag, 'sha256')
        self.addCleanup(part.close)
        return part

    def left(self):
        return sorted(path.name for path in self.folder.iterdir())

    def test_it_has_its_name_only_when_it_is_finished(self):
        part = self.open()
        part.write(b'content')
        self.assertEqual(['.db.img.tag.part'], self.left())
        self.assertEqual(0o600, stat.S_IMODE(part.path.stat().st_mode))
        self.assertEqual(
            hashlib.sha256(b'content').hexdigest(), part.hexdigest()
        )
        part.finish()
        self.assertEqual(['db.img'], self.left())
        self.assertEqual(b'content', self.final.read_bytes())
        self.assertEqual(0o600, stat.S_IMODE(self.final.stat().st_mode))

    def test_what_it_replaces_is_whole_until_then(self):
        self.final.write_bytes(b'old')
        self.final.chmod(0o640)
        part = self.open()
        part.write(b'new')
        self.assertEqual(b'old', self.final.read_bytes())
        part.finish()
        self.assertEqual(b'new', self.final.read_bytes())
        self.assertEqual(0o640, stat.S_IMODE(self.final.stat().st_mode))

    def test_a_file_of_others_hands_no_mode_on(self):
        self.final.touch()
        self.final.chmod(0o666)
        part = self.open()
        part.write(b'new')
        self.useFixture(fixtures.MonkeyPatch('os.geteuid', lambda: 54321))
        part.finish()
        self.assertEqual(0o600, stat.S_IMODE(self.final.stat().st_mode))

    def test_a_link_is_followed(self):
        link = self.folder / 'link'
        link.symlink_to(self.final)
        part = self.open(link)
        part.write(b'x')
        part.finish()
        self.assertEqual(b'x', self.final.read_bytes())
        self.assertTrue(link.is_symlink())

    def test_zeroes_take_no_room(self):
        data = os.urandom(MIB) + bytes(8 * MIB) + b'end' + bytes(MIB)
        part = self.open()
        for start in range(0, len(data), 300_000):
            part.write(data[start : start + 300_000])
        self.assertEqual(len(data), part.length)
        self.assertLess(part.path.stat().st_blocks * 512, 2 * MIB)
        self.assertEqual(hashlib.sha256(data).hexdigest(), part.hexdigest())
        part.finish()
        self.assertEqual(data, self.final.read_bytes())

    def test_it_goes_on_from_what_is_there(self):
        first = self.open()
        first.write(b'one' + bytes(MIB))
        first.close()
        second = self.open()
        self.assertEqual(3 + MIB, second.length)
        second.recall(ignore)
        second.write(b'two')
        self.assertEqual(
            hashlib.sha256(b'one' + bytes(MIB) + b'two').hexdigest(),
            second.hexdigest(),
        )

    def test_another_tag_is_another_part(self):
        first = self.open()
        first.write(b'one')
        self.assertEqual(0, self.open(tag='other').length)

    def test_nothing_of_before_is_in_it_after_starting_over(self):
        part = self.open()
        part.write(b'x' * 100)
        part.start_over()
        part.write(bytes(50))
        self.assertEqual(bytes(50), part.path.read_bytes())
        self.assertEqual(
            hashlib.sha256(bytes(50)).hexdigest(), part.hexdigest()
        )

    def test_an_empty_or_discarded_one_leaves_nothing(self):
        self.open().close()
        part = self.open()
        part.write(b'x')
        part.discard()
        part.close()
        self.assertEqual([], self.left())

    def test_one_at_a_time(self):
        first = self.open()
        self.assertRaises(Busy, self.open)
        first.write(b'x')
        first.close()
        self.assertEqual(1, self.open().length)

    def test_a_long_name_is_cut(self):
        final = self.folder / ('\N{SNOWMAN}' * 85)
        part = self.open(final, 'b' * 45)
        part.write(b'x')
        self.assertEqual(1, len(self.left()))
        part.finish()
        self.assertEqual([final.name], self.left())

    def test_what_can_be_no_file_is_refused(self):
        fifo = self.folder / 'fifo'
        os.mkfifo(fifo)
        for path in (
            self.folder,
            fifo,
            pathlib.Path('/dev/null'),
            self.folder / 'none' / 'x',
            self.folder / ('x' * 300),
        ):
            failure = self.assertRaises(Misuse, self.open, path)
            self.assertIn(str(path), str(failure))
        self.assertEqual(['fifo'], self.left())

    def test_what_others_laid_there_is_not_written_to(self):
        part = self.folder / '.db.img.tag.part'
        part.symlink_to('/etc/passwd')
        self.assertRaises(Misuse, self.open)
        part.unlink()
        os.mkfifo(part)
        self.assertRaises(Failure, self.open)

    def test_the_hash_of_a_file(self):
        self.final.write_bytes(b'content')
        told = []
        self.assertEqual(
            hashlib.md5(b'content').hexdigest(),
            digest.hexdigest(self.final, 'md5', told.append),
        )
        self.assertEqual([7], told)
