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


"""The hold and the class that a snapshot would have now."""

from collections.abc import Iterable, Sequence

from xloudclient.consistency import forecast
from xloudclient.consistency.answers import Evidence, FreezeHook, GuestFacts
from xloudclient.consistency.checks.finding import (
    Finding,
    Result,
    first_failure,
    ok,
    problem,
    warning,
)
from xloudclient.consistency.errors import LowerClass, NotQuiesced
from xloudclient.consistency.plan import Plan, Quiescer
from xloudclient.consistency.proof import Holder, Proof, prove, prove_idle

#: An application may well notice a hold that is longer.
LONG_SECONDS = 10.0


def hold(
    plan: Plan,
    measured_ms: int | None,
    facts: GuestFacts,
    hook: FreezeHook = forecast.NO_HOOK,
) -> Finding:
    """Predict the hold by the rule that a run has for it."""
    if not (plan.quiescers or plan.by_agent):
        return ok('hold', 'nothing is held')
    predicted = forecast.predict(plan, measured_ms, facts.used_bytes)
    try:
        if doubt := forecast.refuse(plan, predicted, hook):
            return warning('hold', doubt)
    except NotQuiesced as failure:
        return problem('hold', failure)
    text = f'{predicted}; --max-freeze is {plan.budget.max_freeze:g} s'
    is_long = (predicted.seconds or 0) > LONG_SECONDS
    if is_long and (command := forecast.by_hook(plan, hook)):
        depends = forecast.if_agent(plan)
        text += f"; with the guest agent's freeze hook it is a moment{depends}"
        return warning('hold', text, command)
    return ok('hold', text)


def verdict(findings: Iterable[Finding], plan: Plan, proof: Proof) -> Finding:
    """Say what a snapshot would be, after all that was found."""
    if failure := first_failure(findings):
        text = f'no snapshot (exit code {failure.exit_code:d}): {failure}'
        return Finding('class', Result.PROBLEM, text)
    why = f': {proof.reason}' if proof.reason else ''
    if proof.consistency < plan.required:
        return problem(
            'class',
            LowerClass(
                f'{proof.consistency}, required is {plan.required}{why}'
            ),
        )
    return ok('class', f'{proof.consistency}{why}')


def proof(
    plan: Plan,
    facts: GuestFacts,
    seen: Sequence[tuple[Quiescer, Evidence]],
    lapses: Sequence[str],
) -> Proof:
    """Judge a hold that goes as it looks now, by the rule of a real one.

    :param seen: the quiescers that would hold, and what they would say
    :param lapses: those that ``--on-error continue`` would drop, and why
    """
    state = plan.target.state
    if not state.is_writing:
        return prove_idle(plan)
    holders = [
        Holder(one, evidence, _held(plan, one, evidence))
        for one, evidence in seen
    ]
    return prove(plan, facts, holders, lapses)


def _held(plan: Plan, quiescer: Quiescer, seen: Evidence) -> Evidence | str:
    is_ours = quiescer.name == 'fsfreeze' and not plan.by_agent
    if is_ours and plan.target.has_agent:
        return 'the guest agent thaws it before the capture is seen'
    return seen
