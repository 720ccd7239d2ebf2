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


"""Shares snapshots with other projects, and takes that back."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from xloudclient.catalog import offer
from xloudclient.catalog.snapshot import Snapshot
from xloudclient.cloud.members import Members
from xloudclient.cloud.projects import Projects
from xloudclient.consistency.errors import CloudError, Failure
from xloudclient.consistency.text import printable
from xloudclient.upkeep import converting, finding
from xloudclient.upkeep.converting import Converting
from xloudclient.upkeep.finding import Finder

PRIVATE, SHARED = 'private', 'shared'


@dataclasses.dataclass(frozen=True, slots=True)
class Sharing:
    """Shares the snapshots of one project with others.

    Its methods yield sentences, each when it has become true.

    :param domain: name or ID of the domain of the named projects
    """

    finder: Finder
    converting: Converting
    members: Members
    projects: Projects
    domain: str | None = None

    def share(
        self, name_or_id: str, projects: Sequence[str], convert: bool = False
    ) -> Iterator[str]:
        """Offer a snapshot to projects; those that have it stay as they are.

        Nothing is changed unless all projects can be told from the names.

        :param convert: share a copy of what can't be shared itself
        :raises Failure: it can't be shared, or not with all of them
        """
        snapshot = self.finder.find(name_or_id)
        offer.check(snapshot)
        wanted = {self._other(text): text for text in projects}
        if snapshot.volumes:
            if not convert:
                raise Failure(
                    offer.volumes_stay(snapshot),
                    'With --convert, its disks are copied to images, and '
                    'these are shared.',
                )
            snapshot = self.converting.convert(snapshot)
        if snapshot.visibility in offer.OPEN:
            yield (
                f'{snapshot.label} is {snapshot.visibility}: every project '
                'can use it, it needs no sharing'
            )
            return
        yield from self._offer(snapshot, wanted)
        if seen := ', '.join(offer.seen_by_others(snapshot)):
            yield f'Recorded on it, and seen by the other project: {seen}'
        yield f'In the other project: openstack snapshot accept {snapshot.id}'

    def _other(self, text: str) -> str:
        """The ID of a project that is not this one."""
        project_id = self.projects.find(text, self.domain)
        if project_id == self.finder.reader:
            raise Failure(
                f"a snapshot can't be shared with its own project, {text!r}"
            )
        return project_id

    def _offer(
        self, snapshot: Snapshot, wanted: dict[str, str]
    ) -> Iterator[str]:
        """Make the projects members of all its images; its own is the last."""
        images = (*snapshot.disk_images, snapshot.id)
        for image_id in images:
            self._publish(image_id)
        known, failed = self.members.statuses(snapshot.id), []
        for project_id, text in wanted.items():
            shown = _shown(project_id, text)
            try:
                for image_id in images:
                    self.members.add(image_id, project_id)
            except CloudError as error:
                failed.append(f'{shown}: {error}')
                continue
            if project_id in known:
                yield (
                    f'{snapshot.label} is shared with project {shown} '
                    f'already ({known[project_id]})'
                )
            else:
                yield f'{snapshot.label} is shared with project {shown}'
        if failed:
            for image_id in reversed(images):
                self._close(image_id)
            raise Failure(
                f'{snapshot.label} could not be shared with '
                f'{"; ".join(failed)}'
            )

    def _publish(self, image_id: str) -> None:
        """Let an image have members."""
        image = self.finder.images.get(image_id)
        if image is None:
            raise Failure(f'image {image_id} is gone, which is a disk of it')
        if image['visibility'] == PRIVATE:
            self.finder.images.update(image_id, {'visibility': SHARED})

    def _close(self, image_id: str) -> bool:
        """Make a shared image that has no members private."""
        if self.members.statuses(image_id):
            return False
        self.finder.images.update(image_id, {'visibility': PRIVATE})
        return True

    def unshare(
        self, name_or_id: str, projects: Sequence[str]
    ) -> Iterator[str]:
        """Take the offer back, also of the copies that were made of it.

        What nobody else has any more is private again.

        :raises Failure: it is not ours, or needs no sharing
        """
        snapshot = self.finder.find(name_or_id)
        offer.check_owner(snapshot)
        if snapshot.visibility in offer.OPEN:
            raise Failure(
                f'{snapshot.label} is {snapshot.visibility}: every project '
                'can use it, whatever is shared',
                f'openstack image set --shared {snapshot.id} changes that.',
            )
        offered = {
            one.id: (one, self.members.statuses(one.id))
            for one in (snapshot, *self.converting.copies(snapshot))
            if one.visibility == SHARED
        }
        known = {id for _one, has in offered.values() for id in has}
        wanted = {
            text if text in known else self.projects.find(text, self.domain): (
                text
            )
            for text in projects
        }
        for project_id in wanted.keys() - known:
            shown = _shown(project_id, wanted[project_id])
            yield f'{snapshot.label} is not shared with project {shown}'
        for one, has in offered.values():
            yield from self._withdraw(one, has, wanted)

    def _withdraw(
        self, snapshot: Snapshot, known: dict[str, str], wanted: dict[str, str]
    ) -> Iterator[str]:
        """Take one image, and those of its other disks, back."""
        images = (snapshot.id, *snapshot.disk_images)
        for project_id, text in wanted.items():
            for image_id in images:
                self.members.remove(image_id, project_id)
            if project_id in known:
                shown = _shown(project_id, text)
                yield (
                    f'{snapshot.label} is no longer shared with project '
                    f'{shown}'
                )
        closed = [self._close(image_id) for image_id in images]
        if not all(closed):
            return
        yield f'{snapshot.label} is private again'
        if snapshot.converted_from:
            yield (
                'The copy is kept for the next time. This deletes it: '
                f'openstack snapshot delete {snapshot.id}'
            )


def _shown(project_id: str, text: str) -> str:
    """A project as messages name it: the name, if it was given, and ID."""
    if text == project_id:
        return printable(project_id)
    return f'{printable(text)} ({printable(project_id)})'


def of(conn: Any, verbosity: int, domain: str | None) -> Sharing:
    """Make one for the project that a connection works in."""
    finder = finding.of(conn)
    return Sharing(
        finder,
        converting.of(conn, finder, verbosity),
        Members(conn),
        Projects(conn),
        domain,
    )
