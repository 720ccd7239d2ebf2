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


"""Volumes that are made to become images, and are gone afterwards."""

from typing import Any

from openstack import connection
from openstack import exceptions as sdk_exceptions

from xloudclient.cloud.errors import ONCE, translated
from xloudclient.consistency.errors import CloudError

#: A temporary volume is named so, with the ID of what it is a copy of.
NAME = 'xloud-copy-of-'
MARK = 'xloud_converted_from'
#: Before it, an uploaded image is as visible as Glance's default has it
#: (cinder/api/microversions.py, ``UPLOAD_IMAGE_PARAMS``).
PRIVATE_UPLOADS = '3.1'
#: Messages can be asked for by what they are about.
MESSAGE_FILTER = '3.5'


class TemporaryVolumes:
    """Cinder's volumes, seen through an authenticated connection.

    Each has the ID of its source in its name, which Cinder finds it by, and
    in its metadata, so that one named so by chance is not taken for ours.
    """

    def __init__(self, conn: connection.Connection) -> None:
        self._conn = conn

    def of(self, source: str) -> list[dict[str, Any]]:
        """Return the volumes that are copies of a source, as JSON."""
        with translated():
            response = self._conn.block_storage.get(
                '/volumes/detail', params={'name': NAME + source}
            )
            sdk_exceptions.raise_from_response(response)
            return [
                one
                for one in response.json()['volumes']
                if (one.get('metadata') or {}).get(MARK) == source
            ]

    def make(self, source: str, size: int, is_image: bool) -> None:
        """Ask for a volume that is a copy.

        :param source: ID of a volume snapshot, or of an image
        :param size: GiB
        """
        volume = {
            'name': NAME + source,
            'size': size,
            'metadata': {MARK: source},
            'imageRef' if is_image else 'snapshot_id': source,
        }
        with translated():
            response = self._conn.block_storage.post(
                '/volumes', json={'volume': volume}, **ONCE
            )
            sdk_exceptions.raise_from_response(response)

    def upload(
        self, volume_id: str, name: str, properties: dict[str, str]
    ) -> None:
        """Ask for a private raw image of a volume.

        :param properties: on the image from its first moment; Cinder takes
            them from the volume
        """
        upload = {
            'image_name': name,
            'disk_format': 'raw',
            'container_format': 'bare',
            'visibility': 'private',
        }
        self._act(volume_id, 'os-set_image_metadata', {'metadata': properties})
        self._act(volume_id, 'os-volume_upload_image', upload)

    def _act(self, volume_id: str, action: str, body: dict[str, Any]) -> None:
        with translated():
            response = self._conn.block_storage.post(
                f'/volumes/{volume_id}/action',
                json={action: body},
                microversion=PRIVATE_UPLOADS,
                **ONCE,
            )
            sdk_exceptions.raise_from_response(response)

    def delete(self, volume_id: str) -> None:
        """Ask for it to be deleted; one that is gone is no error."""
        with translated():
            response = self._conn.block_storage.delete(f'/volumes/{volume_id}')
            if response.status_code != 404:
                sdk_exceptions.raise_from_response(response)

    def why(self, volume_id: str) -> str:
        """Return what Cinder says went wrong with it; '' if nothing."""
        try:
            with translated():
                response = self._conn.block_storage.get(
                    '/messages',
                    params={'resource_uuid': volume_id},
                    microversion=MESSAGE_FILTER,
                )
                sdk_exceptions.raise_from_response(response)
                messages = response.json()['messages']
        except CloudError:
            return ''
        return str(messages[0]['user_message']) if messages else ''
