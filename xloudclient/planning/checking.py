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


"""Looks at a server as a snapshot would meet it, and touches nothing.

What is looked at comes in the order of a run, so that the first failure is
the one that a run would end with; the rules are in ``consistency.checks``.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from xloudclient.cloud.project import OpenStack
from xloudclient.consistency.checks import cloud as of_cloud
from xloudclient.consistency.checks import prediction, quota
from xloudclient.consistency.checks import run as of_run
from xloudclient.consistency.checks.finding import (
    Finding,
    Report,
    problem,
    unseen,
    warning,
)
from xloudclient.consistency.errors import CloudError, Failure
from xloudclient.consistency.plan import Plan
from xloudclient.consistency.ports import Clock
from xloudclient.local import runs
from xloudclient.local.journal_files import room
from xloudclient.planning.looking import Looking
from xloudclient.planning.patience import Patience
from xloudclient.planning.planner import Prepared


@dataclasses.dataclass(frozen=True, slots=True)
class Checker:
    """Checks servers, one at a time or several at once.

    :param project_id: whose quotas count
    :param folder: of the journals
    """

    cloud: OpenStack
    project_id: str
    folder: pathlib.Path
    clock: Clock

    def check(self, prepared: Prepared, server: Mapping[str, Any]) -> Report:
        """Tell what a snapshot of a server would run into.

        :param server: its JSON, as Nova has it
        :raises Interrupted: a signal came
        """
        found = _Check(self, prepared, server).findings()
        name = prepared.plan.target.name
        return Report(name, tuple(one.printable() for one in found))


class _Check:
    """The check of one server."""

    def __init__(
        self, checker: Checker, prepared: Prepared, server: Mapping[str, Any]
    ) -> None:
        self.checker = checker
        self.prepared = prepared
        self.server = server
        self.patience = Patience(checker.clock)
        self.looking = Looking(
            prepared.plan, prepared.measured_ms, self.patience
        )
        self.details: tuple[of_cloud.VolumeDetails, ...] = ()

    def findings(self) -> Iterator[Finding]:
        if self.prepared.refusal:
            found = [problem('server', self.prepared.refusal)]
        else:
            found = list(self._all())
        yield from found
        yield prediction.verdict(found, self.plan, self.looking.proof())

    @property
    def plan(self) -> Plan:
        """As far as it is known: a look into the guest tells more."""
        return self.looking.plan

    def _all(self) -> Iterator[Finding]:
        yield of_cloud.server(self.plan)
        yield from self._looked_at('image quota', self._image_quota)
        try:
            yield from self._runs()
        except Failure as failure:
            yield problem('run', failure)
        yield from self._looked_at('disks', self._disks)
        yield from self._looked_at('earlier', self._earlier)
        yield from self.looking.findings(self.prepared.guest)
        yield from self._looked_at('host', self._host)
        yield from self._looked_at('volume quota', self._volume_quota)
        yield from self._looked_at('agent', self._agent)

    def _looked_at(
        self, check: str, look: Callable[[], Iterable[Finding]]
    ) -> Iterable[Finding]:
        try:
            return self.patience.ask(lambda: list(look()))
        except (CloudError, TimeoutError) as error:
            return [unseen(check, error)]

    # This machine

    def _runs(self) -> Iterator[Finding]:
        folder, server_id = self.checker.folder, self.plan.target.id
        live = runs.live_run(folder, server_id)
        dead = [
            one.run_id
            for one in runs.dead_runs(folder)
            if one.server_id == server_id
        ]
        yield from of_run.other_runs(live.run_id if live else '', dead)
        yield of_run.journal(str(folder), *room(folder))
        if self.plan.hooks:
            paths = ', '.join(one.path for one in self.plan.hooks)
            yield warning('hooks', f'not run by a check: {paths}')

    # The cloud

    def _disks(self) -> Iterator[Finding]:
        details = self.checker.cloud.volumes.details
        self.details = tuple(
            details(one.id) for one in self.plan.captured_volumes
        )
        return of_cloud.volumes(self.plan, self.details)

    def _earlier(self) -> Iterator[Finding]:
        yield of_cloud.earlier(
            self.checker.cloud.images.latest_of(
                self.plan.target.id, self.checker.project_id
            )
        )

    def _host(self) -> Iterator[Finding]:
        host_id = self.plan.target.host_id
        yield of_cloud.host_queue(
            self.plan, self.checker.cloud.servers.tasks_on(host_id)
        )

    def _image_quota(self) -> Iterator[Finding]:
        yield quota.images(self.plan, self.checker.cloud.quotas.images())

    def _volume_quota(self) -> Iterator[Finding]:
        allowances = self.checker.cloud.quotas.volumes(self.checker.project_id)
        yield quota.volume_snapshots(allowances, self.details)

    def _agent(self) -> Iterator[Finding]:
        target = self.plan.target
        properties = self.checker.cloud.boot_properties(self.server, target)
        has_agent = of_cloud.is_yes(properties, of_cloud.AGENT)
        target = dataclasses.replace(target, has_agent=has_agent)
        self.looking.plan = dataclasses.replace(self.plan, target=target)
        yield of_cloud.agent(self.plan, properties)
