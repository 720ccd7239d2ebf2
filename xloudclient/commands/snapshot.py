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

"""snapshot list | show | save | diagnose | delete | prune | share | …"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from xloudclient.commands import base
from xloudclient.i18n import _


class AboutSnapshot(base.Guarded):
    """A command about one snapshot."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            'snapshot', metavar='<snapshot>', help=_('Snapshot (name or ID)')
        )
        return parser


class ListSnapshot(base.GuardedLister):
    _description = _(
        """List snapshots of servers, the newest first.

        Image-backed and volume-backed ones, backups, and those that others
        made."""
    )
    example = 'openstack snapshot list --server db --since 7d'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        from xloudclient.commands import snapshot_options

        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        snapshot_options.add_list(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Any]]:
        from xloudclient.commands import snapshot_rows
        from xloudclient.upkeep import listing

        columns = snapshot_rows.columns_of(parsed_args.long)
        self.check_columns(parsed_args, *columns)
        catalog = listing.of(self.app.client_manager.sdk_connection)
        query = catalog.query(parsed_args, self._owner(catalog, parsed_args))
        return columns, self._rows(catalog, query, parsed_args)

    def _owner(
        self, catalog: Any, parsed_args: argparse.Namespace
    ) -> str | None:
        """The project to ask for: None for this one, '' for all."""
        if parsed_args.all_projects:
            return ''
        if not parsed_args.project:
            return None
        owner: str = catalog.projects.find(
            parsed_args.project, parsed_args.project_domain
        )
        return owner

    def _rows(
        self, catalog: Any, query: Any, parsed_args: argparse.Namespace
    ) -> Iterator[tuple[Any, ...]]:
        from xloudclient.commands import snapshot_rows

        sorting = map(base.normal, parsed_args.sort_columns)
        is_named = base.is_chosen(parsed_args, 'Server') or 'server' in sorting
        for one in catalog.snapshots(
            query, parsed_args.limit, parsed_args.marker
        ):
            name = catalog.server_name(one) if is_named else ''
            yield snapshot_rows.row(one, name, parsed_args.long)
        for sentence in catalog.vanished():
            self.log.warning('%s', sentence)


class ShowSnapshot(AboutSnapshot, base.GuardedShowOne):
    _description = _(
        """Show a snapshot, its parts, and what was proven of it.

        Says why its consistency class is not higher."""
    )
    example = 'openstack snapshot show db-2026-03-18'

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Any]]:
        from xloudclient.commands import snapshot_rows
        from xloudclient.upkeep import showing

        conn = self.app.client_manager.sdk_connection
        shown = showing.of(conn).show(parsed_args.snapshot)
        fields = snapshot_rows.fields(shown)
        self.check_columns(parsed_args, *fields)
        return tuple(fields), tuple(fields.values())


class SaveSnapshot(AboutSnapshot):
    _description = _(
        """Save the bytes of an image-backed snapshot to a file, verified.

        After any interruption the same command goes on where it ended. The
        file has its name, and replaces one of that name, only when the hash
        over all of it is the one that Glance recorded."""
    )
    example = 'openstack snapshot save --file db.img db-2026-03-18'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--file',
            metavar='<path>',
            help=_('File to save to (default: standard output)'),
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from xloudclient.upkeep import saving

        conn = self.app.client_manager.sdk_connection
        copier = saving.of(conn, self.app.options.verbose_level)
        if parsed_args.file is None:
            copier.to_standard_output(parsed_args.snapshot)
        else:
            copier.to_file(parsed_args.snapshot, parsed_args.file)


class DiagnoseSnapshot(base.GuardedLister):
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
        from xloudclient.commands.snapshot_rows import DIAGNOSIS_COLUMNS
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


class PruneSnapshot(base.GuardedLister):
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
        from xloudclient.commands import snapshot_options

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
        snapshot_options.add_rules(parser)
        snapshot_options.add_limits(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Any]]:
        from xloudclient.commands import consent
        from xloudclient.commands.snapshot_rows import PRUNE_COLUMNS
        from xloudclient.upkeep import pruning

        self.check_columns(parsed_args, *PRUNE_COLUMNS)
        rules = pruning.Rules.of(parsed_args)
        consent.check(parsed_args)
        work = pruning.of(self.app.client_manager.sdk_connection, rules)
        plan = work.plan(parsed_args.servers)
        if parsed_args.dry_run:
            return PRUNE_COLUMNS, self._rows(work, plan)
        if not parsed_args.auto_approve:
            number = sum(one.is_deletion for one in plan)
            if number:
                consent.ask(self._rows(work, plan), number, parsed_args)
            plan = work.plan_again(parsed_args.servers, plan)
        return PRUNE_COLUMNS, self._rows(work, self._carry_out(work, plan))

    def _carry_out(self, work: Any, plan: Sequence[Any]) -> list[Any]:
        """Do what was planned; return what was done."""
        from xloudclient.consistency.errors import ExitCode

        done = []
        for outcome in work.carry_out(plan):
            done.append(outcome.verdict)
            for sentence in outcome.notes:
                self.log.warning('%s', sentence)
            if outcome.failure:
                self.log.error('%s', base.sentence(outcome.failure))
                self._exit_code = int(ExitCode.FAILED)
        return done

    def _rows(self, work: Any, verdicts: Sequence[Any]) -> list[Any]:
        from xloudclient.commands import snapshot_rows

        return [
            snapshot_rows.verdict(one, work.server_name(one))
            for one in verdicts
        ]


class Telling(base.Guarded):
    """Has no result but what it says on stderr."""

    def say(self, sentences: Iterable[str]) -> None:
        """Say each when it has become true; with -q it is only made so."""
        for sentence in sentences:
            if self.app.options.verbose_level:
                self.app.stderr.write(f'{sentence}\n')


class Sharing(AboutSnapshot, Telling):
    """What share and unshare have in common."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        from openstackclient.identity import common

        parser = super().get_parser(prog_name)
        parser.add_argument(
            'projects',
            metavar='<project>',
            nargs='+',
            help=_(
                'Project(s) (ID, or name where you have a role in it or may '
                'list projects)'
            ),
        )
        common.add_project_domain_option_to_parser(parser)
        return parser

    def work(self, parsed_args: argparse.Namespace) -> Any:
        from xloudclient.upkeep import sharing

        return sharing.of(
            self.app.client_manager.sdk_connection,
            self.app.options.verbose_level,
            parsed_args.project_domain,
        )


class ShareSnapshot(Sharing):
    _description = _(
        """Share a snapshot, so that other projects can launch it.

        They see it once they have accepted it. Volume-backed snapshots, and
        those with data volumes, are refused: their volume snapshots can't be
        shared. With --convert, each disk is copied to an image first, which
        takes the time of an upload; if it is interrupted, the same command
        goes on. Exit codes: 0 shared, 1 not shared with all of them, 2
        usage."""
    )
    example = 'openstack snapshot share --convert db-2026-03-18 shop'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--convert',
            action='store_true',
            help=_(
                'Share a copy, all disks as images, if the snapshot itself '
                "can't be shared"
            ),
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        work = self.work(parsed_args)
        self.say(
            work.share(
                parsed_args.snapshot, parsed_args.projects, parsed_args.convert
            )
        )


class UnshareSnapshot(Sharing):
    _description = _(
        """Take back that a snapshot is shared with other projects.

        Also a copy that --convert made of it. Servers that they launched of
        it go on running."""
    )
    example = 'openstack snapshot unshare db-2026-03-18 shop'

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        work = self.work(parsed_args)
        self.say(work.unshare(parsed_args.snapshot, parsed_args.projects))


class AcceptSnapshot(AboutSnapshot, Telling):
    _description = _(
        """Accept a snapshot that another project shares with this one.

        A name is looked for among those that wait for an answer, and then
        among those that were answered."""
    )
    example = 'openstack snapshot accept db-2026-03-18'

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from xloudclient.upkeep import offers

        work = offers.of(self.app.client_manager.sdk_connection)
        self.say(work.accept(parsed_args.snapshot))


class RejectSnapshot(AboutSnapshot, Telling):
    _description = _(
        """Reject a snapshot that another project shares with this one.

        It is in no list then, and can still be accepted."""
    )
    example = 'openstack snapshot reject db-2026-03-18'

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from xloudclient.upkeep import offers

        work = offers.of(self.app.client_manager.sdk_connection)
        self.say(work.reject(parsed_args.snapshot))
