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


"""The file system that the journals are on is full: of real ENOSPC."""

import os
import pathlib
import subprocess

from xloudclient.tests.functional import base
from xloudclient.tests.functional.writer import Writer

PAGE = 4096


class TestFullDisk(base.FunctionalTestCase):
    def setUp(self):
        super().setUp()
        if os.geteuid():
            self.skipTest('only root can mount a file system')
        self.server = self.place.server(name='db')
        self.guest = self.cloud.guest(self.server)
        self.guest.start_mariadb()
        self.addCleanup(self.guest.stop_mariadb)
        self.writer = Writer(self.guest)
        self.addCleanup(self.writer.stop)

    def consistent(self, disk, *words, expect):
        return self.snapshot(
            'consistent', 'db', '--quiesce', 'mysql', *words,
            *self.reach(self.server), expect=expect, XDG_STATE_HOME=str(disk),
        )  # fmt: skip

    def disk(self) -> pathlib.Path:
        """A disk of one page."""
        place = self.home / 'disk'
        place.mkdir()
        subprocess.run(
            ['mount', '-t', 'tmpfs', '-o', f'size={PAGE},mode=700', 'none',
             str(place)], check=True,
        )  # fmt: skip
        self.addCleanup(subprocess.run, ['umount', str(place)], check=True)
        return place

    def journals(self, disk):
        return [one.name for one in disk.glob('xloudclient/runs/*')]

    def test_a_run_that_can_not_be_written_down_does_not_begin(self):
        disk, before = self.disk(), self.counts()
        (disk / 'full').write_bytes(bytes(PAGE))
        [row] = self.consistent(disk, expect=1)
        self.assertEqual('skipped', row['Status'])
        said = self.last.stderr
        self.assertEqual(1, said.count('No space left on device'), said)
        self.assertIn("can't use the journal", said)
        self.assertIn('nothing was touched', said)
        self.assertNotIn('Traceback', said)
        self.assertEqual(before, self.counts())
        self.assertEqual([], self.cloud.events(self.server.id))
        self.assertEqual([], self.journals(disk))
        self.writer.await_rows(2, 5)

    def test_a_run_whose_proof_has_no_room_waits_and_claims_it_itself(self):
        disk = self.disk()
        self.cloud.control(self.server.id, upload=2)
        # the line with the proof has the tags, and is more than the page
        tags = [f'{number:0255}' for number in range(17)]
        words = [word for tag in tags for word in ('--tag', tag)]
        [row] = self.consistent(disk, *words, expect=0)
        self.assertEqual('active', row['Status'])
        self.assertEqual('application', row['Consistency'])
        image = self.image(row['Snapshot ID'])
        self.assertEqual('application', image['xloud_consistency'])
        self.assertEqual(tags, sorted(image['tags']))
        self.assertNotIn('Traceback', self.last.stderr)
        self.assertEqual([], self.journals(disk))
        self.writer.await_rows(2, 5)
