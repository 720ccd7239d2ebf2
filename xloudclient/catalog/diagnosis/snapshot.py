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

"""What is to be said of a snapshot."""

import shlex
from collections.abc import Iterator

from xloudclient.catalog.diagnosis.facts import (
    LONG_SECONDS,
    Part,
    SnapshotFacts,
)
from xloudclient.catalog.snapshot import Snapshot, moment
from xloudclient.consistency.checks.finding import Finding, Result


def findings(facts: SnapshotFacts) -> Iterator[Finding]:
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
    seconds = (facts.now - moment(snapshot.created_at)).total_seconds()
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
