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


"""The part of a check that looks into the guest.

It is asked in the order of a run, by the rules of a run; nothing is held.
"""

import contextlib
from collections.abc import Iterator

from xloudclient.consistency import auto, fitness
from xloudclient.consistency.answers import Evidence, FreezeHook, GuestFacts
from xloudclient.consistency.checks import guest as of_guest
from xloudclient.consistency.checks import prediction
from xloudclient.consistency.checks.finding import Finding, problem, warning
from xloudclient.consistency.errors import Busy, NotQuiesced
from xloudclient.consistency.freeze_hook import refuse
from xloudclient.consistency.plan import Plan, Quiescer
from xloudclient.consistency.proof import Proof
from xloudclient.guest import freeze_hook
from xloudclient.guest.access import Access
from xloudclient.guest.look import Look
from xloudclient.planning.patience import Patience, PatientLook


class Looking:
    """Looks into one guest.

    :ivar plan: with ``auto`` replaced by what it means there, once known
    :ivar facts: what the guest is
    """

    def __init__(
        self, plan: Plan, measured_ms: int | None, patience: Patience
    ) -> None:
        self.plan = plan
        self.measured_ms = measured_ms
        self.patience = patience
        self.facts = GuestFacts()
        self._hook = FreezeHook()
        self._seen: list[tuple[Quiescer, Evidence]] = []
        self._lapses: list[str] = []

    def proof(self) -> Proof:
        """What a hold that goes as it looks now would prove."""
        return prediction.proof(
            self.plan, self.facts, self._seen, self._lapses
        )

    def findings(self, guest: Access | None) -> Iterator[Finding]:
        """Look, if there is a guest to be looked into."""
        if guest is None:
            yield self._hold()
            return
        look = Look(guest, self.plan.run_id)
        patient = PatientLook(look, self.patience)
        with contextlib.closing(look):
            try:
                self.facts = patient.open()
                fitness.check_identity(self.plan, self.facts)
            except NotQuiesced as failure:
                yield problem('login', failure)
                return
            yield from of_guest.login(self.plan, self.facts)
            if not self.facts.is_taken:
                yield from self._holders(patient)

    def _holders(self, look: PatientLook) -> Iterator[Finding]:
        check = 'fsfreeze'
        try:
            hook = self._hook = self._freeze_hook(look)
            yield of_guest.freeze_hook(self.plan, hook)
            if self.plan.by_agent:
                check = 'hook'
                refuse(self.plan, hook)
                self.plan = auto.by_agent(self.plan, hook)
            elif self.plan.is_auto:
                check = 'auto'
                found = look.probe()
                self.plan = auto.resolve(self.plan, found, self.facts, hook)
                yield of_guest.found(self.plan)
            fitness.check_freeze(self.plan, self.facts)
        except NotQuiesced as failure:
            yield problem(check, failure)
            return
        yield self._hold()
        for quiescer in self._to_be_asked(hook):
            yield from self._holder(look, quiescer)

    def _to_be_asked(self, hook: FreezeHook) -> tuple[Quiescer, ...]:
        """Those that would hold, in the hook or over ssh."""
        if self.plan.by_agent:
            return (freeze_hook.watch(), *hook.quiescers)
        return self.plan.quiescers

    def _freeze_hook(self, look: PatientLook) -> FreezeHook:
        if not self.plan.target.state.is_writing:
            return FreezeHook()
        return look.freeze_hook()

    def _holder(
        self, look: PatientLook, quiescer: Quiescer
    ) -> Iterator[Finding]:
        """Ask one; ``--on-error continue`` goes on as a run would."""
        if not quiescer.can_be_examined:
            self._seen.append((quiescer, Evidence()))
            yield of_guest.unasked(quiescer)
            return
        try:
            evidence = look.examine(quiescer, self.plan.budget.hook)
        except NotQuiesced as failure:
            if not self.plan.continue_on_error:
                yield problem(quiescer.name, failure)
                return
            self._lapses.append(f'dropped: {failure}')
            yield warning(quiescer.name, f'would be dropped: {failure}')
        except Busy as failure:
            yield problem(quiescer.name, failure)
        else:
            self._seen.append((quiescer, evidence))
            yield from of_guest.quiescer(quiescer, evidence)

    def _hold(self) -> Finding:
        return prediction.hold(
            self.plan, self.measured_ms, self.facts, self._hook
        )
