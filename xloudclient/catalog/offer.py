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


"""What may be shared with other projects, and what they would see of it."""

from collections.abc import Iterable, Iterator

from xloudclient.catalog.properties import properties
from xloudclient.catalog.snapshot import Kind, Snapshot, described
from xloudclient.consistency.errors import Failure
from xloudclient.consistency.text import printable

#: Everybody can use these.
OPEN = ('public', 'community')
#: What Nova writes that tells of the owner.
TELLING = (
    'instance_uuid',
    'owner_project_name',
    'owner_user_name',
    'user_id',
    'boot_roles',
)
#: What tells of nothing but the format.
FORMAL = ('xloud_schema', 'xloud_image')


def check_owner(snapshot: Snapshot) -> None:
    """Refuse what its owner alone may do.

    :raises Failure: it belongs to another project
    """
    if not snapshot.is_own:
        raise Failure(
            f'{snapshot.label} belongs to project '
            f'{printable(snapshot.project_id)}: only that one can share it'
        )


def check(snapshot: Snapshot) -> None:
    """Refuse what can't be shared at all.

    :raises Failure: the reason
    """
    check_owner(snapshot)
    if snapshot.status != 'active':
        raise Failure(
            f'{snapshot.label} is {snapshot.status}: only active snapshots '
            'can be shared'
        )
    if snapshot.is_shelved:
        raise Failure(
            f'{snapshot.label} is the disk of a shelved server, and goes '
            'when that is unshelved'
        )


def volumes_stay(snapshot: Snapshot) -> str:
    """Say why a snapshot with volume snapshots can't be launched by others."""
    if snapshot.kind is Kind.VOLUME:
        what = 'is volume-backed: its image has no bytes'
    else:
        what = 'has data volumes'
    return (
        f'{snapshot.label} {what}, and its volume snapshots can be used in '
        'this project alone'
    )


def seen_by_others(snapshot: Snapshot) -> Iterator[str]:
    """Yield, as ``key=value``, what is recorded and tells of the owner."""
    for key, value in sorted(properties(snapshot.image).items()):
        is_ours = key.startswith('xloud_') and key not in FORMAL
        if value and (is_ours or key in TELLING):
            yield f'{key}={printable(value)}'


def chosen(offers: Iterable[Snapshot], name: str) -> Snapshot:
    """Return the one snapshot that was offered under a name.

    :raises Failure: there is none, or there are several
    """
    found = list(offers)
    if not found:
        raise Failure(
            f'no other project offers this one a snapshot {name!r}',
            'See what is offered: openstack snapshot list --shared',
        )
    if len(found) > 1:
        raise Failure(
            f'several snapshots named {name!r} are offered: '
            + described(found),
            'Name it by its ID.',
        )
    return found[0]
