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

"""snapshot save: the right bytes or none, whatever happens on the way."""

import multiprocessing
import os
import pathlib
import pty
import random
import resource
import shlex
import signal
import subprocess
import sys
import time

from xloudclient.cloud.image_data import CHUNK
from xloudclient.tests.functional import base

FORK = multiprocessing.get_context('fork')
MIB = 1 << 20
SERVER_ID = '4f1d8c5e-0c1b-4b0e-9d7a-2a9a8f3f1c11'


class SaveTestCase(base.FunctionalTestCase):
    """With an image that is a snapshot, and a file to save it to."""

    def setUp(self):
        super().setUp()
        self.random = random.Random(os.environ.get('XLOUDCLIENT_SEED', '7'))
        self.path = self.home / 'db.img'

    def snapshot_of(self, data, **properties):
        self.data = data
        self.image_id = self.place.image(
            name='db', data=data, image_type='snapshot',
            instance_uuid=SERVER_ID, **properties,
        )  # fmt: skip
        return self.image_id

    def save(self, expect=0):
        path = str(self.path)
        result = self.openstack(
            'snapshot', 'save', '--file', path, self.image_id
        )
        self.assertEqual(expect, result.code, result.stderr)
        self.assertEqual('', result.stdout)
        self.assertNotIn('Traceback', result.stderr)
        return result.stderr

    def fault(self, **what):
        """Something happens to the next request for the bytes."""
        self.cloud.fault(
            'glance', method='GET', path='/file$', times=1, **what
        )

    def left(self):
        return sorted(path.name for path in self.home.glob('*.img*')) + [
            path.name for path in self.home.glob('.*.part')
        ]

    @property
    def part(self):
        [part] = self.home.glob('.*.part')
        return part

    def part_size(self):
        return sum(one.stat().st_size for one in self.home.glob('.*.part'))

    def assertSaved(self):
        self.assertEqual(['db.img'], self.left())
        self.assertEqual(self.data, self.path.read_bytes())

    def statuses(self, since):
        return [
            one.status
            for one in self.cloud.requests(since, service='glance')
            if one.path.endswith('/file') and one.method == 'GET'
        ]

    def spoil(self, path, position=1000):
        """Change one byte of a file."""
        with path.open('r+b') as file:
            file.seek(position)
            [byte] = file.read(1)
            file.seek(position)
            file.write(bytes([byte ^ 1]))

    def stored(self):
        return self.cloud.layout.path('glance', 'images', self.image_id)

    def save_half(self, size=MIB):
        """Leave a part of that many bytes behind."""
        self.fault(cut_after=size)
        self.fault(status=403)
        said = self.save(expect=1)
        self.assertIn('the same command goes on from there', said)
        self.assertEqual(size, self.part_size())

    def hold_at(self, position):
        """No more than so many bytes of the file come; return how many it
        has when they are all there, as pieces are read whole."""
        there = self.part_size()
        self.fault(hold_after=position - there)
        return there + (position - there) // CHUNK * CHUNK

    def await_size(self, size, is_running):
        self.cloud.wait(
            lambda: self.part_size() >= size or not is_running(), what='bytes'
        )
        self.assertEqual(size, self.part_size())


class TestSave(SaveTestCase):
    def test_killed_ten_times_at_random_points(self):
        self.snapshot_of(self.random.randbytes(8 * MIB + 12345))
        since = time.time()
        for position in sorted(
            self.random.randrange(1, len(self.data)) for _ in range(10)
        ):
            size = self.hold_at(max(position, self.part_size() + 1))
            process = FORK.Process(target=self.save)
            process.start()
            self.await_size(size, process.is_alive)
            process.kill()
            process.join()
            self.cloud.clear_faults()
            self.assertFalse(self.path.exists())
        there = self.part_size()
        self.assertGreater(there, len(self.data) // 2)
        self.save()
        self.assertSaved()
        # each went on where the last one had ended
        first, *others = self.statuses(since)
        self.assertEqual((200, {206}), (first, set(others)))

    def test_the_round_trip_to_another_project(self):
        self.place.server(name='web')
        [row] = self.snapshot(
            'create', 'web', '--wait', '--tag', 'nightly', '--name=--{server}',
            '--property', "note=it's here", '--property=-odd=-1',
        )  # fmt: skip
        self.image_id = row['Snapshot ID']
        original = self.image(self.image_id)
        said = self.save()
        self.assertIn('sha512 verified', said)
        [line] = [one for one in said.splitlines() if 'image create' in one]
        words = shlex.split(line.partition(': openstack ')[2])
        self.user = 'other'
        result = self.openstack(*words[:2], '-f', 'json', *words[2:])
        self.assertEqual(0, result.code, result.stderr)
        copy = self.image(result.rows['id'])
        self.addCleanup(
            self.cloud.connection('other').image.delete_image, copy['id']
        )
        for key in (
            'os_hash_value', 'size', 'name', 'disk_format', 'min_disk',
            'container_format', 'note', '-odd', 'image_type', 'tags',
            'xloud_run',
        ):  # fmt: skip
            self.assertEqual(original[key], copy[key], key)
        data = self.cloud.layout.path('glance', 'images', copy['id'])
        self.assertEqual(self.path.read_bytes(), data.read_bytes())

    def test_zeroes_take_no_room(self):
        self.snapshot_of(b'a' * MIB + bytes(20 * MIB) + b'b' + bytes(MIB))
        self.save()
        self.assertSaved()
        self.assertLess(self.path.stat().st_blocks * 512, 2 * MIB)

    def test_a_file_of_that_name_is_replaced_at_the_end(self):
        self.snapshot_of(self.random.randbytes(2 * MIB))
        self.path.write_text('old')
        self.save_half()
        self.assertEqual('old', self.path.read_text())
        self.save()
        self.assertSaved()

    def test_again_is_no_download(self):
        self.snapshot_of(self.random.randbytes(MIB))
        self.save()
        inode, since = self.path.stat().st_ino, time.time()
        self.save()
        self.assertEqual([], self.statuses(since))
        self.assertEqual(inode, self.path.stat().st_ino)
        self.spoil(self.path)
        self.save()
        self.assertSaved()

    def test_progress_is_silent_with_q(self):
        self.snapshot_of(b'content')
        result = self.openstack(
            '-q', 'snapshot', 'save', '--file', str(self.path), self.image_id
        )
        self.assertEqual(base.Result(0, '', ''), result)


class TestConnections(SaveTestCase):
    def setUp(self):
        super().setUp()
        self.snapshot_of(self.random.randbytes(3 * MIB))
        self.since = time.time()

    def test_lost_ones_are_followed_by_others(self):
        self.fault(cut_after=MIB)
        self.fault(status=503)
        self.fault(drop='request')
        self.fault(cut_after=MIB)
        said = self.save()
        self.assertSaved()
        # the SDK itself follows the 503
        self.assertEqual(3, said.count('; again in'), said)
        self.assertIn(206, self.statuses(self.since))

    def test_an_expired_token_is_renewed(self):
        self.fault(status=401)
        self.save()
        self.assertSaved()

    def test_where_ranges_are_ignored_it_starts_over(self):
        self.save_half()
        self.fault(no_range=True)
        self.assertIn('starting over', self.save())
        self.assertSaved()
        self.assertEqual([200, 403, 200], self.statuses(self.since))

    def test_where_ranges_are_refused_it_starts_over(self):
        for status in (400, 416):
            self.save_half()
            self.fault(status=status)
            self.assertIn('starting over', self.save())
            self.assertSaved()
            self.path.unlink()


class TestDamage(SaveTestCase):
    def setUp(self):
        super().setUp()
        self.snapshot_of(self.random.randbytes(2 * MIB))

    def test_a_corrupted_store_is_found(self):
        self.spoil(self.stored())
        self.path.write_text('old')
        for _ in range(2):
            self.assertIn('is damaged', self.save(expect=1))
            self.assertEqual(['db.img'], self.left())
            self.assertEqual('old', self.path.read_text())

    def test_a_store_that_is_corrupted_meanwhile_makes_no_loop(self):
        self.save_half()
        self.spoil(self.stored(), 2 * MIB - 1)
        since = time.time()
        self.assertIn('is damaged', self.save(expect=1))
        self.assertEqual([206, 200], self.statuses(since))
        self.assertEqual([], self.left())

    def test_a_store_that_lost_the_data(self):
        self.stored().unlink()
        self.assertIn('lost the data', self.save(expect=1))
        self.assertEqual([], self.left())

    def test_a_corrupted_part_is_fetched_again(self):
        self.save_half()
        self.spoil(self.part)
        self.assertIn('do not fit', self.save())
        self.assertSaved()

    def test_a_part_that_was_whole_already(self):
        self.save_half()
        self.part.write_bytes(self.data)
        since = time.time()
        self.save()
        self.assertSaved()
        self.assertEqual([], self.statuses(since))

    def test_a_full_disk(self):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, limits)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, limits[1]))
        said = self.save(expect=1)
        self.assertIn("can't write", said)
        self.assertIn('1.0 MiB of 2.0 MiB are in', said)
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        self.save()
        self.assertSaved()


class TestInterruption(SaveTestCase):
    def test_signals(self):
        self.snapshot_of(self.random.randbytes(4 * MIB))
        for number, position in (
            (signal.SIGINT, MIB),
            (signal.SIGTERM, 2 * MIB),
            (signal.SIGHUP, 3 * MIB),
        ):
            size = self.hold_at(position)
            process = self.start(
                'snapshot', 'save', '--file', str(self.path), self.image_id
            )
            self.await_size(size, lambda p=process: p.poll() is None)
            if number == signal.SIGINT:
                self.assertIn(f'{self.part} is locked', self.save(expect=75))
            process.send_signal(number)
            _, said = process.communicate(timeout=base.PATIENCE_SECONDS)
            self.assertEqual(128 + number, process.returncode, said)
            self.assertIn('the same command goes on from there', said)
            self.assertNotIn('Traceback', said)
            self.assertEqual(position, self.part_size())
            self.cloud.clear_faults()
        self.save()
        self.assertSaved()


class TestStandardOutput(SaveTestCase):
    def setUp(self):
        super().setUp()
        self.snapshot_of(self.random.randbytes(3 * MIB))

    def run_into(self, stdout=subprocess.PIPE):
        words = ('-m', 'openstackclient.shell', 'snapshot', 'save')
        return subprocess.run(
            [sys.executable, *words, self.image_id],
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=base.PATIENCE_SECONDS,
        )

    def test_the_bytes_go_on_where_they_were_cut(self):
        self.fault(cut_after=MIB + 5)
        self.fault(cut_after=MIB, no_range=True)
        self.fault(no_range=True)
        result = self.run_into()
        self.assertEqual(0, result.returncode, result.stderr)
        self.assertEqual(self.data, result.stdout)

    def test_a_corrupted_store_is_found(self):
        self.spoil(self.stored())
        result = self.run_into()
        self.assertEqual(1, result.returncode)
        self.assertIn(b'What was written is not the snapshot', result.stderr)

    def test_a_reader_that_goes_away(self):
        read, write = os.pipe()
        os.close(read)
        result = self.run_into(write)
        os.close(write)
        self.assertEqual(1, result.returncode)
        self.assertIn(b'went away', result.stderr)
        self.assertNotIn(b'Traceback', result.stderr)

    def test_a_terminal_is_refused(self):
        terminal, side = pty.openpty()
        self.addCleanup(os.close, terminal)
        self.addCleanup(os.close, side)
        result = self.run_into(side)
        self.assertEqual(2, result.returncode)
        self.assertIn(b'Use --file', result.stderr)


class TestRefused(SaveTestCase):
    def refuse(self, code, words, snapshot=None):
        self.image_id = snapshot or self.image_id
        said = self.save(expect=code)
        self.assertEqual(1, said.count('\n'), said)
        self.assertIn(words, said)
        self.assertEqual([], self.left())

    def test_a_volume_backed_one(self):
        server = self.place.server(volume_backed=True)
        [row] = self.snapshot('create', server.id, '--wait')
        self.addCleanup(self.cloud.delete_snapshots)
        self.refuse(1, row['Volumes'][0], row['Snapshot ID'])

    def test_one_that_is_not_active(self):
        images = self.cloud.connection().image
        image = images.create_image(
            'early', image_type='snapshot', disk_format='raw',
            container_format='bare',
        )  # fmt: skip
        self.addCleanup(images.delete_image, image.id)
        self.refuse(1, 'is queued', image.id)

    def test_none_of_that_name(self):
        self.refuse(1, "there is no snapshot 'none'", 'none')
        self.refuse(1, 'is no snapshot', self.cloud.image_id)

    def test_no_such_place(self):
        self.snapshot_of(b'content')
        for path in (self.home, '/nonexistent/x', '/dev/null', ''):
            self.path = pathlib.Path(path) if path else ''
            self.refuse(2, '--file')
