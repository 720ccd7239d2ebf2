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


"""The quiesced state: what was started, and its way back.

Pre hooks (:mod:`.hooks`), then the holders in order; back again in reverse.
"""

import functools
from collections.abc import Callable

from xloudclient.consistency.errors import (
    Failure,
    GuestLost,
    NotQuiesced,
    ReleaseFailed,
)
from xloudclient.consistency.hooks import Hooks, environment
from xloudclient.consistency.plan import Plan, Quiescer
from xloudclient.consistency.ports import World
from xloudclient.consistency.proof import Holder

#: Seconds after which a guest that is not heard releases on its own.
LEASE_SECONDS = 15.0
#: Seconds that the release may take: it gets longer than the lease, so that
#: a lost guest can be seen to have released itself.
RELEASE_SECONDS = LEASE_SECONDS + 10.0
VERIFY_SECONDS = 10.0


class Hold:
    """Quiesces one guest and brings it back.

    :param remaining: seconds left before ``--max-freeze`` or ``--timeout``
        runs out; raises what is to be raised when they have
    :ivar agent_seconds: how long the freeze hook held in our place
    :ivar was_early: it was released when the guest saw Nova's thaw
    :ivar strains: the holders that did not release when they were asked
    """

    def __init__(
        self, plan: Plan, world: World, remaining: Callable[[], float]
    ) -> None:
        self.plan = plan
        self.world = world
        self.holders: list[Holder] = []
        self.lapses: list[str] = []
        self.problems: list[Failure] = []
        self.strains: tuple[str, ...] = ()
        self.agent_seconds: float | None = None
        self.hooks = Hooks(plan, world, remaining)
        self.began: float | None = None
        self.ended: float | None = None
        self.was_early = False
        self._limit = 0.0
        self._remaining = remaining

    @property
    def is_holding(self) -> bool:
        return self.began is not None and self.ended is None

    @property
    def deadline(self) -> float | None:
        """When ``--max-freeze`` runs out; None if nothing is held.

        In a group it began with the first lock of any member.
        """
        return self._limit if self.is_holding else None

    @property
    def frozen_seconds(self) -> float | None:
        """From the first lock requested to the last one released."""
        if self.began is None or self.ended is None:
            return self.agent_seconds
        return self.ended - self.began

    @property
    def proven_names(self) -> tuple[str, ...]:
        """The holders that held until they were released."""
        names = tuple(h.quiescer.name for h in self.holders if h.is_proven)
        return ('agent', *names) if self.plan.by_agent and names else names

    def run_pres(self) -> None:
        """Run the pre hooks; raises Failure if one failed."""
        self.hooks.owe_posts()
        for hook in self.hooks.pres:
            self._attempt(functools.partial(self.hooks.run_pre, hook))

    def quiesce(self) -> None:
        """Start every holder, in order.

        :raises Failure: one failed; what had started is still held
        """
        if self.plan.quiescers:
            self._start_lease()
        for quiescer in self.plan.quiescers:
            self._attempt(functools.partial(self._hold, quiescer))

    def _attempt(self, step: Callable[[], None]) -> None:
        """Take a step that ``--on-error continue`` may drop."""
        self._remaining()
        try:
            step()
        except NotQuiesced as failure:
            if not self.plan.continue_on_error:
                raise
            self.lapses.append(f'dropped: {failure}')
            self.world.reporter.step('dropped', reason=str(failure))

    def _start_lease(self) -> None:
        """From here on the guest counts: max-freeze is its clock, too."""
        now = self.began = self.world.clock.now()
        elapsed = now - self.world.group.begin_hold(now)
        left = self.plan.budget.max_freeze - elapsed
        self._limit = now + left
        self.world.journal.write('hold')
        try:
            self.world.guest.start_lease(left)
        except (GuestLost, TimeoutError) as error:
            raise NotQuiesced(f'the connection was lost: {error}') from error

    def _hold(self, quiescer: Quiescer) -> None:
        self.world.reporter.step('quiescing', name=quiescer.name)
        limit = min(self.plan.budget.hook, self._remaining())
        try:
            ready = self.world.clock.bounded(
                lambda: self.world.guest.hold(
                    quiescer, environment(self.plan), limit
                ),
                limit + 1,
            )
        except TimeoutError as error:
            self._remaining()
            raise NotQuiesced(
                f'{quiescer.name} was not ready after {limit:g} s'
            ) from error
        except GuestLost as error:
            raise NotQuiesced(f'the connection was lost: {error}') from error
        self.holders.append(Holder(quiescer, ready))
        self.world.reporter.step('held', name=quiescer.name)

    def verify(self) -> None:
        """Ask each holder whether it held until now, unless it was asked.

        :raises Failure: there is no time left to ask
        """
        if not self.holders or not self.is_holding:
            return
        limit = min(VERIFY_SECONDS, self.plan.budget.hook, self._remaining())
        try:
            answers = self.world.guest.verify(limit)
        except (GuestLost, TimeoutError) as error:
            lost = f'the connection to the guest was lost: {error}'
            answers = (lost,) * len(self.holders)
        self.holders = [
            Holder(one.quiescer, one.ready, answer)
            for one, answer in zip(self.holders, answers, strict=True)
        ]
        self.world.reporter.step(
            'verified',
            proven=self.proven_names,
            lost=[h.quiescer.name for h in self.holders if not h.is_proven],
        )

    def release(self) -> None:
        """Release every holder, in reverse. Never raises; idempotent."""
        if not self.is_holding:
            return
        try:
            released = self.world.guest.release(RELEASE_SECONDS)
        except BaseException as error:
            self.problems.append(self._not_released(f'{error!r}'))
            self.strains = (f'{error!r}',)
            released = ()
        self.ended = self.world.clock.now()
        self.strains += tuple(
            f'{r.name} ({r.reason})' for r in released if r.reason
        )
        stuck = [f'{r.name} ({r.reason})' for r in released if not r.is_free]
        if stuck:
            self.problems.append(self._not_released(', '.join(stuck)))
        self.world.journal.write('released', stuck=stuck)
        self.world.reporter.step('released', stuck=stuck)

    def _not_released(self, what: str) -> ReleaseFailed:
        return ReleaseFailed(
            'AN APPLICATION MAY STILL BE BLOCKED: could not see that it was '
            f'released: {what}',
            f'The guest releases on its own {LEASE_SECONDS:g} s after it lost '
            'us; log in and check, or run: openstack server reboot --hard '
            f'{self.plan.target.id}',
        )
