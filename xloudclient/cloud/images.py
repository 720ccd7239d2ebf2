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


"""Images, as Glance knows them, over raw JSON.

The SDK's Image drops unknown filters without a word and shows ``owner_id``,
a property that Nova sets, as the image's owner (``openstack/image/v2/
image.py``, SDK 4.22); so images are read as Glance sends them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib import parse

from openstack import connection
from openstack import exceptions as sdk_exceptions

from xloudclient.catalog.snapshot import Snapshot
from xloudclient.cloud.compute import is_uuid
from xloudclient.cloud.errors import translated
from xloudclient.consistency import evidence

#: As many as Glance sends at once (``api_limit_max``).
PAGE = 1000
#: So that a URL with as many does not get too long.
IDS_AT_ONCE = 50
PATCH = 'application/openstack-images-v2.1-json-patch'


class Images:
    """Glance's images, seen through an authenticated connection."""

    def __init__(self, conn: connection.Connection) -> None:
        self._conn = conn

    def get(self, image_id: str) -> dict[str, Any] | None:
        """Return the image's JSON, None if it is gone.

        What is no ID may be another path: metadata is written by anybody.
        """
        if not is_uuid(image_id):
            return None
        with translated():
            response = self._conn.image.get(f'/images/{image_id}')
            if response.status_code == 404:
                return None
            sdk_exceptions.raise_from_response(response)
            image: dict[str, Any] = response.json()
            return image

    def existing(self, ids: Sequence[str]) -> set[str]:
        """Return those of some IDs that there are images of (not hidden)."""
        found: set[str] = set()
        for begin in range(0, len(ids), IDS_AT_ONCE):
            asked = ','.join(ids[begin : begin + IDS_AT_ONCE])
            images = self.pages({'id': f'in:{asked}'})
            found.update(one['id'] for one in images)
        return found

    def pages(
        self, filters: Mapping[str, str | list[str]]
    ) -> Iterator[dict[str, Any]]:
        """Yield the images that have these values, a page at a time.

        :param filters: with ``limit``, the size of a page
        """
        path, params = '/images', {'limit': str(PAGE), **filters}
        while path:
            with translated():
                response = self._conn.image.get(path, params=params)
                sdk_exceptions.raise_from_response(response)
                body = response.json()
            yield from body['images']
            # it begins with the version, as the endpoint does
            path, params = body.get('next', '').removeprefix('/v2'), {}

    def matching(self, **filters: str) -> list[dict[str, Any]]:
        """Return the first page of the images that have these values."""
        with translated():
            response = self._conn.image.get('/images', params=filters)
            sdk_exceptions.raise_from_response(response)
            images: list[dict[str, Any]] = response.json()['images']
            return images

    def has_name(self, name: str, project_id: str) -> bool:
        """Whether the project has an image of that name (not hidden).

        A hidden one is no rival: a name stands for the others first. It
        would cost each snapshot a request more.
        """
        # Glance takes what precedes a colon as an operator
        # (glance/common/utils.py split_filter_op).
        return bool(
            self.matching(name=f'eq:{name}', owner=project_id, limit='1')
        )

    def latest_of(
        self, server_id: str, project_id: str
    ) -> list[dict[str, Any]]:
        """Return the server's last ten snapshots, the newest first.

        Hidden ones only if all are.
        """
        asked = {
            'instance_uuid': server_id,
            'image_type': 'snapshot',
            'owner': project_id,
            'sort': 'created_at:desc',
            'limit': '10',
        }
        # Glance leaves them out unless it is asked for them alone
        return self.matching(**asked) or self.matching(
            **asked, os_hidden='true'
        )

    def last_hold_ms(
        self, server_id: str, project_id: str, in_group: bool = False
    ) -> int | None:
        """Return how long the server was held for its last snapshot.

        :param in_group: for the last one in a group, or the last one alone
        """
        for image in self.latest_of(server_id, project_id):
            held = image.get('xloud_frozen_ms', '')
            if image.get('xloud_reason', '') not in evidence.AS_PLANNED:
                # what went wrong says nothing of the next hold
                continue
            if image.get('xloud_converted_from'):
                # a later copy of an earlier hold
                continue
            if bool(image.get('xloud_group')) is not in_group:
                continue
            if 'agent' in str(image.get('xloud_quiesced', '')).split(','):
                # that was held around the point in time only
                continue
            is_number = held.isascii() and held.isdecimal() and len(held) < 12
            if evidence.is_ours(image['id'], image) and is_number:
                return int(held)
        return None

    def update(
        self,
        image_id: str,
        properties: Mapping[str, Any],
        tags: Sequence[str] = (),
        dropped: Iterable[str] = (),
    ) -> None:
        """Set properties in one request, and add tags, one by one.

        :param dropped: properties that it has and shall not have any more
        """
        changes: list[dict[str, Any]] = [
            {'op': 'add', 'path': f'/{_pointer(key)}', 'value': value}
            for key, value in properties.items()
        ]
        changes += [
            {'op': 'remove', 'path': f'/{_pointer(key)}'} for key in dropped
        ]
        with translated():
            response = self._conn.image.patch(
                f'/images/{image_id}',
                data=json.dumps(changes),
                headers={'Content-Type': PATCH},
            )
            sdk_exceptions.raise_from_response(response)
        for tag in tags:
            self._tag(image_id, tag)

    def _tag(self, image_id: str, tag: str) -> None:
        path = f'/images/{image_id}/tags/{parse.quote(tag, safe="")}'
        with translated():
            sdk_exceptions.raise_from_response(self._conn.image.put(path))

    def fit_min_disk(self, image_id: str) -> None:
        """Lower what an image asks of a root disk to what its own one has.

        Nova writes the flavor's disk on a volume-backed snapshot, and then
        refuses to launch it from a smaller volume: ``snapshot_volume_backed``
        and ``_validate_flavor_image_nostatus`` in ``nova/compute/api.py``.
        """
        image = self.get(image_id) or {}
        for one in Snapshot(image).devices:
            if one.is_root and one.size and one.size < image['min_disk']:
                self.update(image_id, {'min_disk': one.size})

    def delete(self, image_id: str) -> None:
        """Delete the image; one that is gone already is no error."""
        with translated():
            response = self._conn.image.delete(f'/images/{image_id}')
            if response.status_code != 404:
                sdk_exceptions.raise_from_response(response)


def mapped_snapshots(image: Mapping[str, Any]) -> tuple[str, ...]:
    """The Cinder snapshots that a volume-backed image boots from.

    Source: the property ``block_device_mapping``, JSON, that Nova writes in
    ``snapshot_volume_backed`` (``nova/compute/api.py``).
    """
    try:
        mapping = json.loads(image.get('block_device_mapping') or '[]')
    except ValueError:
        return ()
    return tuple(
        one['snapshot_id']
        for one in mapping
        if isinstance(one, dict) and one.get('snapshot_id')
    )


def _pointer(key: str) -> str:
    return key.replace('~', '~0').replace('/', '~1')
