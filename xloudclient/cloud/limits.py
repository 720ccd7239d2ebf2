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

"""What a project uses and may use, as Nova and Cinder tell its members."""

from typing import Any

from openstack import connection
from openstack import exceptions as sdk_exceptions

from xloudclient.cloud.errors import translated


class Limits:
    """Absolute limits, seen through an authenticated connection."""

    def __init__(self, conn: connection.Connection) -> None:
        self._conn = conn

    def compute(self) -> dict[str, int]:
        """Nova's: ``maxTotalCores``, ``totalCoresUsed`` and the like."""
        return _absolute(self._conn.compute)

    def volumes(self) -> dict[str, int]:
        """Cinder's: ``maxTotalVolumes``, ``totalVolumesUsed`` and so on."""
        return _absolute(self._conn.block_storage)


def _absolute(service: Any) -> dict[str, int]:
    with translated():
        response = service.get('/limits')
        sdk_exceptions.raise_from_response(response)
        found: dict[str, int] = response.json()['limits']['absolute']
        return found
