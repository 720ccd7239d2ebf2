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

"""A Nova driver with real root disks, guests that can be logged in to, and
snapshots that go through libvirt's phases (see snapshots.py).

It is Nova's own fake driver otherwise.  Orders of kind ``server`` (see
control.py) for this module: ``spawn`` seconds; ``fail``, ``hang`` = ``spawn``.
"""

import contextlib
import os
import pathlib
import shutil
from typing import Any

import nova.conf
from nova import exception
from nova.compute import power_state
from nova.image import glance
from nova.virt import driver, fake

from xloudclient.tests.cloud import control, layout
from xloudclient.tests.cloud.drivers import power, snapshots
from xloudclient.tests.cloud.guests import machine


class EmbeddedDriver(power.PowerSwitch, fake.FakeDriverWithoutFakeNodes):
    """The one hypervisor of the cloud."""

    capabilities = {
        **driver.ComputeDriver.capabilities,
        **fake.FakeDriver.capabilities,
        'supports_image_type_qcow2': True,
    }
    vcpus, memory_mb, local_gb = 64, 131072, 2000

    def __init__(self, virtapi: Any, read_only: bool = False) -> None:
        super().__init__(virtapi, read_only)
        self.image_api = glance.API()
        self.layout = layout.Layout.of(
            pathlib.Path(nova.conf.CONF.state_path).parent
        )
        self.orders = control.Control(self.layout)

    def machine(self, uuid: str) -> machine.Machine:
        """Return the guest that plays a server."""
        return machine.Machine(self.layout, uuid)

    def disk(self, uuid: str) -> pathlib.Path:
        """Return the root disk of a server that boots from an image."""
        return self.layout.path('nova', 'instances', uuid, 'disk')

    def state_file(self, uuid: str) -> pathlib.Path:
        """Return the file that has a server's name and power state."""
        return self.disk(uuid).with_name('state')

    def init_host(self, host: str) -> None:
        """Find the servers of before a restart; boot those that ran."""
        super().init_host(host)
        for path in self.layout.path('nova', 'instances').glob('*/state'):
            uuid = path.parent.name
            saved = layout.read_json(path)
            self.instances[uuid] = fake.FakeInstance(
                saved['name'], saved['state'], uuid
            )
            if saved['state'] == power_state.RUNNING:
                self.machine(uuid).start()

    def default_root_device_name(self, *args: Any) -> str:
        """Name disks as virtio does; the others then follow: vdb, vdc."""
        return '/dev/vda'

    def spawn(
        self,
        context: Any,
        instance: Any,
        image_meta: Any,
        injected_files: Any,
        admin_password: Any,
        allocations: Any,
        network_info: Any = None,
        block_device_info: Any = None,
        **kwargs: Any,
    ) -> None:
        """Copy the image to a root disk of its own, and boot."""
        uuid = instance.uuid
        self.disk(uuid).parent.mkdir(parents=True, exist_ok=True)
        volumes = _volumes(block_device_info)
        root = volumes.get(instance.root_device_name)
        if root is None and not self.disk(uuid).exists():
            self.image_api.download(
                context, instance.image_ref, dest_path=str(self.disk(uuid))
            )
        self._pace_spawn(uuid)
        super().spawn(
            context,
            instance,
            image_meta,
            injected_files,
            admin_password,
            allocations,
            network_info,
            block_device_info,
            **kwargs,
        )
        guest = self.machine(uuid)
        cards = [vif['address'] for vif in network_info or ()]
        guest.make(_addresses(network_info), cards, instance.key_data)
        guest.set_root(root)
        for device, volume in volumes.items():
            if device != instance.root_device_name:
                guest.attach(device, volume)
        self.boot(uuid)

    def _pace_spawn(self, uuid: str) -> None:
        if not self.orders.pace('server', uuid, 'spawn'):
            self.orders.report('fail', uuid, phase='spawn')
            raise snapshots.InjectedFailure(phase='spawn')

    def destroy(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        **kwargs: Any,
    ) -> None:
        self.machine(instance.uuid).stop()
        super().destroy(
            context,
            instance,
            network_info,
            block_device_info,
            destroy_disks,
            **kwargs,
        )
        if destroy_disks:
            self.machine(instance.uuid).remove()
            shutil.rmtree(self.disk(instance.uuid).parent, ignore_errors=True)

    def attach_volume(
        self,
        context: Any,
        connection_info: Any,
        instance: Any,
        mountpoint: str,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().attach_volume(
            context, connection_info, instance, mountpoint, *args, **kwargs
        )
        self.machine(instance.uuid).attach(
            mountpoint, _volume(connection_info)
        )

    def detach_volume(
        self,
        context: Any,
        connection_info: Any,
        instance: Any,
        mountpoint: str,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().detach_volume(
            context, connection_info, instance, mountpoint, *args, **kwargs
        )
        self.machine(instance.uuid).detach(mountpoint)

    def quiesce(self, context: Any, instance: Any, image_meta: Any) -> None:
        """Freeze as libvirt does: only with a guest agent, if it obeys.

        The agent's hook script is run in the guest, as qemu-ga runs it.
        """
        if not image_meta.properties.get('hw_qemu_guest_agent', False):
            raise exception.QemuGuestAgentNotEnabled()
        settings = self.orders.settings('server', instance.uuid)
        obeyed = settings.get('fail') != 'quiesce' and self.machine(
            instance.uuid
        ).freeze_hook('freeze')
        if not obeyed:
            self.orders.report('fail', instance.uuid, phase='quiesce')
            raise exception.InstanceQuiesceFailed(
                instance_id=instance.uuid, reason='the guest refused'
            )
        self.orders.report('freeze', instance.uuid)

    def unquiesce(self, context: Any, instance: Any, image_meta: Any) -> None:
        self.machine(instance.uuid).freeze_hook('thaw')
        self.orders.report('thaw', instance.uuid)

    def snapshot(
        self,
        context: Any,
        instance: Any,
        image_id: str,
        update_task_state: Any,
    ) -> None:
        if instance.uuid not in self.instances:
            raise exception.InstanceNotRunning(instance_id=instance.uuid)
        with contextlib.closing(
            snapshots.Snapshot(
                self, context, instance, image_id, update_task_state
            )
        ) as one:
            one.run()


def _addresses(network_info: Any) -> list[str]:
    return [
        ip['address'] for vif in network_info or () for ip in vif.fixed_ips()
    ]


def _volumes(block_device_info: Any) -> dict[str, machine.Volume]:
    """Return the volumes by device, e.g. ``/dev/vda``."""
    mapping = driver.block_device_info_get_mapping(block_device_info)
    return {
        one['mount_device']: _volume(one['connection_info']) for one in mapping
    }


def _volume(connection_info: Any) -> machine.Volume:
    return machine.Volume(
        connection_info.get('volume_id') or connection_info['serial'],
        os.fspath(connection_info['data']['device_path']),
    )
