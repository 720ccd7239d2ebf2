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

"""What is known of a snapshot or a server, to be judged."""

import dataclasses
import datetime

from xloudclient.catalog.snapshot import Snapshot
from xloudclient.consistency.checks.quota import Allowance

#: A task or an upload that lasts longer is worth a look.
LONG_SECONDS = 1800.0


@dataclasses.dataclass(frozen=True, slots=True)
class ServerState:
    """A server, as Nova shows it.

    :param task: '' if none is under way
    :param since: when its state last changed
    """

    id: str
    name: str
    status: str
    task: str
    since: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A volume snapshot.

    :param status: Cinder's; '' if it can't be seen
    :param message: what Cinder told its user of a failure; may be empty
    """

    id: str
    status: str
    message: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """What is known of one snapshot.

    :param server: the server it was made of; None if that is gone
    :param members: the projects it is shared with, as its owner sees them
    :param is_pending_offer: it was offered to the reader, who has not
        accepted it
    :param dead_run: a run of this user's that left its proof unrecorded
    """

    snapshot: Snapshot
    now: datetime.datetime
    server: ServerState | None = None
    parts: tuple[Part, ...] = ()
    members: tuple[str, ...] = ()
    is_pending_offer: bool = False
    dead_run: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A snapshot that Nova was asked for (an instance action).

    :param error: what Nova told of its failure; '' if nothing
    """

    time: datetime.datetime
    error: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class DeadRun:
    """A run of this user's that ended without cleaning up.

    :param quiesced: with what it had quiesced the server, as values of
        ``--quiesce``, when it asked for a snapshot; None if it never did
    """

    id: str
    quiesced: tuple[str, ...] | None = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Quota:
    """What the next snapshot would use up.

    :param name: as Cinder has it (``gigabytes_<type>`` for one type), or
        that of a limit of Glance (``image_count_total``)
    :param needed: how much one snapshot of the server takes
    """

    name: str
    allowance: Allowance
    needed: int


@dataclasses.dataclass(frozen=True, slots=True)
class ServerFacts:
    """What is known of one server.

    :param snapshots: those of it that exist, the newest first
    :param requests: those that Nova was asked for, the newest first
    :param orphans: IDs of volume snapshots that Nova made for an image
        which does not exist
    :param needs_agent: its image has ``os_require_quiesce``
    :param has_agent: its image has ``hw_qemu_guest_agent``
    :param dead_runs: the oldest first
    """

    server: ServerState
    project_id: str
    now: datetime.datetime
    snapshots: tuple[Snapshot, ...] = ()
    requests: tuple[Request, ...] = ()
    orphans: tuple[str, ...] = ()
    quotas: tuple[Quota, ...] = ()
    needs_agent: bool = False
    has_agent: bool = False
    dead_runs: tuple[DeadRun, ...] = ()
