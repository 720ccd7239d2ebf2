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

Every way out of :meth:`Run.execute` goes through the release. Calls to the
cloud are bounded, so that a hung cloud can't keep the guest held; signals
end every wait but those on the way back.
"""

import dataclasses
import logging
from collections.abc import Callable
from typing import TypeVar

from xloudclient.consistency import auto, capture, evidence, forecast
from xloudclient.consistency.conclusion import conclude
from xloudclient.consistency.errors import (
    Busy,
    CaptureFailed,
    CloudError,
    Failure,
    GuestLost,
    Interrupted,
    NotQuiesced,
    OutOfTime,
    Refused,
    ReplyLost,
)
from xloudclient.consistency.hold import Hold
from xloudclient.consistency.outcome import Outcome, Progress, Result
from xloudclient.consistency.plan import GuestState, Kind, Plan
from xloudclient.consistency.ports import GuestFacts, Requested, World

LOG = logging.getLogger(__name__)
T = TypeVar('T')

#: Seconds between two looks at the cloud while something is held, and after.
POLL_HELD_SECONDS = 0.25
POLL_SECONDS = 2.0
#: The server's task is looked at once in so many looks at the image.
LOOKS_PER_TASK = 4
#: Seconds that one call to the cloud may take; a create request may be slow,
#: as Nova makes the snapshots of a volume-backed server within it.
CALL_SECONDS = 20.0
REQUEST_SECONDS = 60.0
CONNECT_SECONDS = 30.0
PROBE_SECONDS = 10.0
#: Seconds to look for a snapshot whose request got no reply.
FIND_SECONDS = 10.0
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
        self.progress = Progress()
        self.facts = GuestFacts()
        self.hold = Hold(plan, world, self._remaining)
        self._measured_ms = measured_ms
        self._predicted = forecast.Forecast()
        self._deadline = world.clock.now() + plan.budget.total

    def execute(self) -> Outcome:
        """Take the snapshot; the outcome tells how it ended. Never raises."""
        self._guarded(self._capture_held)
        self.hold.release()
        outlives = self._outlives
        if not outlives:
            self._guarded(self._settle)
        self._guarded(self._posts)
        if outlives:
            self._guarded(self._outlive)
        self._guarded(self._finish)
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
        except Exception as error:
            LOG.exception('unexpected')
            failure = Failure(f'unexpected {type(error).__name__}: {error}')
            self.progress.failure = self.progress.failure or failure

    # The way there

    def _capture_held(self) -> None:
        self._prepare()
        self.hold.quiesce()
        if self.plan.rehearse:
            self._rehearse()
        else:
            self._request()
            self._await_capture()
        self.hold.verify()

    def _prepare(self) -> None:
        self._remaining()
        if self.plan.needs_guest:
            self.world.reporter.step('connecting', address=self.plan.address)
            self.facts = self._open_guest()
        if self.plan.is_auto:
            self._resolve_auto()
        if self.plan.quiescers:
            self._predicted = forecast.predict(
                self.plan, self._measured_ms, self.facts.used_bytes
            )
            warning = forecast.refuse(self.plan, self._predicted)
            self.world.reporter.step(
                'predicted', hold=str(self._predicted), warning=warning
            )

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
        found = self.world.guest.probe(PROBE_SECONDS)
        may_freeze = self.facts.may_freeze and not self.plan.target.has_agent
        self.plan = self.hold.plan = auto.resolve(self.plan, found, may_freeze)
        names = [one.name for one in self.plan.quiescers]
        self.world.reporter.step('found', quiescers=names)

    def _rehearse(self) -> None:
        seconds = self._predicted.seconds or REHEARSAL_SECONDS
        self.world.clock.wait(min(seconds, self._remaining()))
        self._remaining()

    def _request(self) -> None:
        properties = evidence.requested_properties(self.plan)
        self.world.journal.write('request', name=self.plan.snapshot_name)
        self.world.reporter.step('requesting', name=self.plan.snapshot_name)
        self.progress.is_unsure = True
        try:
            found = self._ask(
                lambda: self.world.cloud.request(self.plan, properties),
                REQUEST_SECONDS,
            )
        except Refused as error:
            self.progress.is_unsure = False
            raise refusal(error) from error
        except (ReplyLost, TimeoutError) as error:
            self._remaining()
            found = self._find(f'the request got no reply ({error})')
        self._accept(found)
        self._request_volumes(found.image_id)

    def _accept(self, requested: Requested) -> None:
        self.progress.requested = requested
        self.progress.is_unsure = False
        self.world.journal.write('requested', image=requested.image_id)
        self.world.reporter.step('requested', image=requested.image_id)

    def _find(self, why: str, ignore_signals: bool = False) -> Requested:
        """Look for what a request without a reply may have made."""
        end = self.world.clock.now() + FIND_SECONDS
        while self.world.clock.now() < end:
            try:
                found = self._ask(
                    lambda: self.world.cloud.find_requested(self.plan),
                    FIND_SECONDS,
                    ignore_signals,
                )
            except (CloudError, TimeoutError):
                found = None
            if found is not None:
                return found
            self.world.clock.wait(POLL_HELD_SECONDS, ignore_signals)
            if not ignore_signals:
                self._remaining()
        raise CaptureFailed(
            f'{why} and no snapshot of this run was found',
            'If one appears later, this finds it: openstack image list '
            f'--property xloud_run={self.plan.run_id}',
        )

    def _request_volumes(self, image_id: str) -> None:
        if self.plan.target.kind is Kind.VOLUME:
            return
        for volume in self.plan.captured_volumes:
            self.world.journal.write('volume-request', volume=volume.id)
            try:
                made = self._ask(
                    lambda one=volume: self.world.cloud.snapshot_volume(
                        self.plan, one.id, image_id
                    ),
                    REQUEST_SECONDS,
                )
            except Refused as error:
                raise refusal(error) from error
            except (ReplyLost, TimeoutError) as error:
                self._remaining()
                raise CaptureFailed(
                    f'the request for a snapshot of volume {volume.id} got '
                    f'no reply ({error})'
                ) from error
            requested = self.progress.requested
            assert requested is not None
            self.progress.requested = dataclasses.replace(
                requested, volume_snapshots=(*requested.volume_snapshots, made)
            )

    def _await_capture(self) -> None:
        was_task_over = False
        looks = 0
        while True:
            looks += 1
            try:
                judgement = capture.judge(self._look(was_task_over))
            except (CloudError, TimeoutError) as error:
                self._remaining()
                judgement = capture.Judgement(
                    capture.Verdict.PENDING, str(error)
                )
            if judgement.verdict is capture.Verdict.FAILED:
                raise CaptureFailed(f'the capture failed: {judgement.reason}')
            if judgement.verdict is capture.Verdict.CAPTURED:
                break
            if looks % LOOKS_PER_TASK == 0:
                was_task_over = self._is_task_over()
            self._pause()
        self.progress.captured_at = self.world.clock.utc()
        self.world.journal.write('captured')
        self.world.reporter.step('captured')

    def _look(self, was_task_over: bool) -> capture.Seen:
        requested = self.progress.requested
        assert requested is not None
        cloud = self.world.cloud
        return capture.Seen(
            image=self._ask(lambda: cloud.image_status(requested.image_id)),
            was_task_over=was_task_over,
            volumes=tuple(
                self._ask(lambda one=one: cloud.volume_snapshot_status(one))
                for one in requested.volume_snapshots
            ),
            is_volume_backed=self.plan.target.kind is Kind.VOLUME,
        )

    def _is_task_over(self) -> bool:
        if self.plan.target.kind is Kind.VOLUME:
            return False
        try:
            server_id = self.plan.target.id
            return self._ask(lambda: self.world.cloud.is_task_over(server_id))
        except (CloudError, TimeoutError):
            return False

    def _pause(self) -> None:
        poll = POLL_HELD_SECONDS if self.hold.is_holding else POLL_SECONDS
        self.world.clock.wait(min(poll, self._remaining()))

    # The way back

    def _settle(self) -> None:
        """After the release: record what was proven, or clean up."""
        if self.progress.captured_at:
            self._record()
        else:
            self._discard_unproven()

    @property
    def _outlives(self) -> bool:
        """Whether a snapshot goes on although ``--max-freeze`` ran out."""
        return (
            isinstance(self.progress.failure, OutOfTime)
            and not self.progress.captured_at
            and not self.plan.discard_lower
            and (self.progress.is_unsure or bool(self.progress.requested))
            and self.world.clock.now() < self._deadline
        )

    def _outlive(self) -> None:
        if self.progress.is_unsure:
            self._accept(self._find('the request got no reply'))
        try:
            self._await_capture()
        except (Interrupted, OutOfTime):
            self._discard_unproven()
            raise
        self._record()

    def _posts(self) -> None:
        requested = self.progress.requested
        self.hold.run_posts(
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

    def _record(self) -> None:
        requested = self.progress.requested
        assert requested is not None
        self.progress.proof = proof = self._prove()
        if self.plan.discard_lower and proof.consistency < self.plan.required:
            self._discard()
            return
        is_image = self.plan.target.kind is Kind.IMAGE
        claims = evidence.proven_properties(
            requested.image_id,
            proof,
            self.progress.captured_at,
            self.hold.frozen_seconds,
            self.hold.proven_names,
            requested.volume_snapshots if is_image else (),
        )
        self.world.journal.write('proven', properties=claims)
        self._return(lambda: self._write_claims(requested, claims))
        self.progress.is_recorded = True
        self.world.reporter.step('recorded', consistency=str(proof.consistency))

    def _write_claims(
        self, requested: Requested, claims: dict[str, str]
    ) -> None:
        self.world.cloud.record(requested.image_id, claims, self.plan.tags)
        if self.plan.target.kind is Kind.VOLUME:
            self.world.cloud.own_volume_snapshots(self.plan, requested)

    def _prove(self) -> evidence.Proof:
        target = self.plan.target
        if not target.state.is_writing:
            return evidence.prove_idle(target.state, self._state_now())
        lapses = list(self.hold.lapses)
        if isinstance(self.progress.failure, OutOfTime):
            lapses.append('released before the capture: out of time')
        return evidence.prove(
            self.plan, self.facts, self.hold.holders, lapses
        )

    def _state_now(self) -> GuestState | None:
        try:
            return self._return(
                lambda: self.world.cloud.guest_state(self.plan.target.id)
            )
        except Failure:
            # Not seen to be idle is not proven to be idle.
            return GuestState.RUNNING

    def _discard_unproven(self) -> None:
        if self.progress.is_unsure:
            try:
                self._accept(self._find('', ignore_signals=True))
            except CaptureFailed as failure:
                self.progress.leftovers = (failure.advice,)
        if self.progress.requested:
            self._discard()

    def _discard(self) -> None:
        requested = self.progress.requested
        assert requested is not None
        try:
            self.progress.leftovers = self._return(
                lambda: self.world.cloud.discard(self.plan, requested)
            )
        except Failure as failure:
            self.progress.leftovers = (
                f'openstack image delete {requested.image_id}',
                *(
                    f'openstack volume snapshot delete {one}'
                    for one in requested.volume_snapshots
                ),
            )
            LOG.debug('discard: %s', failure)
        self.progress.is_discarded = not self.progress.leftovers
        self.world.journal.write('discarded', left=self.progress.leftovers)
        self.world.reporter.step('discarded')

    def _finish(self) -> None:
        """Wait until the snapshot can be launched, if that was asked."""
        if not self.progress.is_recorded:
            return
        if self.plan.target.kind is Kind.VOLUME:
            self.progress.is_active = True
        while self.plan.wait and not self.progress.is_active:
            self.progress.is_active = self._is_active()
            if not self.progress.is_active:
                self._pause()
        if self.progress.is_active:
            self.world.reporter.step('active')
        if self.plan.is_protected and self.progress.is_active:
            image_id = self.progress.requested.image_id
            self._return(lambda: self.world.cloud.protect(image_id))

    def _is_active(self) -> bool:
        image_id = self.progress.requested.image_id
        try:
            status = self._ask(lambda: self.world.cloud.image_status(image_id))
        except (CloudError, TimeoutError):
            self._remaining()
            return False
        if status in capture.GONE or status == 'queued':
            raise CaptureFailed('the upload failed: the image is gone')
        return status == 'active'

    # Time

    def _remaining(self) -> float:
        """Seconds left.

        :raises Interrupted: a signal came; OutOfTime: none are left
        """
        if signal_number := self.world.clock.interrupted:
            raise Interrupted('interrupted', signal_number)
        now = self.world.clock.now()
        if now >= self._deadline:
            raise OutOfTime('--timeout ran out')
        if not self.hold.is_holding:
            return self._deadline - now
        assert self.hold.began is not None
        end = self.hold.began + self.plan.budget.max_freeze
        if now >= end:
            raise OutOfTime('--max-freeze ran out')
        return min(self._deadline, end) - now

    def _ask(
        self,
        call: Callable[[], T],
        seconds: float = CALL_SECONDS,
        ignore_signals: bool = False,
    ) -> T:
        """Make a call to the cloud on the way there.

        :raises TimeoutError: a signal came or the time ran out
        """
        if not ignore_signals:
            seconds = min(seconds, self._remaining())
        return self.world.clock.bounded(call, seconds, ignore_signals)

    def _return(self, call: Callable[[], T]) -> T:
        """Make a call on the way back, which no signal ends.

        :raises Failure: it failed or took too long
        """
        try:
            return self.world.clock.bounded(call, CALL_SECONDS, True)
        except (CloudError, TimeoutError) as error:
            raise Failure(str(error) or 'the cloud does not answer') from error


def refusal(error: Refused) -> Failure:
    """Turn the cloud's refusal of a request into what the user is told."""
    text = str(error)
    words = text.lower()
    if error.status == 413 or 'quota' in words or 'limit' in words:
        return NotQuiesced(f'a quota is exceeded: {text}')
    if 'quiesce' in words or 'agent' in words:
        return NotQuiesced(f"Nova can't quiesce the guest: {text}")
    if error.status == 409:
        return Busy(f'the server is busy: {text}', 'Try again later.')
    return CaptureFailed(f'the request was refused: {text}')
