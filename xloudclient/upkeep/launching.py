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

"""Prepares the launch of a server from a snapshot.

The command itself is openstackclient's ``server create``. What is found here
is given to it as words, as if the user had typed them, and as block devices.
"""

import contextlib
import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from xloudclient.catalog import launch, preflight
from xloudclient.catalog.launch import Flavor, Part, Wanted
from xloudclient.catalog.snapshot import Kind, Snapshot
from xloudclient.cloud.choices import Choices
from xloudclient.cloud.errors import translated
from xloudclient.cloud.quotas import Quotas
from xloudclient.cloud.volumes import VolumeSnapshots
from xloudclient.consistency.errors import Failure, Misuse, ReplyLost
from xloudclient.consistency.text import printable
from xloudclient.upkeep import finding, source_defaults
from xloudclient.upkeep.finding import Finder
from xloudclient.upkeep.source_defaults import Defaults


class Options(source_defaults.Options, Protocol):
    """What a user can ask for; ``server create``'s names and ours."""

    source: str
    boot_from_volume: int | None
    delete_on_termination: bool
    min: int
    no_data_volumes: bool
    source_defaults: bool | None


@dataclasses.dataclass(frozen=True, slots=True)
class Launch:
    """What ``server create`` is given beyond what the user asked for.

    :param image_id: of ``--image``; None if the root disk is a volume made
        from it
    :param words: options, as one would type them
    :param devices: entries of Nova's ``block_device_mapping_v2``
    :param taken: what was taken over from the source, for people; may be ''
    """

    image_id: str | None
    words: tuple[str, ...]
    devices: tuple[dict[str, Any], ...]
    taken: str


@dataclasses.dataclass(slots=True)
class Launching:
    """Looks at all that a launch needs, before it is asked for."""

    finder: Finder
    volumes: VolumeSnapshots
    choices: Choices
    quotas: Quotas

    def prepare(self, options: Options) -> Launch:
        """Find the snapshot and all that belongs to it.

        :raises Misuse: the options do not fit it
        :raises Failure: all that stands in the way, a sentence each
        """
        snapshot = self.finder.find(options.source)
        wanted = _wanted(options, snapshot)
        preflight.check_ready(snapshot, wanted)
        source = launch.source_of(snapshot, options.source_defaults)
        if not (options.flavor or (source and source.flavor)):
            why = launch.why_no_source(snapshot, options.source_defaults)
            raise Misuse(f'--flavor is needed: {why}')
        defaults = Defaults(self.choices)
        flavor = defaults.flavor(source, options)
        if source:
            defaults.take(source, options)
        parts = launch.in_order(self._parts(snapshot, wanted))
        used = [one for one in parts if wanted.with_data or one.is_root]
        problems = [
            *preflight.part_problems(snapshot, parts, wanted),
            *defaults.problems,
        ]
        if flavor:
            problems += self._judge(snapshot, used, wanted, flavor)
        _refuse(problems)
        return Launch(
            None if wanted.root_size else snapshot.id,
            tuple(defaults.words),
            tuple(_devices(snapshot, parts, wanted)),
            ', '.join(defaults.taken),
        )

    def _parts(self, snapshot: Snapshot, wanted: Wanted) -> Iterator[Part]:
        for one in snapshot.devices:
            if one.snapshot_id:
                found = self.volumes.get(one.snapshot_id)
                yield launch.part(one.snapshot_id, found, snapshot, one.entry)
            elif one.image_id:
                image = self.finder.images.get(one.image_id)
                yield launch.disk_image(one, image)
        if wanted.with_data:
            for part_id in snapshot.data_volumes:
                found = self.volumes.get(part_id)
                yield launch.part(part_id, found, snapshot)

    def _judge(
        self,
        snapshot: Snapshot,
        parts: Sequence[Part],
        wanted: Wanted,
        flavor: Flavor,
    ) -> Iterator[Failure]:
        yield from preflight.flavor_problems(snapshot, parts, wanted, flavor)
        volumes = [(self._type_of(one), one.size) for one in parts]
        if wanted.root_size:
            volumes.append(('', wanted.root_size))
        allowances = self.quotas.servers()
        if volumes:
            allowances |= self.quotas.volumes(self.finder.reader)
        yield from preflight.quota_problems(
            allowances, volumes, wanted, flavor
        )

    def _type_of(self, one: Part) -> str:
        """The type that its volume will have; '' if only the cloud knows."""
        chosen = str(one.entry.get('volume_type') or '')
        if chosen or not one.volume_id:
            return chosen
        return self.volumes.details(one.volume_id).type_name


def _wanted(options: Options, snapshot: Snapshot) -> Wanted:
    if snapshot.kind is Kind.VOLUME and options.boot_from_volume:
        raise Misuse(
            f'--boot-from-volume: {snapshot.label} is volume-backed: its root '
            'disk is made from its own volume snapshot'
        )
    return Wanted(
        options.min,
        options.boot_from_volume or 0,
        not options.no_data_volumes,
        True if options.delete_on_termination else None,
    )


def _devices(
    snapshot: Snapshot, parts: Sequence[Part], wanted: Wanted
) -> Iterator[dict[str, Any]]:
    if wanted.root_size:
        yield launch.root_volume(snapshot, wanted)
    for one in parts:
        # without a name it would not replace the entry in the image
        if one.device or not one.entry:
            yield launch.block_device(one, wanted)


def _refuse(problems: Sequence[Failure]) -> None:
    """Raise all problems as one, a line each."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        lines = [f'{one}. {one.advice}'.strip() for one in problems]
        raise Failure('\n'.join(lines).removesuffix('.'))


@contextlib.contextmanager
def asking(name: str) -> Iterator[None]:
    """Translate what the services say to the request itself.

    :raises Failure: the reply was lost, and the server may be there
    """
    try:
        with translated():
            yield
    except ReplyLost as error:
        quoted = shlex.quote(name)
        raise Failure(
            f'no reply to the request for server {printable(name)} ({error}): '
            'it may be there all the same',
            f'Look for it with: openstack server list --name {quoted}.',
        ) from error


def of(conn: Any) -> Launching:
    """Make one for the project that a connection works in."""
    return Launching(
        finding.of(conn),
        VolumeSnapshots(conn),
        Choices(conn),
        Quotas(conn),
    )
