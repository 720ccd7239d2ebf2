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

"""How snapshots are shown.

Not imported at start-up: only the commands that show them need it.
"""

from typing import Any

from xloudclient.commands import columns

COLUMNS = (
    'ID',
    'Name',
    'Status',
    'Server',
    'Consistency',
    'Size',
    'Created At',
)
LONG_COLUMNS = (
    'Server ID',
    'Kind',
    'Volumes',
    'Visibility',
    'Project',
    'Frozen For',
    'Run ID',
    'Group',
    'Min Disk',
    'Disk Format',
    'Tags',
)
PRUNE_COLUMNS = (
    'ID',
    'Name',
    'Server',
    'Created At',
    'Consistency',
    'Action',
    'Reason',
)
DIAGNOSIS_COLUMNS = ('Check', 'Result', 'Cause', 'Next')


def columns_of(long: bool) -> tuple[str, ...]:
    """The columns of the list."""
    return COLUMNS + (LONG_COLUMNS if long else ())


def row(snapshot: Any, server_name: str, long: bool) -> tuple[Any, ...]:
    """A row of the list."""
    short = (
        snapshot.id,
        columns.Text(snapshot.name),
        snapshot.status,
        _text(server_name),
        snapshot.consistency_word,
        None if snapshot.size is None else columns.Size(snapshot.size),
        snapshot.created_at,
    )
    return short + (_long(snapshot) if long else ())


def _long(snapshot: Any) -> tuple[Any, ...]:
    held = snapshot.frozen_seconds
    return (
        _text(snapshot.server_id),
        snapshot.kind_word,
        columns.Words(list(snapshot.volumes)),
        snapshot.visibility,
        snapshot.project_id,
        None if held is None else columns.Seconds(held),
        _text(snapshot.run_id),
        _text(snapshot.group_id),
        snapshot.image.get('min_disk'),
        snapshot.image.get('disk_format'),
        columns.Words(snapshot.tags),
    )


def fields(shown: Any) -> dict[str, Any]:
    """What is shown of one snapshot, in order.

    What an image has, too, is called as ``image set`` has it; what is not
    known is None, as in the list.
    """
    snapshot = shown.snapshot
    size, held = snapshot.size, snapshot.frozen_seconds
    quiesced = snapshot.recorded('xloud_quiesced')
    return {
        'id': snapshot.id,
        'name': columns.Text(snapshot.name),
        'status': snapshot.status,
        'kind': snapshot.kind_word,
        'consistency': snapshot.consistency_word,
        'reason': _text(snapshot.why),
        'server': _text(shown.server_name),
        'server_id': _text(snapshot.server_id),
        'captured_at': _text(snapshot.captured_at),
        'frozen_for': None if held is None else columns.Seconds(held),
        'quiesced': columns.Words(quiesced.split(',') if quiesced else []),
        'position': _text(snapshot.recorded('xloud_position')),
        'timeline': columns.Lines(
            [f'{time} {what}' for time, what in shown.timeline()]
        ),
        'size': None if size is None else columns.Size(size),
        'volumes': columns.Records(
            [
                {
                    'id': part.id,
                    'device': part.device,
                    'status': part.status,
                    'size': part.size,
                }
                for part in shown.parts
            ]
        ),
        'project': snapshot.project_id,
        'visibility': snapshot.visibility,
        'protected': snapshot.is_protected,
        'hidden': snapshot.is_hidden,
        'min_disk': snapshot.image.get('min_disk'),
        'min_ram': snapshot.image.get('min_ram'),
        'disk_format': snapshot.image.get('disk_format'),
        'run_id': _text(snapshot.run_id),
        'group': _text(snapshot.group_id),
        'tags': columns.Words(snapshot.tags),
        'created_at': snapshot.created_at,
        'updated_at': snapshot.image.get('updated_at'),
    }


def _text(value: str) -> columns.Text | None:
    return columns.Text(value) if value else None


def verdict(judged: Any, server_name: str) -> tuple[Any, ...]:
    """A row of what is kept and what is deleted."""
    snapshot = judged.snapshot
    return (
        snapshot.id,
        columns.Text(snapshot.name),
        _text(server_name),
        snapshot.created_at,
        snapshot.consistency_word,
        str(judged.action),
        columns.Text(judged.reason),
    )
