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

"""What a new server can be given: flavors, networks, key pairs, groups."""

from openstack import connection

from xloudclient.catalog.launch import Flavor
from xloudclient.cloud.errors import translated


class Choices:
    """What there is to choose from, seen through a connection."""

    def __init__(self, conn: connection.Connection) -> None:
        self._conn = conn

    def flavor(self, name_or_id: str) -> Flavor | None:
        """Return a flavor, None if there is none that this project sees."""
        with translated():
            found = self._conn.compute.find_flavor(name_or_id)
        if found is None:
            return None
        return Flavor(found.id, found.name, found.disk, found.ram, found.vcpus)

    def networks(self, name: str) -> list[str]:
        """Return the IDs of the networks of that name."""
        with translated():
            return [one.id for one in self._conn.network.networks(name=name)]

    def security_groups(self, name: str) -> list[str]:
        """Return the IDs of the groups of that name.

        The project's own; where it has none, what others share with it.
        """
        with translated():
            found = list(self._conn.network.security_groups(name=name))
        project = self._conn.current_project_id
        own = [one.id for one in found if one.project_id == project]
        return own or [one.id for one in found]

    def has_key_pair(self, name: str) -> bool:
        """Whether the user has a key pair of that name."""
        with translated():
            return self._conn.compute.find_keypair(name) is not None
