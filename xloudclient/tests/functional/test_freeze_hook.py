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


"""The freeze hook in a guest that Nova freezes, with a real database.

The guests have no file systems of their own that could be frozen, and their
accounts are no root's. So the hook is installed below their home, and what a
guest agent does around it is done by a script; a write to a file system that
is "frozen" waits, as ``rmdir`` of that guest does.
"""

import fixtures

from xloudclient.guest import freeze_hook
from xloudclient.tests.functional import base
from xloudclient.tests.functional.writer import Writer

#: guest-fsfreeze-freeze and -thaw of qga/commands-posix.c.
AGENT = """#!/bin/sh
# a hook that fails keeps the agent from freezing
[ "$1" = thaw ] || {hook} freeze || exit 1
if [ "$1" = freeze ] && [ ! -e {home}/unable ]; then
    touch {home}/frozen
    exit 0
fi
rm -f {home}/frozen
{hook} thaw
[ "$1" = thaw ]
"""
#: A write to a frozen file system waits.
RMDIR = """#!/bin/sh
while [ -e {home}/frozen ]; do sleep 0.02; done
exec /bin/rmdir "$@"
"""


class FreezeHookTestCase(base.FunctionalTestCase):
    def setUp(self):
        super().setUp()
        image = self.place.image(hw_qemu_guest_agent='yes')
        self.server = self.place.server(name='db', image=image)
        self.guest = self.cloud.guest(self.server)
        self.root = str(self.guest.home)
        self.useFixture(
            fixtures.MonkeyPatch(
                'xloudclient.guest.freeze_hook.ROOT', self.root
            )
        )
        self.hook = self.root + freeze_hook.PLACE + '/hook'
        self.write('bin/rmdir', RMDIR)
        # else it would be root's
        self.guest.run('mkdir', '-p', 'etc/qemu', check=True)
        self.guest.set_freeze_hook(
            AGENT.format(home=self.root, hook=self.hook)
        )
        self.guest.start_mariadb()
        self.addCleanup(self.guest.stop_mariadb)
        self.start_agent()

    def write(self, name, text):
        script = text.format(home=self.root)
        self.guest.run(
            'sh', '-c', f'cat >"{name}"; chmod 755 "{name}"', input=script,
            check=True,
        )  # fmt: skip

    def start_agent(self):
        """The real one, which nobody asks to freeze anything."""
        self.guest.run(
            'sh', '-c',
            'qemu-ga -d -m unix-listen -p "$HOME/qga" -t "$HOME" '
            '-f "$HOME/qga.pid"', check=True,
        )  # fmt: skip
        self.addCleanup(self.stop_agent)

    def stop_agent(self):
        self.guest.run(
            'sh', '-c', 'kill "$(cat qga.pid)"; while [ -e qga.pid ]; do '
            'sleep 0.05; done',
        )  # fmt: skip

    def manage(self, verb, *words, expect=0):
        result = self.openstack(
            'server', 'snapshot', 'hook', verb, 'db', *words,
            *self.reach(self.server), '-f', 'json',
        )  # fmt: skip
        self.last = result
        self.assertEqual(expect, result.code, result.stderr)
        return result.rows[0]

    def install(self, *words):
        self.manage('install', *words)
        self.stop_agent()
        self.start_agent()

    def consistent(self, *words, expect=0):
        return self.snapshot(
            'consistent', 'db', *words, *self.reach(self.server),
            expect=expect,
        )[0]  # fmt: skip

    def state(self):
        """All files of the guest that a hook could leave behind."""
        found = self.guest.run(
            'sh', '-c', 'find etc usr -type f | sort; cat etc/qemu/*.conf'
        )
        return found.stdout


class TestFreezeHook(FreezeHookTestCase):
    def test_the_hook_holds_while_nova_captures(self):
        row = self.manage('install')
        self.assertEqual('installed', row['Hook'])
        self.assertEqual(['mysql'], row['Quiesces'])
        self.assertEqual('stale', row['Agent'])
        self.consistent('--quiesce', 'agent', expect=3)
        self.install()
        self.cloud.control(self.server.id, capture=2, upload=2)
        writer = Writer(self.guest)
        self.addCleanup(writer.stop)
        row = self.consistent('--quiesce', 'agent', '--wait')
        self.assertEqual('application', row['Consistency'])
        self.assertEqual(['agent', 'fsfreeze', 'mysql'], row['Quiesced'])
        image = self.image(row['Snapshot ID'])
        self.assertEqual('agent,fsfreeze,mysql', image['xloud_quiesced'])
        self.assertNotEqual('', image['xloud_position'])
        print(row, writer.longest_gap)
