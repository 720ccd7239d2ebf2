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


"""The projects that an image is offered to, as Glance knows them."""

from typing import Any

from openstack import connection
from openstack import exceptions as sdk_exceptions

from xloudclient.cloud.errors import translated

CONFLICT, NOT_FOUND = 409, 404


class Members:
    """Members of images, seen through an authenticated connection.

    Only images of visibility ``shared`` have any, and only the owner may
    change who they are; each of them alone may accept or reject
    (``glance/api/v2/image_members.py``).
    """

    def __init__(self, conn: connection.Connection) -> None:
        self._conn = conn

    def statuses(self, image_id: str) -> dict[str, str]:
        """Return each member's answer: pending, accepted or rejected.

        The owner sees all members, a member itself alone.
        """
        reply = self._ask('get', f'/images/{image_id}/members')
        return {
            one['member_id']: one['status'] for one in reply.json()['members']
        }

    def add(self, image_id: str, project_id: str) -> None:
        """Offer an image to a project; one that is a member is no error."""
        path = f'/images/{image_id}/members'
        body = {'member': project_id}
        self._ask('post', path, CONFLICT, json=body)

    def remove(self, image_id: str, project_id: str) -> None:
        """Take the offer back; one that is no member is no error."""
        path = f'/images/{image_id}/members/{project_id}'
        self._ask('delete', path, NOT_FOUND)

    def answer(self, image_id: str, project_id: str, status: str) -> None:
        """Answer an offer for a project: ``accepted`` or ``rejected``."""
        path = f'/images/{image_id}/members/{project_id}'
        self._ask('put', path, json={'status': status})

    def _ask(
        self, method: str, path: str, allowed: int = 0, **more: Any
    ) -> Any:
        with translated():
            response = getattr(self._conn.image, method)(path, **more)
            if response.status_code != allowed:
                sdk_exceptions.raise_from_response(response)
            return response
