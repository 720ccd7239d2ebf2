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

import dataclasses
import logging
from collections.abc import Callable

from xloudclient.consistency import auto, evidence, fitness, forecast
from xloudclient.consistency.conclusion import conclude
from xloudclient.consistency.errors import (
    CaptureFailed,
    Failure,
    GuestLost,
    Interrupted,
    NotQuiesced,
    OutOfTime,
)
from xloudclient.consistency.hold import Hold
from xloudclient.consistency.outcome import Outcome, Progress, Result
from xloudclient.consistency.plan import Consistency, Kind, Plan
from xloudclient.consistency.ports import GuestFacts, World
from xloudclient.consistency.proof import Proof, prove, prove_idle
from xloudclient.consistency.settling import Settling
from xloudclient.consistency.taking import Taking

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
    """

    def __init__(
        self, plan: Plan, world: World, measured_ms: int | None = None
    ) -> None:
        self.plan = plan
        self.world = world
        self.facts = GuestFacts()
        self.progress = Progress()
        self.hold = Hold(plan, world, self._remaining)
        self.taking = Taking(plan, world, self.progress, self._remaining)
        self.settling = Settling(plan, world, self.progress, self.taking)
        self._measured_ms = measured_ms
        self._predicted = forecast.Forecast()
        self._deadline = world.clock.now() + plan.budget.total

    def execute(self) -> Outcome:
        """Take the snapshot; the outcome tells how it ended. Never raises."""
        self._guarded(self._capture_held)
        self.hold.release()
        outlives = self._outlives
        if not (self.progress.captured_at or outlives):
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

    # The way there

    def _capture_held(self) -> None:
        self._prepare()
        self.hold.quiesce()
        if self.plan.rehearse:
            self._rehearse()
        else:
            self.taking.request()
            self.taking.await_capture(self._poll)
        self.hold.verify()

    def _prepare(self) -> None:
        self._remaining()
        if self.plan.needs_guest:
            self.world.reporter.step('connecting', address=self.plan.address)
            self.facts = self._open_guest()
        fitness.check_identity(self.plan, self.facts)
        if self.plan.is_auto:
            self._resolve_auto()
        if self.plan.quiescers:
            fitness.check_freeze(self.plan, self.facts)
            self._predict()

    def _open_guest(self) -> GuestFacts:
        try:
            return self.world.clock.bounded(
                lambda: self.world.guest.open(CONNECT_SECONDS),
                CONNECT_SECONDS + 1,
            )
        except (GuestLost, TimeoutError) as error:
            self._remaining()
            raise NotQuiesced(f"can't reach the guest: {error}") from error

    def _resolve_auto(self) -> None:
        try:
            found = self.world.guest.probe(PROBE_SECONDS)
        except (GuestLost, TimeoutError) as error:
            raise NotQuiesced(f"can't look into the guest: {error}") from error
        self.plan = auto.resolve(self.plan, found, self.facts)
        for part in (
            self.hold,
            self.hold.hooks,
            self.taking,
            self.settling,
        ):
            part.plan = self.plan
        names = [one.name for one in self.plan.quiescers]
        self.world.reporter.step('found', quiescers=names)

    def _predict(self) -> None:
        self._predicted = forecast.predict(
            self.plan, self._measured_ms, self.facts.used_bytes
        )
        warning = forecast.refuse(self.plan, self._predicted)
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

    @property
    def _outlives(self) -> bool:
        """Whether a snapshot goes on although ``--max-freeze`` ran out."""
        return (
            isinstance(self.progress.failure, OutOfTime)
            and not self.progress.captured_at
            and not self.plan.discard_lower
            and not self.progress.pending_volume
            and (self.progress.is_unsure or bool(self.progress.requested))
            and self.world.clock.now() < self._deadline
        )

    def _outlive(self) -> None:
        try:
            if self.progress.is_unsure:
                self.taking.find('the request got no reply')
            self.taking.await_capture(self._poll)
        except (Interrupted, OutOfTime):
            self.settling.discard_unproven()
            raise

    def _posts(self) -> None:
        requested = self.progress.requested
        self.hold.hooks.run_posts(
            {
                'XLOUD_RESULT': self._result(),
                'XLOUD_SNAPSHOT_ID': requested.image_id if requested else '',
            }
        )

    def _result(self) -> Result:
        failure = self.progress.failure
        if self.progress.captured_at:
            return Result.CAPTURED
        if isinstance(failure, OutOfTime):
            return Result.EXPIRED
        if isinstance(failure, CaptureFailed):
            return Result.FAILED
        return Result.ABORTED

    def _conclude_snapshot(self) -> None:
        """Claim the snapshot, or discard one of too low a class."""
        if self.plan.rehearse and not self.progress.failure:
            self.progress.proof = self._prove()
        if not self.progress.captured_at:
            return
        proof = self.progress.proof = self._strained(self._prove())
        if self.plan.discard_lower and proof.consistency < self.plan.required:
            self.settling.discard()
            return
        claims = self._claims(proof)
        self.settling.prove(claims)
        try:
            self._await_active()
        except (Interrupted, OutOfTime):
            self.settling.defer(claims)
            raise
        if not self.progress.is_active:
            self.settling.defer(claims)
            return
        self.settling.claim(claims)
        if self.plan.is_protected:
            self.settling.protect()

    def _claims(self, proof: Proof) -> dict[str, str]:
        is_image = self.plan.target.kind is Kind.IMAGE
        requested = self.taking.requested
        return evidence.proven_properties(
            requested.image_id,
            proof,
            self.progress.captured_at,
            self.hold.frozen_seconds,
            self.hold.proven_names,
            requested.volume_snapshots if is_image else (),
        )

    def _await_active(self) -> None:
        """Wait until the snapshot can be launched, if that was asked."""
        while True:
            self.progress.is_active = self.taking.is_active()
            if self.progress.is_active or not self.plan.wait:
                break
            self.world.clock.wait(min(self._poll(), self._remaining()))
        if self.progress.is_active:
            self.world.reporter.step('active')

    def _prove(self) -> Proof:
        state = self.plan.target.state
        if not state.is_writing:
            return prove_idle(state, self.settling.state_now())
        if self._is_incomplete():
            return Proof(
                Consistency.NONE, 'a volume was attached or detached meanwhile'
            )
        lapses = list(self.hold.lapses)
        if isinstance(self.progress.failure, OutOfTime):
            lapses.append('released before the capture: out of time')
        return prove(self.plan, self.facts, self.hold.holders, lapses)

    def _strained(self, proof: Proof) -> Proof:
        """Tell of a release that went wrong: it made the hold longer than
        the next one is to be predicted."""
        if proof.reason or not self.hold.strains:
            return proof
        what = '; '.join(self.hold.strains)
        return dataclasses.replace(proof, reason=f'at the release: {what}')

    def _is_incomplete(self) -> bool:
        """Whether the snapshot holds other volumes than were planned."""
        if self.plan.rehearse:
            return False
        parts = len(self.taking.requested.volume_snapshots)
        return parts != len(self.plan.captured_volumes)

    # Time

    def _poll(self) -> float:
        return POLL_HELD_SECONDS if self.hold.is_holding else POLL_SECONDS

    def _remaining(self) -> float:
        """Seconds left.

        :raises Interrupted: a signal came; OutOfTime: none are left
        """
        if signal_number := self.world.clock.interrupted:
            raise Interrupted('interrupted', signal_number)
        now = self.world.clock.now()
        if now >= self._deadline:
            raise OutOfTime('--timeout ran out')
        freeze_end = self.hold.deadline
        if freeze_end is None:
            return self._deadline - now
        if now >= freeze_end:
            raise OutOfTime('--max-freeze ran out')
        return min(self._deadline, freeze_end) - now
