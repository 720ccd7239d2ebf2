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


"""What the guest saw of Nova's freeze and thaw.

Nova has the guest agent freeze the guest, fixes the point in time, and has
it thaw the guest again (``nova/virt/libvirt/driver.py``
``_live_snapshot()``: the freeze is around the end of the mirror). A freeze
hook in the guest is called on both, so what it recorded tells two things:

* with ``--quiesce agent``: whether what it holds was held at that moment;
* with other holders: that the moment has passed, and they may release.

A freeze that failed ends with a thaw, too, and so does one that somebody
else asked for. So it must be the only one since the request, with every file
system seen frozen in between. Where RBD captures the disk, Nova calls no
agent; but then no compute host uploads anything, and the image is never
``saving`` (``direct_snapshot()`` there; it goes from ``queued`` to
``importing`` or ``active``). So it must have been seen ``saving``. What can't
be told apart: a capture in which Nova has nothing frozen (a cold snapshot, an
image without ``hw_qemu_guest_agent``, an agent that did not answer), during
which somebody else has the agent freeze, once.
"""

import contextlib
import logging
from collections.abc import Callable

from xloudclient.consistency.answers import Freeze, FreezeHook
from xloudclient.consistency.errors import GuestLost, NotQuiesced
from xloudclient.consistency.freeze_hook import (
    OF_VOLUMES,
    not_released,
    refuse,
)
from xloudclient.consistency.hold import Hold
from xloudclient.consistency.outcome import Progress
from xloudclient.consistency.plan import Kind, Plan
from xloudclient.consistency.ports import World
from xloudclient.consistency.proof import Holder

LOG = logging.getLogger(__name__)

#: Seconds that one look at the hook's record may take.
LOOK_SECONDS = 5.0
#: Seconds between two looks while something is held.
PERIOD_SECONDS = 1.0
#: Seconds that the hook may take to release after the capture was seen.
THAW_SECONDS = 20.0

#: No freeze has a higher number.
NO_RECORDS = 999_999_999

NOT_CALLED = (
    'the freeze hook was not called: the agent did not answer Nova, or Nova '
    'did not call it, as it does only where the server was booted from an '
    'image with hw_qemu_guest_agent, and not for a cold snapshot or one that '
    'RBD makes'
)
NOT_UPLOADED = (
    'no compute host was seen to upload the disk, so the freeze that the '
    "guest saw may not have been Nova's"
)


class Witness:
    """Asks the guest's freeze hook what it saw of one capture.

    :param hold: is told what the hook held, and why that proves less
    :param remaining: seconds left; raises what is to be raised when there
        are none
    """

    def __init__(
        self,
        plan: Plan,
        world: World,
        progress: Progress,
        hold: Hold,
        remaining: Callable[[], float],
    ) -> None:
        self.plan = plan
        self.world = world
        self.progress = progress
        self.hold = hold
        self._remaining = remaining
        self._is_used = False
        self._since: int | None = None
        self._process = ''
        self._next_look = 0.0
        self._is_heard = False

    def look(self) -> FreezeHook:
        """See whether there is a hook that Nova's freeze would call.

        :raises NotQuiesced: there is none, and the plan needs one
        """
        if not self._concerns_us:
            return FreezeHook()
        try:
            hook = self._ask()
        except (NotQuiesced, GuestLost, TimeoutError) as error:
            self._remaining()
            LOG.debug('no freeze hook: %r', error)
            if self.plan.by_agent:
                raise NotQuiesced(
                    f"can't see whether there is a freeze hook: {error}"
                ) from error
            return FreezeHook()
        if self.plan.by_agent:
            refuse(self.plan, hook)
        self._is_used = hook.is_used
        return hook

    @property
    def _concerns_us(self) -> bool:
        plan = self.plan
        holds = plan.is_auto or plan.by_agent or bool(plan.quiescers)
        return holds and plan.target.state.is_writing

    def begin(self) -> None:
        """Note which freezes were before the request.

        :raises NotQuiesced: the hook does not answer, and is needed
        """
        target = self.plan.target
        # Where Nova calls no agent, a thaw is of somebody else's freeze.
        is_early = (
            target.kind is Kind.IMAGE
            and target.has_agent
            and not (self.plan.captured_volumes or self.plan.group_id)
        )
        if not self._is_used or not (self.plan.by_agent or is_early):
            return
        try:
            hook = self._ask(expect=self.plan.by_agent)
        except (NotQuiesced, GuestLost, TimeoutError) as error:
            self._remaining()
            if self.plan.by_agent:
                raise NotQuiesced(
                    f'the freeze hook does not answer: {error}'
                ) from error
            return
        self._since = hook.last
        self._process = hook.process

    def is_past(self) -> bool:
        """Whether Nova's thaw was seen; at most once a second."""
        now = self.world.clock.now()
        if self._since is None or now < self._next_look:
            return False
        self._next_look = now + PERIOD_SECONDS
        try:
            hook = self._ask(self._since)
        except (NotQuiesced, GuestLost, TimeoutError):
            self._remaining()
            return False
        return not self._miscount(hook) and _was_frozen(hook.freezes[0])

    @property
    def is_relied_on(self) -> bool:
        """Whether, until the capture, its record is what counts."""
        is_early = self._since is not None and self.hold.ended is not None
        return not self.progress.captured_at and (
            self.plan.by_agent or is_early
        )

    def testify(self) -> None:
        """Tell the hold what the hook saw of the capture, now that it is.

        Who was released early is shown to have held only if that freeze
        stayed the only one.
        """
        was_early = self.hold.ended is not None
        if not (self.plan.by_agent or was_early):
            return
        try:
            hook = self._await_thaw()
        except (NotQuiesced, GuestLost, TimeoutError) as error:
            self._remaining()
            self.hold.lapses.append(
                f'the record of the freeze hook could not be read: {error}'
            )
            return
        freezes = hook.freezes
        self._is_heard = True
        self.hold.problems += not_released(self.plan, freezes)
        is_called = bool(freezes) or hook.last != self._since
        is_needed = is_called or was_early
        if is_needed and (doubt := self._miscount(hook)):
            self.hold.lapses.append(doubt)
            return
        if self.plan.by_agent:
            self._take_over(freezes)
        is_image = self.plan.target.kind is Kind.IMAGE
        if freezes and is_image and not self.progress.was_saving:
            self.hold.lapses.append(NOT_UPLOADED)

    def look_back(self) -> None:
        """After a failure: whether the hook let go of what it held.

        A freeze that is still to come, or that does not end, ends by itself.
        """
        if self._since is None or not self.plan.by_agent or self._is_heard:
            return
        clock, since, guest = self.world.clock, self._since, self.world.guest
        end = clock.now() + THAW_SECONDS
        with contextlib.suppress(NotQuiesced, GuestLost, TimeoutError):
            while True:
                hook = clock.bounded(
                    lambda: guest.freeze_hook(LOOK_SECONDS, since),
                    LOOK_SECONDS + 1,
                    True,
                )
                is_over = all(one.is_over for one in hook.freezes)
                if is_over or clock.now() >= end:
                    break
                clock.wait(PERIOD_SECONDS, True)
            self.hold.problems += not_released(self.plan, hook.freezes)

    def _miscount(self, hook: FreezeHook) -> str:
        """Say why it is not one freeze of one agent, and whole; '' if it is.

        Their number counts, and not the records that can be read.
        """
        count = hook.last - (self._since or 0)
        if count < 0:
            return (
                'the freeze hook counts from the beginning again, as after a '
                'restart of the guest'
            )
        if hook.process != self._process:
            return 'the guest agent was started anew during the capture'
        if count != 1:
            return (
                f'the record has {count} freezes by the guest agent during '
                "the capture, and nobody can tell which was Nova's"
            )
        if len(hook.freezes) != 1:
            return 'the record of the freeze is missing, or it is not whole'
        return ''

    def _await_thaw(self) -> FreezeHook:
        """Look at the record until it is whole.

        A guest that has just been thawed may be busy, and answer late.
        """
        clock = self.world.clock
        end = clock.now() + THAW_SECONDS
        while True:
            is_last = clock.now() >= end
            try:
                hook = self._ask(self._since or 0)
                if is_last or all(one.is_over for one in hook.freezes):
                    return hook
            except TimeoutError:
                if is_last:
                    raise
            clock.wait(min(PERIOD_SECONDS, self._remaining()))

    def _take_over(self, freezes: tuple[Freeze, ...]) -> None:
        """What the hook held is what was held in this run."""
        if not freezes:
            self.hold.lapses.append(NOT_CALLED)
            return
        [freeze] = freezes
        self.hold.agent_seconds = freeze.seconds
        self.hold.holders = [
            Holder(one.quiescer, one.ready, one.held)
            for one in freeze.testimonies
            if one.ready is not None
        ]
        self.hold.lapses += [
            f'{one.quiescer.name}: {one.held}'
            for one in freeze.testimonies
            if one.ready is None
        ]
        self.world.reporter.step(
            'verified',
            proven=self.hold.proven_names,
            lost=[
                one.quiescer.name
                for one in self.hold.holders
                if not one.is_proven
            ],
        )
        if self.plan.target.kind is Kind.VOLUME:
            self.hold.lapses.append(OF_VOLUMES)
        if not freeze.is_over:
            self.hold.lapses.append('the guest agent has not thawed yet')
        elif freeze.is_watched or not freeze.is_held:
            self.hold.lapses.append('the freeze hook did not hold')

    def _ask(
        self, since: int = NO_RECORDS, expect: bool = False
    ) -> FreezeHook:
        limit = min(LOOK_SECONDS, self._remaining())
        return self.world.clock.bounded(
            lambda: self.world.guest.freeze_hook(limit, since, expect),
            limit + 1,
        )


def _was_frozen(freeze: Freeze) -> bool:
    """Whether the agent was seen to freeze all, and then to thaw."""
    [watch, *_] = freeze.testimonies or [None]
    return bool(
        watch
        and freeze.is_over
        and watch.ready
        and Holder(watch.quiescer, watch.ready, watch.held).is_proven
    )
