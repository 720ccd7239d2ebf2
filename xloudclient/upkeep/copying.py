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


"""Copies one disk of a snapshot to an image.

What is under way is known by its marks in Cinder and Glance alone: whoever
begins anew goes on where the last one ended, however it ended, and two who
convert the same snapshot at the same time make one copy together.
"""

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from xloudclient.catalog import conversion
from xloudclient.catalog.conversion import Disk, Step
from xloudclient.catalog.properties import properties
from xloudclient.catalog.snapshot import Snapshot
from xloudclient.consistency.errors import (
    CloudError,
    Failure,
    Interrupted,
    Refused,
    ReplyLost,
)
from xloudclient.upkeep.leftovers import Leftovers, commands
from xloudclient.upkeep.workshop import REPLY_SECONDS, Workshop

T = TypeVar('T')

POLL_SECONDS = 1.0
#: Replies to the same question that may be lost in a row.
MOST_LOST = 30
#: Requests for a volume or an upload whose replies may be lost.
MOST_REQUESTS = 3


class DiskCopy:
    """The copy of one disk, from its source to the finished image.

    :param others: the disks that are copied, each with the ID of its image
    """

    def __init__(
        self,
        shop: Workshop,
        snapshot: Snapshot,
        disk: Disk,
        others: Sequence[tuple[Disk, str]],
    ) -> None:
        self._shop = shop
        self._snapshot = snapshot
        self._disk = disk
        self._others = others
        self._leftovers = Leftovers(shop, disk.source)
        self._volume: dict[str, Any] = {'id': ''}
        self._image: dict[str, Any] | None = None
        self._asked = collections.Counter[Step]()
        self._answered: set[Step] = set()

    def make(self) -> str:
        """Return the ID of the image; nothing else is left of its making.

        :raises Failure: there is none; what is left is named
        :raises Interrupted: by a signal; another attempt goes on
        """
        try:
            image_id = self._patiently(self._found) or self._copy()
        except Interrupted:
            raise
        except (Failure, CloudError) as error:
            raise self._failure(error) from error
        if left := commands(self._leftovers.remove()):
            self._shop.say(f'this removes what is left: {left}')
        return image_id

    def _found(self) -> str:
        """The ID of a finished copy, '' if there is none."""
        found = self._shop.copies(self._disk.converted_from(self._snapshot))
        return str(found[0]['id']) if found else ''

    def _copy(self) -> str:
        """Do one step after another until there is a finished image.

        Each is decided by what is there then: what was there before, and
        what fails now, may be the work of another command, which is done.
        """
        try:
            image_id = self._advance()
        except Interrupted:
            raise
        except (Failure, CloudError):
            if image_id := self._patiently(self._found):
                return image_id
            raise
        self._shop.say(f'copied to image {image_id}: {self._label}')
        return image_id

    def _advance(self) -> str:
        doubts = 0
        while True:
            step = self._patiently(self._look)
            doubts = doubts + 1 if step is Step.DOUBT else 0
            if step is Step.WAIT or doubts == 1:
                self._wait()
            elif image_id := self._patiently(self._found):
                return image_id
            elif step is Step.MAKE:
                self._request(step, 'making a volume of', self._make_volume)
            elif step is Step.UPLOAD:
                self._request(step, 'uploading', self._upload)
            elif step is Step.FINISH:
                return self._patiently(self._finish)
            else:
                raise Failure(self._why())

    def _look(self) -> Step:
        """See how it stands: the volume first, as the rule has it."""
        shop = self._shop
        found = shop.volumes.of(self._disk.source)
        gone = {'id': self._volume['id']}
        # of several that were made at once, all use the same one
        self._volume = min(found, key=_age, default=gone)
        self._image = None
        if volume_id := self._volume['id']:
            images = shop.images.matching(
                xloud_image=volume_id, owner=shop.owner
            )
            self._image = images[0] if images else None
        return conversion.next_step(
            self._volume.get('status'),
            self._image['status'] if self._image else None,
            Step.MAKE in self._answered,
            Step.UPLOAD in self._answered,
        )

    def _request(
        self, step: Step, what: str, call: Callable[[], None]
    ) -> None:
        """Ask for a step; after a lost reply, the next look tells."""
        self._shop.say(f'{what} {self._label}')
        self._asked[step] += 1
        try:
            self._bounded(call)
            self._answered.add(step)
        except Refused:
            # another command may have asked for it a moment before
            if self._patiently(self._look) is not Step.WAIT:
                raise
        except ReplyLost:
            if self._asked[step] >= MOST_REQUESTS:
                raise
            self._wait()

    def _make_volume(self) -> None:
        disk = self._disk
        self._shop.volumes.make(disk.source, disk.size, disk.is_image)

    def _upload(self) -> None:
        if self._volume.get('encrypted'):
            raise Failure(
                'it is encrypted, and its key belongs to this project alone'
            )
        volume_id = self._volume['id']
        self._shop.volumes.upload(
            volume_id,
            self._disk.name(self._snapshot),
            conversion.marks(self._snapshot, self._disk, volume_id),
        )

    def _finish(self) -> str:
        """Record on the image what it is; from now on it is a copy."""
        images = self._shop.images
        image = images.get(self._image['id']) if self._image else None
        if image is None:
            raise Failure('its image is gone')
        image_id = str(image['id'])
        # else the reply to an earlier update was lost
        if not conversion.is_finished(image):
            wanted = self._wanted(image_id)
            unwanted = properties(image).keys() - wanted.keys()
            images.update(image_id, wanted, dropped=unwanted)
        return image_id

    def _wanted(self, image_id: str) -> dict[str, Any]:
        snapshot, disk = self._snapshot, self._disk
        if not disk.is_root:
            return conversion.disk_properties(snapshot, disk, image_id)
        return conversion.root_properties(
            snapshot, disk, image_id, self._others
        )

    def _patiently(self, call: Callable[[], T]) -> T:
        """Make a call that may be repeated, until it is answered."""
        for _lost in range(MOST_LOST):
            try:
                return self._bounded(call)
            except ReplyLost:
                self._wait()
        return self._bounded(call)

    def _bounded(self, call: Callable[[], T]) -> T:
        """Make a call that may hang."""
        try:
            return self._shop.clock.bounded(call, REPLY_SECONDS)
        except TimeoutError as error:
            self._raise_if_interrupted()
            raise ReplyLost(str(error)) from error

    def _wait(self) -> None:
        self._shop.clock.wait(POLL_SECONDS)
        self._raise_if_interrupted()

    def _raise_if_interrupted(self) -> None:
        number = self._shop.clock.interrupted
        if not number:
            return
        interrupted = Interrupted(
            f'interrupted while {self._label} was copied', number
        )
        interrupted.advice = 'The same command goes on from here.'
        if left := commands((*self._leftovers.look(), *self._finished)):
            interrupted.advice += (
                ' This gives it up instead, once no volume is uploading: '
                f'{left}'
            )
        raise interrupted

    def _why(self) -> str:
        """Say what came of it, as Cinder tells it."""
        volume, image = self._volume, self._image
        if image is not None:
            seen = f'its image stays {image["status"]}'
        elif Step.UPLOAD in self._answered:
            seen = 'its image is gone: the upload failed'
        else:
            seen = f'the volume is {volume.get("status", "gone")}'
        said = self._shop.volumes.why(volume['id']) if volume['id'] else ''
        return f'{seen} (Cinder: {said})' if said else seen

    def _failure(self, error: Exception) -> Failure:
        """Undo what was begun, and name what is left."""
        left = commands((*self._leftovers.remove(), *self._finished))
        refused = 'it was refused: ' if isinstance(error, Refused) else ''
        return Failure(
            f"{self._label} can't be copied: {refused}{error}",
            f'This removes what is left: {left}' if left else '',
        )

    @property
    def _finished(self) -> list[tuple[str, str]]:
        """The images of disks that were copied before."""
        return [('image', image_id) for _disk, image_id in self._others]

    @property
    def _label(self) -> str:
        disk = self._disk
        if disk.is_image:
            return f'image {disk.source}'
        return f'{disk.device} (volume snapshot {disk.source})'


def _age(volume: Mapping[str, Any]) -> tuple[str, str]:
    return str(volume.get('created_at', '')), str(volume['id'])
