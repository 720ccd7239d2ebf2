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


"""What a look into the guest tells."""

from collections.abc import Iterator

from xloudclient.consistency.answers import (
    Data,
    Evidence,
    FreezeHook,
    GuestFacts,
)
from xloudclient.consistency.checks.finding import (
    Finding,
    ok,
    problem,
    warning,
)
from xloudclient.consistency.errors import Busy
from xloudclient.consistency.freeze_hook import why_unused
from xloudclient.consistency.plan import Plan, Quiescer


def login(plan: Plan, facts: GuestFacts) -> Iterator[Finding]:
    """Judge the login that worked."""
    if facts.is_taken:
        yield problem(
            'login',
            Busy('another run is at work in the guest', 'Try again later.'),
        )
    if facts.is_root:
        yield ok('login', f'{plan.address}, as root')
        if not facts.may_freeze:
            yield warning(
                'login',
                'the guest is this machine: its file systems are not frozen',
            )
        return
    yield warning(
        'login',
        f'{plan.address}, not as root: no file system can be frozen',
        'Let that account use sudo without a password.',
    )


def found(plan: Plan) -> Finding:
    names = ', '.join(one.name for one in plan.quiescers)
    return ok('auto', f'chose {"agent" if plan.by_agent else names}')


def freeze_hook(plan: Plan, hook: FreezeHook) -> Finding:
    """Judge the freeze hook; one that is not there may be no loss."""
    names = ', '.join(one.name for one in hook.quiescers) or 'file systems'
    if hook.is_installed:
        if hook.is_used:
            return ok('hook', f'installed: {names}; at most {hook.cap} s')
        return warning('hook', *why_unused(plan, hook))
    if hook.is_closed:
        return warning('hook', 'installed, but only root can see it')
    return ok('hook', 'not installed')


def quiescer(quiescer: Quiescer, seen: Evidence) -> Iterator[Finding]:
    """Tell what a quiescer said it would say when it holds."""
    words = []
    if version := seen.detail.get('version'):
        words.append(str(version))
    words += [_place(one) for one in seen.data]
    if seen.frozen:
        words.append(f'freezes {", ".join(_paths(seen, "frozen"))}')
    if still := _paths(seen, 'still'):
        words.append(f'{", ".join(still)} must not be written to meanwhile')
    text = '; '.join(words) or 'ready'
    if seen.gives is not None and seen.gives < (quiescer.gives or seen.gives):
        reason = seen.detail.get('reason') or 'it says no more'
        yield warning(quiescer.name, f'gives {seen.gives}: {reason}')
    yield ok(quiescer.name, text)
    if skipped := _paths(seen, 'skipped'):
        yield warning(quiescer.name, f'not frozen: {", ".join(skipped)}')


def unasked(quiescer: Quiescer) -> Finding:
    """A user's own file is not run, so nothing is known of it."""
    return warning(
        quiescer.name,
        'what it gives is known only once it holds',
        'To see it: openstack server snapshot consistent --rehearse',
    )


def _place(data: Data) -> str:
    return f'{data.path} on {", ".join(data.disks) or "an unknown disk"}'


def _paths(seen: Evidence, key: str) -> list[str]:
    """The paths of a list in the evidence, each with its reason if it has."""
    listed = seen.detail.get(key)
    return [
        f'{one.get("path", "?")} ({one["reason"]})'
        if one.get('reason')
        else str(one.get('path', '?'))
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, dict)
    ]
