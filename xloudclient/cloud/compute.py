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


"""Servers, as Nova knows them."""

import ipaddress
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from openstack import connection
from openstack import exceptions as sdk_exceptions
from openstack import utils as sdk_utils

from xloudclient.cloud.errors import ONCE, translated
from xloudclient.consistency.errors import Busy, Failure, Refused
from xloudclient.consistency.plan import GuestState, Kind, Target, Volume

#: 2.45 returns the image's ID; 2.47 names the flavor; what came after 2.79
#: would change nothing that is read here.
MICROVERSION = '2.79'
OLDEST = '2.45'

STATES = {
    'active': GuestState.RUNNING,
    'stopped': GuestState.STOPPED,
    'paused': GuestState.PAUSED,
    'suspended': GuestState.PAUSED,
}

#: Nova's actions that make a guest run that did not, if only for a moment
#: (``nova/compute/instance_actions.py``): also of a server that is stopped
#: one evacuates, and Nova stops it again.
STARTING = frozenset(
    {
        'start',
        'reboot',
        'resume',
        'unpause',
        'rebuild',
        'evacuate',
        'rescue',
        'restore',
        'unshelve',
    }
)
#: Its actions that make one idle.
STOPPING = frozenset({'stop', 'pause', 'suspend'})


class Servers:
    """Nova's servers, seen through an authenticated connection."""

    def __init__(self, conn: connection.Connection) -> None:
        self._conn = conn
        self._version = ''

    @property
    def _microversion(self) -> str:
        if not self._version:
            found = sdk_utils.maximum_supported_microversion(
                self._conn.compute, MICROVERSION
            )
            if found is None or _number(found) < _number(OLDEST):
                raise Refused(
                    f'Nova is too old: microversion {OLDEST} is needed'
                )
            self._version = found
        return self._version

    def _get(self, path: str, **params: str) -> dict[str, Any]:
        response = self._conn.compute.get(
            path, params=params, microversion=self._microversion
        )
        sdk_exceptions.raise_from_response(response)
        body: dict[str, Any] = response.json()
        return body

    def find(
        self, name_or_id: str, all_projects: bool = False
    ) -> dict[str, Any]:
        """Return the server's JSON.

        :raises Failure: there is none, or several have that name
        """
        with translated():
            found = list(self._matching(name_or_id, all_projects))
        if not found:
            raise Failure(f'there is no server {name_or_id!r}')
        if len(found) > 1:
            ids = ', '.join(sorted(one['id'] for one in found))
            raise Failure(
                f'several servers are named {name_or_id!r}: {ids}',
                'Name it by its ID.',
            )
        return found[0]

    def _matching(
        self, name_or_id: str, all_projects: bool
    ) -> Iterator[dict[str, Any]]:
        server = self.get(name_or_id)
        if server is not None:
            yield server
            return
        # Nova takes the name as a pattern that may match anywhere.
        params = {'name': _literal(name_or_id)}
        if all_projects:
            params['all_tenants'] = 'true'
        body = self._get('/servers/detail', **params)
        for server in body['servers']:
            if server['name'] == name_or_id:
                yield server

    def get(self, server_id: str) -> dict[str, Any] | None:
        """Return the server's JSON, None if it is gone.

        What is no ID may be another path: metadata is written by anybody.
        """
        if not is_uuid(server_id):
            return None
        with translated():
            try:
                body = self._get(f'/servers/{server_id}')
            except sdk_exceptions.NotFoundException:
                return None
        server: dict[str, Any] = body['server']
        return server

    def names(self, all_projects: bool = False) -> dict[str, str]:
        """Return the name of each server, by its ID."""
        found: dict[str, str] = {}
        params = {'all_tenants': 'true'} if all_projects else {}
        is_last = False
        while not is_last:
            with translated():
                body = self._get('/servers', **params)
            found.update((one['id'], one['name']) for one in body['servers'])
            is_last = 'servers_links' not in body
            if not is_last:
                params['marker'] = body['servers'][-1]['id']
        return found

    def volumes(self, server_id: str) -> list[str]:
        """Return the IDs of its volumes; none of one that is gone."""
        with translated():
            server = self.get(server_id) or {}
        attached = server.get('os-extended-volumes:volumes_attached') or ()
        return [one['id'] for one in attached]

    def target(self, server: Mapping[str, Any]) -> Target:
        """Describe a server that is to be snapshotted.

        :raises Busy: a task is under way on it
        :raises Failure: it is in a state that can't be snapshotted
        """
        name = server['name']
        if task := server['OS-EXT-STS:task_state']:
            raise Busy(
                f'another task is under way ({task})', 'Try again later.'
            )
        state = STATES.get(server['OS-EXT-STS:vm_state'])
        if state is None:
            raise Failure(
                f"a server that is {server['status']} can't be snapshotted"
            )
        return Target(
            id=server['id'],
            name=name,
            project_id=server['tenant_id'],
            kind=Kind.IMAGE if server['image'] else Kind.VOLUME,
            state=state,
            host_id=server['hostId'],
            volumes=self.attached(server),
            flavor=_flavor(server['flavor']),
            key_name=server.get('key_name') or '',
            networks=tuple(server.get('addresses', {})),
            cards=_cards(server),
            security_groups=tuple(
                sorted({g['name'] for g in server.get('security_groups', ())})
            ),
            metadata=server.get('metadata', {}),
            updated=server['updated'],
        )

    def attached(self, server: Mapping[str, Any]) -> tuple[Volume, ...]:
        """Return a server's volumes, by device; the root disk is the first."""
        if not server.get('os-extended-volumes:volumes_attached'):
            return ()
        return self.attachments(server['id'])

    def attachments(self, server_id: str) -> tuple[Volume, ...]:
        """Return the same as they are now."""
        with translated():
            body = self._get(f'/servers/{server_id}/os-volume_attachments')
        return tuple(
            Volume(one['volumeId'], one['device'] or '')
            for one in sorted(
                body['volumeAttachments'], key=lambda one: one['device'] or ''
            )
        )

    def tasks_on(self, host_id: str) -> dict[str, str]:
        """Return the tasks of this project's servers on a compute host.

        :returns: name of each server that has one -> its task; those of
            other projects are not seen
        """
        return {
            server['name']: server['OS-EXT-STS:task_state']
            for server in self._all()
            if server['hostId'] == host_id and server['OS-EXT-STS:task_state']
        }

    def _all(self) -> Iterator[dict[str, Any]]:
        marker: dict[str, str] = {}
        while True:
            with translated():
                page = self._get('/servers/detail', **marker)
            yield from page['servers']
            if not page.get('servers_links'):
                return
            marker = {'marker': page['servers'][-1]['id']}

    def snapshot_requests(self, server_id: str) -> list[tuple[str, str]]:
        """Return the snapshots and backups that were asked for.

        :returns: when (ISO 8601, UTC), and what Nova tells of a failure
            ('' if nothing), the newest first; since Nova 33 it tells of
            none (commit 9e678b83eb)
        """
        return [
            (one['start_time'], one['message'] or '')
            for one in self._actions(server_id)
            if one['action'] in ('createImage', 'createBackup')
        ]

    def was_started(self, target: Target) -> bool:
        """Whether an idle guest was made to run since it was looked at.

        Neither its state tells, which is ``stopped`` until it has started,
        nor a task, which is over when it was stopped again. What was begun
        before Nova last wrote the server down was over then.
        """
        since = _seconds(target.updated)
        for one in self._actions(target.id):
            began = _seconds(one['start_time'])
            if one['action'] in STARTING and began >= since:
                return True
            if one['action'] in STOPPING and began <= since:
                return False
        return False

    def _actions(self, server_id: str) -> list[dict[str, Any]]:
        """The newest first; also of a server that is gone."""
        with translated():
            body = self._get(f'/servers/{server_id}/os-instance-actions')
        actions: list[dict[str, Any]] = body['instanceActions']
        return actions

    def create_image(
        self, server_id: str, name: str, properties: Mapping[str, str]
    ) -> str:
        """Ask for an image of the server; return the image's ID."""
        with translated():
            response = self._conn.compute.post(
                f'/servers/{server_id}/action',
                json={
                    'createImage': {'name': name, 'metadata': dict(properties)}
                },
                microversion=self._microversion,
                **ONCE,
            )
            sdk_exceptions.raise_from_response(response)
            image_id: str = response.json()['image_id']
            return image_id

    def is_task_over(self, server_id: str) -> bool:
        """Whether the server is gone or has no task any more."""
        server = self.get(server_id)
        return server is None or server['OS-EXT-STS:task_state'] is None


def _number(microversion: str) -> tuple[int, ...]:
    return tuple(map(int, microversion.split('.')))


def _seconds(moment: str) -> str:
    """Cut a time of Nova's to what all of them have."""
    return moment[: len('2026-03-18T10:00:00')]


def is_uuid(text: str) -> bool:
    """Whether the text is an ID rather than a name."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _literal(name: str) -> str:
    """Match the name by a pattern of the database's own dialect.

    What is special in some dialect is matched by a dot; the caller compares
    the names anyhow.
    """
    safe = ''.join(c if c.isalnum() or c in '-_ ' else '.' for c in name)
    return f'^{safe}$'


def _flavor(flavor: Mapping[str, Any]) -> str:
    return str(flavor.get('original_name') or flavor.get('id') or '')


def _cards(server: Mapping[str, Any]) -> tuple[str, ...]:
    found = {
        str(one.get('OS-EXT-IPS-MAC:mac_addr') or '').lower()
        for addresses in server.get('addresses', {}).values()
        for one in addresses
    }
    return tuple(sorted(found - {''}))


def choose_address(
    server: Mapping[str, Any], wanted: str = '', family: int = 0
) -> str:
    """Choose the address at which the guest is reached.

    :param wanted: ``floating``, ``fixed`` or a network's name; the default
        takes a floating address if there is one, else a fixed one
    :param family: 4 or 6; 0 prefers 4
    :raises Failure: the server has no such address
    """
    found = [
        (one['OS-EXT-IPS:type'] != 'floating', one['version'], one['addr'])
        for network, addresses in server.get('addresses', {}).items()
        for one in addresses
        if wanted in ('', one['OS-EXT-IPS:type'], network)
        and family in (0, one['version'])
    ]
    if not found:
        kind = ' '.join(
            part for part in (wanted, f'IPv{family}' if family else '') if part
        )
        raise Failure(
            f'it has no {kind or "IP"} address'.replace('  ', ' '),
            'Name one with --ssh-host.',
        )
    # of several alike the first, in Nova's order
    address: str = min(found, key=lambda one: one[:2])[2]
    return str(ipaddress.ip_address(address))
