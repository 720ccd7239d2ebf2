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


"""What a run may claim, from what its parts have seen."""

import dataclasses

from xloudclient.consistency import evidence
from xloudclient.consistency.answers import GuestFacts
from xloudclient.consistency.errors import Failure, OutOfTime
from xloudclient.consistency.hold import Hold
from xloudclient.consistency.outcome import Progress
from xloudclient.consistency.plan import Consistency, Kind, Plan
from xloudclient.consistency.proof import Proof, prove, prove_idle
from xloudclient.consistency.settling import Settling
from xloudclient.consistency.taking import Taking

CHANGED = 'a volume was attached or detached meanwhile'
#: No longer than the freeze hook makes it, so not to predict the next one by.
EARLY = "released when the guest saw Nova's thaw"


class Judging:
    """Judges one run, once everything is released."""

    def __init__(
        self,
        plan: Plan,
        progress: Progress,
        hold: Hold,
        taking: Taking,
        settling: Settling,
    ) -> None:
        self.plan = plan
        self.progress = progress
        self.hold = hold
        self.taking = taking
        self.settling = settling
        self.facts = GuestFacts()

    def prove(self) -> Proof:
        """Tell the class that was proven.

        A release that went wrong is told of, too: it made the hold longer
        than the next one is to be predicted; and an early one, shorter.
        """
        proof = self._prove()
        reasons = [proof.reason] if proof.reason else []
        if self.hold.strains and not reasons:
            reasons.append(f'at the release: {"; ".join(self.hold.strains)}')
        if self.hold.was_early:
            reasons.append(EARLY)
        return dataclasses.replace(proof, reason='; '.join(reasons))

    def _prove(self) -> Proof:
        proof = self._shown()
        if proof.consistency is Consistency.NONE:
            return proof
        doubt = self._doubt()
        return Proof(Consistency.NONE, doubt) if doubt else proof

    def _shown(self) -> Proof:
        """What the plan, the guest and the snapshot show."""
        if self._is_incomplete():
            return Proof(Consistency.NONE, CHANGED)
        if not self.plan.target.state.is_writing:
            return prove_idle(self.plan)
        lapses = list(self.hold.lapses)
        if isinstance(self.progress.failure, OutOfTime):
            lapses.append('released before the capture: out of time')
        return prove(self.plan, self.facts, self.hold.holders, lapses)

    def _is_incomplete(self) -> bool:
        """Whether the snapshot holds other volumes than were planned."""
        if self.plan.rehearse:
            return False
        planned = [one.id for one in self.plan.captured_volumes]
        return sorted(self.taking.captured) != sorted(planned)

    def _doubt(self) -> str:
        """Say what happened to the server since the plan that voids it.

        What can't be seen may have happened.
        """
        target = self.plan.target
        has_volumes = bool(self.plan.captured_volumes)
        try:
            if not target.state.is_writing and self.settling.was_started():
                return 'it was started meanwhile'
            if has_volumes and self.settling.has_other_volumes():
                return CHANGED
        except Failure as failure:
            return f"whether it changed meanwhile can't be seen: {failure}"
        return ''

    def claims(self, proof: Proof) -> dict[str, str]:
        """The properties that claim it."""
        is_image = self.plan.target.kind is Kind.IMAGE
        requested = self.taking.requested
        return evidence.proven_properties(
            requested.image_id,
            proof,
            self.progress.captured_at,
            self.hold.frozen_seconds,
            self.hold.proven_names,
            requested.volume_snapshots if is_image else (),
            self.plan.group_id,
        )
