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

"""What stands in the way of a launch, and what to do about it.

Nova would find most of it itself, but later: when the server is in ERROR
already, and in words that do not say what to do.
"""

import collections
from collections.abc import Iterable, Iterator, Mapping, Sequence

from xloudclient.catalog.launch import Flavor, Part, Wanted
from xloudclient.catalog.snapshot import GIB, Kind, Snapshot
from xloudclient.consistency.checks.quota import Allowance
from xloudclient.consistency.errors import Failure
from xloudclient.consistency.text import printable

#: What quotas are of, by the names that ``openstack quota set`` has.
UNITS = {
    'instances': 'servers',
    'cores': 'cores',
    'ram': 'MiB of RAM',
    'volumes': 'volumes',
    'gigabytes': 'GiB of volumes and their snapshots',
}


def check_ready(snapshot: Snapshot, wanted: Wanted) -> None:
    """Return if all that is to be known of the snapshot is recorded.

    :raises Failure: it is not, or not yet
    """
    if snapshot.status != 'active':
        raise Failure(
            f'{snapshot.label} is {snapshot.status}, not active',
            f'See how it gets on with: openstack snapshot show {snapshot.id}.',
        )
    if is_unfinished(snapshot) and wanted.with_data:
        raise Failure(
            f'it is not recorded yet which volumes belong to {snapshot.label}',
            'Wait until its run has done that, or have it done with: '
            'openstack server snapshot recover. --no-data-volumes launches '
            'the root disk alone.',
        )


def part_problems(
    snapshot: Snapshot, parts: Sequence[Part], wanted: Wanted
) -> Iterator[Failure]:
    """Yield what is wrong with what its volumes are made from.

    :param parts: all that are in Nova's mapping, and of those that are not
        the ones that are wanted
    """
    unseen = [one for one in parts if not (one.status or one.is_image)]
    if unseen and not snapshot.is_own:
        yield _not_shared(snapshot)
        return
    for one in parts:
        if wanted.with_data or one.is_root:
            yield from _of_part(snapshot, one)
        elif not one.device:
            yield Failure(
                f'--no-data-volumes: {one.label} can only be left out by its '
                'device'
            )


def is_unfinished(snapshot: Snapshot) -> bool:
    """Whether its run has yet to record the volumes beside the image."""
    return (
        snapshot.kind is not Kind.VOLUME
        and snapshot.image.get('xloud_image') == ''
    )


def _not_shared(snapshot: Snapshot) -> Failure:
    advice = (
        'Its owner can share it whole: openstack snapshot share --convert '
        f'{snapshot.id} <project>.'
    )
    if snapshot.kind is not Kind.VOLUME:
        advice += ' --no-data-volumes launches the root disk alone.'
    return Failure(
        f'{snapshot.label} was shared without its volume snapshots: those '
        'can be seen by their own project alone',
        advice,
    )


def _of_part(snapshot: Snapshot, one: Part) -> Iterator[Failure]:
    without = (
        'Without it, there is nothing to boot from.'
        if one.is_root
        else '--no-data-volumes launches it without its data volumes.'
    )
    if not one.status:
        gone = 'is gone'
        if one.is_image and not snapshot.is_own:
            gone += ', or is not shared with this project'
        yield Failure(f'{one.label} {gone}', without)
    elif not one.is_ours:
        yield Failure(
            f'{one.label}, which {snapshot.label} names, does not say that '
            'it belongs to it',
            without,
        )
    elif one.status == 'creating':
        yield Failure(f'{one.label} is still being made', 'Try again later.')
    elif not one.is_ready:
        yield Failure(f'{one.label} is {one.status}', without)


def flavor_problems(
    snapshot: Snapshot, parts: Iterable[Part], wanted: Wanted, flavor: Flavor
) -> Iterator[Failure]:
    """Yield what is too small for the snapshot.

    Source: ``_validate_flavor_image_nostatus`` in ``nova/compute/api.py``.
    """
    image, name = snapshot.image, printable(flavor.name)
    ram = int(image.get('min_ram') or 0)
    if flavor.ram < ram:
        yield Failure(
            f'flavor {name} has {flavor.ram} MiB of RAM, and the snapshot '
            f'needs {ram}',
            'Choose a larger one with --flavor.',
        )
    min_disk = int(image.get('min_disk') or 0)
    if snapshot.kind is Kind.VOLUME:
        for one in parts:
            if one.is_root and one.status and one.size < min_disk:
                yield _root_too_small(snapshot, one.size, min_disk)
        return
    size = max(image.get('size') or 0, image.get('virtual_size') or 0)
    needed = max(min_disk, -(-size // GIB))
    if wanted.root_size and wanted.root_size < needed:
        yield Failure(
            f'--boot-from-volume {wanted.root_size}: the snapshot needs '
            f'{needed} GiB'
        )
    elif not wanted.root_size and 0 < flavor.disk < needed:
        yield Failure(
            f'flavor {name} has a root disk of {flavor.disk} GiB, and the '
            f'snapshot needs {needed}',
            'Choose a larger one with --flavor, or have a volume for a root '
            f'disk with --boot-from-volume {needed}.',
        )


def _root_too_small(snapshot: Snapshot, size: int, min_disk: int) -> Failure:
    """Nova writes the flavor's disk on it, and then refuses the volume."""
    return Failure(
        f'Nova would refuse {snapshot.label}: its min_disk is {min_disk} GiB, '
        f'that of the flavor, and its root volume has {size}',
        'This puts it right: openstack image set --min-disk '
        f'{size} {snapshot.id}.',
    )


def quota_problems(
    allowances: Mapping[str, Allowance],
    volumes: Iterable[tuple[str, int]],
    wanted: Wanted,
    flavor: Flavor,
) -> Iterator[Failure]:
    """Yield what the project's quotas have no room for.

    :param allowances: by the names of the quotas; those of volumes also with
        ``_<type>`` behind. A service that was not asked has none
    :param volumes: type and GiB of each new volume of one server; the type
        is '' if it is not known
    """
    for name, each in _needs(volumes, flavor).items():
        one, more = allowances.get(name), each * wanted.count
        if one is None or not more or one.has_room_for(more):
            continue
        kind, _, type_name = name.partition('_')
        of_type = f' of type {printable(type_name)}' if type_name else ''
        yield Failure(
            f'quota: the project has {one} {UNITS[kind]}{of_type}, and this '
            f'needs {more} more',
            'Delete what is not needed, or ask for a higher quota.',
        )


def _needs(
    volumes: Iterable[tuple[str, int]], flavor: Flavor
) -> Mapping[str, int]:
    """How much of each quota one server takes."""
    needs = collections.Counter(
        {'instances': 1, 'cores': flavor.vcpus, 'ram': flavor.ram}
    )
    for type_name, size in volumes:
        for suffix in {'', f'_{type_name}' if type_name else ''}:
            needs[f'volumes{suffix}'] += 1
            needs[f'gigabytes{suffix}'] += size
    return needs
