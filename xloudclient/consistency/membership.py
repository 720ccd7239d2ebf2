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

"""What a run does as a member of a group; alone, it does nothing."""

from collections.abc import Callable, Sequence
from typing import Any

from xloudclient.consistency import standstill
from xloudclient.consistency.answers import GuestFacts
from xloudclient.consistency.errors import Failure, LowerClass
from xloudclient.consistency.group import Stage
from xloudclient.consistency.plan import Plan
from xloudclient.consistency.ports import World
from xloudclient.consistency.proof import Holder, Proof


class Membership:
    """One run among those of its group.

    :param remaining: seconds left; raises what is to be raised when there
        are none
    """

    def __init__(
        self, plan: Plan, world: World, remaining: Callable[[], float]
    ) -> None:
        self.plan = plan
        self.world = world
        self._remaining = remaining

    def __bool__(self) -> bool:
        return bool(self.plan.group_id)

    def meet(
        self,
        stage: Stage,
        word: Any = None,
        seal: Callable[[], None] = lambda: None,
    ) -> tuple[Any, ...]:
        """Wait until all others have come as far; return all their words.

        :param seal: what the last one does before any goes on
        :raises Failure: somebody gave up, or there is no time left
        """
        if self and stage.is_held:
            self.world.reporter.step('waiting', stage=stage)
        name = self.plan.target.name
        return self.world.group.meet(name, stage, self._remaining, word, seal)

    def give_up(self, failure: Failure) -> None:
        """Tell the others that this server can't."""
        self.world.group.give_up(self.plan.target.name, failure)

    def refuse(self) -> None:
        """Refuse, before anything is touched, what can't be in a group.

        :raises NotQuiesced: it could never stand still
        """
        if self:
            standstill.refuse(self.plan)

    def meet_held(self, facts: GuestFacts, holders: Sequence[Holder]) -> None:
        """Wait until all servers are held.

        :raises NotQuiesced: what this one holds is not enough
        """
        if self:
            standstill.expect(self.plan, facts, holders)
        self.meet(Stage.HELD)

    def check_proof(
        self, facts: GuestFacts, holders: Sequence[Holder], proof: Proof
    ) -> None:
        """See whether this server's snapshot may be one of the group.

        :raises LowerClass: it was not shown to stand still, or is to be
            discarded for its class
        """
        why = standstill.missing(self.plan, facts, holders, proof)
        if self.plan.discard_lower and proof.consistency < self.plan.required:
            why = f'the class is {proof.consistency}: {proof.reason}'
        if why:
            raise LowerClass(why)
