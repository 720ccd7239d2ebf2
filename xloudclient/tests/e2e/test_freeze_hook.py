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

"""The freeze hook in a guest that has a life of its own."""

from xloudclient.tests.e2e.base import MachineTestCase
from xloudclient.tests.e2e.experiment import kinds

#: What is not memory, nor the database's, nor written by any login.
OURS = r'find /etc /usr /root -xdev \( -type f -o -type d \) -print | sort'


class TestFreezeHook(MachineTestCase):
    def test_it_outlives_a_reboot_and_an_upgrade_and_leaves_no_trace(self):
        machine = self.place.machine('hooked', properties=kinds.AGENT)
        files = machine.run(OURS)
        machine.run('databases mariadb')
        kinds.install_hook(self.estate, machine)

        # the package's files and its scripts once more, as for a new version
        machine.run('dpkg --install /usr/local/share/packages/*.deb && sync')
        self._reboot(machine)

        self.assertEqual('used', self.hook('list', machine)['Agent'])
        ended = self.snapshot(machine, '--quiesce', 'agent', '--wait')
        self.assertEqual(0, ended.code, ended.stderr)
        self.assertEqual('application', ended.row['Consistency'])
        self.assertIn('mysql', ended.row['Quiesced'])

        machine.run('pkill qemu-ga; sleep 1')
        self.assertEqual('not installed', self.hook('remove', machine)['Hook'])
        self.assertEqual(files, machine.run(OURS))

    def test_novas_thaw_releases_what_is_held_over_ssh(self):
        machine = self.place.machine('early', properties=kinds.AGENT)
        machine.run('databases mariadb')
        kinds.install_hook(self.estate, machine)

        ended = self.snapshot(machine, '--quiesce', 'mysql', '--wait')

        self.assertEqual(0, ended.code, ended.stderr)
        self.assertEqual('application', ended.row['Consistency'])
        # over ssh: nothing of it is the hook's
        self.assertEqual(['mysql'], ended.row['Quiesced'])
        steps = [one['event'] for one in self.events()]
        self.assertLess(steps.index('released'), steps.index('captured'))

    def _reboot(self, machine):
        """Have Nova boot it anew; its agent is begun by its init."""
        done = self.estate.openstack(
            *('server', 'reboot', '--hard', '--wait', 'hooked')
        )
        self.assertEqual(0, done.returncode, done.stderr)
        machine.await_boot()
        machine.run('databases mariadb')
