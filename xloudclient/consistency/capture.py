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


"""When is the point in time fixed? The rule, as a table.

===============================  =========================================
image-backed                     the Glance image has any status but
                                 ``queued``
volume-backed, attached volumes  every Cinder snapshot is ``available``
failed                           the image is gone; or the server's task was
                                 seen over and the image, read five seconds
                                 after that, is still ``queued``; or a Cinder
                                 snapshot is gone or in error
===============================  =========================================

Not the API's reply (the disk is copied long after it), not ``task_state``
(libvirt's driver passes ``image_uploading`` once before it copies anything)
and not an instance action's event (since Nova 33 it says Success at once).
``active`` would be minutes late. Why five seconds: with RBD, Nova's task ends
when Glance has *accepted* the new location, and the image leaves ``queued``
a moment later (``glance/async_/flows/location_import.py``; seen with Nova 34
and Glance 33: 0.2 s). Sources: ``nova/virt/libvirt/driver.py``
``snapshot()`` and ``_live_snapshot()``; ``nova/compute/api.py``
``snapshot_volume_backed()``; ``glance/api/v2/image_data.py`` ``upload()``,
which sets ``saving`` as the first byte of the finished copy arrives.

Nothing else in this package decides when to release.
"""

import dataclasses
import enum

#: Seconds that an image may stay ``queued`` after Nova's task was seen over.
SETTLE_SECONDS = 5.0

#: Glance hides ``killed`` images; the others precede a 404.
GONE = (None, 'deleted', 'pending_delete', 'killed')


class Verdict(enum.Enum):
    PENDING = 'pending'
    CAPTURED = 'captured'
    FAILED = 'failed'


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What one look at the cloud showed.

    :param image: the image's status; None if it is gone
    :param since_task_over: seconds from when the server's task was seen over
        to when the image was read; None if it was not seen over, and for a
        volume-backed server, which has no task
    :param volumes: the Cinder snapshots' statuses; None for one that is gone
    :param is_volume_backed: the image holds no data of its own
    """

    image: str | None
    since_task_over: float | None = None
    volumes: tuple[str | None, ...] = ()
    is_volume_backed: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    reason: str = ''


def judge(seen: Seen) -> Judgement:
    """Tell from one look whether the point in time is fixed.

    :returns: FAILED with a reason as soon as any part failed, CAPTURED once
        every part is, else PENDING
    """
    if seen.is_volume_backed and not seen.volumes:
        return Judgement(Verdict.FAILED, 'the image names no volume snapshots')
    parts = [_judge_image(seen), *map(_judge_volume, seen.volumes)]
    for verdict in (Verdict.FAILED, Verdict.PENDING):
        for part in parts:
            if part.verdict is verdict:
                return part
    return Judgement(Verdict.CAPTURED)


def _judge_image(seen: Seen) -> Judgement:
    if seen.image in GONE:
        return Judgement(
            Verdict.FAILED,
            'the image is gone (Nova deletes the image of a failed snapshot)',
        )
    if seen.image != 'queued' or seen.is_volume_backed:
        return Judgement(Verdict.CAPTURED)
    if (seen.since_task_over or 0.0) >= SETTLE_SECONDS:
        return Judgement(
            Verdict.FAILED,
            'Nova ended its task and left the image in status queued',
        )
    return Judgement(Verdict.PENDING)


def _judge_volume(status: str | None) -> Judgement:
    if status == 'available':
        return Judgement(Verdict.CAPTURED)
    if status is None or status.startswith(('error', 'delet')):
        state = 'gone' if status is None else f'in status {status}'
        return Judgement(Verdict.FAILED, f'a volume snapshot is {state}')
    return Judgement(Verdict.PENDING)
