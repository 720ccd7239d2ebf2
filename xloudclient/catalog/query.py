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

"""Which snapshots are wanted: what Glance is asked, and what is left to us.

Glance compares properties for equality only, one request per kind; see
``glance/db/sqlalchemy/api.py`` (``_make_conditions_from_filters``).
"""

import dataclasses
import datetime
from collections.abc import Iterator

from xloudclient.catalog.snapshot import BDM_V2, Kind, Snapshot, moment
from xloudclient.consistency.plan import Consistency

#: What Nova sets on a snapshot of each kind. A volume-backed one that we
#: asked for has both of the first two.
MARKS = {
    Kind.IMAGE: {'image_type': 'snapshot'},
    Kind.VOLUME: {'bdm_v2': BDM_V2},
    Kind.BACKUP: {'image_type': 'backup'},
}
MEMBER_STATUS = ('accepted', 'pending')


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """Which snapshots are wanted.

    :param owner: a project's ID; '' for those of all projects
    :param reader: the project that looks
    :param consistency: this class or a higher one
    :param since: created then or later; ``before`` is exclusive
    :param shared: those that other projects offered to the reader, or that
        it accepted, instead of an owner's
    :param hidden: those that are hidden from lists, instead
    """

    owner: str
    reader: str
    kind: Kind | None = None
    server_id: str = ''
    consistency: Consistency | None = None
    status: str = ''
    name: str = ''
    tags: tuple[str, ...] = ()
    run_id: str = ''
    group_id: str = ''
    since: datetime.datetime | None = None
    before: datetime.datetime | None = None
    shared: bool = False
    hidden: bool = False

    def requests(self) -> Iterator[dict[str, str | list[str]]]:
        """Yield the filters of each request; all are to be sorted alike."""
        kinds = MARKS if self.kind is None else (self.kind,)
        for kind in kinds:
            asked = {**self._filters(), **MARKS[kind]}
            if not self.shared:
                yield asked
                continue
            for status in MEMBER_STATUS:
                yield {
                    **asked,
                    'visibility': 'shared',
                    'member_status': status,
                }

    def _filters(self) -> dict[str, str | list[str]]:
        filters: dict[str, str | list[str]] = {
            'owner': '' if self.shared else self.owner,
            'instance_uuid': self.server_id,
            'status': self.status,
            # what precedes a colon would be taken for an operator
            'name': f'eq:{self.name}' if self.name else '',
            'tag': list(self.tags),
            'xloud_run': self.run_id,
            'xloud_group': self.group_id,
            'created_at': self._created_at(),
            'os_hidden': 'true' if self.hidden else '',
            'xloud_consistency': (
                str(self.consistency)
                if self.consistency is Consistency.APPLICATION
                else ''
            ),
        }
        return {key: value for key, value in filters.items() if value}

    def _created_at(self) -> str:
        """Glance takes one bound; a list stops at the other by itself."""
        if self.before:
            return f'lt:{_written(self.before)}'
        return f'gte:{_written(self.since)}' if self.since else ''

    @property
    def is_sieved(self) -> bool:
        """Whether much of what Glance sends may not be wanted."""
        return self.consistency is not None or self.kind is Kind.IMAGE

    def is_past(self, snapshot: Snapshot) -> bool:
        """Whether all that follow, newest first, are too old."""
        if self.since is None:
            return False
        return moment(snapshot.created_at) < self.since

    def matches(self, snapshot: Snapshot) -> bool:
        """Whether one that Glance sent is wanted."""
        kind = snapshot.kind
        if kind is None or self.kind not in (None, kind):
            return False
        if self.shared and snapshot.project_id == self.reader:
            return False
        if self.server_id and snapshot.server_id != self.server_id:
            return False
        if self.before and moment(snapshot.created_at) >= self.before:
            return False
        if self.run_id and snapshot.run_id != self.run_id:
            return False
        if self.group_id and snapshot.group_id != self.group_id:
            return False
        if self.consistency is None:
            return True
        known = snapshot.consistency
        return known is not None and known >= self.consistency


def _written(time: datetime.datetime) -> str:
    return f'{time.astimezone(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}'
