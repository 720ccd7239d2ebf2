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


"""Waits for what may hang, but only so long, and hears signals meanwhile."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from xloudclient.consistency.answers import Evidence, FreezeHook, GuestFacts
from xloudclient.consistency.errors import (
    GuestLost,
    Interrupted,
    NotQuiesced,
)
from xloudclient.consistency.plan import Quiescer
from xloudclient.consistency.ports import Clock
from xloudclient.consistency.run import CONNECT_SECONDS, PROBE_SECONDS
from xloudclient.consistency.taking import CALL_SECONDS
from xloudclient.guest.look import Look

T = TypeVar('T')


@dataclasses.dataclass(frozen=True, slots=True)
class Patience:
    """Waits for calls that may hang, but only so long."""

    clock: Clock

    def ask(self, call: Callable[[], T], seconds: float = CALL_SECONDS) -> T:
        """Make a call that may hang.

        :raises Interrupted: a signal came; TimeoutError: it hung
        """
        try:
            return self.clock.bounded(call, seconds)
        except TimeoutError:
            if number := self.clock.interrupted:
                raise Interrupted('interrupted', number) from None
            raise


@dataclasses.dataclass(frozen=True, slots=True)
class PatientLook:
    """Asks a guest what changes nothing in it.

    Every method raises NotQuiesced where there is no answer in time, and
    Interrupted when a signal came.
    """

    look: Look
    patience: Patience

    def open(self) -> GuestFacts:
        """Connect."""
        return self._ask(
            lambda: self.look.open(CONNECT_SECONDS),
            CONNECT_SECONDS + 1,
            "can't reach the guest",
        )

    def freeze_hook(self) -> FreezeHook:
        """Tell of the guest agent's freeze hook."""
        return self._ask(lambda: self.look.freeze_hook(PROBE_SECONDS))

    def probe(self) -> Mapping[str, Any]:
        """Tell what runs in the guest."""
        return self._ask(lambda: self.look.probe(PROBE_SECONDS))

    def examine(self, quiescer: Quiescer, limit: float) -> Evidence:
        """Ask a quiescer of ours what its ``ready`` line would say.

        :param limit: seconds that it may take
        :raises Busy: not now
        """
        return self._ask(
            lambda: self.look.examine(quiescer, limit),
            limit + CALL_SECONDS,
            f'{quiescer.name} was not ready',
        )

    def _ask(
        self,
        call: Callable[[], T],
        seconds: float = CALL_SECONDS,
        failed: str = "can't look into the guest",
    ) -> T:
        try:
            return self.patience.ask(call, seconds)
        except (GuestLost, TimeoutError) as error:
            raise NotQuiesced(f'{failed}: {error}') from error
