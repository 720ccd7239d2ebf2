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

"""What is to be said of a server."""

import datetime
import shlex
from collections.abc import Iterator, Sequence

from xloudclient.catalog.diagnosis.facts import (
    LONG_SECONDS,
    Quota,
    ServerFacts,
)
from xloudclient.catalog.snapshot import Kind, moment
from xloudclient.consistency.checks.finding import Finding, Result
from xloudclient.consistency.checks.quota import OF_IMAGES

#: A request and what it made differ by a little in their clocks.
SAME_SECONDS = 5.0

#: Quiescers that their names say all of.
NEED_NO_OPTION = ('sync', 'fsfreeze', 'mysql', 'postgresql', 'redis')

FIT = ('ACTIVE', 'SHUTOFF', 'PAUSED', 'SUSPENDED')


def findings(facts: ServerFacts) -> Iterator[Finding]:
    """Yield what is to be said of a server, each check once.

    :returns: findings whose advice is a command that can be pasted
    """
    yield _state(facts)
    yield _last_request(facts)
    yield _agent(facts)
    for quota in facts.quotas:
        yield _quota(facts, quota)
    yield _orphans(facts)
    for run in facts.dead_runs:
        when = ''
        if run.quiesced is None:
            when = ', before it asked for a snapshot'
        yield Finding(
            'interrupted run',
            Result.PROBLEM,
            f'run {run.id} ended without cleaning up{when}',
            f'openstack server snapshot recover {run.id}',
        )


def _state(facts: ServerFacts) -> Finding:
    server = facts.server
    seconds = (facts.now - server.since).total_seconds()
    if server.task and seconds > LONG_SECONDS:
        return Finding(
            'server',
            Result.PROBLEM,
            f'it is in {server.task} since {server.since:%Y-%m-%dT%H:%M:%SZ}'
            ': its compute host may be down. An administrator can reset it',
            f'openstack server set --state active {server.id}',
        )
    if server.task:
        return Finding(
            'server',
            Result.WARNING,
            f'it is in {server.task}, for {seconds:.0f} s: no other snapshot '
            'can be taken',
            f'openstack server show {server.id}',
        )
    if server.status not in FIT:
        return Finding(
            'server',
            Result.PROBLEM,
            f'it is {server.status}: no snapshot can be taken',
            f'openstack server show {server.id}',
        )
    return Finding('server', Result.OK, f'it is {server.status}')


def _last_request(facts: ServerFacts) -> Finding:
    check = 'last snapshot'
    if not facts.requests:
        return Finding(check, Result.OK, 'none was asked for')
    last = facts.requests[0]
    time = f'{last.time:%Y-%m-%dT%H:%M:%SZ}'
    found = next(
        (
            one
            for one in facts.snapshots
            if moment(one.created_at)
            >= last.time - datetime.timedelta(seconds=SAME_SECONDS)
        ),
        None,
    )
    if found is not None:
        return Finding(
            check,
            Result.OK,
            f'asked for at {time}: {found.label} is {found.status}',
            ''
            if found.status == 'active' and found.kind is not Kind.VOLUME
            else f'openstack snapshot diagnose {found.id}',
        )
    if facts.server.task:
        return Finding(check, Result.OK, f'asked for at {time}: under way')
    said = f'Nova says: {last.error}' if last.error else 'Nova says nothing'
    return Finding(
        check,
        Result.PROBLEM,
        f'asked for at {time}, and not there: it failed, or was deleted. '
        f'{said}',
        _again(facts),
    )


def _again(facts: ServerFacts) -> str:
    """The command that takes the last snapshot once more, as it was taken."""
    words = [word for one in _quiesced(facts) for word in ('--quiesce', one)]
    verb = 'consistent' if words else 'create'
    command = f'openstack server snapshot {verb} --wait'
    return shlex.join([*command.split(), *words, facts.server.id])


def _quiesced(facts: ServerFacts) -> Sequence[str]:
    """What the server's last snapshot was quiesced with.

    A snapshot has the names alone: where they don't say all, auto chooses.
    """
    for run in reversed(facts.dead_runs):
        if run.quiesced is not None:
            return run.quiesced
    for snapshot in facts.snapshots:
        if recorded := snapshot.recorded('xloud_quiesced'):
            names = recorded.split(',')
            return names if set(names) <= set(NEED_NO_OPTION) else ['auto']
    return ()


def _agent(facts: ServerFacts) -> Finding:
    is_live = facts.server.status in ('ACTIVE', 'PAUSED')
    if facts.needs_agent and not facts.has_agent and is_live:
        return Finding(
            'guest agent',
            Result.PROBLEM,
            'its image has os_require_quiesce and not hw_qemu_guest_agent: '
            'a snapshot fails while the server runs',
            f'openstack server stop {facts.server.id}',
        )
    words = 'Nova freezes it' if facts.has_agent else 'Nova does not freeze it'
    return Finding('guest agent', Result.OK, words)


def _quota(facts: ServerFacts, quota: Quota) -> Finding:
    check = f'quota of {quota.name}'
    used = str(quota.allowance)
    if quota.allowance.has_room_for(quota.needed):
        return Finding(check, Result.OK, used)
    return Finding(
        check,
        Result.PROBLEM,
        f'{used}: no room for {quota.needed or "any"} more. Delete '
        'snapshots, or have an administrator raise it',
        _raise(facts.project_id, quota),
    )


def _raise(project_id: str, quota: Quota) -> str:
    """The command that shows an administrator's limit, or raises a quota."""
    if quota.name in OF_IMAGES:
        return f'openstack limit list --service glance --project {project_id}'
    what, _, type_name = quota.name.partition('_')
    of_type = ['--volume-type', type_name] if type_name else []
    enough = str(quota.allowance.used + quota.needed)
    words = ['quota', 'set', f'--{what}', enough, *of_type, project_id]
    return shlex.join(['openstack', *words])


def _orphans(facts: ServerFacts) -> Finding:
    if not facts.orphans:
        return Finding(
            'left behind', Result.OK, 'every volume snapshot has its image'
        )
    return left_behind(facts.orphans)


def left_behind(orphans: Sequence[str]) -> Finding:
    """What is to be said of volume snapshots whose image is gone."""
    return Finding(
        'left behind',
        Result.PROBLEM,
        'volume snapshots that were made for an image that does not exist: '
        f'{len(orphans)}',
        f'openstack volume snapshot delete {shlex.join(orphans)}',
    )
