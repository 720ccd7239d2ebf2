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

"""What a fault does, and how it is taken back."""

import dataclasses
import os
import resource
import signal
from collections.abc import Callable, Mapping

from xloudclient.tests.functional.campaign import processes
from xloudclient.tests.functional.campaign.client import Client
from xloudclient.tests.functional.campaign.subject import Subject

KILL, STOP, CONT = signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT


class Absent(Exception):
    """What is to be struck isn't there."""


@dataclasses.dataclass(slots=True)
class Scene:
    """A run in a phase.

    :param struck: the process that was struck; 0 if none was
    """

    subject: Subject
    client: Client
    struck: int = 0


Strike = Callable[[Scene], None]


def nothing(scene: Scene) -> None:
    """The fault is in what the run was given."""


def _client(scene: Scene) -> int:
    return scene.client.process.pid


def _ssh(scene: Scene) -> int:
    return scene.client.ssh


def _supervisor(scene: Scene) -> int:
    return processes.supervisor(scene.subject.root)


def _session(scene: Scene) -> int:
    return processes.parent(_supervisor(scene))


def _timer(scene: Scene) -> int:
    return processes.timer(scene.subject.root)


def _database_client(scene: Scene) -> int:
    return processes.database_client(scene.subject.root)


def _redis_client(scene: Scene) -> int:
    return processes.database_client(scene.subject.root, 'redis-cli')


def _postgresql_client(scene: Scene) -> int:
    return processes.database_client(scene.subject.root, 'psql')


def _holder(scene: Scene) -> int:
    client = _database_client(scene)
    return processes.parent(client) if client else 0


def _shell(scene: Scene) -> int:
    """The login shell, as long as it has not become the supervisor."""
    shell = _supervisor(scene)
    return shell if shell in processes.below(scene.subject.root, 'bash') else 0


ROLES: Mapping[str, Callable[[Scene], int]] = {
    'client': _client,
    'ssh': _ssh,
    'sshd': _session,
    'shell': _shell,
    'supervisor': _supervisor,
    'timer': _timer,
    'holder': _holder,
    'database client': _database_client,
    'redis-cli': _redis_client,
    'psql': _postgresql_client,
}


def signals(role: str, number: int) -> Strike:
    """Send a signal to whoever plays a role."""

    def strike(scene: Scene) -> None:
        scene.struck = ROLES[role](scene)
        if not scene.struck:
            raise Absent(role)
        os.kill(scene.struck, number)

    return strike


def signals_all(number: int) -> Strike:
    """Send a signal to all that is ours in the guest, as nearly at once as can
    be.
    """

    def strike(scene: Scene) -> None:
        found = processes.ours(scene.subject.root)
        if not found:
            raise Absent('any process of ours')
        for pid in found:
            processes.send(pid, number)

    return strike


def kill_session(scene: Scene) -> None:
    """Kill everything in the supervisor's process group."""
    scene.struck = _supervisor(scene)
    if not scene.struck:
        raise Absent('supervisor')
    os.killpg(os.getpgid(scene.struck), KILL)


def go_on(scene: Scene) -> None:
    """Let what was stopped go on."""
    processes.send(scene.struck, CONT)


def restart_database(scene: Scene) -> None:
    scene.subject.restart_database()


def restart_redis(scene: Scene) -> None:
    scene.subject.restart_redis()


def restart_postgresql(scene: Scene) -> None:
    scene.subject.restart_postgresql()


def kill_lock(scene: Scene) -> None:
    """Have another session kill the one that has the lock."""
    subject = scene.subject
    holder = _database_client(scene)
    if not holder:
        raise Absent('lock session')
    listed = subject.sql(
        "SELECT CONCAT('KILL ', id) FROM information_schema.processlist "
        "WHERE user = 'root' AND id <> CONNECTION_ID() "
        f'AND id <> {subject.maria.connection} '
        "AND NOT (command = 'Query' AND info LIKE 'KILL%') "
        + _but_blocker(subject)
    )
    subject.sql('; '.join(listed))


def _but_blocker(subject: Subject) -> str:
    """Leave out the session that the lock waits for: it sleeps."""
    return "AND command = 'Query'" if subject.blocker else ''


def fails(*services: str, **fault: object) -> Strike:
    """Have requests to services fail."""

    def strike(scene: Scene) -> None:
        for service in services:
            scene.subject.cloud.fault(service, **fault)

    return strike


def heal(scene: Scene) -> None:
    """Have requests succeed again."""
    scene.subject.cloud.clear_faults()


def suspends(service: str) -> Strike:
    """Stop a service's process."""

    def strike(scene: Scene) -> None:
        scene.subject.cloud.suspend(service)

    return strike


def resume(scene: Scene) -> None:
    """Let every service go on."""
    for service in scene.subject.cloud.pids():
        scene.subject.cloud.resume(service)


def fill_disk(scene: Scene) -> None:
    """From now on, the client can make no file any longer.

    As on a full disk: what is open stays so, and no byte is taken.
    """
    scene.struck = scene.client.process.pid
    _, hard = resource.prlimit(scene.struck, resource.RLIMIT_FSIZE)
    resource.prlimit(scene.struck, resource.RLIMIT_FSIZE, (0, hard))
