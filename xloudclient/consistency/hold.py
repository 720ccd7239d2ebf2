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

Pre hooks here, pre hooks in the guest, quiescers in order; back again in
reverse. Once anything has started, every post runs and every holder is
released, each on its own: one failure never stops the next.
"""

import functools
import shlex
from collections.abc import Callable, Mapping

from xloudclient.consistency.errors import (
    Busy,
    Failure,
    GuestLost,
    NotQuiesced,
    ReleaseFailed,
)
from xloudclient.consistency.plan import Hook, Place, Plan, Quiescer
from xloudclient.consistency.ports import (
    HookOutcome,
    HookRunner,
    HookState,
    World,
)
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
    """

    def __init__(
        self, plan: Plan, world: World, remaining: Callable[[], float]
    ) -> None:
        self.plan = plan
        self.world = world
        self.holders: list[Holder] = []
        self.lapses: list[str] = []
        self.problems: list[Failure] = []
        self.hook_log: list[str] = []
        self.began: float | None = None
        self.ended: float | None = None
        self._remaining = remaining
        self._is_started = False
        self._has_pre_run = False

    @property
    def is_holding(self) -> bool:
        return self.began is not None and self.ended is None

    @property
    def deadline(self) -> float | None:
        """When ``--max-freeze`` runs out; None if nothing is held."""
        if self.began is None or self.ended is not None:
            return None
        return self.began + self.plan.budget.max_freeze

    @property
    def frozen_seconds(self) -> float | None:
        """From the first lock requested to the last one released."""
        if self.began is None or self.ended is None:
            return None
        return self.ended - self.began

    @property
    def proven_names(self) -> tuple[str, ...]:
        """The holders that held until they were released."""
        return tuple(h.quiescer.name for h in self.holders if h.is_proven)

    def quiesce(self) -> None:
        """Run the pre hooks and start every holder, in order.

        :raises Failure: one failed; what had started is still held
        """
        self._owe_posts()
        for place in (Place.HERE, Place.GUEST):
            for hook in self._hooks(place):
                if hook.pre is not None:
                    self._attempt(functools.partial(self._pre, hook))
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

    def _owe_posts(self) -> None:
        """Write down every post before the first pre: whatever ends this
        process, somebody can run them."""
        owed = [
            {
                'number': number,
                'path': hook.path,
                'at': hook.place,
                'post': hook.post,
            }
            for number, hook in enumerate(self.plan.hooks)
            if hook.post is not None
        ]
        if owed and not self.world.journal.write(
            'owed',
            posts=owed,
            environment=self.environment(),
            login=self.plan.login_command,
        ):
            raise Failure(
                "the journal can't be written",
                'Make room or set XDG_STATE_HOME.',
            )
        self._is_started = True

    def _number(self, hook: Hook) -> int:
        """The same file may be given twice, so identity counts."""
        [number] = [n for n, one in enumerate(self.plan.hooks) if one is hook]
        return number

    def _hooks(self, place: Place) -> list[Hook]:
        return [hook for hook in self.plan.hooks if hook.place is place]

    def _pre(self, hook: Hook) -> None:
        self._has_pre_run = True
        outcome = self._call(hook, 'pre', {})
        self._remaining()
        if outcome.state is HookState.NOT_NOW:
            raise Busy(
                f'the pre hook {hook.path} says not now', 'Try again later.'
            )
        if outcome.state is not HookState.SUCCEEDED:
            raise NotQuiesced(
                f'the pre hook {hook.path} {outcome.state}: {outcome.reason}'
            )

    def _call(
        self, hook: Hook, phase: str, more: dict[str, str]
    ) -> HookOutcome:
        runner: HookRunner = self.world.hooks
        if hook.place is Place.GUEST:
            runner = GuestHooks(self.world)
        self.world.reporter.step(f'{phase}-hook', path=hook.path)
        outcome = runner.run(
            hook,
            phase,
            {**self.environment(), **more, 'XLOUD_PHASE': phase},
            self.plan.budget.hook,
        )
        self.hook_log.append(f'{hook.path} {phase} {outcome.state}')
        if outcome.state is not HookState.SUCCEEDED:
            self.world.reporter.step(
                'hook-failed',
                path=hook.path,
                phase=phase,
                reason=f'{outcome.state}: {outcome.reason}',
            )
        return outcome

    def environment(self) -> dict[str, str]:
        """What hooks and holders are told."""
        target = self.plan.target
        return {
            'XLOUD_RUN_ID': self.plan.run_id,
            'XLOUD_GROUP': self.plan.group_id,
            'XLOUD_SERVER_ID': target.id,
            'XLOUD_SERVER_NAME': target.name,
            'XLOUD_PROJECT_ID': target.project_id,
            'XLOUD_SERVER_ADDRESS': self.plan.address,
            'XLOUD_SNAPSHOT_NAME': self.plan.snapshot_name,
        }

    def _start_lease(self) -> None:
        """From here on the guest counts: max-freeze is its clock, too."""
        self.began = self.world.clock.now()
        self.world.journal.write('hold')
        try:
            self.world.guest.start_lease(self.plan.budget.max_freeze)
        except (GuestLost, TimeoutError) as error:
            raise NotQuiesced(f'the connection was lost: {error}') from error

    def _hold(self, quiescer: Quiescer) -> None:
        self.world.reporter.step('quiescing', name=quiescer.name)
        limit = min(self.plan.budget.hook, self._remaining())
        try:
            ready = self.world.clock.bounded(
                lambda: self.world.guest.hold(
                    quiescer, self.environment(), limit
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
        """Ask each holder whether it held until now.

        :raises Failure: there is no time left to ask
        """
        if not self.holders:
            return
        limit = min(VERIFY_SECONDS, self._remaining())
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
        except Exception as error:
            self.problems.append(self._not_released(f'{error!r}'))
            released = ()
        self.ended = self.world.clock.now()
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

    def run_posts(self, more: dict[str, str]) -> None:
        """Run every post hook, guest's first, in reverse. Never raises.

        :param more: ``XLOUD_RESULT`` and ``XLOUD_SNAPSHOT_ID``
        """
        if not self._is_started:
            return
        for place in (Place.GUEST, Place.HERE):
            for hook in reversed(self._hooks(place)):
                if hook.post is not None:
                    self._post(hook, more)

    def _post(self, hook: Hook, more: dict[str, str]) -> None:
        outcome = self._call(hook, 'post', more)
        self.world.journal.write(
            'post-hook',
            number=self._number(hook),
            state=outcome.state,
        )
        if outcome.state is HookState.SUCCEEDED:
            return
        text = f'the post hook {hook.path} {outcome.state}: {outcome.reason}'
        if not self._has_pre_run:
            self.problems.append(Failure(text))
            return
        self.problems.append(
            ReleaseFailed(
                f'AN APPLICATION MAY STILL BE BLOCKED: {text}',
                'What a pre hook did may still be in force; run by hand: '
                + by_hand(hook, self.plan.login_command),
            )
        )


def by_hand(hook: Hook, login: str) -> str:
    """The command that runs a post hook.

    :param login: the command that logs in to the guest
    """
    path, argument = shlex.quote(hook.path), shlex.quote(hook.post or '')
    if hook.place is Place.HERE:
        return f'{path} {argument}'
    return f'{login} sh -s {argument} < {path}'


class GuestHooks:
    """Runs hooks in the guest; a lost guest is a failed hook."""

    def __init__(self, world: World) -> None:
        self.world = world

    def run(
        self,
        hook: Hook,
        phase: str,
        environment: Mapping[str, str],
        timeout: float,
    ) -> HookOutcome:
        try:
            return self.world.guest.run_hook(hook, phase, environment, timeout)
        except TimeoutError:
            return HookOutcome(HookState.TIMED_OUT, f'after {timeout:g} s')
        except GuestLost as error:
            return HookOutcome(
                HookState.FAILED, f'the connection was lost: {error}'
            )
