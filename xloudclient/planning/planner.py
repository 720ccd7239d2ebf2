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


"""Makes a plan for each server."""

import dataclasses
import datetime
import functools
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from xloudclient.cloud.compute import choose_address
from xloudclient.cloud.project import OpenStack
from xloudclient.consistency import auto, evidence, naming
from xloudclient.consistency.checks import quota
from xloudclient.consistency.errors import (
    CloudError,
    Failure,
    Misuse,
    NotQuiesced,
)
from xloudclient.consistency.hooks import environment
from xloudclient.consistency.plan import (
    Budget,
    Consistency,
    GuestState,
    Kind,
    Place,
    Plan,
    Target,
)
from xloudclient.consistency.text import printable
from xloudclient.guest import access
from xloudclient.guest.session import check_delivery
from xloudclient.planning.wanted import (
    Options,
    Wanted,
    by_metadata,
    catalogue,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, with how its guest is reached and what is known of its hold.

    :param guest: None if nothing is to be done in the guest
    :param measured_ms: the hold of the server's last snapshot, if known
    :param joint_ms: the hold of its last one in a group, if known
    :param refusal: why there will be no run
    """

    plan: Plan
    guest: access.Access | None = None
    measured_ms: int | None = None
    joint_ms: int | None = None
    refusal: Failure | None = None


class Planner:
    """Makes the plans for the servers of one command."""

    def __init__(
        self,
        options: Options,
        wanted: Wanted,
        cloud: OpenStack,
        project_id: str,
    ) -> None:
        self.options = options
        self.wanted = wanted
        self.cloud = cloud
        self.project_id = project_id
        self.now = datetime.datetime.now(datetime.UTC)
        self.group_id = ''
        self._names: set[str] = set()

    def find(self, names: Sequence[str]) -> list[Mapping[str, Any]]:
        """Find the servers, each one once; they may be a group.

        :raises Failure: a name is not that of exactly one
        """
        found = {}
        for name in names:
            try:
                server = self.cloud.servers.find(name)
            except CloudError as error:
                raise Failure(str(error)) from error
            found[server['id']] = server
        if self.options.group:
            # so that one that is no longer whole can be told from its name
            self.group_id = f'{self._new_id()}-of-{len(found)}'
        return list(found.values())

    def plan(self, server: Mapping[str, Any]) -> Prepared:
        """Plan the snapshot of one server, or say why there will be none.

        :raises Misuse: the options make no sense for it
        """
        try:
            return self._plan(server)
        except Misuse:
            raise
        except Failure as failure:
            return Prepared(_bare_plan(server), refusal=failure)
        except CloudError as error:
            return Prepared(_bare_plan(server), refusal=Failure(str(error)))

    def within_quota(self, prepared: Prepared) -> Prepared:
        """The same, or refused: an outage for nothing is worse than none.

        Only images are looked at: Nova makes of Glance's refusal a reply
        that says nothing (500; ``nova/image/glance.py`` does not translate
        ``HTTPOverLimit``), and Cinder's comes at once.
        """
        plan = prepared.plan
        if prepared.refusal or plan.rehearse:
            return prepared
        refusal = quota.images(plan, self._image_allowances).failure
        return dataclasses.replace(prepared, refusal=refusal)

    @functools.cached_property
    def _image_allowances(self) -> Mapping[str, quota.Allowance]:
        try:
            return self.cloud.quotas.images()
        except CloudError:
            return {}

    def _plan(self, server: Mapping[str, Any]) -> Prepared:
        target = self._target(server)
        run_id = self._new_id()
        wanted = self._for(target)
        plan = Plan(
            target=target,
            run_id=run_id,
            snapshot_name=self._name(target, run_id),
            budget=Budget(
                self.options.max_freeze,
                self.options.hook_timeout,
                self.options.timeout,
            ),
            quiescers=wanted.quiescers,
            hooks=wanted.hooks,
            is_auto=wanted.is_auto,
            by_agent=wanted.by_agent,
            catalogue=catalogue() if wanted.is_auto else {},
            required=self._required(wanted, target),
            is_required_by_default=self.options.require is None,
            properties=self.options.properties or {},
            tags=tuple(self.options.tags),
            is_protected=self.options.protected,
            with_data_volumes=self._with_data_volumes(target),
            continue_on_error=self.options.on_error == 'continue',
            discard_lower=self.options.discard_lower,
            wait=self.options.wait or self.options.protected,
            rehearse=self.options.rehearse,
            group_id=self.group_id,
        )
        if len(plan.captured_volumes) > evidence.MOST_VOLUMES:
            raise Failure(
                f'it has more than {evidence.MOST_VOLUMES} volumes, which '
                "can't all be recorded"
            )
        return self._with_guest(plan, server)

    def _new_id(self) -> str:
        return f'{self.now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}'

    def _target(self, server: Mapping[str, Any]) -> Target:
        """Describe the server; its agent matters where guests are held."""
        target = self.cloud.servers.target(server)
        if self._with_data_volumes(target) or target.kind is Kind.VOLUME:
            volumes = self.cloud.with_attachments(target.volumes)
            target = dataclasses.replace(target, volumes=volumes)
        is_held = self.wanted.is_auto or bool(self.wanted.quiescers)
        if not is_held or not target.state.is_writing:
            return target
        has_agent = self.cloud.has_agent(server, target)
        return dataclasses.replace(target, has_agent=has_agent)

    def _for(self, target: Target) -> Wanted:
        """What is wanted of this server: nothing is held if it is idle."""
        wanted = self.wanted
        if target.state.is_writing:
            if wanted.is_default and self._is_trusted(target):
                return by_metadata(wanted, target, self.options)
            return wanted
        for hook in wanted.hooks:
            if hook.place is Place.GUEST:
                raise NotQuiesced(
                    f"the guest is {target.state}, so {hook.path} can't run "
                    'in it'
                )
        return dataclasses.replace(
            wanted, quiescers=(), is_auto=False, by_agent=False
        )

    def _required(self, wanted: Wanted, target: Target) -> Consistency:
        if self.options.require is not None:
            return Consistency.of(self.options.require)
        if not target.state.is_writing:
            # what was asked for, although an idle guest needs none of it
            wanted = self.wanted
        return auto.nominal(wanted.quiescers)

    def _with_data_volumes(self, target: Target) -> bool:
        asked = self.options.data_volumes
        if asked is None:
            return self.options.data_volumes_by_default
        if target.kind is Kind.VOLUME:
            raise Misuse(
                '--data-volumes and --no-data-volumes are for image-backed '
                f'servers; {printable(target.name)} is volume-backed, and its '
                'snapshot always holds all its volumes'
            )
        return asked

    def _name(self, target: Target, run_id: str) -> str:
        is_volume = target.kind is Kind.VOLUME
        length = naming.VOLUME_LENGTH if is_volume else naming.LENGTH
        name = naming.fill(
            self.wanted.name, target.name, target.id, run_id, self.now, length
        )
        for suffix in (f'-{self.now:%H%M%S}', f'-{run_id[-8:]}'):
            if not self._is_taken(name):
                break
            name = naming.extend(name, suffix, length)
        self._names.add(name)
        return name

    def _is_taken(self, name: str) -> bool:
        return name in self._names or self.cloud.images.has_name(
            name, self.project_id
        )

    def _is_trusted(self, target: Target) -> bool:
        return bool(
            self.options.trust_metadata or target.project_id == self.project_id
        )

    def _with_guest(self, plan: Plan, server: Mapping[str, Any]) -> Prepared:
        if not plan.needs_guest:
            return Prepared(plan)
        guest = self.way_to(plan.target, server)
        plan = dataclasses.replace(
            plan, address=guest.address, login_command=guest.login_command
        )
        check_delivery(plan.hooks, environment(plan))
        if not (plan.is_auto or plan.quiescers):
            return Prepared(plan, guest)
        last = functools.partial(
            self.cloud.images.last_hold_ms, plan.target.id, self.project_id
        )
        joint_ms = last(in_group=True) if plan.group_id else None
        return Prepared(plan, guest, last(), joint_ms)

    def way_to(
        self, target: Target, server: Mapping[str, Any]
    ) -> access.Access:
        """Say how the guest of a server is reached.

        :raises Failure: it is not known
        """
        options = self.options
        metadata = target.metadata if self._is_trusted(target) else {}
        host = options.ssh_host or metadata.get('xloud:ssh_host')
        return access.read(
            host
            or choose_address(
                server, options.address_type or '', options.family
            ),
            options,
            metadata,
        )


def _bare_plan(server: Mapping[str, Any]) -> Plan:
    """What is known of a server that will not be snapshotted."""
    target = Target(
        id=server['id'],
        name=server['name'],
        project_id='',
        kind=Kind.IMAGE if server.get('image') else Kind.VOLUME,
        state=GuestState.STOPPED,
        host_id='',
    )
    return Plan(target=target, run_id='', snapshot_name='')
