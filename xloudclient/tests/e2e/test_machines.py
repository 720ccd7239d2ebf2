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

"""Real guests come up, are snapshotted, and are gone with their cloud."""

import contextlib
import pathlib
import subprocess
import sys
import textwrap

import testtools

from xloudclient.tests.cloud import process
from xloudclient.tests.e2e.base import MachineTestCase

SYSTEM = (
    '/etc',
    '/run/libvirt',
    '/usr/share/libvirt',
    '/var/cache/libvirt',
    '/var/lib/libvirt',
    '/var/log/libvirt',
)


class TestMachines(MachineTestCase):
    def test_an_image_backed_guest_is_snapshotted_and_launched(self):
        machine = self.place.machine('one')
        machine.run('echo precious >/var/tmp/precious')

        ended = self.snapshot(machine, '--wait')

        self.assertEqual(0, ended.code, ended.stderr)
        self.assertEqual('filesystem', ended.row['Consistency'])
        self.assertEqual('precious\n', self._launched(ended.row))

    def test_a_volume_backed_guest_is_snapshotted_and_launched(self):
        machine = self.place.machine('two', volume_backed=True)
        machine.run('echo precious >/var/tmp/precious')

        ended = self.snapshot(machine, '--wait')

        self.assertEqual(0, ended.code, ended.stderr)
        self.assertEqual('filesystem', ended.row['Consistency'])
        self.assertEqual('precious\n', self._launched(ended.row))

    def _launched(self, row):
        """Launch a snapshot; return what is in its precious file."""
        done = self.estate.openstack(
            *('snapshot', 'launch', row['Snapshot ID'], 'launched', '--wait')
        )
        self.assertEqual(0, done.returncode, done.stderr)
        compute = self.estate.cloud.connection().compute
        machine = self.place.of(compute.find_server('launched'))
        # frozen when it was copied, so there is nothing to be replayed
        self.assertNotIn('recovery complete', machine.run('dmesg'))
        self.assertEqual('0\n', machine.run('cat /run/boot/fsck.vda.status'))
        return machine.run('cat /var/tmp/precious')


class TestEnd(testtools.TestCase):
    def test_nothing_is_left_of_a_cloud_whose_owner_is_killed(self):
        before = _mounts(), _files()
        owner = subprocess.Popen(
            [sys.executable, '-c', textwrap.dedent(_OWNER)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(owner.communicate)
        self.addCleanup(owner.kill)
        self.assertEqual('up\n', owner.stdout.readline())
        below = process.descendants(owner.pid)
        names = {_name(pid) for pid in below}
        self.assertLessEqual({'libvirtd', 'qemu-system-x86'}, names)

        owner.kill()
        owner.wait()

        for pid in below:
            self._await_end(pid)
        self.assertEqual(before, (_mounts(), _files()))

    def _await_end(self, pid):
        from xloudclient.tests.cloud import Cloud

        Cloud.wait(lambda: not process.is_alive(pid), 30, f'end of {pid}')


_OWNER = """
    import sys
    from xloudclient.tests.e2e import estate
    with estate.Estate() as here:
        here.cloud.server('guest', image=here.image_id(), flavor=here.flavor)
        print('up', flush=True)
        sys.stdin.read()
"""


def _name(pid):
    # some of them end meanwhile
    with contextlib.suppress(OSError):
        return pathlib.Path('/proc', str(pid), 'comm').read_text().strip()
    return ''


def _mounts():
    return pathlib.Path('/proc/mounts').read_text()


def _files():
    """The system's files that a libvirtd might write, and when each was."""
    return {
        path: path.lstat().st_mtime_ns
        for folder in SYSTEM
        for path in pathlib.Path(folder).rglob('*')
        if not path.is_dir()
    }
