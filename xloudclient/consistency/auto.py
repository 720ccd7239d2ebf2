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


"""What ``--quiesce auto`` means for a guest, once one has looked into it.

The freeze hook, where Nova calls it around the point in time and it holds
what runs. Else databases first, each by its own holder, in the order of
:data:`ORDER`; then ``sync``, and the file systems where they may be frozen.
A database that can't be quiesced is a failure: never a silent lower class.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xloudclient.consistency.answers import FreezeHook, GuestFacts
from xloudclient.consistency.errors import NotQuiesced
from xloudclient.consistency.plan import (
    MOST_QUIESCERS,
    Consistency,
    Plan,
    Quiescer,
)

NO_HOOK = FreezeHook()
#: Those that are held wait while the next is made ready. So what may take
#: long and blocks nobody comes first: PostgreSQL's checkpoint, and Redis's
#: first save. The lock of MySQL is asked for no longer than for its budget.
ORDER = ('postgresql', 'redis', 'mysql')


def resolve(
    plan: Plan,
    found: Mapping[str, Any],
    facts: GuestFacts,
    hook: FreezeHook = NO_HOOK,
) -> Plan:
    """Replace ``auto`` by what was found in the guest.

    :param found: what the ``probe`` script printed
    :param hook: the guest agent's freeze hook
    :raises NotQuiesced: something runs that no quiescer here knows, or too
        much
    """
    databases = find(found, plan.catalogue)
    if _is_for_agent(plan, databases, hook):
        return by_agent(dataclasses.replace(plan, by_agent=True), hook)
    # where Nova has an agent freeze, it also thaws: see Target.has_agent
    may_freeze = facts.may_freeze and not plan.target.has_agent
    names = ['sync', *(['fsfreeze'] if may_freeze else [])]
    chosen = (*databases, *(plan.catalogue[name] for name in names))
    check_number(chosen)
    required = plan.required
    if plan.is_required_by_default:
        required = nominal(chosen)
    return dataclasses.replace(
        plan, quiescers=chosen, required=required, is_auto=False
    )


def find(
    found: Mapping[str, Any], catalogue: Mapping[str, Quiescer]
) -> tuple[Quiescer, ...]:
    """Return a holder for each database, with the options that reach it.

    :param found: what the ``probe`` script printed
    :raises NotQuiesced: something runs that no quiescer here knows
    """
    databases, others = found.get('databases'), found.get('other')
    if not (isinstance(databases, list) and isinstance(others, list)):
        raise NotQuiesced('what the guest said of itself makes no sense')
    if others:
        listed = ', '.join(sorted(map(str, others)))
        raise NotQuiesced(
            f"auto found {listed} in the guest, which it can't quiesce",
            'Name your own holding hook with --quiesce ./FILE, or name what '
            'is to be quiesced.',
        )
    holders = _holders(databases, catalogue)
    return tuple(sorted(holders, key=lambda one: ORDER.index(one.name)))


def check_number(
    chosen: Sequence[Quiescer], most: int = MOST_QUIESCERS
) -> None:
    """Refuse what is more than can be held at once.

    :raises NotQuiesced: it is
    """
    if len(chosen) > most:
        names = ', '.join(one.name for one in chosen)
        raise NotQuiesced(
            f'auto would hold {len(chosen)} at once ({names}), and at most '
            f'{most} can be held',
            'Name what is to be held with --quiesce; a holding hook of your '
            'own may hold several.',
        )


def by_agent(plan: Plan, hook: FreezeHook) -> Plan:
    """Complete a plan in which the hook holds: what that gives."""
    required = plan.required
    if plan.is_required_by_default:
        required = max(Consistency.FILESYSTEM, nominal(hook.quiescers))
    return dataclasses.replace(plan, required=required, is_auto=False)


def _is_for_agent(
    plan: Plan, databases: Sequence[Quiescer], hook: FreezeHook
) -> bool:
    """Whether the hook would hold what runs, around the point in time."""
    return (
        hook.is_used
        and bool(plan.target.has_agent)
        and plan.suits_hook
        and _holds(hook, databases)
    )


def _holds(hook: FreezeHook, databases: Sequence[Quiescer]) -> bool:
    """Whether the hook holds these databases, and no other.

    A database that is not there any more would make the hook fail.
    """
    held = [one for one in hook.quiescers if one.name in ORDER]
    return sorted(one.name for one in held) == sorted(
        one.name for one in databases
    ) and _sockets(held) <= _sockets(databases)


def _sockets(quiescers: Sequence[Quiescer]) -> set[str]:
    return {
        value
        for one in quiescers
        for key, value in one.options
        if key == 'socket'
    }


def _holders(
    databases: Sequence[Any], catalogue: Mapping[str, Quiescer]
) -> Iterator[Quiescer]:
    for one in databases:
        found = one if isinstance(one, dict) else {}
        name = str(found.get('quiescer'))
        if name not in catalogue or name not in ORDER:
            raise NotQuiesced(f"auto found {name}, which it can't quiesce")
        options = found.get('options')
        yield dataclasses.replace(
            catalogue[name],
            options=tuple(
                (str(key), str(value))
                for key, value in (
                    options.items() if isinstance(options, dict) else ()
                )
            ),
        )


def nominal(quiescers: Sequence[Quiescer]) -> Consistency:
    """The class these give on one disk when all goes well."""
    return max(
        (one.gives for one in quiescers if one.gives is not None),
        default=Consistency.NONE,
    )
