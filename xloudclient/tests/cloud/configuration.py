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

"""Write the services' configuration files, and the users' openrc files.

The files are templates in ``etc/``; what stands there is what the services
read, but for paths, ports and the repeated credentials.
"""

import importlib.resources
import pathlib
import string
import sysconfig

from xloudclient.tests.cloud import layout

# where the services' distributions put their paste files
PASTE_FILES = (
    'glance/glance-api-paste.ini',
    'nova/api-paste.ini',
    'cinder/api-paste.ini',
    'neutron/api-paste.ini',
)
TEMPLATES = importlib.resources.files('xloudclient.tests.cloud') / 'etc'


def write(where: layout.Layout, addresses: layout.Addresses) -> None:
    """Write ``STATE/etc/*`` and ``STATE/*-openrc.sh`` for these addresses."""
    values = _values(where, addresses)
    for template in TEMPLATES.iterdir():
        if template.name.endswith('.conf'):
            text = string.Template(template.read_text()).substitute(values)
            where.path('etc', template.name).write_text(text)
    for source in PASTE_FILES:
        target = source.replace('/api-', '-').split('/')[-1]
        where.path('etc', target).write_text(
            pathlib.Path(shared(), source).read_text()
        )
    for user in layout.USERS:
        _write_openrc(where, addresses, user)


def shared() -> str:
    """Return the folder of the data files of installed distributions."""
    return str(pathlib.Path(sysconfig.get_path('data'), 'etc'))


def environ(addresses: layout.Addresses, user: str) -> dict[str, str]:
    """Return the OS_* variables of a user: admin, demo or other."""
    return {
        'OS_AUTH_URL': addresses.url('keystone'),
        'OS_USERNAME': user,
        'OS_PASSWORD': layout.PASSWORDS[user],
        'OS_PROJECT_NAME': user,
        'OS_USER_DOMAIN_NAME': 'Default',
        'OS_PROJECT_DOMAIN_NAME': 'Default',
        'OS_REGION_NAME': 'RegionOne',
        'OS_IDENTITY_API_VERSION': '3',
    }


def _write_openrc(
    where: layout.Layout, addresses: layout.Addresses, user: str
) -> None:
    template = (TEMPLATES / 'openrc.sh').read_text()
    exports = (
        f"export {name}='{value}'"
        for name, value in environ(addresses, user).items()
    )
    where.path(f'{user}-openrc.sh').write_text(
        template + '\n'.join(exports) + '\n'
    )


def _values(
    where: layout.Layout, addresses: layout.Addresses
) -> dict[str, str]:
    values = {
        'state': str(where.state),
        'host': layout.HOST,
        'shared': shared(),
    }
    for service in layout.SERVICES:
        values[f'{service}_url'] = addresses.url(service)
        values[f'{service}_port'] = str(addresses.ports[service])
        values[f'{service}_credentials'] = _credentials(addresses, service)
    return values


def _credentials(addresses: layout.Addresses, user: str) -> str:
    return '\n'.join(
        (
            'auth_type = password',
            f'auth_url = {addresses.url("keystone")}',
            f'username = {user}',
            f'password = {layout.PASSWORDS["service"]}',
            'project_name = service',
            'user_domain_name = Default',
            'project_domain_name = Default',
            'region_name = RegionOne',
        )
    )
