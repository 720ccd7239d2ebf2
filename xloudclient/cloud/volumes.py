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


"""Volume snapshots, as Cinder knows them."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from openstack import connection
from openstack import exceptions as sdk_exceptions

from xloudclient.cloud.compute import is_uuid
from xloudclient.cloud.errors import ONCE, translated
from xloudclient.consistency.checks.cloud import VolumeDetails
from xloudclient.consistency.errors import CloudError, Refused, ReplyLost

#: Seconds to wait until a snapshot that is being made can be deleted.
DELETE_SECONDS = 10.0
#: Seconds for the deletion of one snapshot, once Cinder has begun it.
REMOVE_SECONDS = 600.0
POLL_SECONDS = 0.5
#: Snapshots are found by their metadata (cinder/api/microversions.py).
METADATA_FILTER = '3.22'


class VolumeSnapshots:
    """Cinder's snapshots, seen through an authenticated connection."""

    def __init__(self, conn: connection.Connection) -> None:
        self._conn = conn

    def create(
        self, volume_id: str, name: str, metadata: Mapping[str, str]
    ) -> str:
        """Ask for a snapshot of a volume in use; return its ID."""
        body = {
            'volume_id': volume_id,
            'name': name,
            # needed for a volume in use before microversion 3.66
            'force': True,
            'metadata': dict(metadata),
        }
        try:
            with translated():
                response = self._conn.block_storage.post(
                    '/snapshots', json={'snapshot': body}, **ONCE
                )
                sdk_exceptions.raise_from_response(response)
                snapshot_id: str = response.json()['snapshot']['id']
                return snapshot_id
        except ReplyLost:
            found = self.matching(volume_id=volume_id, name=name)
            ours = [one for one in found if one['metadata'] == metadata]
            if not ours:
                raise
            return str(ours[0]['id'])

    def matching(self, **filters: str) -> list[dict[str, Any]]:
        """Return the snapshots that have these values (first page)."""
        with translated():
            response = self._conn.block_storage.get(
                '/snapshots/detail', params=filters
            )
            sdk_exceptions.raise_from_response(response)
            found: list[dict[str, Any]] = response.json()['snapshots']
            return found

    def pages(self) -> Iterator[dict[str, Any]]:
        """Yield all snapshots of the project, a page at a time."""
        params: dict[str, str] = {}
        is_last = False
        while not is_last:
            with translated():
                response = self._conn.block_storage.get(
                    '/snapshots/detail', params=params
                )
                sdk_exceptions.raise_from_response(response)
                body = response.json()
            yield from body['snapshots']
            is_last = not body.get('snapshots_links')
            if not is_last:
                params['marker'] = body['snapshots'][-1]['id']

    def marked(self, key: str, value: str) -> list[dict[str, Any]]:
        """Return the snapshots that have that metadata (first page).

        There are none where there is no Cinder.
        """
        if not self._conn.has_service('block-storage'):
            return []
        with translated():
            response = self._conn.block_storage.get(
                '/snapshots/detail',
                params={'metadata': str({key: value})},
                microversion=METADATA_FILTER,
            )
            sdk_exceptions.raise_from_response(response)
            found = response.json()['snapshots']
        # what is not known as a filter is left out, without a word
        return [one for one in found if one['metadata'].get(key) == value]

    def of_run(self, run_id: str, volumes: Iterable[str]) -> tuple[str, ...]:
        """Return the IDs of the snapshots of these volumes that a run made."""
        return tuple(
            one['id']
            for volume_id in volumes
            for one in self.matching(volume_id=volume_id)
            if one['metadata'].get('xloud_run') == run_id
        )

    def get(self, snapshot_id: str) -> dict[str, Any] | None:
        """Return the snapshot's JSON, None if it is gone.

        What is no ID may be another path: mappings are written by anybody.
        """
        if not is_uuid(snapshot_id):
            return None
        with translated():
            response = self._conn.block_storage.get(
                f'/snapshots/{snapshot_id}'
            )
            if response.status_code == 404:
                return None
            sdk_exceptions.raise_from_response(response)
            snapshot: dict[str, Any] = response.json()['snapshot']
            return snapshot

    def status(self, snapshot_id: str) -> str | None:
        """Return the snapshot's status, None if it is gone."""
        snapshot = self.get(snapshot_id)
        return None if snapshot is None else str(snapshot['status'])

    def user_message(self, snapshot_id: str) -> str:
        """Return what Cinder last told its user of a snapshot; '' if nothing.

        Source: ``cinder/api/v3/messages.py``; filters since 3.5.
        """
        with translated():
            response = self._conn.block_storage.get(
                '/messages',
                params={'resource_uuid': snapshot_id},
                microversion='3.5',
            )
            sdk_exceptions.raise_from_response(response)
            found: list[dict[str, Any]] = response.json()['messages']
        newest = max(found, key=lambda one: one['created_at'], default={})
        return str(newest.get('user_message', ''))

    def image_properties(self, volume_id: str) -> dict[str, Any]:
        """Return the properties of the image that a volume was made from."""
        found = self._volume(volume_id).get('volume_image_metadata') or {}
        return dict(found)

    def details(self, volume_id: str) -> VolumeDetails:
        """Describe a volume that is to be captured."""
        volume = self._volume(volume_id)
        return VolumeDetails(
            volume_id,
            volume['size'],
            volume.get('volume_type') or '',
            frozenset(one['attachment_id'] for one in volume['attachments']),
        )

    def _volume(self, volume_id: str) -> dict[str, Any]:
        with translated():
            response = self._conn.block_storage.get(f'/volumes/{volume_id}')
            sdk_exceptions.raise_from_response(response)
            volume: dict[str, Any] = response.json()['volume']
            return volume

    def mark(self, snapshot_id: str, metadata: Mapping[str, str]) -> None:
        """Add metadata to a snapshot."""
        with translated():
            response = self._conn.block_storage.post(
                f'/snapshots/{snapshot_id}/metadata',
                json={'metadata': dict(metadata)},
            )
            sdk_exceptions.raise_from_response(response)

    def delete_all(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Delete snapshots, waiting a little for those being made.

        :returns: the IDs of those that could not be deleted
        """
        left = list(ids)
        end = time.monotonic() + DELETE_SECONDS
        while left:
            left = [one for one in left if not self._delete(one)]
            if left and time.monotonic() > end:
                break
            if left:
                time.sleep(0.5)
        return tuple(left)

    def _delete(self, snapshot_id: str) -> bool:
        try:
            self.delete(snapshot_id)
        except CloudError:
            return False
        return True

    def delete(self, snapshot_id: str) -> None:
        """Ask for a snapshot to be deleted; one that is gone is no error.

        Cinder says yes first, and may find later that it can't.

        :raises CloudError: it is refused at once, or nobody knows
        """
        with translated():
            response = self._conn.block_storage.delete(
                f'/snapshots/{snapshot_id}'
            )
            if response.status_code != 404:
                sdk_exceptions.raise_from_response(response)

    def remove(self, snapshot_id: str) -> None:
        """Delete a snapshot, and return when it is gone.

        :raises CloudError: it is not gone; the message says how it is now
        """
        try:
            self.delete(snapshot_id)
        except CloudError:
            # it may be that somebody else deletes it
            if self.status(snapshot_id) not in (None, 'deleting'):
                raise
        end = time.monotonic() + REMOVE_SECONDS
        while (status := self.status(snapshot_id)) == 'deleting':
            if time.monotonic() > end:
                raise ReplyLost('it is still being deleted')
            time.sleep(POLL_SECONDS)
        if status == 'available':
            # cinder/volume/manager.py, delete_snapshot: SnapshotIsBusy
            raise Refused('it is in use: volumes share its blocks')
        if status is not None:
            raise Refused(f'its status is {status} now')
