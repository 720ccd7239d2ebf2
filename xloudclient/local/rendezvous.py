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

"""Where the runs of one group wait for each other: threads of one process."""

import collections
import threading
from collections.abc import Callable
from typing import Any

from xloudclient.consistency.errors import Failure, GroupBroken
from xloudclient.consistency.group import Stage

#: Seconds between two looks at whether a signal came.
LOOK_SECONDS = 0.1


class Rendezvous:
    """The port :class:`~xloudclient.consistency.ports.Group`.

    :param members: how many there are
    """

    def __init__(self, members: int) -> None:
        self._members = members
        self._words: dict[Stage, list[Any]] = collections.defaultdict(list)
        self._culprit: tuple[str, Failure] | None = None
        self._hold_began: float | None = None
        # Reentrant: what tells the remaining time asks check(), too.
        self._changed = threading.Condition(threading.RLock())

    def meet(
        self,
        server: str,
        stage: Stage,
        remaining: Callable[[], float],
        word: Any = None,
        seal: Callable[[], None] = lambda: None,
    ) -> tuple[Any, ...]:
        with self._changed:
            self.check()
            words = self._words[stage]
            if len(words) + 1 == self._members:
                seal()
            words.append(word)
            self._changed.notify_all()
            while len(words) < self._members:
                # not once all are here: who gives up later has been met
                self.check()
                self._wait(server, remaining)
            return tuple(words)

    def _wait(self, server: str, remaining: Callable[[], float]) -> None:
        """Wait for a change.

        Whoever stops waiting gives up before the lock is free again: who
        comes last must not find all there, and go on alone.
        """
        try:
            seconds = remaining()
        except Failure as failure:
            self.give_up(server, failure)
            raise
        self._changed.wait(min(LOOK_SECONDS, seconds))

    def check(self) -> None:
        with self._changed:
            if self._culprit:
                raise GroupBroken(*self._culprit)

    def give_up(self, server: str, failure: Failure) -> None:
        with self._changed:
            self._culprit = self._culprit or (server, failure)
            self._changed.notify_all()

    def begin_hold(self, now: float) -> float:
        with self._changed:
            if self._hold_began is None:
                self._hold_began = now
            return self._hold_began
