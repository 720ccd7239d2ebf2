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


"""Streams that nobody reads, that break or that are closed."""

import fcntl
import os
import subprocess
import sys

from xloudclient.tests.functional import base
from xloudclient.tests.functional.writer import Writer

F_SETPIPE_SZ = 1031
PAGE_BYTES = 4096


class TestStreams(base.FunctionalTestCase):
    def setUp(self):
        super().setUp()
        self.server = self.place.server(name='db')
        guest = self.cloud.guest(self.server)
        guest.start_mariadb()
        self.addCleanup(guest.stop_mariadb)
        self.cloud.control(self.server.id, capture=1.5)
        self.writer = Writer(guest)
        self.addCleanup(self.writer.stop)
        self.log = self.home / 'log'
        self.hook = self.script(
            'hook', f'#!/bin/sh\necho "$1" >> {self.log}\n'
        )

    def words(self, *more):
        return [
            sys.executable, '-m', 'openstackclient.shell', 'server',
            'snapshot', 'consistent', 'db', '--quiesce', 'mysql', '--hook',
            self.hook, '--max-freeze', '40s', '-f', 'json',
            *self.reach(self.server), *more,
        ]  # fmt: skip

    def assert_released(self):
        before, after = self.writer.longest_gap
        self.assertLess(after - before, 20)
        self.assertFalse(self.writer.is_blocked)
        self.assertEqual('pre\npost\n', self.log.read_text())

    def test_a_reader_of_stderr_that_goes_away(self):
        process = subprocess.Popen(
            self.words(),
            env=self.environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self._end, process)
        process.stderr.readline()
        process.stderr.close()
        process.stderr = None
        stdout, _ = process.communicate(timeout=60)
        self.assertEqual(0, process.returncode)
        self.assertIn('application', stdout)
        self.assert_released()

    def test_a_reader_of_stderr_that_stands_still(self):
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        fcntl.fcntl(writing, F_SETPIPE_SZ, PAGE_BYTES)
        os.write(writing, b'x' * (PAGE_BYTES - 100))
        process = subprocess.Popen(
            self.words(),
            env=self.environ(),
            stdout=subprocess.PIPE,
            stderr=writing,
            text=True,
        )
        os.close(writing)
        self.addCleanup(self._end, process)
        stdout, _ = process.communicate(timeout=60)
        self.assertEqual(0, process.returncode)
        self.assertIn('application', stdout)
        self.assert_released()

    def test_a_closed_stderr_leaves_stdout_to_the_result(self):
        done = subprocess.run(
            ['sh', '-c', 'exec "$@" 2>&-', 'sh', *self.words()],
            env=self.environ(),
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
        )
        self.assertTrue(done.stdout.startswith('['), done.stdout)
        self.assert_released()

    def test_nothing_in_the_current_folder_is_run(self):
        self.cloud.control(self.server.id, upload=2)
        trap = self.home / 'json.py'
        trap.write_text(f'open({str(self.log)!r}, "a").write("trap")\n')
        process = subprocess.run(
            ['openstack', *self.words()[3:]],
            env=self.environ(
                PATH=f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}'
            ),
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(0, process.returncode, process.stderr)
        self.assertIn('captured', process.stdout)
        self.cloud.wait(
            lambda: (
                not list(
                    (self.home / 'state' / 'xloudclient' / 'runs').iterdir()
                )
            ),
            30,
            'the end of the recording',
        )
        self.assertEqual('pre\npost\n', self.log.read_text())
