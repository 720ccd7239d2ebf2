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


"""The Cloud port over Nova, Glance and Cinder."""

import contextlib
import dataclasses
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from openstack import connection

from xloudclient.cloud.compute import Servers
from xloudclient.cloud.images import Images, mapped_snapshots
from xloudclient.cloud.quotas import Quotas
from xloudclient.cloud.volumes import VolumeSnapshots
from xloudclient.consistency.answers import Requested, VolumeSnapshot
from xloudclient.consistency.checks.cloud import AGENT, is_yes
from xloudclient.consistency.errors import (
    CaptureFailed,
    CloudError,
    Refused,
    ReplyLost,
)
from xloudclient.consistency.plan import Kind, Plan, Target, Volume


class OpenStack:
    """What a run needs of one OpenStack project."""

    def __init__(self, conn: connection.Connection) -> None:
        self._conn = conn
        self.servers = Servers(conn)
        self.images = Images(conn)
        self.volumes = VolumeSnapshots(conn)
        self.quotas = Quotas(conn)

    @property
    def place(self) -> str:
        """Which project, region and cloud this is, for the journal."""
        config = self._conn.config
        auth_url = config.get_auth_args().get('auth_url', '')
        region = config.get_region_name() or ''
        return f'{self._conn.current_project_id} {region} {auth_url}'

    def has_agent(
        self, server: Mapping[str, Any], target: Target
    ) -> bool | None:
        """Whether Nova freezes this server through its guest agent.

        None if the properties of its image can't be seen.
        """
        try:
            return is_yes(self.boot_properties(server, target), AGENT)
        except CloudError:
            return None

    def boot_properties(
        self, server: Mapping[str, Any], target: Target
    ) -> Mapping[str, Any]:
        """Return the properties of the image that a server was booted from.

        Of a volume that no image was put on: none.

        :raises Refused: the image is gone
        """
        if target.kind is Kind.VOLUME:
            root = [volume.id for volume in target.volumes[:1]]
            return self.volumes.image_properties(root[0]) if root else {}
        image_id = server['image']['id']
        image = self.images.get(image_id)
        if image is None:
            raise Refused(f'image {image_id} is gone', 404)
        return image

    def request(self, plan: Plan, properties: Mapping[str, str]) -> Requested:
        try:
            image_id = self.servers.create_image(
                plan.target.id, plan.snapshot_name, properties
            )
        except Refused as error:
            # a conflict may be with this very request, that was sent twice
            if error.status == 409 and (made := self.find_requested(plan)):
                return made
            if orphans := self._orphans(plan):
                raise Refused(f'{error}. {orphans}', error.status) from error
            raise
        return self._requested(plan, image_id)

    def _requested(self, plan: Plan, image_id: str) -> Requested:
        if plan.target.kind is Kind.IMAGE:
            return Requested(image_id)
        image = self.images.get(image_id)
        if image is None:
            raise ReplyLost(f'image {image_id} is gone')
        return Requested(image_id, mapped_snapshots(image))

    def _orphans(self, plan: Plan) -> str:
        """Name what Nova left when it gave up half-way.

        It makes the snapshots of a volume-backed server one by one and
        leaves those it has when the next is refused. They are named, not
        deleted: only their name tells that they are ours.
        """
        if plan.target.kind is Kind.IMAGE:
            return ''
        try:
            left = [
                snapshot['id']
                for volume in plan.target.volumes
                for snapshot in self.volumes.matching(
                    volume_id=volume.id,
                    name=f'snapshot for {plan.snapshot_name}',
                )
            ]
        except CloudError:
            return ''
        if not left:
            return ''
        return (
            'Nova left volume snapshots behind; this removes them: openstack '
            f'volume snapshot delete {shlex.join(left)}'
        )

    def find_requested(self, plan: Plan) -> Requested | None:
        volumes = [volume.id for volume in plan.captured_volumes]
        found = self.find_run(plan.run_id, plan.target.id, volumes)
        return found if found and found.image_id else None

    def find_run(
        self, run_id: str, server_id: str, volumes: Sequence[str]
    ) -> Requested | None:
        """Return the snapshot that a run made, with all its parts.

        Of one whose image is gone, the parts; its ID is '' then.

        Anybody can write properties. Ours is this project's, claims nothing
        (each request says so) or itself, and its parts are of the volumes
        that the run was to capture.

        :raises CaptureFailed: several images are; which one, nobody knows
        """
        found = [
            image
            for image in self.images.matching(
                xloud_run=run_id,
                instance_uuid=server_id,
                owner=self._conn.current_project_id or '',
            )
            if image.get('xloud_image') in ('', image['id'])
        ]
        if len(found) > 1:
            raise _ambiguous(run_id, [image['id'] for image in found])
        image = found[0] if found else {'id': ''}
        parts = self._parts_of(image, volumes) or self.volumes.of_run(
            run_id, volumes
        )
        if not image['id'] and not parts:
            return None
        return Requested(image['id'], parts)

    def _parts_of(
        self, image: Mapping[str, Any], volumes: Sequence[str]
    ) -> tuple[str, ...]:
        """The snapshots of these volumes that an image's mapping names."""
        return tuple(
            one
            for one in mapped_snapshots(image)
            if (self.volumes.get(one) or {}).get('volume_id') in volumes
        )

    def snapshot_volume(
        self, plan: Plan, volume_id: str, image_id: str
    ) -> str:
        return self.volumes.create(
            volume_id,
            f'snapshot for {plan.snapshot_name}'[:255],
            self._volume_metadata(plan, image_id, volume_id),
        )

    def _volume_metadata(
        self, plan: Plan, image_id: str, volume_id: str
    ) -> dict[str, str]:
        [device] = [
            one.device for one in plan.target.volumes if one.id == volume_id
        ]
        return {
            'xloud_image': image_id,
            'xloud_run': plan.run_id,
            'xloud_server': plan.target.id,
            'xloud_device': device,
        }

    def own_volume_snapshots(self, plan: Plan, requested: Requested) -> None:
        for one in requested.volume_snapshots:
            self.volumes.mark(
                one,
                {
                    'xloud_image': requested.image_id,
                    'xloud_run': plan.run_id,
                    'xloud_server': plan.target.id,
                },
            )
        # launch says how it is mended by hand
        with contextlib.suppress(CloudError):
            self.images.fit_min_disk(requested.image_id)

    def image_status(self, image_id: str) -> str | None:
        image = self.images.get(image_id)
        return None if image is None else str(image['status'])

    def is_task_over(self, server_id: str) -> bool:
        return self.servers.is_task_over(server_id)

    def volume_snapshot(self, snapshot_id: str) -> VolumeSnapshot | None:
        found = self.volumes.get(snapshot_id)
        if found is None:
            return None
        return VolumeSnapshot(found['status'], found['volume_id'])

    def with_attachments(
        self, volumes: Iterable[Volume]
    ) -> tuple[Volume, ...]:
        """The same volumes; Cinder tells who has them."""
        return tuple(
            dataclasses.replace(
                one, attachments=self.volumes.details(one.id).attachments
            )
            for one in volumes
        )

    def volumes_now(self, server_id: str) -> tuple[Volume, ...]:
        return self.with_attachments(self.servers.attachments(server_id))

    def was_started(self, target: Target) -> bool:
        return self.servers.was_started(target)

    def record(
        self,
        image_id: str,
        properties: Mapping[str, str],
        tags: Sequence[str],
    ) -> None:
        self.images.update(image_id, properties, tags)

    def protect(self, image_id: str) -> None:
        self.images.update(image_id, {'protected': True})

    def discard(self, plan: Plan, requested: Requested) -> tuple[str, ...]:
        return self.remove(requested)

    def remove(self, requested: Requested) -> tuple[str, ...]:
        """Delete the image first: it must not outlive what it needs.

        :returns: the commands for what could not be deleted
        """
        left = []
        try:
            if requested.image_id:
                self.images.delete(requested.image_id)
        except CloudError:
            left.append(f'openstack image delete {requested.image_id}')
        kept = self.volumes.delete_all(requested.volume_snapshots)
        left += [f'openstack volume snapshot delete {one}' for one in kept]
        return tuple(left)


def _ambiguous(run_id: str, images: Sequence[str]) -> CaptureFailed:
    return CaptureFailed(
        f'several images say that run {run_id} made them: {", ".join(images)}',
        'None was deleted. Delete those that it did not make: openstack image '
        'delete <ID>',
    )
