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

"""Guests that are run by systemd, as most are: its units, and its logins."""

import signal
import time

from xloudclient.tests.e2e.base import LEASE_SECONDS, MachineTestCase
from xloudclient.tests.e2e.experiment import kinds
from xloudclient.tests.e2e.test_freeze_hook import OURS
from xloudclient.tests.e2e.test_odd_cases import FREEZE

#: As an administrator may set it: what a login left is ended with it.
LOGIND = """
mkdir -p /etc/systemd/logind.conf.d
printf '[Login]\\nKillUserProcesses=yes\\nKillExcludeUsers=\\n' \
    >/etc/systemd/logind.conf.d/kill.conf
sed -i 's/^UsePAM no/UsePAM yes/' /etc/ssh/sshd_config.d/guest.conf
systemctl restart systemd-logind ssh
"""


LAST = """#!/bin/sh
trap '' TERM
loginctl terminate-user root
read -r _
"""
KILL = """#!/bin/sh
scope=$(sed -n 's,.*/,,; /^session-.*[.]scope$/p' /proc/self/cgroup)
systemctl kill --signal=KILL "$scope"
read -r _
"""


class TestService(MachineTestCase):
    def test_a_unit_is_stopped_and_started_again_whatever_happens(self):
        machine = self.place.machine('unit', properties=kinds.SYSTEMD)
        service = ('--quiesce', 'service,name=redis-server')
        await_unit(self.estate, machine, 'redis-server')
        machine.run('redis-cli SET before it')

        ended = self.snapshot(machine, *service, '--wait')

        self.assertEqual(0, ended.code, ended.stderr)
        self.assertEqual('application', ended.row['Consistency'])
        self.assertEqual(['service'], ended.row['Quiesced'])
        await_unit(self.estate, machine, 'redis-server')
        self.assertEqual('it\n', machine.run('redis-cli GET before'))

        # what the client can't do any more, the guest does
        self.events_file.unlink()
        client = self.start(machine, *service)
        self.await_event('requested')
        await_unit(self.estate, machine, 'redis-server', 'inactive')
        client.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        await_unit(self.estate, machine, 'redis-server')
        self.assertLess(time.monotonic() - killed, 3 * LEASE_SECONDS)
        self.await_idle(machine)


def await_unit(estate, machine, unit, state='active'):
    command = f'systemctl is-active {unit} || true'
    estate.cloud.wait(lambda: machine.run(command) == f'{state}\n', 150, unit)


def await_nothing_of_ours(estate, machine):
    # what watches over a freeze, too
    command = (
        "pgrep -f '[x]loud-(timer|supervisor)|^sh -c [t]rap .*PIPE TERM; '"
        ' || true'
    )
    estate.cloud.wait(lambda: not machine.run(command), 60, 'end of ours')


class TestLogin(MachineTestCase):
    def last(self, text):
        """What ends the session that it is in itself, with all that holds."""
        hook = self.home / 'last'
        hook.write_text(text)
        hook.chmod(0o700)
        return '--quiesce', str(hook)

    def test_a_login_whose_processes_are_killed_leaves_nothing_frozen(self):
        machine = self.place.machine('login', properties=kinds.SYSTEMD)
        machine.run(LOGIND)

        ended = self.snapshot(machine, *FREEZE, *self.last(LAST))

        took = self.seconds_to_write(machine, seconds=4 * LEASE_SECONDS)
        self.assertLess(took, LEASE_SECONDS)
        self.assertEqual(3, ended.code, ended.stderr)
        self.assertIn('locked: fsfreeze', ended.stderr)
        self.assertIn('the connection was lost', ended.stderr)
        self.assertEqual([], self.snapshots())
        await_nothing_of_ours(self.estate, machine)
        ended = self.snapshot(machine, '--quiesce', 'sync', '--wait')
        self.assertEqual(0, ended.code, ended.stderr)

    def test_a_login_that_is_killed_whole_leaves_nothing_frozen(self):
        machine = self.place.machine('killed', properties=kinds.SYSTEMD)
        machine.run(LOGIND)
        service = ('--quiesce', 'service,name=redis-server')
        await_unit(self.estate, machine, 'redis-server')

        ended = self.snapshot(machine, *service, *FREEZE, *self.last(KILL))

        took = self.seconds_to_write(machine, seconds=4 * LEASE_SECONDS)
        self.assertLess(took, LEASE_SECONDS)
        await_unit(self.estate, machine, 'redis-server')
        self.assertEqual(6, ended.code, ended.stderr)
        for name in ('service', 'fsfreeze'):
            self.assertIn(f'locked: {name}', ended.stderr)
        self.assertEqual([], self.snapshots())
        await_nothing_of_ours(self.estate, machine)
        ended = self.snapshot(machine, *FREEZE, '--wait')
        self.assertEqual(0, ended.code, ended.stderr)

    def test_a_killed_client_holds_nothing_after_its_lease(self):
        machine = self.place.machine('orphan', properties=kinds.SYSTEMD)
        machine.run(LOGIND)
        client = self.start(machine, '--quiesce', 'mysql')
        self.await_event('requested')
        client.send_signal(signal.SIGKILL)
        killed = time.monotonic()

        machine.run('mysql -e "CREATE DATABASE after_it"', seconds=60)

        self.assertLess(time.monotonic() - killed, 3 * LEASE_SECONDS)
        self.await_idle(machine)


class TestAgent(MachineTestCase):
    def test_its_unit_is_given_the_hook_and_back(self):
        properties = {**kinds.AGENT, **kinds.SYSTEMD}
        machine = self.place.machine('agent-unit', properties=properties)
        files = machine.run(OURS)

        self.hook('install', machine)

        self.assertEqual('used', self.hook('list', machine)['Agent'])
        ended = self.snapshot(machine, '--quiesce', 'agent', '--wait')
        self.assertEqual(0, ended.code, ended.stderr)
        self.assertEqual('application', ended.row['Consistency'])
        for name in ('mysql', 'postgresql', 'redis'):
            self.assertIn(name, ended.row['Quiesced'])

        # the package's scripts restart the unit
        machine.run('dpkg --install /usr/local/share/packages/*.deb')
        self.assertEqual('used', self.hook('list', machine)['Agent'])

        self.assertEqual('not installed', self.hook('remove', machine)['Hook'])
        self.assertEqual(files, machine.run(OURS))
        await_unit(self.estate, machine, 'qemu-guest-agent')
        ended = self.snapshot(machine, '--quiesce', 'sync', '--wait')
        self.assertEqual(0, ended.code, ended.stderr)

    def test_a_restart_while_it_is_frozen_leaves_nothing_held(self):
        properties = {**kinds.AGENT, **kinds.SYSTEMD}
        machine = self.place.machine('restart', properties=properties)
        self.hook('install', machine)
        self.estate.virsh('domfsfreeze', machine.domain)

        # of our supervisor, too, which is in the unit; a frozen agent stays
        machine.run('systemctl --no-block restart qemu-guest-agent')
        await_nothing_of_ours(self.estate, machine)
        self.estate.virsh('domfsthaw', machine.domain)

        machine.run('mysql -e "CREATE DATABASE after_it"', seconds=60)
        # it is killed when systemd has waited for its end
        await_unit(self.estate, machine, 'qemu-guest-agent')
        ended = self.snapshot(machine, '--quiesce', 'agent', '--wait')
        self.assertEqual(0, ended.code, ended.stderr)
        self.assertEqual('application', ended.row['Consistency'])
