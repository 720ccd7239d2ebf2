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

"""What is wrong with a snapshot or a server, why, and what cures it.

Pure: facts that were gathered in, findings out. What services do when they
fail is in ``nova/compute/manager.py`` (``delete_image_on_error``,
``reverts_task_state``), ``nova/compute/api.py``
(``snapshot_volume_backed``) and ``glance/api/v2/image_data.py``: mostly they
say nothing, and the failed snapshot is gone.
"""

import dataclasses
import datetime
import shlex
from collections.abc import Iterator, Sequence

from xloudclient.catalog.snapshot import Kind, Snapshot, moment
from xloudclient.consistency.checks.finding import Finding, Result
from xloudclient.consistency.checks.quota import Allowance

#: A task or an upload that lasts longer is worth a look.
LONG_SECONDS = 1800.0
#: A request and what it made differ by a little in their clocks.
SAME_SECONDS = 5.0

#: Quiescers that their names say all of.
NEED_NO_OPTION = ('sync', 'fsfreeze', 'mysql', 'postgresql', 'redis')

FIT = ('ACTIVE', 'SHUTOFF', 'PAUSED', 'SUSPENDED')


@dataclasses.dataclass(frozen=True, slots=True)
class ServerState:
    """A server, as Nova shows it.

    :param task: '' if none is under way
    :param since: when its state last changed
    """

    id: str
    name: str
    status: str
    task: str
    since: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A volume snapshot.

    :param status: Cinder's; '' if it can't be seen
    :param message: what Cinder told its user of a failure; may be empty
    """

    id: str
    status: str
    message: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """What is known of one snapshot.

    :param server: the server it was made of; None if that is gone
    :param members: the projects it is shared with, as its owner sees them
    :param is_pending_offer: it was offered to the reader, who has not
        accepted it
    :param dead_run: a run of this user's that left its proof unrecorded
    """

    snapshot: Snapshot
    now: datetime.datetime
    server: ServerState | None = None
    parts: tuple[Part, ...] = ()
    members: tuple[str, ...] = ()
    is_pending_offer: bool = False
    dead_run: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A snapshot that Nova was asked for (an instance action).

    :param error: what Nova told of its failure; '' if nothing
    """

    time: datetime.datetime
    error: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class DeadRun:
    """A run of this user's that ended without cleaning up.

    :param quiesced: with what it had quiesced the server, as values of
        ``--quiesce``, when it asked for a snapshot; None if it never did
    """

    id: str
    quiesced: tuple[str, ...] | None = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Quota:
    """What the next snapshot would use up.

    :param name: as ``openstack quota set`` has it
    :param needed: how much one snapshot of the server takes
    """

    name: str
    allowance: Allowance
    needed: int


@dataclasses.dataclass(frozen=True, slots=True)
class ServerFacts:
    """What is known of one server.

    :param snapshots: those of it that exist, the newest first
    :param requests: those that Nova was asked for, the newest first
    :param orphans: IDs of volume snapshots that Nova made for an image
        which does not exist
    :param needs_agent: its image has ``os_require_quiesce``
    :param has_agent: its image has ``hw_qemu_guest_agent``
    :param dead_runs: the oldest first
    """

    server: ServerState
    project_id: str
    now: datetime.datetime
    snapshots: tuple[Snapshot, ...] = ()
    requests: tuple[Request, ...] = ()
    orphans: tuple[str, ...] = ()
    quotas: tuple[Quota, ...] = ()
    needs_agent: bool = False
    has_agent: bool = False
    dead_runs: tuple[DeadRun, ...] = ()


def of_snapshot(facts: SnapshotFacts) -> Iterator[Finding]:
    """Yield what is to be said of a snapshot, each check once.

    :returns: findings whose advice is a command that can be pasted
    """
    yield _upload(facts)
    if facts.snapshot.volumes:
        yield from _parts(facts)
    yield _evidence(facts)
    if facts.is_pending_offer:
        yield Finding(
            'offer',
            Result.WARNING,
            'another project offered it; it is not accepted yet',
            f'openstack snapshot accept {facts.snapshot.id}',
        )
    if facts.members:
        yield _sharing(facts)


def _upload(facts: SnapshotFacts) -> Finding:
    snapshot, server = facts.snapshot, facts.server
    delete = f'openstack snapshot delete {snapshot.id}'
    status = snapshot.status
    if status == 'active':
        return Finding('image', Result.OK, 'it is active')
    if status == 'deactivated':
        return Finding(
            'image',
            Result.PROBLEM,
            'an administrator deactivated it, and has to activate it again',
            f'openstack image set --activate {snapshot.id}',
        )
    if not snapshot.is_uploading:
        return Finding(
            'image', Result.PROBLEM, f'it is {status}: it has no data', delete
        )
    if server is None:
        return Finding(
            'image',
            Result.PROBLEM,
            f'it is {status}, and its server is gone: nobody uploads it',
            delete,
        )
    if not server.task:
        return Finding(
            'image',
            Result.PROBLEM,
            f'it is {status}, and its server has no task: its capture or '
            'upload failed, and Nova could not remove it',
            delete,
        )
    seconds = _age(snapshot, facts.now)
    if seconds < LONG_SECONDS:
        return Finding(
            'image',
            Result.OK,
            f'it is {status}, for {seconds:.0f} s; the server is in '
            f'{server.task}',
        )
    return Finding(
        'image',
        Result.WARNING,
        f'it is {status} since {snapshot.created_at}; the server is in '
        f'{server.task}',
        f'openstack snapshot diagnose {server.id}',
    )


def _parts(facts: SnapshotFacts) -> Iterator[Finding]:
    snapshot = facts.snapshot
    bad = [one for one in facts.parts if one.status != 'available']
    if not bad:
        count = len(facts.parts)
        yield Finding(
            'volume snapshots', Result.OK, f'all {count} are available'
        )
    for one in bad:
        yield _part(snapshot, one)


def _part(snapshot: Snapshot, part: Part) -> Finding:
    check = f'volume snapshot {part.id}'
    delete = f'openstack snapshot delete {snapshot.id}'
    if part.status == 'creating':
        return Finding(check, Result.WARNING, 'Cinder is making it')
    if part.status:
        said = f': {part.message}' if part.message else ''
        return Finding(
            check,
            Result.PROBLEM,
            f'it is in status {part.status}{said}; the snapshot can '
            'not be launched',
            delete,
        )
    if snapshot.is_own:
        return Finding(
            check,
            Result.PROBLEM,
            'it does not exist; the snapshot can not be launched',
            delete,
        )
    return Finding(
        check,
        Result.PROBLEM,
        "it is in its owner's project, where this project can not launch "
        'it; the owner can convert it',
        f'openstack snapshot share --convert {snapshot.id} {snapshot.reader}',
    )


def _evidence(facts: SnapshotFacts) -> Finding:
    snapshot = facts.snapshot
    if facts.dead_run:
        return Finding(
            'evidence',
            Result.PROBLEM,
            'the command that took it ended before its proof was recorded',
            f'openstack server snapshot recover {facts.dead_run}',
        )
    if snapshot.consistency is None:
        return Finding('evidence', Result.WARNING, snapshot.why)
    return Finding(
        'evidence',
        Result.OK,
        f'{snapshot.consistency}: {snapshot.why or "as it was asked for"}',
    )


def _sharing(facts: SnapshotFacts) -> Finding:
    count, snapshot = len(facts.members), facts.snapshot
    if not snapshot.volumes:
        return Finding(
            'sharing', Result.OK, f'projects that can launch it: {count}'
        )
    return Finding(
        'sharing',
        Result.PROBLEM,
        'its volume snapshots stay in this project: those it is shared with '
        'can not launch it',
        f'openstack snapshot share --convert {snapshot.id} '
        + shlex.join(facts.members),
    )


def of_server(facts: ServerFacts) -> Iterator[Finding]:
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
            if _created(one)
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
    enough = quota.allowance.used + quota.needed
    return Finding(
        check,
        Result.PROBLEM,
        f'{used}: no room for {quota.needed} more. Delete snapshots, or have '
        'an administrator raise it',
        f'openstack quota set --{quota.name} {enough} {facts.project_id}',
    )


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


def _created(snapshot: Snapshot) -> datetime.datetime:
    return moment(snapshot.created_at)


def _age(snapshot: Snapshot, now: datetime.datetime) -> float:
    return (now - _created(snapshot)).total_seconds()
