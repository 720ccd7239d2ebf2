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


"""Deletes snapshots: an image, and the volume snapshots that are its own.

What may be refused goes first, so that a refusal leaves the snapshot whole,
and what names the rest goes last, so that a deletion that was interrupted, at
whatever point, is completed by asking for it again:

* volume-backed: the volume snapshots, one after the other, then the image. It
  has no bytes that could be in use; a volume snapshot may be.
* image-backed: the image, which may be in use where servers share its blocks
  (Glance's RBD store), then the volume snapshots, which name it.
* a copy that was converted: the images of its other disks, then the image,
  which names them.
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from xloudclient.catalog.snapshot import Kind, Snapshot
from xloudclient.cloud.compute import is_uuid
from xloudclient.cloud.project import OpenStack
from xloudclient.consistency.errors import (
    Busy,
    CloudError,
    Failure,
    Refused,
    ReplyLost,
)
from xloudclient.local import runs
from xloudclient.local.journal import runs_folder
from xloudclient.upkeep import uploads
from xloudclient.upkeep.belonging import Belonging, Part
from xloudclient.upkeep.finding import Finder

DELETABLE = ('available', 'error', 'deleting')
LATER = 'Try again later.'
IN_USE = 'If volumes were made from it, delete those first.'


class InTheWay(Failure):
    """Something keeps it from being deleted; nothing was touched."""


class DeletedInPart(Failure):
    """It can't be launched any more, and is not wholly gone."""

    def __init__(self, image_id: str, message: str) -> None:
        super().__init__(
            f'snapshot {image_id} is deleted in part: {message}',
            'When that is cured, repeat: openstack snapshot delete '
            f'{image_id}',
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Removing:
    """Deletes snapshots of the project that looks at them."""

    cloud: OpenStack
    finder: Finder
    belonging: Belonging

    def delete(self, name_or_id: str) -> list[str]:
        """Delete a snapshot, or what is left of one.

        An ID that nothing is left of is no error: a deletion whose end
        nobody saw can be asked for again.

        :returns: what was kept, and why, as sentences
        :raises Failure: it is not gone; see :meth:`remove`
        """
        if self._is_gone(name_or_id):
            return self._remove_rest(name_or_id)
        return self.remove(self.finder.find(name_or_id))

    def _is_gone(self, name_or_id: str) -> bool:
        """Whether it is an ID, and no image has it, not even as a name."""
        return (
            is_uuid(name_or_id)
            and self.finder.get(name_or_id) is None
            and not self.cloud.images.has_name(name_or_id, self.finder.reader)
        )

    def _remove_rest(self, image_id: str) -> list[str]:
        """Delete the volume snapshots of an image that is gone."""
        parts, kept = self.belonging.made_for(image_id)
        if not parts:
            return [
                f'there is no snapshot {image_id}, nor a part of it',
                *kept,
            ]
        for part in parts:
            self._refuse_live_run(
                part['metadata'].get('xloud_run', ''), image_id
            )
        self._remove_parts(image_id, parts, is_whole=False)
        return kept

    def remove(self, snapshot: Snapshot) -> list[str]:
        """Delete a snapshot as it was read just now.

        :returns: what was kept of it, and why, as sentences
        :raises InTheWay: it must not, or can't, be deleted; it is whole
        :raises Busy: it is being made; it is whole
        :raises DeletedInPart: what is left of it is named
        :raises Failure: nobody knows whether it is gone
        """
        self._refuse(snapshot)
        parts, kept = self.belonging.parts(snapshot)
        for part in parts:
            self._refuse_part(snapshot, part)
        is_image = snapshot.kind is not Kind.VOLUME
        if is_image:
            is_begun = self._remove_disk_images(snapshot)
        else:
            self._remove_parts(snapshot.id, parts, is_whole=True)
            is_begun = bool(parts)
        try:
            self._remove_image(snapshot)
        except Failure as error:
            if not is_begun:
                raise
            raise DeletedInPart(snapshot.id, str(error)) from error
        if is_image:
            self._remove_parts(snapshot.id, parts, is_whole=False)
        return kept

    def _remove_disk_images(self, snapshot: Snapshot) -> bool:
        """Delete the images of a converted snapshot's other disks.

        :returns: whether there were any
        """
        is_begun = False
        for image_id in snapshot.disk_images:
            disk = self.finder.get(image_id)
            # a mapping can be written by anybody
            if not (disk and disk.is_own and disk.converted_from) or disk.kind:
                continue
            if self.belonging.others_need(image_id, snapshot.id):
                continue
            try:
                self.cloud.images.delete(image_id)
            except CloudError as error:
                raise DeletedInPart(
                    snapshot.id, f'image {image_id} is not deleted: {error}'
                ) from error
            is_begun = True
        return is_begun

    def _refuse(self, snapshot: Snapshot) -> None:
        """Raise if what the image says of itself is against it."""
        if not snapshot.is_own:
            raise InTheWay(
                f'snapshot {snapshot.label} is of another project',
                f'Only project {snapshot.project_id} can delete it.',
            )
        if snapshot.is_shelved:
            raise InTheWay(
                f'{snapshot.label} looks like the disk of a shelved server',
                f'If no server needs it: openstack image delete {snapshot.id}',
            )
        if snapshot.is_protected:
            raise InTheWay(
                f'snapshot {snapshot.label} is protected',
                'This allows it: '
                f'openstack image set --unprotected {snapshot.id}',
            )
        self._refuse_live_run(
            str(snapshot.image.get('xloud_run') or ''), snapshot.label
        )
        if snapshot.is_uploading:
            self._refuse_upload(snapshot)

    def _refuse_live_run(self, run_id: str, label: str) -> None:
        if run_id and runs.is_live(runs_folder(os.environ), run_id):
            raise Busy(f'run {run_id} is at work on snapshot {label}', LATER)

    def _refuse_upload(self, snapshot: Snapshot) -> None:
        """Raise while its server has a task: it may well be this upload."""
        server_id = str(snapshot.image.get('instance_uuid') or '')
        if is_uuid(server_id) and not self.cloud.is_task_over(server_id):
            raise Busy(
                f'snapshot {snapshot.label} is {snapshot.status}, and its '
                'server has a task under way',
                LATER,
            )

    def _refuse_part(self, snapshot: Snapshot, part: Part) -> None:
        status = part['status']
        told = (
            f'volume snapshot {part["id"]} of snapshot {snapshot.label} is '
            f'{status}'
        )
        if status == 'creating':
            raise Busy(told, LATER)
        if status not in DELETABLE:
            raise InTheWay(
                f'{told}: Cinder would not delete it',
                'Ask an administrator to reset its state.',
            )

    def _remove_image(self, snapshot: Snapshot) -> None:
        told = f'snapshot {snapshot.label} is not deleted'
        try:
            self.cloud.images.delete(snapshot.id)
        except Refused as error:
            raise InTheWay(f'{told}: {error}') from error
        except ReplyLost as error:
            if self.finder.get(snapshot.id) is not None:
                raise Failure(f'{told}: {error}', LATER) from error
        self.belonging.forget(snapshot.id)
        uploads.forget(snapshot.id)

    def _remove_parts(
        self, image_id: str, parts: Sequence[Part], is_whole: bool
    ) -> None:
        """Delete volume snapshots; if none is deleted yet, all or none.

        :param is_whole: the snapshot can still be launched: stop at the
            first volume snapshot if that stays
        """
        failed = []
        for part in parts:
            try:
                self.cloud.volumes.remove(part['id'])
            except CloudError as error:
                told = f'volume snapshot {part["id"]} is not deleted: {error}'
                if is_whole and self._is_as_before(part):
                    raise InTheWay(
                        f'snapshot {image_id} is whole: {told}', IN_USE
                    ) from error
                failed.append(told)
            is_whole = False
        if failed:
            raise DeletedInPart(image_id, '; '.join(failed))

    def _is_as_before(self, part: Part) -> bool:
        status = self.cloud.volumes.status(part['id'])
        return status is not None and status == part['status']


def of(conn: Any) -> Removing:
    """Make one for the project that a connection works in."""
    cloud = OpenStack(conn)
    reader = conn.current_project_id
    return Removing(
        cloud,
        Finder(cloud.images, reader),
        Belonging(cloud.images, cloud.volumes, reader),
    )
