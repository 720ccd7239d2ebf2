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

"""snapshot list | show | save | diagnose"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from xloudclient.commands import base
from xloudclient.i18n import _

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
DIAGNOSIS_COLUMNS = ('Check', 'Result', 'Cause', 'Next')
CLASSES = ('none', 'crash', 'filesystem', 'application')
KINDS = ('image', 'volume', 'backup')


class ListSnapshot(base.FailureLister):
    _description = _(
        """List snapshots of servers, the newest first.

        Image-backed and volume-backed ones, backups, and those that others
        made."""
    )
    example = 'openstack snapshot list --server db --since 7d'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        from openstackclient.identity import common
        from osc_lib.cli import pagination

        from xloudclient.commands import options

        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add = parser.add_argument
        add(
            '--server',
            metavar='<server>',
            help=_(
                'Only snapshots of this server (name or ID; a deleted one '
                'by its ID)'
            ),
        )
        add(
            '--consistency',
            metavar='<class>',
            choices=CLASSES,
            help=_(
                'Only snapshots of this consistency class or a higher one '
                '(none, crash, filesystem or application)'
            ),
        )
        add(
            '--kind',
            choices=KINDS,
            help=_('Only snapshots of this kind'),
        )
        add(
            '--status',
            metavar='<status>',
            help=_("Only snapshots in this status of Glance's"),
        )
        add('--name', metavar='<name>', help=_('Only snapshots named so'))
        add(
            '--tag',
            metavar='<tag>',
            dest='tags',
            action='append',
            default=[],
            help=_('Only snapshots with this tag (repeat option for several)'),
        )
        add(
            '--run',
            metavar='<run>',
            help=_('Only the snapshots that this run made (ID)'),
        )
        add(
            '--group',
            metavar='<group>',
            help=_('Only the snapshots of this group (ID)'),
        )
        add(
            '--since',
            metavar='<time>',
            type=options.moment,
            help=_(
                'Only snapshots requested then or later (ISO 8601, or how '
                'long ago: 12h, 7d, 4w)'
            ),
        )
        add(
            '--before',
            metavar='<time>',
            type=options.moment,
            help=_('Only snapshots requested before that time'),
        )
        whose = parser.add_mutually_exclusive_group()
        whose.add_argument(
            '--all-projects',
            action='store_true',
            help=_('The snapshots of all projects (admin only)'),
        )
        whose.add_argument(
            '--project',
            metavar='<project>',
            help=_("Another project's snapshots (admin only; name or ID)"),
        )
        whose.add_argument(
            '--shared',
            action='store_true',
            help=_('Those that others offered to this project'),
        )
        common.add_project_domain_option_to_parser(parser)
        add(
            '--hidden',
            action='store_true',
            help=_('Those that are hidden, instead'),
        )
        add(
            '--long',
            action='store_true',
            help=_('List additional fields in output'),
        )
        pagination.add_marker_pagination_option_to_parser(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Any]]:
        from xloudclient.upkeep import listing

        columns = COLUMNS + (LONG_COLUMNS if parsed_args.long else ())
        self.check_columns(parsed_args, *columns)
        catalog = listing.of(self.app.client_manager.sdk_connection)
        query = catalog.query(parsed_args, self._owner(parsed_args))
        return columns, self._rows(catalog, query, parsed_args)

    def _owner(self, parsed_args: argparse.Namespace) -> str | None:
        """The project to ask for: None for this one, '' for all."""
        from openstackclient.identity import common

        if parsed_args.all_projects:
            return ''
        if not parsed_args.project:
            return None
        owner: str = common.find_project(
            self.app.client_manager.identity,
            parsed_args.project,
            parsed_args.project_domain,
        ).id
        return owner

    def _rows(
        self, catalog: Any, query: Any, parsed_args: argparse.Namespace
    ) -> Iterator[tuple[Any, ...]]:
        for one in catalog.snapshots(
            query, parsed_args.limit, parsed_args.marker
        ):
            name = catalog.server_name(one, parsed_args.all_projects)
            yield _row(one, name) + (_long(one) if parsed_args.long else ())
        for sentence in catalog.vanished():
            self.log.warning('%s', sentence)


class ShowSnapshot(base.FailureShowOne):
    _description = _(
        """Show a snapshot, its parts, and what was proven of it.

        Says why its consistency class is not higher."""
    )
    example = 'openstack snapshot show db-2026-03-18'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_snapshot(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Any]]:
        from xloudclient.upkeep import showing

        conn = self.app.client_manager.sdk_connection
        shown = showing.of(conn).show(parsed_args.snapshot)
        fields = _fields(shown)
        return tuple(fields), tuple(fields.values())


class SaveSnapshot(base.Guarded):
    _description = _(
        """Save the bytes of an image-backed snapshot to a file, verified.

        After any interruption the same command goes on where it ended. The
        file has its name, and replaces one of that name, only when the hash
        over all of it is the one that Glance recorded."""
    )
    example = 'openstack snapshot save --file db.img db-2026-03-18'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            '--file',
            metavar='<path>',
            help=_('File to save to (default: standard output)'),
        )
        add_snapshot(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from xloudclient.upkeep import saving

        conn = self.app.client_manager.sdk_connection
        copier = saving.of(conn, self.app.options.verbose_level)
        if parsed_args.file is None:
            copier.to_standard_output(parsed_args.snapshot)
        else:
            copier.to_file(parsed_args.snapshot, parsed_args.file)


class DiagnoseSnapshot(base.FailureLister):
    _description = _(
        """Tell what is wrong with a snapshot or a server, and what cures it.

        Looks at the image, its volume snapshots, the server's task and the
        snapshots it was asked for, quotas, and what was left behind. Next is
        a command that can be pasted. Exit codes: 0 nothing is wrong, 8 a
        problem was found."""
    )
    example = 'openstack snapshot diagnose db'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            'subject',
            metavar='<snapshot-or-server>',
            help=_('Snapshot or server (name or ID)'),
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Any]]:
        from xloudclient.consistency.errors import ExitCode
        from xloudclient.upkeep import diagnosing

        self.check_columns(parsed_args, *DIAGNOSIS_COLUMNS)
        conn = self.app.client_manager.sdk_connection
        found = diagnosing.of(conn).diagnose(parsed_args.subject)
        if any(one.result == 'problem' for one in found):
            self._exit_code = int(ExitCode.PROBLEM_FOUND)
        return DIAGNOSIS_COLUMNS, [
            (one.check, str(one.result), one.text, one.advice) for one in found
        ]


def add_snapshot(parser: argparse.ArgumentParser) -> None:
    """The one snapshot that a command is about."""
    parser.add_argument(
        'snapshot', metavar='<snapshot>', help=_('Snapshot (name or ID)')
    )


def _row(snapshot: Any, server_name: str) -> tuple[Any, ...]:
    from xloudclient.commands import columns

    return (
        snapshot.id,
        columns.Text(snapshot.name),
        snapshot.status,
        columns.Text(server_name) if server_name else None,
        snapshot.consistency_word,
        None if snapshot.size is None else columns.Size(snapshot.size),
        snapshot.created_at,
    )


def _long(snapshot: Any) -> tuple[Any, ...]:
    from xloudclient.commands import columns

    held = snapshot.frozen_seconds
    return (
        snapshot.server_id or None,
        snapshot.kind_word,
        columns.Words(list(snapshot.volumes)),
        snapshot.visibility,
        snapshot.project_id,
        None if held is None else columns.Seconds(held),
        snapshot.run_id or None,
        snapshot.group_id or None,
        snapshot.image.get('min_disk'),
        snapshot.image.get('disk_format'),
        columns.Words(snapshot.tags),
    )


def _fields(shown: Any) -> dict[str, Any]:
    """What is shown of one snapshot, in order."""
    from osc_lib.cli import format_columns

    from xloudclient.commands import columns

    snapshot = shown.snapshot
    size, held = snapshot.size, snapshot.frozen_seconds
    return {
        'id': snapshot.id,
        'name': columns.Text(snapshot.name),
        'status': snapshot.status,
        'kind': snapshot.kind_word,
        'consistency': snapshot.consistency_word,
        'reason': columns.Text(snapshot.why),
        'server': columns.Text(shown.server_name),
        'server_id': snapshot.server_id,
        'captured_at': snapshot.captured_at,
        'frozen_for': None if held is None else columns.Seconds(held),
        'quiesced': columns.Text(snapshot.recorded('xloud_quiesced')),
        'position': columns.Text(snapshot.recorded('xloud_position')),
        'timeline': columns.Lines(
            [f'{time} {what}' for time, what in shown.timeline()]
        ),
        'size': None if size is None else columns.Size(size),
        'volumes': format_columns.ListDictColumn(
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
        'is_protected': snapshot.is_protected,
        'is_hidden': snapshot.is_hidden,
        'min_disk': snapshot.image.get('min_disk'),
        'min_ram': snapshot.image.get('min_ram'),
        'disk_format': snapshot.image.get('disk_format'),
        'run_id': snapshot.run_id,
        'group': snapshot.group_id,
        'tags': columns.Words(snapshot.tags),
        'created_at': snapshot.created_at,
        'updated_at': snapshot.image.get('updated_at'),
    }
