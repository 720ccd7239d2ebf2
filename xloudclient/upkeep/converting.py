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


"""Copies the disks of a snapshot to images, so that it can be shared.

What is under way is known by its marks in Cinder and Glance alone: whoever
repeats the command goes on where the last one ended, however it ended.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from xloudclient.catalog import conversion
from xloudclient.catalog.conversion import Disk, Step
from xloudclient.catalog.snapshot import CONVERTED_FROM, Snapshot
from xloudclient.cloud.copies import TemporaryVolumes
from xloudclient.cloud.images import Images
from xloudclient.consistency.errors import (
    CloudError,
    Failure,
    Interrupted,
    Refused,
    ReplyLost,
)
from xloudclient.local.clock import SystemClock

T = TypeVar('T')
#: ``image`` or ``volume``, and its ID.
Thing = tuple[str, str]

POLL_SECONDS = 1.0
#: For the reply to one request.
REPLY_SECONDS = 60.0
#: Replies that may be lost in a row.
MOST_LOST = 30
#: For a volume to be gone, or to come to a state in which it can be deleted.
DELETE_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Converting:
    """Converts snapshots of one project.

    :param owner: the ID of the project
    :param say: told each step
    """

    images: Images
    volumes: TemporaryVolumes
    owner: str
    clock: SystemClock
    say: Callable[[str], None]

    def convert(self, snapshot: Snapshot, disks: Sequence[Disk]) -> str:
        """Return the ID of the copy of a snapshot; make it if need be.

        :param disks: all of them, the root disk last
        :raises Failure: it can't be made; what is left is named
        :raises Interrupted: by a signal; the same command goes on
        """
        is_copied = copies(self.images, snapshot.id, self.owner)
        others: list[tuple[Disk, str]] = []
        for disk in disks[-1:] if is_copied else disks:
            copy = DiskCopy(self, snapshot, disk, tuple(others))
            others.append((disk, copy.make()))
        return others[-1][1]


def copies(images: Images, source: str, owner: str) -> list[dict[str, Any]]:
    """Return the finished images that are copies of a source."""
    found = images.matching(
        **{CONVERTED_FROM: source, 'owner': owner, 'status': 'active'}
    )
    return [one for one in found if conversion.is_finished(one)]


@dataclasses.dataclass(slots=True)
class DiskCopy:
    """The copy of one disk, from its source to the finished image.

    :param others: the disks that are copied, each with the ID of its image
    """

    work: Converting
    snapshot: Snapshot
    disk: Disk
    others: Sequence[tuple[Disk, str]]
    _volume: dict[str, Any] = dataclasses.field(default_factory=dict)
    _image: dict[str, Any] | None = None
    _done: set[Step] = dataclasses.field(default_factory=set)
    _doubts: int = 0

    def make(self) -> str:
        """Return the ID of the image; nothing else is left of its making."""
        try:
            image_id = self._patiently(self._found)
            if not image_id:
                self._advance()
                image_id = self._patiently(self._finish)
                self.work.say(f'copied to image {image_id}: {self._label}')
        except Interrupted:
            raise
        except (Failure, CloudError) as error:
            raise self._failure(error) from error
        for command in self._remove():
            self.work.say(f'left behind; this removes it: {command}')
        return image_id

    def _found(self) -> str:
        """The ID of a finished copy, '' if there is none."""
        source = self.disk.converted_from(self.snapshot)
        found = copies(self.work.images, source, self.work.owner)
        return str(found[0]['id']) if found else ''

    def _advance(self) -> None:
        """Do one step after another until the image is whole."""
        while True:
            step = self._patiently(self._look)
            self._doubts = self._doubts + 1 if step is Step.DOUBT else 0
            if step is Step.FINISH:
                return
            if step is Step.FAIL or self._doubts > 1:
                raise Failure(self._why())
            if step is Step.MAKE:
                self._begin(step, 'making a volume of', self._make_volume)
            elif step is Step.UPLOAD:
                self._begin(step, 'uploading', self._upload)
            else:
                self._wait()

    def _look(self) -> Step:
        """See how it stands: the volume first, see the rule."""
        found = self.work.volumes.of(self.disk.source)
        self._volume = found[0] if found else {'id': self._volume.get('id')}
        self._image = None
        if volume_id := self._volume['id']:
            images = self.work.images.matching(
                xloud_image=volume_id, owner=self.work.owner
            )
            self._image = images[0] if images else None
        return conversion.next_step(
            self._volume.get('status'),
            self._image['status'] if self._image else None,
            Step.MAKE in self._done,
            Step.UPLOAD in self._done,
        )

    def _begin(self, step: Step, what: str, call: Callable[[], None]) -> None:
        """Ask for a step once; a lost reply is looked after."""
        self.work.say(f'{what} {self._label}')
        with contextlib.suppress(ReplyLost):
            self._bounded(call)
            self._done.add(step)

    def _make_volume(self) -> None:
        disk = self.disk
        self.work.volumes.make(disk.source, disk.size, disk.is_image)

    def _upload(self) -> None:
        if self._volume.get('encrypted'):
            raise Failure(
                'it is encrypted, and its key belongs to this project alone'
            )
        volume_id = self._volume['id']
        self.work.volumes.upload(
            volume_id,
            self.disk.name(self.snapshot),
            conversion.marks(self.snapshot, self.disk, volume_id),
        )

    def _finish(self) -> str:
        """Record on the image what it is; from now on it is a copy."""
        images = self.work.images
        image = images.get(self._image['id']) if self._image else None
        if image is None:
            raise Failure('its image is gone')
        image_id = str(image['id'])
        wanted = self._wanted(image_id)
        # false after a reply that was lost
        if not conversion.is_finished(image):
            unwanted = conversion.properties(image).keys() - wanted.keys()
            images.update(image_id, wanted, dropped=unwanted)
        return image_id

    def _wanted(self, image_id: str) -> dict[str, Any]:
        if not self.disk.is_root:
            return conversion.disk_properties(
                self.snapshot, self.disk, image_id
            )
        return conversion.root_properties(
            self.snapshot, self.disk, image_id, self.others
        )

    def _patiently(self, call: Callable[[], T]) -> T:
        """Make a call that may be repeated, until it is answered."""
        lost = 0
        while True:
            try:
                return self._bounded(call)
            except ReplyLost:
                lost += 1
                if lost > MOST_LOST:
                    raise
            self._wait()

    def _bounded(self, call: Callable[[], T]) -> T:
        """Make a call that may hang."""
        try:
            return self.work.clock.bounded(call, REPLY_SECONDS)
        except TimeoutError as error:
            self._raise_if_interrupted()
            raise ReplyLost(str(error)) from error

    def _wait(self) -> None:
        self.work.clock.wait(POLL_SECONDS)
        self._raise_if_interrupted()

    def _raise_if_interrupted(self) -> None:
        number = self.work.clock.interrupted
        if not number:
            return
        left = '; '.join(self._left_over(self._under_way()))
        interrupted = Interrupted(
            f'interrupted while {self._label} was copied', number
        )
        interrupted.advice = 'The same command goes on from here.'
        if left:
            interrupted.advice += (
                ' This gives it up instead, once no volume is uploading: '
                + left
            )
        raise interrupted

    def _why(self) -> str:
        """Say what came of it, as Cinder tells it."""
        volume, image = self._volume, self._image
        status = volume.get('status') or 'gone'
        said = self.work.volumes.why(volume['id']) if volume['id'] else ''
        if image is not None:
            seen = f'its image stays {image["status"]}'
        elif Step.UPLOAD in self._done:
            seen = 'its image is gone: the upload failed'
        else:
            seen = f'the volume is {status}'
        return f'{seen} (Cinder: {said})' if said else seen

    def _failure(self, error: Exception) -> Failure:
        """Undo what was begun, and name what is left."""
        left = '; '.join(self._left_over(self._remove()))
        what = str(error)
        if isinstance(error, Refused):
            what = f'it was refused: {error}'
        return Failure(
            f"{self._label} can't be copied: {what}",
            f'This removes what is left: {left}' if left else '',
        )

    def _remove(self) -> Sequence[Thing]:
        """Delete what is under way; return what is left of it."""
        clock = self.work.clock
        end = clock.now() + DELETE_SECONDS
        while (left := self._under_way()) and clock.now() < end:
            for thing in left:
                self._try(functools.partial(self._delete, thing), None)
            clock.wait(POLL_SECONDS / 2, ignore_signals=True)
        return left

    def _under_way(self) -> Sequence[Thing]:
        """The unfinished image and the volume; what is known, if none say."""
        known = [('image', self._image), ('volume', self._volume)]
        return self._try(
            self._seen,
            [(kind, one['id']) for kind, one in known if one and one['id']],
        )

    def _seen(self) -> Sequence[Thing]:
        work, seen = self.work, list[Thing]()
        for volume in work.volumes.of(self.disk.source):
            images = work.images.matching(
                xloud_image=volume['id'], owner=work.owner
            )
            seen += [('image', image['id']) for image in images]
            seen.append(('volume', volume['id']))
        return seen

    def _delete(self, thing: Thing) -> None:
        kind, thing_id = thing
        work = self.work
        (work.images if kind == 'image' else work.volumes).delete(thing_id)

    def _try(self, call: Callable[[], T], otherwise: T) -> T:
        """Make a call that may fail or hang, whatever signals came."""
        try:
            return self.work.clock.bounded(
                call, REPLY_SECONDS, ignore_signals=True
            )
        except (CloudError, TimeoutError):
            return otherwise

    def _left_over(self, under_way: Sequence[Thing]) -> list[str]:
        """The commands that remove all that there is of the copy."""
        finished = [('image', one) for _disk, one in self.others]
        return [
            f'openstack {kind} delete {thing_id}'
            for kind, thing_id in (*under_way, *finished)
        ]

    @property
    def _label(self) -> str:
        disk = self.disk
        if disk.is_image:
            return f'image {disk.source}'
        return f'{disk.device} (volume snapshot {disk.source})'
