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

"""Fill a new cloud: users, endpoints, flavors, an image, a network."""

from typing import Any

from keystoneauth1 import loading, session

from xloudclient.tests.cloud import configuration, layout

ENDPOINTS = {
    'image': 'glance',
    'compute': 'nova',
    'placement': 'placement',
    'network': 'neutron',
    'block-storage': 'cinder',
}
# id: (name, MiB of RAM, GiB of root disk)
FLAVORS = {'1': ('m1.tiny', 64, 1), '2': ('m1.small', 128, 2)}
IMAGE = b'tiny image\n' * 8192


class Seeder:
    """Talks to the services as the administrator."""

    def __init__(self, addresses: layout.Addresses) -> None:
        self.addresses = addresses
        self._session = _session(addresses)

    def identity(self) -> None:
        """Make projects, users, their roles and the catalog.

        Needs Keystone only; the other services cannot start before.
        """
        roles = {
            one['name']: one['id']
            for one in self._session.get(
                self._url('keystone', 'roles')
            ).json()['roles']
        }
        projects = {
            name: self._make('keystone', 'project', name=name)['id']
            for name in ('service', 'demo', 'other')
        }
        for name in ENDPOINTS.values():
            self._make_user(
                name,
                layout.PASSWORDS['service'],
                projects['service'],
                [roles['admin'], roles['service']],
            )
        for name in ('demo', 'other'):
            self._make_user(
                name, layout.PASSWORDS[name], projects[name], [roles['member']]
            )
        self._make_catalog()

    def resources(self) -> None:
        """Make what a user needs for a server; needs all services."""
        for identity, (name, ram, disk) in FLAVORS.items():
            self._make(
                'nova',
                'flavor',
                id=identity,
                name=name,
                ram=ram,
                disk=disk,
                vcpus=1,
            )
        self._make_image()
        self._make_network()
        self._make(
            'cinder',
            'volume_type',
            'types',
            name='files',
            extra_specs={'volume_backend_name': 'files'},
        )

    def _make_user(
        self, name: str, password: str, project: str, roles: list[str]
    ) -> None:
        user = self._make(
            'keystone',
            'user',
            name=name,
            password=password,
            domain_id='default',
        )
        for role in roles:
            self._session.put(
                self._url(
                    'keystone',
                    f'projects/{project}/users/{user["id"]}/roles/{role}',
                )
            )

    def _make_catalog(self) -> None:
        for kind, name in ENDPOINTS.items():
            service = self._make('keystone', 'service', type=kind, name=name)
            for interface in ('public', 'internal', 'admin'):
                self._make(
                    'keystone',
                    'endpoint',
                    service_id=service['id'],
                    interface=interface,
                    region_id='RegionOne',
                    url=self.addresses.url(name),
                )

    def _make_image(self) -> None:
        image = self._session.post(
            self._url('glance', 'v2/images'),
            json={
                'name': 'tiny',
                'disk_format': 'raw',
                'container_format': 'bare',
                'visibility': 'public',
            },
        ).json()
        self._session.put(
            self._url('glance', f'v2/images/{image["id"]}/file'),
            data=IMAGE,
            headers={'Content-Type': 'application/octet-stream'},
        )

    def _make_network(self) -> None:
        # loopback subnets are refused only with DHCP
        network = self._make(
            'neutron', 'network', 'v2.0/networks', name='net', shared=True
        )
        self._make(
            'neutron',
            'subnet',
            'v2.0/subnets',
            name='net',
            network_id=network['id'],
            ip_version=4,
            cidr=self.addresses.network,
            gateway_ip=None,
            enable_dhcp=False,
        )

    def _make(
        self, service: str, kind: str, path: str | None = None, **body: Any
    ) -> dict[str, Any]:
        made: dict[str, Any] = self._session.post(
            self._url(service, path or kind + 's'), json={kind: body}
        ).json()[kind]
        return made

    def _url(self, service: str, path: str) -> str:
        return f'{self.addresses.url(service)}/{path}'


def _session(addresses: layout.Addresses) -> session.Session:
    names = configuration.environ(addresses, 'admin')
    options = {
        name[3:].lower(): value
        for name, value in names.items()
        if name not in ('OS_REGION_NAME', 'OS_IDENTITY_API_VERSION')
    }
    return session.Session(
        loading.get_plugin_loader('password').load_from_options(**options)
    )
