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

"""What guest, cloud and hooks answer a run: the values that ports return.

Times are seconds.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from xloudclient.consistency.plan import Consistency, Quiescer


@dataclasses.dataclass(frozen=True, slots=True)
class Data:
    """A path where an application keeps data, and the disks it lives on.

    :param disks: kernel names in the guest (``vda``); empty if not known
    """

    path: str
    disks: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """What a holder said of itself in its ``ready`` or ``held`` line.

    :param gives: the class it declares; None if the line named none
    :param data: where the application's data lives
    :param frozen: disks whose file systems it holds frozen
    :param file_systems: those that it holds frozen
    :param position: binlog/GTID/LSN/replication offset at the lock
    """

    gives: Consistency | None = None
    data: tuple[Data, ...] = ()
    frozen: tuple[str, ...] = ()
    file_systems: tuple[Data, ...] = ()
    position: str = ''
    detail: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class GuestFacts:
    """What the supervisor saw of the guest when it started.

    :param boot_id: ``/proc/sys/kernel/random/boot_id``
    :param root_disks: kernel names of the disks under ``/``
    :param serials: kernel name of each disk -> its serial number
    :param used_bytes: bytes in use on the root file system; 0 if unknown
    :param is_root: the supervisor is
    :param may_freeze: it is, and the guest is another machine than this one
    :param server_id: the server that this guest says it is; '' if it can't
    :param firmware_id: an ID that may be a server's, or anything else
    :param cards: hardware addresses of its network cards, in lower case
    :param is_taken: a run is at work in it; only a look tells
    :param earlier: why an earlier run was released by the guest itself, if
        nobody was left to be told
    """

    boot_id: str = ''
    root_disks: tuple[str, ...] = ()
    serials: Mapping[str, str] = dataclasses.field(default_factory=dict)
    used_bytes: int = 0
    is_root: bool = False
    may_freeze: bool = False
    server_id: str = ''
    firmware_id: str = ''
    cards: tuple[str, ...] = ()
    is_taken: bool = False
    earlier: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Testimony:
    """What one holder in the freeze hook showed.

    :param ready: its ``ready`` line; None if it was not ready at the thaw
    :param held: its answer after the thaw; a sentence if it did not hold
    """

    quiescer: Quiescer
    ready: Evidence | None
    held: Evidence | str


@dataclasses.dataclass(frozen=True, slots=True)
class Released:
    """What became of one holder.

    :param is_free: it is known that nothing of it is held any more
    :param was_held: it was still holding when it was asked to release
    """

    name: str
    is_free: bool
    was_held: bool = True
    reason: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Freeze:
    """One call of the freeze hook by the guest agent, as it was recorded.

    :param number: counts them since boot
    :param is_watched: another run held, so the hook held nothing itself
    :param is_held: all that the hook holds was held as the agent froze
    :param is_over: released, after the thaw or since it could not hold
    :param seconds: from the first lock requested to the last one released
    :param testimonies: the first one is on the agent's own freeze
    :param released: what became of each holder that was started, as far as
        it is over; the watch on the agent's own freeze holds nothing
    """

    number: int
    is_watched: bool = False
    is_held: bool = False
    is_over: bool = False
    seconds: float | None = None
    testimonies: tuple[Testimony, ...] = ()
    released: tuple[Released, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class FreezeHook:
    """The guest agent's freeze hook in a guest.

    :param is_closed: it is there and this account can't see into it
    :param quiescers: what it holds, in order
    :param cap: seconds after which it releases whatever happens
    :param agent: whether the agent calls it: ``used``; ``absent`` (there is
        no agent), ``stale`` (it was started before, and if none is installed:
        it still calls what was removed), ``other <hook>``
    :param process: which process of which boot the agent is
    :param last: the number of the last freeze
    :param freezes: those that were asked for
    """

    is_installed: bool = False
    is_closed: bool = False
    quiescers: tuple[Quiescer, ...] = ()
    cap: int = 0
    agent: str = 'absent'
    process: str = ''
    last: int = 0
    freezes: tuple[Freeze, ...] = ()

    @property
    def is_used(self) -> bool:
        return self.is_installed and self.agent == 'used'

    @property
    def is_still_called(self) -> bool:
        """Whether the agent that runs calls what was removed."""
        return not self.is_installed and self.agent == 'stale'


class HookState(enum.StrEnum):
    SUCCEEDED = 'succeeded'
    NOT_NOW = 'not now'
    FAILED = 'failed'
    TIMED_OUT = 'timed out'


@dataclasses.dataclass(frozen=True, slots=True)
class HookOutcome:
    """How a hook's call ended.

    :param reason: why it did not succeed, with the end of its output, escaped
    """

    state: HookState
    reason: str = ''
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Requested:
    """The cloud accepted the request.

    :param volume_snapshots: IDs of the Cinder snapshots that belong to it
    """

    image_id: str
    volume_snapshots: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class VolumeSnapshot:
    """A Cinder snapshot, as it is now.

    :param volume_id: of what it is one
    """

    status: str
    volume_id: str
