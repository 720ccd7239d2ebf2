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


"""Projects, as Keystone knows them, for those who may see few of them."""

import re
from collections.abc import Mapping
from typing import Any
from urllib import parse

from openstack import connection
from openstack import exceptions as sdk_exceptions

from xloudclient.cloud.errors import translated
from xloudclient.consistency.errors import Failure

#: Keystone makes IDs of uuid4().hex (``keystone/api/projects.py``).
PROJECT_ID = re.compile(
    r'[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'
)


class Projects:
    """Keystone's projects, seen through an authenticated connection.

    A user may ask for the projects that they have a role in, and only an
    administrator for others (``identity:list_projects``).
    """

    def __init__(self, conn: connection.Connection) -> None:
        self._conn = conn

    def find(self, name_or_id: str, domain: str | None = None) -> str:
        """Return the ID of the project that a user named.

        What has the form of an ID is taken for one where nobody can be
        asked. Nothing else is: Glance takes any text for a member.

        :param domain: name or ID of the project's domain
        :raises Failure: there is none, there are several, or they can't be
            looked up
        """
        domain_id = self._domain_id(domain) if domain else ''
        own = self._get('/auth/projects', 'projects') or []
        found = _matching(own, name_or_id, domain_id)
        if found is not None:
            return found
        listed = self._get('/projects', 'projects', name=name_or_id)
        found = _matching(listed or [], name_or_id, domain_id)
        if found is not None:
            return found
        if listed is not None:
            if self._exists(name_or_id):
                return name_or_id
            raise Failure(f'there is no project {name_or_id!r}')
        if not PROJECT_ID.fullmatch(name_or_id):
            raise Failure(
                f"the project {name_or_id!r} can't be looked up: you have no "
                'role in a project of that name, and may not list others',
                "Give the project's ID.",
            )
        return name_or_id

    def _exists(self, project_id: str) -> bool:
        path = f'/projects/{parse.quote(project_id, safe="")}'
        return bool(project_id and self._get(path, 'project'))

    def _domain_id(self, domain: str) -> str:
        """The ID of a domain: one's own, or one that may be looked up."""
        current = self._conn.current_project
        if domain == current.domain_name:
            own = self._get(f'/projects/{current.id}', 'project')
            if own:
                return str(own[0]['domain_id'])
        found = self._get('/domains', 'domains', name=domain)
        return str(found[0]['id']) if found else domain

    def _get(
        self, path: str, key: str, **params: str
    ) -> list[dict[str, Any]] | None:
        """What Keystone has there; None if it won't say."""
        with translated():
            response = self._conn.identity.get(path, params=params)
            if response.status_code == 403:
                return None
            if response.status_code == 404:
                return []
            sdk_exceptions.raise_from_response(response)
            found = response.json()[key]
            return found if isinstance(found, list) else [found]


def _matching(
    projects: list[dict[str, Any]], name_or_id: str, domain_id: str
) -> str | None:
    """The ID of the one project that is meant, None if there is none."""
    if any(one['id'] == name_or_id for one in projects):
        return name_or_id
    named = [
        one
        for one in projects
        if one['name'] == name_or_id
        and domain_id in ('', one.get('domain_id'))
    ]
    if len(named) > 1:
        seen = ', '.join(sorted(map(_described, named)))
        raise Failure(
            f'several projects are named {name_or_id!r}: {seen}',
            'Give the ID, or --project-domain.',
        )
    return str(named[0]['id']) if named else None


def _described(project: Mapping[str, Any]) -> str:
    return f'{project["id"]} (domain {project.get("domain_id")})'
