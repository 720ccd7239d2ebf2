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


"""snapshot delete | prune"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from xloudclient.commands import base
from xloudclient.i18n import _

PRUNE_COLUMNS = (
    'ID',
    'Name',
    'Server',
    'Created At',
    'Consistency',
    'Action',
    'Reason',
)
CLASSES = ('none', 'crash', 'filesystem', 'application')


class DeleteSnapshot(base.Guarded):
    _description = _(
        """Delete snapshots with the volume snapshots that are their own.

        A volume snapshot that another image is launched from is kept.
        Refused are snapshots of other projects, protected ones, the disks of
        shelved servers, and what is in use. After a failure it goes on with
        the next; repeat the command, with the ID, to complete what was
        interrupted. Exit codes: 0 all are gone, 1 one is not, 75 one is
        being made."""
    )
    example = 'openstack snapshot delete db-2026-03-18'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            'snapshots',
            metavar='<snapshot>',
            nargs='+',
            help=_('Snapshot(s) to delete (name or ID)'),
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from xloudclient.consistency.errors import (
            CloudError,
            ExitCode,
            Failure,
            most_urgent,
        )
        from xloudclient.upkeep import removing

        work = removing.of(self.app.client_manager.sdk_connection)
        codes = []
        for one in parsed_args.snapshots:
            try:
                for sentence in work.delete(one):
                    self.log.warning('%s', sentence)
            except Failure as failure:
                self.log.error('%s', base.sentence(failure))
                codes.append(failure.exit_code)
            except CloudError as error:
                self.log.error('%s is not deleted: %s', one, error)
                codes.append(ExitCode.FAILED)
        self._exit_code = int(most_urgent(codes))


class PruneSnapshot(base.FailureLister):
    _description = _(
        """Delete snapshots that no rule keeps, for each server on its own.

        The rules are those of "restic forget": a snapshot is kept if one of
        them keeps it. Only snapshots that these commands made are deleted,
        and never one that is protected, shared, uploading, in use, or the
        disk of a shelved server. Snapshots that can't be launched neither
        count nor are deleted. Exit codes: 0 done, 1 one could not be deleted,
        or was not to be, 2 usage."""
    )
    example = 'openstack snapshot prune --keep-daily 7 --dry-run db'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            'servers',
            metavar='<server>',
            nargs='*',
            help=_(
                'Server(s) whose snapshots are pruned (name or ID; a deleted '
                'one by its ID; default: all)'
            ),
        )
        _add_rules(parser)
        _add_limits(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Any]]:
        from xloudclient.consistency.errors import ExitCode
        from xloudclient.upkeep import pruning

        self.check_columns(parsed_args, *PRUNE_COLUMNS)
        rules = pruning.Rules.of(parsed_args)
        self._check_consent(parsed_args)
        work = pruning.of(self.app.client_manager.sdk_connection, rules)
        plan = work.plan(parsed_args.servers)
        if parsed_args.dry_run:
            return PRUNE_COLUMNS, self._rows(work, plan)
        if not parsed_args.auto_approve:
            self._ask(work, plan, parsed_args)
            plan = work.plan_again(parsed_args.servers, plan)
        done = []
        for outcome in work.carry_out(plan):
            done.append(outcome.verdict)
            for sentence in outcome.notes:
                self.log.warning('%s', sentence)
            if outcome.failure:
                self.log.error('%s', base.sentence(outcome.failure))
                self._exit_code = int(ExitCode.FAILED)
        return PRUNE_COLUMNS, self._rows(work, done)

    def _check_consent(self, parsed_args: argparse.Namespace) -> None:
        from xloudclient.consistency.errors import Misuse

        is_given = parsed_args.dry_run or parsed_args.auto_approve
        if not (is_given or sys.stdin.isatty()):
            raise Misuse(
                'there is no terminal to ask on',
                'See what would be deleted with --dry-run, and delete it '
                'with --auto-approve.',
            )

    def _ask(
        self, work: Any, plan: Sequence[Any], parsed_args: argparse.Namespace
    ) -> None:
        """Show the plan and ask once; nothing to delete needs no consent."""
        from cliff.formatters import table

        from xloudclient.consistency.errors import Failure

        number = sum(one.is_deletion for one in plan)
        if not number:
            return
        table.TableFormatter().emit_list(
            PRUNE_COLUMNS, self._rows(work, plan), sys.stderr, parsed_args
        )
        sys.stderr.write(_('Delete %d of these snapshots? [y/N] ') % number)
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ('y', 'yes'):
            raise Failure('nothing was deleted')

    def _rows(self, work: Any, verdicts: Sequence[Any]) -> list[Any]:
        return [_row(one, work.server_name(one)) for one in verdicts]


def _row(verdict: Any, server_name: str) -> tuple[Any, ...]:
    from xloudclient.commands import columns

    snapshot = verdict.snapshot
    return (
        snapshot.id,
        columns.Text(snapshot.name),
        columns.Text(server_name) if server_name else None,
        snapshot.created_at,
        snapshot.consistency_word,
        str(verdict.action),
        columns.Text(verdict.reason),
    )


def _add_rules(parser: argparse.ArgumentParser) -> None:
    """Options on what is kept, as restic forget has them."""
    for name, text in (
        ('last', _('Keep the last n snapshots')),
        ('hourly', _('Keep the last of each of n hours that have any')),
        ('daily', _('Keep the last of each of n days that have any')),
        ('weekly', _('Keep the last of each of n weeks that have any')),
        ('monthly', _('Keep the last of each of n months that have any')),
        ('yearly', _('Keep the last of each of n years that have any')),
    ):
        parser.add_argument(f'--keep-{name}', metavar='<n>', help=text)
    parser.add_argument(
        '--keep-within',
        metavar='<duration>',
        help=_(
            'Keep all that were made within that time before the newest: '
            'years, months, days and hours such as 14d or 1y6m (m is months)'
        ),
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    """Options on what is looked at, and what is done."""
    parser.add_argument(
        '--consistency',
        metavar='<class>',
        choices=CLASSES,
        help=_(
            'Only snapshots of this consistency class or a higher one: '
            'others neither count nor are deleted (none, crash, filesystem '
            'or application)'
        ),
    )
    parser.add_argument(
        '--include-foreign',
        action='store_true',
        help=_(
            'Also snapshots of the named servers that others made, such as '
            '"server image create"'
        ),
    )
    consent = parser.add_mutually_exclusive_group()
    consent.add_argument(
        '--dry-run',
        action='store_true',
        help=_('Show what would be deleted, and delete nothing'),
    )
    consent.add_argument(
        '--auto-approve',
        action='store_true',
        help=_('Delete without asking'),
    )
