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


"""The only loop: quiesce in order, capture, prove, release in reverse.

Every way out of :meth:`Run.execute` goes through the release.
"""

import logging
from collections.abc import Callable

from xloudclient.consistency import auto, fitness, forecast
from xloudclient.consistency.answers import FreezeHook, GuestFacts
from xloudclient.consistency.conclusion import conclude
from xloudclient.consistency.errors import (
    CaptureFailed,
    Failure,
    GroupBroken,
    GuestLost,
    Interrupted,
    NotQuiesced,
    OutOfTime,
)
from xloudclient.consistency.group import Stage
from xloudclient.consistency.hold import Hold
from xloudclient.consistency.judging import Judging
from xloudclient.consistency.membership import Membership
from xloudclient.consistency.outcome import Outcome, Progress
from xloudclient.consistency.plan import Plan
from xloudclient.consistency.ports import World
from xloudclient.consistency.settling import Settling
from xloudclient.consistency.taking import Taking
from xloudclient.consistency.witness import Witness

LOG = logging.getLogger(__name__)

#: Seconds between two looks at the cloud while something is held, and after.
POLL_HELD_SECONDS = 0.25
POLL_SECONDS = 2.0
CONNECT_SECONDS = 30.0
PROBE_SECONDS = 10.0
REHEARSAL_SECONDS = 5.0


class Run:
    """One consistent snapshot of one server.

    :param measured_ms: the hold of this server's last snapshot, if known
    :param joint_ms: the same of its last one in a group
    """

    def __init__(
        self,
        plan: Plan,
        world: World,
        measured_ms: int | None = None,
        joint_ms: int | None = None,
    ) -> None:
        self.plan = plan
        self.world = world
        self.facts = GuestFacts()
        self.progress = Progress()
        self.hold = Hold(plan, world, self._remaining)
        self.membership = Membership(plan, world, self._remaining)
        self.taking = Taking(plan, world, self.progress, self._remaining)
        self.settling = Settling(plan, world, self.progress, self.taking)
        self.witness = Witness(
            plan, world, self.progress, self.hold, self._remaining
        )
        self.judging = Judging(
            plan, self.progress, self.hold, self.taking, self.settling
        )
        self._measured_ms = measured_ms
        self._joint_ms = joint_ms
        self._predicted = forecast.Forecast()
        self._deadline = world.clock.now() + plan.budget.total

    def execute(self) -> Outcome:
        """Take the snapshot; the outcome tells how it ended. Never raises."""
        self._jointly(self._capture_held)
        self.hold.release()
        if self.progress.failure:
            self._guarded(self.witness.look_back)
        self._jointly(self._agree)
        outlives = self._outlives
        if self._is_given_up:
            self._guarded(self.settling.forsake)
        elif not (self.progress.captured_at or outlives):
            self._guarded(self.settling.discard_unproven)
        self._guarded(self._posts)
        if outlives:
            self._guarded(self._outlive)
        self._guarded(self._conclude_snapshot)
        self.world.guest.close()
        return conclude(self.plan, self.hold, self.progress)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Take a step; the first failure, or a signal, is what is reported."""
        try:
            step()
        except Interrupted as failure:
            self.progress.failure = failure
        except Failure as failure:
            self.progress.failure = self.progress.failure or failure
        except BaseException as error:
            # also SystemExit, which libraries raise: we have to release
            LOG.debug('unexpected', exc_info=True)
            self.progress.failure = self.progress.failure or Failure(
                f'unexpected {type(error).__name__}: {error}'
            )

    def _jointly(self, step: Callable[[], None]) -> None:
        """Take a step without which the group is not whole."""
        self._guarded(step)
        if self.progress.failure and not self.progress.proof:
            self.membership.give_up(self.progress.failure)

    # The way there

    def _capture_held(self) -> None:
        self._prepare()
        self.hold.run_pres()
        self.membership.meet(Stage.READY)
        self.hold.quiesce()
        self.membership.meet_held(self.facts, self.hold.holders)
        if self.plan.rehearse:
            self._rehearse()
        else:
            self.witness.begin()
            self.taking.request()
            self.taking.await_capture(self._poll, self._let_go_early)
        self.membership.meet(Stage.CAPTURED)
        self.hold.verify()
        self.witness.testify()

    def _let_go_early(self) -> None:
        """Release when the guest saw Nova's thaw: the capture is over then.

        Glance tells of it only once the disk is copied and converted.
        """
        if self.hold.is_holding and self.witness.is_past():
            self.hold.verify()
            self.hold.release()
            self.hold.was_early = True

    def _prepare(self) -> None:
        self._remaining()
        if self.plan.needs_guest:
            self.world.reporter.step('connecting', address=self.plan.address)
            self.facts = self.judging.facts = self._open_guest()
            if self.facts.earlier:
                self.world.reporter.step('lapsed', reason=self.facts.earlier)
            fitness.check_identity(self.plan, self.facts)
        hook = self.witness.look()
        if self.plan.is_auto:
            self._resolve_auto(hook)
        elif self.plan.by_agent:
            self._complete(auto.by_agent(self.plan, hook))
        self.membership.refuse()
        if self.plan.quiescers:
            fitness.check_freeze(self.plan, self.facts)
        self._predict(hook)

    def _open_guest(self) -> GuestFacts:
        try:
            return self.world.clock.bounded(
                lambda: self.world.guest.open(CONNECT_SECONDS),
                CONNECT_SECONDS + 1,
            )
        except (GuestLost, TimeoutError) as error:
            self._remaining()
            raise NotQuiesced(f"can't reach the guest: {error}") from error

    def _resolve_auto(self, hook: FreezeHook) -> None:
        try:
            found = self.world.guest.probe(PROBE_SECONDS)
        except (GuestLost, TimeoutError) as error:
            raise NotQuiesced(f"can't look into the guest: {error}") from error
        self._complete(auto.resolve(self.plan, found, self.facts, hook))
        names = [one.name for one in self.plan.quiescers]
        self.world.reporter.step(
            'found', quiescers=['agent'] if self.plan.by_agent else names
        )

    def _complete(self, plan: Plan) -> None:
        """Go on with a plan that says what was not known before."""
        self.plan = plan
        for part in (
            self.hold,
            self.hold.hooks,
            self.witness,
            self.judging,
            self.membership,
            self.taking,
            self.settling,
        ):
            part.plan = self.plan

    def _predict(self, hook: FreezeHook) -> None:
        own = forecast.predict(
            self.plan,
            self._measured_ms,
            self.facts.used_bytes,
            self._joint_ms,
        )
        all_of_them = self.membership.meet(Stage.PREPARED, own)
        self._predicted = forecast.join(all_of_them)
        if not (self.plan.quiescers or self.plan.by_agent):
            return
        warning = forecast.refuse(self.plan, self._predicted, hook)
        self.world.reporter.step(
            'predicted', hold=str(self._predicted), warning=warning
        )

    def _rehearse(self) -> None:
        """Hold as long as a capture would take."""
        if not self.hold.is_holding:
            return
        seconds = self._predicted.seconds or REHEARSAL_SECONDS
        self.world.clock.wait(min(seconds, self._remaining()))
        self._remaining()

    # The way back

    def _agree(self) -> None:
        """In a group, claim nothing before every member could."""
        if not self.membership or self.progress.failure:
            return
        if not self.progress.captured_at:
            return
        proof = self.judging.prove()
        self.membership.check_proof(self.facts, self.hold.holders, proof)
        self.settling.prove_as_member(self.judging.claims(proof))
        self.membership.meet(Stage.PROVEN, seal=self.settling.agree)
        self.progress.proof = proof

    @property
    def _is_given_up(self) -> bool:
        """Whether nothing may be kept, as the group is not whole."""
        is_proven = self.progress.proof is not None
        return bool(self.membership) and not (is_proven or self.plan.rehearse)

    @property
    def _outlives(self) -> bool:
        """Whether a snapshot goes on although ``--max-freeze`` ran out."""
        return (
            isinstance(self.progress.failure, OutOfTime)
            and not self.progress.captured_at
            and not self.plan.discard_lower
            and not self.membership
            and not self.progress.pending_volume
            and (self.progress.is_unsure or bool(self.progress.requested))
            and self.world.clock.now() < self._deadline
        )

    def _outlive(self) -> None:
        try:
            if self.progress.is_unsure:
                self.taking.find('the request got no reply')
            self.taking.await_capture(self._poll)
        except BaseException:
            # whatever it was, nothing half-made stays
            self.settling.discard_unproven()
            raise

    def _posts(self) -> None:
        requested = self.progress.requested
        self.hold.hooks.run_posts(
            {
                'XLOUD_RESULT': self.progress.result,
                'XLOUD_SNAPSHOT_ID': requested.image_id if requested else '',
            }
        )

    def _conclude_snapshot(self) -> None:
        """Claim the snapshot, or discard one of too low a class."""
        if self.plan.rehearse and not self.progress.failure:
            # of a signal that came late, a snapshot's wait would hear
            self._remaining()
            self.progress.proof = self.judging.prove()
        if not self.progress.captured_at or self.progress.is_forsaken:
            return
        proof = self.progress.proof or self.judging.prove()
        self.progress.proof = proof
        if self.plan.discard_lower and proof.consistency < self.plan.required:
            self.settling.discard()
            return
        claims = self.judging.claims(proof)
        # what is not on the disk can't be left to another process
        is_safe = bool(self.membership) or self.settling.prove(claims)
        try:
            self._await_active(self.plan.wait or not is_safe)
        except (Interrupted, OutOfTime):
            self.settling.defer(claims)
            raise
        except Failure as failure:
            if isinstance(failure, GroupBroken) and isinstance(
                failure.cause, Interrupted | OutOfTime
            ):
                # all are proven, and no upload failed: none is given up
                self.settling.defer(claims)
            elif self.membership:
                self.membership.give_up(failure)
                self.settling.forsake()
            elif isinstance(failure, CaptureFailed):
                # snapshots of volumes without their image
                self.settling.discard()
            raise
        if not self.progress.is_active:
            self.settling.defer(claims)
            return
        self.settling.claim(claims)
        if self.plan.is_protected:
            self.settling.protect()

    def _await_active(self, is_wanted: bool) -> None:
        """Wait until the snapshot can be launched, if that is wanted."""
        while True:
            self.progress.is_active = self.taking.is_active()
            if self.progress.is_active or not is_wanted:
                break
            self.world.clock.wait(min(self._poll(), self._remaining()))
        if self.progress.is_active:
            self.world.reporter.step('active')
        if self.plan.wait:
            self.membership.meet(Stage.ACTIVE)

    # Time

    def _poll(self) -> float:
        is_close = self.hold.is_holding or self.witness.is_relied_on
        return POLL_HELD_SECONDS if is_close else POLL_SECONDS

    def _remaining(self) -> float:
        """Seconds left.

        :raises Interrupted: a signal came; OutOfTime: none are left
        :raises GroupBroken: another server of the group gave up
        """
        if signal_number := self.world.clock.interrupted:
            raise Interrupted('interrupted', signal_number)
        self.world.group.check()
        now = self.world.clock.now()
        if now >= self._deadline:
            raise OutOfTime('--timeout ran out')
        freeze_end = self.hold.deadline
        if freeze_end is None:
            return self._deadline - now
        if now >= freeze_end:
            raise OutOfTime('--max-freeze ran out')
        return min(self._deadline, freeze_end) - now
