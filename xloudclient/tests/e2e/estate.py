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

"""A cloud whose servers are real guests, and the servers in it."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from xloudclient.tests.cloud import Cloud, hypervisor
from xloudclient.tests.e2e import image
from xloudclient.tests.e2e.machine import Machine

MEBIBYTES = 640
PROCESSORS = 2
PROGRAMS = ('mmdebstrap', 'mkfs.ext4', 'qemu-img', 'unshare', 'cpio', 'ssh')
#: What a guest's kernel is told; a snapshot inherits it from the image.
COMMAND_LINE = (
    'root=/dev/vda rw console=ttyS0 quiet net.ifnames=0 mitigations=off'
)


def missing() -> str:
    """Say in a sentence what keeps real guests from being run; or ''."""
    path = f'{os.environ.get("PATH", "")}:/usr/sbin:/sbin'
    absent = [one for one in PROGRAMS if not shutil.which(one, path=path)]
    if not absent:
        return hypervisor.missing()
    return (
        f'Real guests need {", ".join(absent)}: install what bindep.txt '
        'has for "e2e", as tools/e2e does.'
    )


class Estate:
    """A context manager: the cloud is up within.

    :param state: the cloud's folder, which is kept; by default a temporary
        one, which is removed at the end
    """

    def __init__(self, state: pathlib.Path | None = None) -> None:
        self._state = state

    def __enter__(self) -> 'Estate':
        self.image = image.ensure()
        self.cloud = Cloud.start(self._state, driver='libvirt')
        try:
            self._fill()
        except BaseException:
            self.cloud.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.cloud.stop()

    def _fill(self) -> None:
        """Give the cloud an image that boots, and a flavor."""
        compute = self.cloud.connection('admin').compute
        self.flavor = compute.create_flavor(
            name='e2e',
            ram=MEBIBYTES,
            vcpus=PROCESSORS,
            disk=image.GIBIBYTES,
        ).id
        kernel = self._upload('kernel', 'aki', self.image.kernel)
        ramdisk = self._upload('ramdisk', 'ari', self.image.ramdisk)
        self._boot = {'kernel_id': kernel, 'ramdisk_id': ramdisk}
        self._images: dict[tuple[tuple[str, str], ...], str] = {}

    def _upload(
        self,
        name: str,
        format_: str,
        path: pathlib.Path,
        **properties: str,
    ) -> str:
        images = self.cloud.connection('demo').image
        made = images.create_image(
            name,
            filename=str(path),
            disk_format=format_,
            container_format=format_ if format_ in ('aki', 'ari') else 'bare',
            # else the SDK looks for one of that name, and fails at two
            allow_duplicates=True,
            wait=True,
            **properties,
        )
        return str(made.id)

    def image_id(self, **properties: str) -> str:
        """Return a Glance image of the guests' disk with these properties."""
        key = tuple(sorted(properties.items()))
        if key not in self._images:
            self._images[key] = self._upload(
                'debian',
                'qcow2',
                self.image.disk,
                **{
                    'os_command_line': COMMAND_LINE,
                    'os_shutdown_timeout': '1',
                    **self._boot,
                    **properties,
                },
            )
        return self._images[key]

    def machine(
        self,
        name: str,
        *,
        properties: dict[str, str] | None = None,
        volume_backed: bool = False,
        data_volumes: int = 0,
    ) -> Machine:
        """Return a new guest that has booted.

        :param properties: the image's, e.g. hw_qemu_guest_agent='yes'
        :param data_volumes: of 1 GiB each, empty: /dev/vdb, /dev/vdc
        """
        server = self.cloud.server(
            name,
            image=self.image_id(**(properties or {})),
            flavor=self.flavor,
            volume_backed=volume_backed,
            volume_size=image.GIBIBYTES,
            data_volumes=data_volumes,
        )
        return self.of(server)

    def of(self, server: Any) -> Machine:
        """Return the guest of a server, once it has booted.

        :param server: its id will do
        """
        # libvirt's name of it is told to administrators alone
        seen = self.cloud.connection('admin').compute.get_server(server)
        addresses = [
            one['addr'] for net in seen.addresses.values() for one in net
        ]
        machine = Machine(seen, addresses[0], self.image)
        machine.await_boot()
        return machine

    def delete(self, machine: Machine) -> None:
        """Delete a server and its volumes."""
        self.cloud.delete(machine.server)

    def virsh(self, *words: str) -> str:
        """Run virsh and return what it printed.

        :raises subprocess.CalledProcessError: it failed
        """
        return subprocess.run(
            [
                *('virsh', '--quiet', '--connect'),
                hypervisor.uri(self.cloud.layout),
                *words,
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def slow_down(self, machine: Machine, megabytes: int) -> None:
        """Have the mirror of a root disk copy that much a second; 0: no limit.

        :raises subprocess.CalledProcessError: there is no mirror
        """
        rate = ('--bandwidth', str(megabytes))
        self.virsh('blockjob', machine.domain, 'vda', *rate)

    @contextlib.contextmanager
    def suspended(self, machine: Machine) -> Iterator[None]:
        """Within, a guest stands still and leaves the processors to others."""
        self.virsh('suspend', machine.domain)
        try:
            yield
        finally:
            self.virsh('resume', machine.domain)

    def environ(self) -> dict[str, str]:
        """Return the environment of a client of this cloud."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith('OS_')
        }
        return {**kept, **self.cloud.environ('demo')}

    def openstack(
        self, *words: str, seconds: float = 900
    ) -> 'subprocess.CompletedProcess[str]':
        """Run ``openstack`` as a user does."""
        return subprocess.run(
            [sys.executable, '-m', 'openstackclient.shell', *words],
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
