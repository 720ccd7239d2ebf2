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

"""The ways to take a snapshot, under comparison.

Each one notes a *position*: the rows that are acknowledged at the moment from
which its user takes them to be in the snapshot. Where a lock is taken, that
is once it is held; else it is before the command is begun.
"""

import dataclasses
from collections.abc import Callable

from xloudclient.tests.e2e.estate import Estate
from xloudclient.tests.e2e.experiment import kinds
from xloudclient.tests.e2e.experiment.scene import Scene
from xloudclient.tests.e2e.machine import Machine

#: MiB/s: a disk of LARGE takes more than half a minute.
MIRROR_RATE = 40


@dataclasses.dataclass(frozen=True, slots=True)
class Arm:
    """A way to take a snapshot.

    :param name: on the command line, and in the table
    :param kind: of the server
    :param take: takes a snapshot
    :param meaning: what is done, for the page
    :param has_hook: our freeze hook is in the guest; else it is not
    """

    name: str
    kind: kinds.Kind
    take: Callable[[Scene], None]
    meaning: str
    has_hook: bool = False

    def prepare(self, estate: Estate, machine: Machine) -> None:
        """Have the guest as it is to be; the arm before left it otherwise.

        :raises RuntimeError: it can't be had so
        """
        if self.has_hook:
            kinds.install_hook(estate, machine)
        elif self.kind.has_agent:
            kinds.remove_hook(estate, machine)


def nothing(scene: Scene) -> None:
    """``openstack server image create``, and no more."""
    scene.note_position()
    scene.create_image()


def recipe(scene: Scene) -> None:
    """The vendor's recipe, as it is written."""
    guest = scene.machine
    guest.run('sync')
    guest.run('mysql -e "FLUSH TABLES WITH READ LOCK"')
    scene.tell('locked, it seems')
    scene.note_position()
    scene.create_image()
    guest.run('mysql -e "UNLOCK TABLES"')
    scene.tell('unlocked')


def consistent(scene: Scene) -> None:
    """``openstack server snapshot consistent``, with its defaults."""
    scene.snapshot_consistent()


def on_slow_storage(scene: Scene) -> None:
    """``consistent``, on a disk that takes half a minute to mirror."""
    with scene.slow_mirror(MIRROR_RATE):
        scene.snapshot_consistent('--max-freeze', '3m')


def agent(scene: Scene) -> None:
    """``consistent``, held by the agent's freeze hook alone."""
    scene.snapshot_consistent('--quiesce', 'agent')
    scene.note_position_of_hook()


def agent_on_slow_storage(scene: Scene) -> None:
    """The same, on a disk that takes half a minute to mirror."""
    with scene.slow_mirror(MIRROR_RATE):
        agent(scene)


ARMS = (
    Arm(
        'nothing',
        kinds.IMAGE,
        nothing,
        '``openstack server image create``',
    ),
    Arm(
        'recipe',
        kinds.IMAGE,
        recipe,
        "the vendor's recipe: over ssh ``sync`` and ``mysql -e 'FLUSH TABLES "
        "WITH READ LOCK'``, ``openstack server image create``, and over ssh "
        "``mysql -e 'UNLOCK TABLES'``",
    ),
    Arm(
        'consistent',
        kinds.IMAGE,
        consistent,
        '``openstack server snapshot consistent``',
    ),
    Arm(
        'nova-agent',
        kinds.WITH_AGENT,
        nothing,
        '``openstack server image create`` of a server whose image has '
        '``hw_qemu_guest_agent=yes``: Nova has the agent freeze the file '
        'systems',
    ),
    Arm(
        'agent-hook',
        kinds.WITH_AGENT,
        agent,
        '``openstack server snapshot consistent --quiesce agent``, after '
        '``openstack server snapshot hook install`` in the same guest',
        has_hook=True,
    ),
    Arm(
        'volume-backed',
        kinds.VOLUME,
        consistent,
        '``openstack server snapshot consistent`` of a server on a volume',
    ),
    Arm(
        'data-volumes',
        kinds.DATA_VOLUMES,
        consistent,
        '``openstack server snapshot consistent`` of a server with MariaDB '
        'on an attached volume (ext4) and PostgreSQL on another (XFS)',
    ),
    Arm(
        'large-disk',
        kinds.LARGE,
        on_slow_storage,
        '``openstack server snapshot consistent`` of a server with an agent '
        f'and {kinds.LARGE.ballast} MiB more on its disk, which is mirrored '
        f'at {MIRROR_RATE} MiB/s (``virsh blockjob --bandwidth``)',
    ),
    Arm(
        'large-disk-hook',
        kinds.LARGE,
        agent_on_slow_storage,
        'the same guest with ``--quiesce agent``, after ``hook install``',
        has_hook=True,
    ),
)
BY_NAME = {arm.name: arm for arm in ARMS}
