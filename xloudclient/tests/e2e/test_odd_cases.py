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

"""Nova and guests at their worst: nothing stays held, nothing is claimed that
was not so.
"""

import contextlib
import json
import signal
import subprocess
import time

from xloudclient.consistency.witness import NOT_CALLED
from xloudclient.tests.e2e.base import (
    LATE_SECONDS,
    LEASE_SECONDS,
    PATIENCE_SECONDS,
    MachineTestCase,
)
from xloudclient.tests.e2e.experiment import kinds

REQUIRED = {**kinds.AGENT, 'os_require_quiesce': 'yes'}
FREEZE = ('--quiesce', 'sync', '--quiesce', 'fsfreeze')


class TestAgent(MachineTestCase):
    """Nova has the guest agent freeze; this agent does not do its part."""

    def test_a_hung_agent_hangs_nova_and_not_the_guest(self):
        machine = self.place.machine('hung', properties=kinds.AGENT)
        machine.run('databases mariadb')
        self._await_agent(machine)
        machine.run('pkill -STOP qemu-ga')
        self.addCleanup(machine.run, 'pkill -CONT qemu-ga')

        client = self.start(
            machine,
            *('--quiesce', 'mysql', '--quiesce', 'sync'),
            *('--max-freeze', '30s'),
        )
        self.await_event('released')

        self.assertLess(self.seconds_held(), 30 + LATE_SECONDS)
        machine.run('mysql -e "CREATE DATABASE after_it"', seconds=60)
        # Nova waits for the agent, without a limit
        compute = self.estate.cloud.connection().compute
        task = compute.get_server(machine.server.id).task_state
        self.assertEqual('image_pending_upload', task)
        machine.run('pkill -CONT qemu-ga')
        _, stderr = client.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(7, client.returncode, stderr)
        self.assertIn('--max-freeze ran out', stderr)
        self.await_idle(machine)
        self.await_class('crash')

    def test_a_hung_agent_holds_nothing_until_it_goes_on(self):
        machine = self.place.machine('late', properties=kinds.AGENT)
        machine.run('databases mariadb')
        kinds.install_hook(self.estate, machine)
        self._await_agent(machine)

        client = self.start(
            machine, *('--quiesce', 'agent', '--max-freeze', '20s', '--wait')
        )
        self.await_event('requested')
        machine.run('pkill -STOP qemu-ga')
        self.addCleanup(machine.run, 'pkill -CONT qemu-ga || true')
        # longer than anything may be held, and Nova's copy takes less
        time.sleep(40)
        machine.run('mysql -e "CREATE DATABASE meanwhile"', seconds=60)
        self.assertIsNone(client.poll())

        machine.run('pkill -CONT qemu-ga')
        stdout, stderr = client.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(0, client.returncode, stderr)
        [row] = json.loads(stdout)
        self.assertEqual('application', row['Consistency'])
        self.assertEqual('application', self.only_class())
        self.seconds_to_write(machine)

    def test_a_freeze_that_nova_skipped_is_not_claimed(self):
        machine = self.place.machine('dead', properties=REQUIRED)
        machine.run('databases mariadb')
        kinds.install_hook(self.estate, machine)
        self._await_agent(machine)

        # it would call the hook when it is looked at, and is dead when Nova
        # asks, which is after the disk was copied
        client = self.start(machine, '--quiesce', 'agent', '--wait')
        self.await_event('requesting')
        machine.run('pkill -KILL qemu-ga')
        stdout, stderr = client.communicate(timeout=PATIENCE_SECONDS)

        # os_require_quiesce notwithstanding, Nova took it without a freeze
        self.assertEqual(5, client.returncode, stderr)
        [row] = json.loads(stdout)
        self.assertEqual('active', row['Status'], stderr)
        self.assertEqual('crash', row['Consistency'])
        self.assertIn(NOT_CALLED, row['Reason'])
        self.assertEqual('crash', self.only_class())
        self.seconds_to_write(machine)

    def test_a_freeze_of_another_user_of_the_agent_is_left_to_them(self):
        machine = self.place.machine('agent-frozen', properties=kinds.AGENT)
        self._await_agent(machine)
        self.estate.virsh('domfsfreeze', machine.domain)
        self.addCleanup(self._thaw, machine)

        ended = self.snapshot(machine, '--quiesce', 'sync')

        self.assertEqual(0, ended.code, ended.stderr)
        self.assertEqual('crash', ended.row['Consistency'])
        self.await_idle(machine)
        self.await_class('crash')
        # Nova's own freeze failed, and so it did not thaw either
        state = self._ask_agent(machine, 'guest-fsfreeze-status')
        self.assertIn('"frozen"', state)
        self._thaw(machine)
        self.seconds_to_write(machine)

    def _await_agent(self, machine):
        """Return once libvirt knows the agent to be alive.

        One that never answered it is given up after 5 seconds: Nova then goes
        on without a freeze.
        """

        def answers():
            with contextlib.suppress(subprocess.CalledProcessError):
                return self._ask_agent(machine, 'guest-ping')

        self.estate.cloud.wait(answers, 120, 'guest agent')

    def _ask_agent(self, machine, command):
        words = ('qemu-agent-command', machine.domain)
        return self.estate.virsh(*words, json.dumps({'execute': command}))

    def _thaw(self, machine):
        with contextlib.suppress(subprocess.CalledProcessError):
            self.estate.virsh('domfsthaw', machine.domain)


class TestFreeze(MachineTestCase):
    """Somebody else's freeze, Nova's slowness, and our own death."""

    def test_a_freeze_that_is_not_ours_is_left_to_its_owner(self):
        machine = self.place.machine('frozen')
        machine.run('fsfreeze --freeze /')
        self.addCleanup(machine.run, 'fsfreeze --unfreeze / || true')

        ended = self.snapshot(machine, *FREEZE)

        self.assertEqual(75, ended.code, ended.stderr)
        self.assertEqual([], self.snapshots())
        # it is still frozen: this fails if we thawed it
        machine.run('fsfreeze --unfreeze /')
        self.seconds_to_write(machine)

    def test_a_mirror_that_is_too_slow_does_not_hold_the_guest(self):
        machine = self.place.machine('slow')
        machine.run('head -c 300M /dev/urandom >/var/tmp/ballast; sync')
        client = self.start(machine, *FREEZE, '--max-freeze', '20s')
        self.await_event('requested')
        self._slow_down(machine)
        self.await_event('released')

        self.assertLess(self.seconds_held(), 20 + LATE_SECONDS)
        self.seconds_to_write(machine)

        # the disk is still being copied, and the client waits for that
        self._slow_down(machine, megabytes=0)
        _, stderr = client.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(7, client.returncode, stderr)
        self.assertIn('--max-freeze ran out', stderr)
        self.await_idle(machine)
        self.await_class('crash')

    def _slow_down(self, machine, megabytes=1):
        """Have the mirror copy this much a second; 0 is no limit."""

        def is_done():
            with contextlib.suppress(subprocess.CalledProcessError):
                self.estate.slow_down(machine, megabytes)
                return True
            return False

        self.estate.cloud.wait(is_done, 120, 'mirror')

    def test_a_cold_snapshot_ends_the_connection_and_the_hold(self):
        machine = self.place.machine('cold')
        machine.run('echo written >/var/tmp/before')
        compute = self.estate.cloud.connection().compute
        compute.set_server_metadata(machine.server.id, cold='yes')

        # the guest is put to sleep, and with it its end of the connection
        client = self.start(machine, *FREEZE, '--max-freeze', '60s')
        self.await_event('released')

        self.assertLess(self.seconds_held(), 60 + LATE_SECONDS)
        took = self.seconds_to_write(machine, seconds=4 * LEASE_SECONDS)
        self.assertLess(took, 3 * LEASE_SECONDS)
        _, stderr = client.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(5, client.returncode, stderr)
        self.await_idle(machine)
        self.await_class('crash')

    def test_a_killed_client_holds_nothing_after_its_lease(self):
        machine = self.place.machine('orphan')
        client = self.start(machine, *FREEZE)
        self.await_event('requested')
        client.send_signal(signal.SIGKILL)
        killed = time.monotonic()

        took = self.seconds_to_write(machine, seconds=4 * LEASE_SECONDS)

        # ticks of the guest are late when it is emulated
        self.assertLess(took, 2 * LEASE_SECONDS)
        self.assertLess(time.monotonic() - killed, 3 * LEASE_SECONDS)
        self.await_idle(machine)
        self.assertEqual('none', self.only_class())
