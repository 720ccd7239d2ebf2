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

"""What a run needs of the world.

Each port has one adapter that talks to the real thing (``cloud/``, ``guest/``,
``local/``) and one fake (``tests/fakes/``). What they answer is in
:mod:`.answers`. Times are seconds.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from xloudclient.consistency.answers import (
    Evidence,
    FreezeHook,
    GuestFacts,
    HookOutcome,
    Released,
    Requested,
    VolumeSnapshot,
)
from xloudclient.consistency.errors import Failure
from xloudclient.consistency.group import Alone, Stage
from xloudclient.consistency.plan import (
    Hook,
    Plan,
    Quiescer,
    Target,
    Volume,
)

T = TypeVar('T')


class Guest(Protocol):
    """One guest, through its supervisor.

    Every method may raise :class:`~.errors.GuestLost`. No method waits longer
    than it is told to: a call that was given ``timeout`` raises
    :class:`TimeoutError` after it.
    """

    def open(self, timeout: float) -> GuestFacts:
        """Connect and start the supervisor.

        :raises GuestUnreachable: ssh failed; HostKeyUnknown: its host key
        :raises Busy: another supervisor is at work in this guest
        """

    def probe(self, timeout: float) -> Mapping[str, Any]:
        """Tell what runs in the guest (the ``probe`` script's JSON)."""

    def freeze_hook(
        self, timeout: float, since: int = 0, expect: bool = False
    ) -> FreezeHook:
        """Tell of the guest agent's freeze hook.

        :param since: tell of the freezes after that number
        :param expect: this run leaves the holding to the hook
        """

    def run_hook(
        self,
        hook: Hook,
        phase: str,
        environment: Mapping[str, str],
        timeout: float,
    ) -> HookOutcome:
        """Run a pre or post hook in the guest and wait for its end."""

    def start_lease(self, cap: float) -> None:
        """Start the clock of the hold: all is released ``cap`` from now,
        or when the client's beats stop."""

    def hold(
        self,
        quiescer: Quiescer,
        environment: Mapping[str, str],
        timeout: float,
    ) -> Evidence:
        """Start a holder; return once it is ``ready``.

        A holder that failed or was late has been released.

        :raises NotQuiesced: it could not quiesce; Busy: it said 75
        """

    def verify(self, timeout: float) -> tuple[Evidence | str, ...]:
        """Ask each holder, in order, whether it still holds.

        :returns: for each holder its evidence, or why it doesn't hold
        """

    def release(self, timeout: float) -> tuple[Released, ...]:
        """Release every holder in reverse order. Never raises."""

    def close(self) -> None:
        """End the connection. Idempotent, never raises."""


class Cloud(Protocol):
    """The OpenStack project that the server is in.

    Every method may raise :class:`~.errors.CloudError`.
    """

    def request(self, plan: Plan, properties: Mapping[str, str]) -> Requested:
        """Ask for the snapshot.

        :raises Refused: it was not accepted; ReplyLost: perhaps it was
        """

    def find_requested(self, plan: Plan) -> Requested | None:
        """Look for a snapshot that a lost request may have made.

        :raises CaptureFailed: there are several; which one, nobody knows
        """

    def snapshot_volume(
        self, plan: Plan, volume_id: str, image_id: str
    ) -> str:
        """Ask for a snapshot of an attached volume; return its ID."""

    def own_volume_snapshots(self, plan: Plan, requested: Requested) -> None:
        """Mark the volume snapshots as belonging to the image, and have it
        ask for no larger root disk than its own."""

    def image_status(self, image_id: str) -> str | None:
        """The image's status; None if it is gone."""

    def is_task_over(self, server_id: str) -> bool:
        """Whether the server is gone or has no task any more."""

    def volume_snapshot(self, snapshot_id: str) -> VolumeSnapshot | None:
        """The Cinder snapshot as it is now; None if it is gone."""

    def volumes_now(self, server_id: str) -> tuple[Volume, ...]:
        """The server's volumes, with their attachments, as they are now."""

    def was_started(self, target: Target) -> bool:
        """Whether the guest was made to run since it was looked at."""

    def record(
        self,
        image_id: str,
        properties: Mapping[str, str],
        tags: Sequence[str],
    ) -> None:
        """Set properties and tags of an active image, in one update."""

    def protect(self, image_id: str) -> None:
        """Protect the image from deletion."""

    def discard(self, plan: Plan, requested: Requested) -> tuple[str, ...]:
        """Delete the image and its volume snapshots.

        :returns: the commands that would remove what could not be deleted
        """


class HookRunner(Protocol):
    """Runs hooks on this machine."""

    def run(
        self,
        hook: Hook,
        phase: str,
        environment: Mapping[str, str],
        timeout: float,
    ) -> HookOutcome:
        """Run the hook and wait for its end; never raises."""


class Journal(Protocol):
    """What outlives this process: written and synced before each act."""

    def write(self, event: str, **fields: Any) -> bool:
        """Append one line; never raises.

        :returns: whether it is on the disk
        """

    def is_written(self, seconds: float) -> bool:
        """Wait so long for the last line; whether it is on the disk."""

    def agree(self, group_id: str, seconds: float) -> bool:
        """Write down, once for all its members, that a group is whole.

        What members have written down as proven counts from then on, and
        not before. Never raises.

        :returns: whether it is on the disk; after so many seconds it does
            not come there any more
        """


class Recorder(Protocol):
    """Writes the evidence after this process has ended."""

    def defer(
        self,
        image_id: str,
        properties: Mapping[str, str],
        tags: Sequence[str],
    ) -> None:
        """Have it written once the image is active. Never raises."""


class Clock(Protocol):
    """Time, and waiting that a signal can end."""

    def now(self) -> float:
        """Monotonic seconds."""

    def utc(self) -> str:
        """The time of day, ISO 8601 in UTC with milliseconds."""

    @property
    def interrupted(self) -> int:
        """The number of the signal that asked us to stop; 0 if none."""

    def wait(self, seconds: float, ignore_signals: bool = False) -> None:
        """Return after so many seconds, or at once when interrupted."""

    def bounded(
        self,
        call: Callable[[], T],
        seconds: float,
        ignore_signals: bool = False,
    ) -> T:
        """Make a call that may hang, and wait only so long for it.

        :raises TimeoutError: it did not end in time, or a signal came
            (then :attr:`interrupted` is set); it may still be under way
        """


class Reporter(Protocol):
    """Where a run says what it is doing (progress, timeline, events)."""

    def step(self, event: str, **fields: Any) -> None:
        """Something happened just now."""


class Group(Protocol):
    """The servers that are captured at one point in time, all or nothing.

    Each member has a run of its own, which knows the others only by this.
    """

    def meet(
        self,
        server: str,
        stage: Stage,
        remaining: Callable[[], float],
        word: Any = None,
        seal: Callable[[], None] = lambda: None,
    ) -> tuple[Any, ...]:
        """Return once every member has come to this stage.

        It is so for all of them or for none: whoever stops waiting gives the
        group up.

        :param server: name of the one that waits
        :param remaining: seconds that may be waited; what it raises when
            there are none left ends the waiting
        :param word: something that the others are to know
        :param seal: what the last one to come does for all of them; nobody
            goes on before it has been done, or if it raises
        :returns: the words of all members
        :raises GroupBroken: a member gave up
        """

    def check(self) -> None:
        """Raise GroupBroken if a member gave up."""

    def give_up(self, server: str, failure: Failure) -> None:
        """Tell the others that it can't be; the first one counts."""

    def begin_hold(self, now: float) -> float:
        """A member requests its first lock.

        :returns: when the first of all members did
        """


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """Everything outside that a run can touch."""

    cloud: Cloud
    guest: Guest
    hooks: HookRunner
    journal: Journal
    recorder: Recorder
    clock: Clock
    reporter: Reporter
    group: Group = Alone()  # noqa: RUF009 - it has no state
