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


"""What a plan would do, for ``--dry-run``."""

import shlex
from collections.abc import Iterator

from xloudclient.consistency.plan import Kind, Place, Plan, Quiescer


def steps(plan: Plan) -> Iterator[tuple[str, str, str, str]]:
    """Tell what a run would do, one row a step.

    :returns: server, step, what, limit
    """
    limit = f'{plan.budget.hook:g} s'
    rows = [(step, what, limit) for step, what in _calls(plan, 'pre')]
    if plan.is_auto:
        rows.append(('quiesce', 'auto (chosen in the guest)', limit))
    if plan.by_agent:
        what = 'agent (its freeze hook, when Nova captures the disk)'
        rows.append(('quiesce', what, limit))
    rows += [('quiesce', _described(q), limit) for q in plan.quiescers]
    if plan.group_id:
        rows.append(('wait', 'until all servers are held', ''))
    total = f'{plan.budget.total:g} s'
    if plan.rehearse:
        rows.append(('hold', 'as long as predicted; no snapshot', total))
    else:
        rows.append(('capture', _captured(plan), total))
    if plan.group_id and not plan.rehearse:
        rows.append(('wait', 'until all servers are captured', ''))
    if plan.is_auto or plan.quiescers:
        freeze = f'{plan.budget.max_freeze:g} s since the first lock'
        rows.append(('verify and release', 'in reverse order', freeze))
    posts = reversed(list(_calls(plan, 'post')))
    rows += [(step, what, limit) for step, what in posts]
    verdict = 'judge' if plan.rehearse else 'record'
    rows.append((verdict, f'required: {_required(plan)}', ''))
    for row in rows:
        yield plan.target.name, *row


def _calls(plan: Plan, phase: str) -> Iterator[tuple[str, str]]:
    """Yield the calls of a phase: which hook, and how it is called."""
    for place, where in ((Place.HERE, ''), (Place.GUEST, 'guest ')):
        for hook in plan.hooks:
            words = hook.pre if phase == 'pre' else hook.post
            if hook.place is place and words is not None:
                called = shlex.join((hook.path, *words))
                yield f'{where}{phase} hook', called


def _described(quiescer: Quiescer) -> str:
    pairs = [(one.option, one.path) for one in quiescer.companions]
    return ' '.join(
        [quiescer.name]
        + [f'{key}={value}' for key, value in (*pairs, *quiescer.options)]
    )


def _captured(plan: Plan) -> str:
    ids = [volume.id for volume in plan.captured_volumes]
    disks = ['root disk'] if plan.target.kind is Kind.IMAGE else []
    disks += [f'volume {one}' for one in ids]
    return f'{", ".join(disks)} as {plan.snapshot_name}'


def _required(plan: Plan) -> str:
    if plan.is_auto and plan.is_required_by_default:
        return 'what auto finds'
    if plan.by_agent and plan.is_required_by_default:
        return 'what the hook holds'
    return str(plan.required)
