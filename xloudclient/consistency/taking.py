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


"""The snapshot itself: asked for, watched, claimed or discarded.

Every call to the cloud is bounded, so that a hung cloud can't keep the guest
held. On the way there a signal ends a call; on the way back none does.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import TypeVar

from xloudclient.consistency import capture, evidence
from xloudclient.consistency.answers import Requested
from xloudclient.consistency.errors import (
    Busy,
    CaptureFailed,
    CloudError,
    Failure,
    NotQuiesced,
    Refused,
    ReplyLost,
)
from xloudclient.consistency.outcome import Progress
from xloudclient.consistency.plan import Kind, Plan
from xloudclient.consistency.ports import World

T = TypeVar('T')

#: Seconds that one call to the cloud may take; a create request may be slow,
#: as Nova makes the snapshots of a volume-backed server within it.
CALL_SECONDS = 20.0
REQUEST_SECONDS = 60.0
#: Seconds to look for a snapshot whose request got no reply.
FIND_SECONDS = 5.0
FIND_POLL_SECONDS = 0.5
#: The server's task is looked at once in so many looks at the image.
LOOKS_PER_TASK = 4


class Taking:
    """Takes one snapshot in the cloud.

    :param remaining: seconds left; raises what is to be raised when there
        are none, or when a signal came
    """

    def __init__(
        self,
        plan: Plan,
        world: World,
        progress: Progress,
        remaining: Callable[[], float],
    ) -> None:
        self.plan = plan
        self.world = world
        self.progress = progress
        self._remaining = remaining
        self._task_over_at: float | None = None
        #: the volumes that were captured, as of the last look
        self.captured: tuple[str, ...] = ()

    @property
    def requested(self) -> Requested:
        """What the cloud accepted; only to be used once it has."""
        if self.progress.requested is None:
            raise CaptureFailed('no snapshot was requested')
        return self.progress.requested

    def request(self) -> None:
        """Ask for the snapshot and those of the attached volumes.

        :raises Failure: no, or nobody knows
        """
        properties = evidence.requested_properties(self.plan)
        name = self.plan.snapshot_name
        self.world.journal.write(
            'request',
            name=name,
            volumes=[volume.id for volume in self.plan.captured_volumes],
            quiesce=self.plan.words,
        )
        self.world.reporter.step('requesting', name=name)
        self.progress.is_unsure = True
        call = functools.partial(
            self.world.cloud.request, self.plan, properties
        )
        try:
            self._accept(self._ask(call, REQUEST_SECONDS))
        except Refused as error:
            self.progress.is_unsure = False
            raise refusal(error) from error
        except (ReplyLost, TimeoutError) as error:
            self._remaining()
            self.find(f'the request got no reply ({error})')
        if self.plan.target.kind is Kind.IMAGE:
            for volume in self.plan.captured_volumes:
                self._request_volume(volume.id)

    def _accept(self, requested: Requested) -> None:
        self.progress.requested = requested
        self.progress.is_unsure = False
        self.world.journal.write('requested', image=requested.image_id)
        self.world.reporter.step('requested', image=requested.image_id)

    def find(self, why: str, ignore_signals: bool = False) -> None:
        """Look for what a request without a reply may have made.

        :raises CaptureFailed: it was not found, or several were
        """
        # It may still come: the journal stays, and the next run removes it.
        self.progress.unfound = (
            'If one appears later, this finds it: openstack image list '
            f'--property xloud_run={self.plan.run_id}'
        )
        end = self.world.clock.now() + FIND_SECONDS
        call = functools.partial(self.world.cloud.find_requested, self.plan)
        while self.world.clock.now() < end:
            try:
                found = self._ask(call, FIND_SECONDS, ignore_signals)
            except (CloudError, TimeoutError):
                found = None
            if found is not None:
                self.progress.unfound = ''
                self._accept(found)
                return
            self.world.clock.wait(FIND_POLL_SECONDS, ignore_signals)
            if not ignore_signals:
                self._remaining()
        self.progress.is_unsure = False
        raise CaptureFailed(f'{why} and no snapshot of this run was found')

    def _request_volume(self, volume_id: str) -> None:
        self.world.journal.write('volume-request', volume=volume_id)
        self.progress.pending_volume = volume_id
        call = functools.partial(
            self.world.cloud.snapshot_volume,
            self.plan,
            volume_id,
            self.requested.image_id,
        )
        try:
            made = self._ask(call, REQUEST_SECONDS)
        except Refused as error:
            self.progress.pending_volume = ''
            raise refusal(error) from error
        except (ReplyLost, TimeoutError) as error:
            self._remaining()
            raise CaptureFailed(
                f'the request for a snapshot of volume {volume_id} got no '
                f'reply ({error})'
            ) from error
        self.progress.requested = dataclasses.replace(
            self.requested,
            volume_snapshots=(*self.requested.volume_snapshots, made),
        )
        self.progress.pending_volume = ''

    def await_capture(
        self,
        poll: Callable[[], float],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Return once the point in time is fixed.

        :param poll: seconds until the next look
        :param meanwhile: is called after each look in vain
        :raises CaptureFailed: it will never be
        """
        looks = 0
        while not self._is_captured():
            looks += 1
            if looks % LOOKS_PER_TASK == 0:
                self._look_at_task()
            meanwhile()
            self.world.clock.wait(min(poll(), self._remaining()))
        self.progress.captured_at = self.world.clock.utc()
        self.progress.captured_clock = self.world.clock.now()
        self.world.journal.write('captured')
        self.world.reporter.step('captured')

    def _is_captured(self) -> bool:
        try:
            judgement = capture.judge(self._look())
        except (CloudError, TimeoutError):
            # A cloud that does not answer now may do so the next time.
            self._remaining()
            return False
        if judgement.verdict is capture.Verdict.FAILED:
            raise CaptureFailed(f'the capture failed: {judgement.reason}')
        return judgement.verdict is capture.Verdict.CAPTURED

    def _look(self) -> capture.Seen:
        since = None
        if self._task_over_at is not None:
            since = self.world.clock.now() - self._task_over_at
        look = self.world.cloud.volume_snapshot
        image = self._image_status()
        self.progress.was_saving |= image == 'saving'
        parts = [
            self._ask(functools.partial(look, one))
            for one in self.requested.volume_snapshots
        ]
        self.captured = tuple(one.volume_id for one in parts if one)
        return capture.Seen(
            image=image,
            since_task_over=since,
            volumes=tuple(one.status if one else None for one in parts),
            is_volume_backed=self.plan.target.kind is Kind.VOLUME,
        )

    def _image_status(self) -> str | None:
        status = self.world.cloud.image_status
        return self._ask(functools.partial(status, self.requested.image_id))

    def _look_at_task(self) -> None:
        """See whether Nova is done; the snapshot of a volume has no task."""
        if self.plan.target.kind is Kind.VOLUME or self._task_over_at:
            return
        look = self.world.cloud.is_task_over
        with contextlib.suppress(CloudError, TimeoutError):
            if self._ask(functools.partial(look, self.plan.target.id)):
                self._task_over_at = self.world.clock.now()

    def is_active(self) -> bool:
        """Whether the snapshot can be launched now.

        :raises CaptureFailed: it never will
        """
        if self.plan.target.kind is Kind.VOLUME:
            return True
        try:
            status = self._image_status()
        except (CloudError, TimeoutError):
            self._remaining()
            return False
        if status in capture.GONE or status == 'queued':
            raise CaptureFailed('the upload failed: the image is gone')
        return status == 'active'

    def _ask(
        self,
        call: Callable[[], T],
        seconds: float = CALL_SECONDS,
        ignore_signals: bool = False,
    ) -> T:
        """Make a call on the way there.

        :raises TimeoutError: a signal came or the time ran out
        """
        if not ignore_signals:
            seconds = min(seconds, self._remaining())
        return self.world.clock.bounded(call, seconds, ignore_signals)


def refusal(error: Refused) -> Failure:
    """Turn the cloud's refusal of a request into what the user is told.

    Nova answers 403 when a quota is exceeded and when a policy forbids it,
    400 and 409 when it can't quiesce the guest; only the text tells.
    """
    text = str(error)
    words = text.lower()
    is_quota = error.status == 403 and 'quota' in words
    if error.status == 413 or is_quota:
        return NotQuiesced(f'a quota is exceeded: {text}')
    if error.status in (400, 409) and 'quiesce' in words:
        return NotQuiesced(f"Nova can't quiesce the guest: {text}")
    if error.status == 400 and 'guest agent' in words:
        return NotQuiesced(f"Nova can't quiesce the guest: {text}")
    if error.status in (409, 429):
        return Busy(f'the server is busy: {text}', 'Try again later.')
    return CaptureFailed(f'the request was refused: {text}')
