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

"""A guest that Nova freezes through its agent, for tests and benchmarks.

The guests have no file systems of their own that could be frozen, and their
accounts are no root's. So the hook is installed below their home, and what a
guest agent does around it is done by a script; a write to a file system that
is "frozen" waits, as ``rmdir`` of that guest does. The agent that runs there
is a real one, which nobody asks to freeze anything.
"""

import dataclasses
import sys
from typing import Any

import openstackclient.shell

from xloudclient.guest import freeze_hook
from xloudclient.tests.cloud.guests.guest import Guest

#: Of the image of such a server.
PROPERTIES: dict[str, Any] = {'hw_qemu_guest_agent': 'yes'}
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
#: A write to a frozen file system waits. Where in the kernel it does, which is
#: not where a freeze would have it wait, is hidden of a program that its user
#: can't read (proc(5), wchan).
RMDIR = """#!{shell}
while [ -e {home}/frozen ]; do sleep 0.1; done
exec /bin/rmdir "$@"
"""
START = """
qemu-ga -d -m unix-listen -p "$HOME/qga" -t "$HOME" -f "$HOME/qga.pid"
"""
STOP = 'kill "$(cat qga.pid)"; while [ -e qga.pid ]; do sleep 0.05; done'


@dataclasses.dataclass(frozen=True, slots=True)
class AgentGuest:
    """A guest whose image has the :data:`PROPERTIES`.

    Who talks to it of its hook needs ``freeze_hook.ROOT`` to be its ``root``,
    as ``openstack`` has it.
    """

    guest: Guest

    @property
    def root(self) -> str:
        """What stands for ``/`` in it."""
        return str(self.guest.home)

    @property
    def hook(self) -> str:
        """Where our hook is once it is installed."""
        return f'{self.root}{freeze_hook.PLACE}/hook'

    @property
    def openstack(self) -> list[str]:
        """``openstack`` as a process of its own."""
        return [sys.executable, '-m', __name__, self.root]

    def prepare(self) -> None:
        """Have Nova freeze it, the hook find room, and the agent run."""
        self.guest.run(
            'sh', '-c', 'cp /bin/sh unseen && chmod 111 unseen', check=True
        )
        self.write_rmdir(f'{self.root}/unseen')
        # else it would be root's
        self.guest.run('mkdir', '-p', 'etc/qemu', 'usr/local/lib', check=True)
        agent = AGENT.format(home=self.root, hook=self.hook)
        self.guest.set_freeze_hook(agent)
        self.start_agent()

    def write_rmdir(self, shell: str) -> None:
        """Have ``rmdir`` wait while it is frozen.

        :param shell: that runs it
        """
        text = RMDIR.format(home=self.root, shell=shell)
        self.write_script('bin/rmdir', text)

    def write_script(self, name: str, text: str) -> None:
        """Write what can be run there.

        :param name: its path, from the home
        """
        self.guest.run(
            'sh', '-c', f'cat >"{name}"; chmod 755 "{name}"', input=text,
            check=True,
        )  # fmt: skip

    def start_agent(self) -> None:
        """Start it; it ends with the guest, if not before."""
        self.guest.run('sh', '-c', START, check=True)

    def stop_agent(self) -> None:
        """End it; idempotent."""
        self.guest.run('sh', '-c', STOP)

    def restart_agent(self) -> None:
        """Have it know what it was told since it was started."""
        self.stop_agent()
        self.start_agent()


def main() -> None:
    """Run ``openstack`` for the guest whose root is the first argument."""
    freeze_hook.ROOT = sys.argv.pop(1)
    sys.exit(openstackclient.shell.main())


if __name__ == '__main__':
    main()
