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

"""The kinds of servers that are snapshotted, and what makes one ready."""

import dataclasses

from xloudclient.tests.e2e.estate import COMMAND_LINE, Estate
from xloudclient.tests.e2e.machine import Machine

AGENT = {'hw_qemu_guest_agent': 'yes'}
#: Booted as Debian is, not by guest/init.
SYSTEMD = {'os_command_line': f'{COMMAND_LINE} init=/lib/systemd/systemd'}
#: Data disks: a device, the label and the type of its file system, and whose
#: data it gets. Disks that are attached to a guest that is booting may have
#: each other's names in it, and not in one that is launched from a snapshot.
DISKS = (
    ('vdb', 'mariadb', 'ext4', '/var/lib/mysql'),
    ('vdc', 'postgresql', 'xfs', '/var/lib/postgresql'),
)
BALLAST = '/var/tmp/ballast'
#: The data is moved as it is, with owners and rights.
MOVE = """
mkfs.{type} -q -L {label} /dev/{device}
mount /dev/{device} /mnt
cp -a {folder}/. /mnt/
chown --reference={folder} /mnt
chmod --reference={folder} /mnt
umount /mnt
mount /dev/{device} {folder}
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A kind of server.

    :param has_agent: Nova has the guest agent freeze it
    :param has_data_disks: MariaDB and PostgreSQL have a volume each
    :param ballast: mebibytes on its root disk that can't be compressed
    """

    name: str
    has_agent: bool = False
    is_volume_backed: bool = False
    has_data_disks: bool = False
    ballast: int = 0

    @property
    def disks(self) -> list[str]:
        """What the judge is told of disks other than the root disk."""
        if not self.has_data_disks:
            return []
        return [f'{label}:{folder}' for _, label, _, folder in DISKS]

    def start(self, estate: Estate) -> Machine:
        """Return a server of this kind with its databases up."""
        machine = estate.machine(
            f'{self.name}-server',
            properties=AGENT if self.has_agent else {},
            volume_backed=self.is_volume_backed,
            data_volumes=len(DISKS) if self.has_data_disks else 0,
        )
        if self.has_data_disks:
            for device, label, type_, folder in DISKS:
                values = {'device': device, 'type': type_, 'folder': folder}
                machine.run('set -e' + MOVE.format(label=label, **values))
        if self.ballast:
            machine.run(f'head -c {self.ballast}M /dev/urandom >{BALLAST}')
        machine.run('databases start')
        return machine


def install_hook(estate: Estate, machine: Machine) -> None:
    """Have the guest agent call our quiescers.

    :raises RuntimeError: it can't be installed
    """
    _manage_hook(estate, machine, 'install')


def remove_hook(estate: Estate, machine: Machine) -> None:
    """Have it call nothing of ours; no matter whether it did.

    :raises RuntimeError: it can't be removed
    """
    _manage_hook(estate, machine, 'remove')


def _manage_hook(estate: Estate, machine: Machine, verb: str) -> None:
    done = estate.openstack(
        *('server', 'snapshot', 'hook', verb, machine.server.name),
        *machine.options,
    )
    if done.returncode:
        raise RuntimeError(f'hook {verb}: {done.stderr}')
    # no systemd is there to do that
    machine.run('pkill qemu-ga; sleep 1; qemu-ga --daemonize')


IMAGE = Kind('image')
WITH_AGENT = Kind('agent', has_agent=True)
VOLUME = Kind('volume', is_volume_backed=True)
DATA_VOLUMES = Kind('disks', has_data_disks=True)
LARGE = Kind('large', has_agent=True, ballast=1000)
KINDS = (LARGE, WITH_AGENT, IMAGE, VOLUME, DATA_VOLUMES)
