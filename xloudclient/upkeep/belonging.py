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


"""Which volume snapshots belong to a snapshot, and go when it goes.

Cinder and Glance know nothing of each other. A volume-backed snapshot's image
names its volume snapshots in Nova's mapping, a property that anybody can copy
or write. Those of an image-backed one were made by us, and the metadata of
each names the image.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from xloudclient.catalog.snapshot import BDM_V2, Kind, Snapshot
from xloudclient.cloud.images import Images
from xloudclient.cloud.volumes import VolumeSnapshots
from xloudclient.consistency.text import printable

#: How Nova names the volume snapshots that it makes for an image
#: (``nova/compute/api.py``, ``snapshot_volume_backed``).
NOVAS_NAME = 'snapshot for '
Part = Mapping[str, Any]


@dataclasses.dataclass(slots=True)
class Belonging:
    """Tells what belongs to the snapshots of one project.

    Whether other images are launched from a volume snapshot is asked once,
    of the project's images that have a mapping as Nova writes it today.
    """

    images: Images
    volumes: VolumeSnapshots
    owner: str
    _mapped: dict[str, set[str]] | None = None

    def parts(self, snapshot: Snapshot) -> tuple[list[Part], list[str]]:
        """Return its own volume snapshots, and sentences on those it shares.

        :returns: the volume snapshots as Cinder sends them
        """
        if snapshot.kind is not Kind.VOLUME:
            if 'xloud_schema' not in snapshot.image:
                return [], []
            return self.made_for(snapshot.id)
        own: list[Part] = []
        kept = []
        for part_id in snapshot.mapped_volumes:
            part = self.volumes.get(part_id)
            if part is None:
                continue
            if why := self._why_foreign(snapshot, part):
                kept.append(f'volume snapshot {part_id} is kept: {why}')
            else:
                own.append(part)
        return own, kept

    def made_for(self, image_id: str) -> tuple[list[Part], list[str]]:
        """Return those that we made beside an image; as :meth:`parts`."""
        own: list[Part] = []
        kept = []
        for part in self.volumes.marked('xloud_image', image_id):
            if others := self._named_by(part['id']) - {image_id}:
                kept.append(
                    f'volume snapshot {part["id"]} is kept: image '
                    f'{min(others)} is launched from it, too'
                )
            else:
                own.append(part)
        return own, kept

    def _why_foreign(self, snapshot: Snapshot, part: Part) -> str:
        """Why a volume snapshot in the mapping is not the image's own."""
        if others := self._named_by(part['id']) - {snapshot.id}:
            return f'image {min(others)} is launched from it, too'
        named = str(part['metadata'].get('xloud_image') or '')
        if named == snapshot.id:
            return ''
        if named and self.images.get(named) is not None:
            return f'it belongs to image {printable(named)}'
        if named or part['name'] == f'{NOVAS_NAME}{snapshot.name}':
            return ''
        return (
            'it was not made for this snapshot. To delete it: openstack '
            f'volume snapshot delete {part["id"]}'
        )

    def others_need(self, part_id: str, image_id: str) -> bool:
        """Whether images but one are launched from a snapshot or image."""
        return bool(self._named_by(part_id) - {image_id})

    def _named_by(self, part_id: str) -> set[str]:
        """The images whose mapping names a volume snapshot or an image."""
        if self._mapped is None:
            self._mapped = {}
            for image in self._volume_backed():
                snapshot = Snapshot(image)
                for one in (*snapshot.mapped_volumes, *snapshot.disk_images):
                    self._mapped.setdefault(one, set()).add(image['id'])
        return self._mapped.get(part_id, set())

    def _volume_backed(self) -> Iterator[dict[str, Any]]:
        for written in (BDM_V2, BDM_V2.lower()):
            asked: dict[str, str | list[str]] = {
                'bdm_v2': written,
                'owner': self.owner,
            }
            yield from self.images.pages(asked)
            yield from self.images.pages({**asked, 'os_hidden': 'true'})

    def is_orphan(self, part: Part) -> bool:
        """Whether one that we made or claimed is for an image that is gone.

        What is only named as Nova names its own may be anybody's.
        """
        if self._named_by(part['id']):
            return False
        named = str(part['metadata'].get('xloud_image') or '')
        return bool(named) and self.images.get(named) is None

    def forget(self, image_id: str) -> None:
        """Note that an image is gone."""
        for images in (self._mapped or {}).values():
            images.discard(image_id)
