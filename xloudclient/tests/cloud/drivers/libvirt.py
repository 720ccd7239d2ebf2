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

"""Nova's own libvirt driver, with a network that needs no agent.

A guest is behind QEMU's user network: it can go out, and its ssh port is at
the server's address on the loopback network, port 2222, where the embedded
guests have theirs. The snapshot of a server with the metadata ``cold`` is
made as where live ones can't be, as on LVM. All else is Nova's.
"""

from typing import Any

from lxml import etree
from nova import conf
from nova.virt.libvirt import driver

from xloudclient.tests.cloud import addressing

# libvirt 9 can't forward a port of a user network by itself
NAMESPACE = 'http://libvirt.org/schemas/domain/qemu/1.0'
# high enough to be in no one's way on the bus of the machine type "pc"
BUS = 'bus=pci.0,addr=0x1e'


class LibvirtDriver(driver.LibvirtDriver):
    """The one hypervisor of the cloud."""

    def plug_vifs(self, instance: Any, network_info: Any) -> None:
        pass

    def unplug_vifs(self, instance: Any, network_info: Any) -> None:
        pass

    def snapshot(
        self,
        context: Any,
        instance: Any,
        image_id: str,
        update_task_state: Any,
    ) -> None:
        conf.CONF.set_override(
            'disable_libvirt_livesnapshot',
            'cold' in instance.metadata,
            'workarounds',
        )
        super().snapshot(context, instance, image_id, update_task_state)

    def _get_guest_xml(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        *args: Any,
        **kwargs: Any,
    ) -> str:
        xml = super()._get_guest_xml(context, instance, [], *args, **kwargs)
        addresses = [
            ip['address']
            for vif in network_info or ()
            for ip in vif.fixed_ips()
        ]
        return with_user_network(xml, addresses)


def with_user_network(xml: str, addresses: list[str]) -> str:
    """Return a domain's XML with one network card, its ssh port forwarded."""
    forwards = [
        f'hostfwd=tcp:{one}:{addressing.SSH_PORT}-:22' for one in addresses
    ]
    tree = etree.fromstring(xml)
    line = etree.SubElement(
        tree, f'{{{NAMESPACE}}}commandline', nsmap={'qemu': NAMESPACE}
    )
    for word in (
        '-netdev',
        ','.join(['user', 'id=embedded', *forwards]),
        '-device',
        f'virtio-net-pci,netdev=embedded,{BUS}',
    ):
        etree.SubElement(line, f'{{{NAMESPACE}}}arg', value=word)
    return etree.tostring(tree, encoding='unicode')
