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


"""What a project may still make, as one of its members sees it."""

from collections.abc import Mapping
from typing import Any

from openstack import connection
from openstack import exceptions as sdk_exceptions

from xloudclient.cloud.errors import translated
from xloudclient.consistency.checks.quota import Allowance

#: Nova's absolute limits, by the names of its quotas: what is used, the most.
SERVER_LIMITS = {
    'instances': ('totalInstancesUsed', 'maxTotalInstances'),
    'cores': ('totalCoresUsed', 'maxTotalCores'),
    'ram': ('totalRAMUsed', 'maxTotalRAMSize'),
}


class Quotas:
    """Quotas, seen through an authenticated connection."""

    def __init__(self, conn: connection.Connection) -> None:
        self._conn = conn

    def images(self) -> dict[str, Allowance]:
        """Return Glance's limits for this project, by name.

        Empty where a cloud has none (``use_keystone_limits`` is off), or a
        Glance that does not tell (before 2.13 of its API).
        """
        with translated():
            response = self._conn.image.get('/info/usage')
            if response.status_code == 404:
                return {}
            sdk_exceptions.raise_from_response(response)
            usage = response.json()['usage']
        return {
            name: Allowance(one['usage'], one['limit'])
            for name, one in usage.items()
        }

    def servers(self) -> dict[str, Allowance]:
        """Return Nova's quotas for this project, by name."""
        with translated():
            response = self._conn.compute.get('/limits')
            sdk_exceptions.raise_from_response(response)
            found = response.json()['limits']['absolute']
        return {
            name: Allowance(found[used], found[most])
            for name, (used, most) in SERVER_LIMITS.items()
        }

    def volumes(self, project_id: str) -> dict[str, Allowance]:
        """Return Cinder's quotas for a project, by name."""
        with translated():
            response = self._conn.block_storage.get(
                f'/os-quota-sets/{project_id}', params={'usage': 'True'}
            )
            sdk_exceptions.raise_from_response(response)
            found: Mapping[str, Any] = response.json()['quota_set']
        return {
            name: Allowance(one['in_use'] + one['reserved'], one['limit'])
            for name, one in found.items()
            if isinstance(one, dict)
        }
