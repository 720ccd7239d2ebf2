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

"""Servers, volumes and guests, made and removed for a test: part of Cloud."""

import contextlib
import functools
import pathlib
import uuid
from typing import Any

from openstack import connection, exceptions

from xloudclient.tests.cloud import layout
from xloudclient.tests.cloud.guests import guest

IMAGE, FLAVOR, NETWORK = 'tiny', '1', 'net'
# real guests are slower than embedded ones
SECONDS = 120
INTERVAL = 0.1
# each look at a server costs Nova two requests to Neutron
SERVER_INTERVAL = 0.3
Connection = connection.Connection
Guest = guest.Guest


class Resources:
    """What a test asks to be there; by default as ``demo``."""

    layout: layout.Layout

    def connection(self, user: str = 'demo') -> Connection:
        """Return a connection; Cloud has it."""
        raise NotImplementedError

    @property
    def flavor(self) -> str:
        """The id of ``m1.tiny`` (1 GiB root disk); ``m1.small`` is '2'."""
        return FLAVOR

    @functools.cached_property
    def image_id(self) -> str:
        """The id of the public raw image ``tiny``."""
        return str(next(self.connection().image.images(name=IMAGE)).id)

    @functools.cached_property
    def network(self) -> str:
        """The id of the shared network ``net``."""
        return str(next(self.connection().network.networks(name=NETWORK)).id)

    def image(
        self,
        name: str = 'own',
        data: bytes = b'own image\n' * 1000,
        user: str = 'demo',
        **properties: Any,
    ) -> str:
        """Make a raw image with properties, e.g. hw_qemu_guest_agent='yes'.

        :return: its id
        """
        return str(
            self.connection(user)
            .image.create_image(
                name,
                data=data,
                disk_format='raw',
                container_format='bare',
                **properties,
            )
            .id
        )

    def server(
        self,
        name: str | None = None,
        *,
        image: str | None = None,
        flavor: str | None = None,
        volume_backed: bool = False,
        volume_size: int = 1,
        metadata: dict[str, str] | None = None,
        data_volumes: int = 0,
        networks: Any = None,
        user: str = 'demo',
        **more: Any,
    ) -> Any:
        """Return a new server, ACTIVE and with its volumes attached.

        :param image: an image's id; default ``tiny``
        :param volume_backed: boot from a new volume of the image
        :param volume_size: of that volume, in GiB
        :param data_volumes: how many new, empty 1 GiB volumes to attach
        :param networks: as for the SDK: a list, or 'none'; default ``net``
        :param more: passed on to the SDK's create_server
        """
        what: dict[str, Any] = {
            'name': name or f'server-{uuid.uuid4().hex[:8]}',
            'flavor_id': flavor or self.flavor,
            'networks': networks or [{'uuid': self.network}],
            'metadata': metadata or {},
            **_source(
                image or self.image_id, volume_size if volume_backed else 0
            ),
        }
        compute = self.connection(user).compute
        made = compute.wait_for_server(
            compute.create_server(**what, **more),
            interval=SERVER_INTERVAL,
            wait=SECONDS,
        )
        for _ in range(data_volumes):
            self.attach(made, self.volume(user=user), user=user)
        return compute.get_server(made)

    def volume(self, size: int = 1, *, user: str = 'demo', **more: Any) -> str:
        """Return the id of a new, available volume.

        :param size: in GiB
        :param more: e.g. snapshot_id, image_id, name
        """
        storage = self.connection(user).block_storage
        made = storage.create_volume(size=size, **more)
        storage.wait_for_status(
            made, 'available', interval=INTERVAL, wait=SECONDS
        )
        return str(made.id)

    def attach(self, server: Any, volume_id: str, user: str = 'demo') -> None:
        """Attach a volume and wait until it is in use."""
        cloud = self.connection(user)
        cloud.compute.create_volume_attachment(server, volume_id=volume_id)
        cloud.block_storage.wait_for_status(
            cloud.block_storage.get_volume(volume_id),
            'in-use',
            interval=INTERVAL,
            wait=SECONDS,
        )

    def detach(self, server: Any, volume_id: str, user: str = 'demo') -> None:
        """Detach a volume and wait until it is available."""
        cloud = self.connection(user)
        cloud.compute.delete_volume_attachment(server, volume_id)
        cloud.block_storage.wait_for_status(
            cloud.block_storage.get_volume(volume_id),
            'available',
            interval=INTERVAL,
            wait=SECONDS,
        )

    def delete(self, server: Any, user: str = 'demo') -> None:
        """Delete a server, if it is there, and its volumes.

        A volume that has snapshots is left, as Cinder will have it.
        """
        cloud = self.connection(user)
        volumes = self._volumes_of(cloud, server)
        cloud.compute.delete_server(server, ignore_missing=True)
        with contextlib.suppress(exceptions.NotFoundException):
            cloud.compute.wait_for_delete(
                server, interval=INTERVAL, wait=SECONDS
            )
        for volume in volumes:
            with contextlib.suppress(exceptions.SDKException):
                cloud.block_storage.delete_volume(volume)

    def delete_volume(self, volume_id: str, user: str = 'demo') -> None:
        """Delete a volume, if it is there, and its snapshots."""
        storage = self.connection(user).block_storage
        for one in storage.snapshots(volume_id=volume_id):
            storage.delete_snapshot(one)
            storage.wait_for_delete(one, interval=INTERVAL, wait=SECONDS)
        storage.delete_volume(volume_id)

    def delete_snapshots(self, user: str = 'demo') -> None:
        """Delete all Cinder snapshots of the project."""
        storage = self.connection(user).block_storage
        found = list(storage.snapshots())
        for one in found:
            storage.delete_snapshot(one)
        for one in found:
            storage.wait_for_delete(one, interval=INTERVAL, wait=SECONDS)

    def delete_images(self) -> None:
        """Delete all images of all projects but the one of the template."""
        images = self.connection('admin').image
        for hidden in (False, True):
            for one in images.images(is_hidden=hidden):
                if one.id == self.image_id:
                    continue
                if one.is_protected:
                    images.update_image(one, is_protected=False)
                images.delete_image(one)

    @staticmethod
    def _volumes_of(cloud: Connection, server: Any) -> list[str]:
        with contextlib.suppress(exceptions.NotFoundException):
            return [
                one.volume_id
                for one in cloud.compute.volume_attachments(server)
            ]
        return []

    def disk(self, server: Any) -> pathlib.Path:
        """Return the file that is a server's root disk; write to it."""
        return self.layout.path('nova', 'instances', _id(server), 'disk')

    def volume_file(self, volume_id: str) -> pathlib.Path:
        """Return the file that is a volume; write to it."""
        return self.layout.path('cinder', 'files', f'volume-{volume_id}')

    def guest(self, server: Any) -> Guest:
        """Return the guest of a server, which may be off now.

        :param server: a server, or its id
        :raises LookupError: it has none; the message tells why
        """
        return guest.of(self.layout, _id(server))

    @property
    def guests_off(self) -> str:
        """Why servers have no guests; empty if they have."""
        from xloudclient.tests.cloud.guests import account

        return account.of(self.layout).off


def _source(image: str, volume_size: int) -> dict[str, Any]:
    if not volume_size:
        return {'image_id': image}
    root = {
        'boot_index': 0,
        'uuid': image,
        'source_type': 'image',
        'destination_type': 'volume',
        'volume_size': volume_size,
        'delete_on_termination': True,
    }
    return {'block_device_mapping': [root]}


def _id(server: Any) -> str:
    return str(getattr(server, 'id', server))
