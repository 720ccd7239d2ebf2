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

"""Did a server stand still, so that others can be captured at its moment?

A class tells what is on a server's own disks. A group's point in time needs
more: that nothing moved from the first request to the last capture. What
lets the application write on (PostgreSQL recovers from any moment, and so it
is held at none) gives the class, and no moment in common with anybody.
"""

from collections.abc import Sequence

from xloudclient.consistency.answers import GuestFacts
from xloudclient.consistency.errors import NotQuiesced
from xloudclient.consistency.plan import Consistency, Plan
from xloudclient.consistency.proof import Holder, Proof, is_frozen, prove

ADVICE = (
    'In a group every running server needs something that stops writes, '
    'such as mysql, redis, service, fsfreeze or a holding hook of your own.'
)


def refuse(plan: Plan) -> None:
    """Refuse, before anything is touched, what could never stand still.

    :raises NotQuiesced: nothing that is asked for stops the writes
    """
    if not plan.target.state.is_writing:
        return
    classes = {one.gives for one in plan.quiescers}
    if {None, Consistency.FILESYSTEM} & classes:
        # what a hook of the user's own holds is known once it is ready
        return
    if moving := _moving(plan):
        raise NotQuiesced(_let_write(moving), ADVICE)
    if Consistency.APPLICATION not in classes:
        raise NotQuiesced('nothing is asked for that stops writes', ADVICE)


def expect(plan: Plan, facts: GuestFacts, holders: Sequence[Holder]) -> None:
    """Refuse, before any request, what would not be proven afterwards.

    :param holders: all of them, ready
    :raises NotQuiesced: even if they all hold, it would not stand still
    """
    held = [Holder(one.quiescer, one.ready, one.ready) for one in holders]
    if plan.target.state.is_writing:
        proof = prove(plan, facts, held)
        if why := missing(plan, facts, held, proof):
            raise NotQuiesced(why, ADVICE)


def missing(
    plan: Plan, facts: GuestFacts, holders: Sequence[Holder], proof: Proof
) -> str:
    """Say why it was not shown to stand still; '' if it was.

    :param proof: the class that was proven, and why no higher one
    """
    if not plan.target.state.is_writing:
        return proof.reason if proof.consistency is Consistency.NONE else ''
    if proof.consistency < Consistency.FILESYSTEM:
        return proof.reason
    moving = _moving(plan)
    if not moving or is_frozen(plan, facts, holders):
        return ''
    return _let_write(moving)


def _moving(plan: Plan) -> list[str]:
    """The applications among what is quiesced that go on writing."""
    return [
        one.name
        for one in plan.quiescers
        if one.gives is Consistency.APPLICATION and not one.stops_writes
    ]


def _let_write(names: Sequence[str]) -> str:
    return (
        f'{", ".join(names)} does not stop writes, so it has no moment in '
        'common with other servers unless fsfreeze holds its disks'
    )
