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


"""What there is of a copy that is not finished: found, deleted, named."""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import TypeVar

from xloudclient.consistency.errors import CloudError
from xloudclient.upkeep.workshop import REPLY_SECONDS, Workshop

T = TypeVar('T')
#: ``image`` or ``volume``, and its ID.
Thing = tuple[str, str]

POLL_SECONDS = 0.5
#: For a volume to be gone, or to come to a state in which it can be deleted.
DELETE_SECONDS = 60.0


@dataclasses.dataclass(slots=True)
class Leftovers:
    """The temporary volumes of a source, and their unfinished images.

    Signals are not minded here: nothing may be left unnamed.

    :param source: the ID of what is copied
    :ivar last_seen: what there was when the services last told
    """

    shop: Workshop
    source: str
    last_seen: list[Thing] = dataclasses.field(default_factory=list)

    def look(self) -> list[Thing]:
        """Return what there is; what was last seen, if nobody tells."""
        self.last_seen = self._try(self._ask, self.last_seen)
        return self.last_seen

    def remove(self) -> list[Thing]:
        """Delete what there is, and wait until it is gone.

        :returns: what is left after a minute
        """
        end = self.shop.clock.now() + DELETE_SECONDS
        while (left := self.look()) and self.shop.clock.now() < end:
            for thing in left:
                self._try(functools.partial(self._delete, *thing), None)
            self.shop.clock.wait(POLL_SECONDS, ignore_signals=True)
        return left

    def _ask(self) -> list[Thing]:
        """No finished image is found so: it names itself, and no volume."""
        found: list[Thing] = []
        for volume in self.shop.volumes.of(self.source):
            images = self.shop.images.matching(
                xloud_image=volume['id'], owner=self.shop.owner
            )
            found += [('image', image['id']) for image in images]
            found.append(('volume', volume['id']))
        return found

    def _delete(self, kind: str, thing_id: str) -> None:
        (self.shop.images if kind == 'image' else self.shop.volumes).delete(
            thing_id
        )

    def _try(self, call: Callable[[], T], otherwise: T) -> T:
        """Make a call that may fail or hang."""
        try:
            return self.shop.clock.bounded(
                call, REPLY_SECONDS, ignore_signals=True
            )
        except (CloudError, TimeoutError):
            return otherwise


def commands(things: Iterable[Thing]) -> str:
    """The commands that delete things, as one line; '' for none."""
    return '; '.join(
        f'openstack {kind} delete {thing_id}' for kind, thing_id in things
    )
