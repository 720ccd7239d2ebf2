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

"""Where the servers of a group wait for each other.

::

    prepared   every guest was looked at; nothing was touched
    ready      every pre hook has run
    held       everything is held: the requests may go out
    captured   every disk is captured: the holders may be asked, and released
    proven     every member has shown that it stood still: it may be claimed
    active     with --wait: every snapshot can be launched

The point in time is any moment between the last request and the first answer
to ``verify``: everything was held throughout. Whoever can't come to a stage
gives the group up, and so nobody passes it.
"""

import enum
from collections.abc import Callable
from typing import Any

from xloudclient.consistency.errors import Failure


class Stage(enum.StrEnum):
    """What all members have done before any goes on."""

    PREPARED = 'prepared'
    READY = 'ready'
    HELD = 'held'
    CAPTURED = 'captured'
    PROVEN = 'proven'
    ACTIVE = 'active'

    @property
    def is_held(self) -> bool:
        """Whether servers are held while they wait for it."""
        return self in (Stage.HELD, Stage.CAPTURED)


class Alone:
    """The group of a server that is captured on its own: it never waits."""

    def meet(
        self,
        server: str,
        stage: Stage,
        remaining: Callable[[], float],
        word: Any = None,
        seal: Callable[[], None] = lambda: None,
    ) -> tuple[Any, ...]:
        seal()
        return (word,)

    def check(self) -> None:
        pass

    def give_up(self, server: str, failure: Failure) -> None:
        pass

    def begin_hold(self, now: float) -> float:
        return now
