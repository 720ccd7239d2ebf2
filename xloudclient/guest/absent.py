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


"""A guest in which nothing is to be done."""

from collections.abc import Mapping
from typing import Any, NoReturn

from xloudclient.consistency.answers import (
    Evidence,
    FreezeHook,
    GuestFacts,
    HookOutcome,
    Released,
)
from xloudclient.consistency.errors import GuestLost
from xloudclient.consistency.plan import Hook, Quiescer


class NoGuest:
    """The Guest port where no plan needs one: it holds nothing."""

    def open(self, timeout: float) -> GuestFacts:
        self._fail()

    def probe(self, timeout: float) -> Mapping[str, Any]:
        self._fail()

    def freeze_hook(
        self, timeout: float, since: int = 0, expect: bool = False
    ) -> FreezeHook:
        self._fail()

    def run_hook(
        self,
        hook: Hook,
        phase: str,
        environment: Mapping[str, str],
        timeout: float,
    ) -> HookOutcome:
        self._fail()

    def start_lease(self, cap: float) -> None:
        self._fail()

    def hold(
        self,
        quiescer: Quiescer,
        environment: Mapping[str, str],
        timeout: float,
    ) -> Evidence:
        self._fail()

    def verify(self, timeout: float) -> tuple[Evidence | str, ...]:
        return ()

    def release(self, timeout: float) -> tuple[Released, ...]:
        return ()

    def close(self) -> None:
        """Nothing was opened."""

    def _fail(self) -> NoReturn:
        raise GuestLost('this server is not to be logged in to')
