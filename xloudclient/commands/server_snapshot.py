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


"""server snapshot create | consistent | check | recover | hook ..."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from xloudclient.commands import base
from xloudclient.i18n import _

COLUMNS = (
    'Server',
    'Snapshot ID',
    'Snapshot Name',
    'Status',
    'Consistency',
    'Frozen For',
    'Captured At',
)
LONG_COLUMNS = (
    'Server ID',
    'Kind',
    'Volumes',
    'Quiesced',
    'Hooks',
    'Run ID',
    'Reason',
)
GROUP_COLUMNS = ('Group',)
RECOVER_COLUMNS = ('Run ID', 'Server ID', 'Status', 'Reason')
HOOK_COLUMNS = (
    'Server',
    'Hook',
    'Quiesces',
    'Max Freeze',
    'Agent',
    'Freezes',
    'Reason',
)
CHECK_COLUMNS = ('Server', 'Check', 'Result', 'Finding', 'Next')
PLAN_COLUMNS = ('Server', 'Step', 'What', 'Limit')


class SnapshotServers(base.GuardedLister):
    """What create and consistent share: prepare, run, show."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        from xloudclient.commands import options

        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        options.add_servers(parser, _('Server(s) to snapshot (name or ID)'))
        self.add_options(parser)
        parser.add_argument(
            '--long',
            action='store_true',
            help=_('List additional fields in output'),
        )
        return parser

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        raise NotImplementedError

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Any]]:
        from xloudclient import wiring

        profile = self.resolve(parsed_args)
        columns = self._columns(parsed_args)
        self.check_columns(parsed_args, *columns)
        wired = wiring.prepare(
            self.app.client_manager, parsed_args, self.verbosity
        )
        dry = parsed_args.dry_run
        outcomes = wired.refusals if dry else wired.run()
        self._exit_code = int(wiring.exit_code(outcomes))
        for outcome in outcomes:
            if outcome.message:
                self.tell(outcome.message, outcome.exit_code)
        if dry:
            return columns, [
                _harmless(row) for row in (*profile, *wired.steps())
            ]
        return columns, show(outcomes, len(columns))

    def resolve(
        self, parsed_args: argparse.Namespace
    ) -> Iterable[tuple[str, ...]]:
        """Complete the options; return the rows that say from where."""
        return ()

    def _columns(self, parsed_args: argparse.Namespace) -> tuple[str, ...]:
        if parsed_args.dry_run:
            return PLAN_COLUMNS
        if not parsed_args.long:
            return COLUMNS
        return COLUMNS + LONG_COLUMNS + parsed_args.group * GROUP_COLUMNS

    @property
    def verbosity(self) -> int:
        level: int = self.app.options.verbose_level
        return level


class CreateServerSnapshot(SnapshotServers):
    _description = _(
        """Create a snapshot of one or more servers as they run.

        Nothing is quiesced: a database finds what it would find after a
        power failure. Use "server snapshot consistent" to have it quiesced
        first."""
    )
    example = 'openstack server snapshot create --wait web'

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        from xloudclient.commands import guest_options, options

        options.add_snapshot(parser, data_volumes_by_default=False)
        options.add_run(parser)
        guest_options.leave_guest_alone(parser)


class CreateConsistentServerSnapshot(SnapshotServers):
    _description = _(
        """Create an application-consistent snapshot of one or more servers.

        Quiesces each server, captures its disks, proves that the hold lasted
        until they were captured, releases it, and records the proven class
        on the snapshot. Exit codes: 0 done, 1 failed, 2 usage, 3 can't be
        quiesced (no snapshot), 4 the snapshot failed, 5 lower class than
        required, 6 RELEASE FAILED (an application may still be blocked),
        7 out of time, 75 try again later, 130, 143 or 129 ended by a signal
        (released first). With --group several servers have
        one point in time, all or nothing."""
    )
    example = 'openstack server snapshot consistent --quiesce mysql --wait db'

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        from xloudclient.commands import guest_options, options, profile

        with profile.profiled(parser):
            options.add_snapshot(parser, data_volumes_by_default=True)
            guest_options.add_quiescing(
                parser, _(', of a group: on any server')
            )
            guest_options.add_lower_class(parser)
            guest_options.add_group(parser)
            guest_options.add_hooks(parser)
            guest_options.add_guest_access(parser)
            options.add_run(parser, _('; not for a --group'))

    def resolve(
        self, parsed_args: argparse.Namespace
    ) -> Iterable[tuple[str, ...]]:
        from xloudclient.commands import profile

        resolved = profile.resolve(parsed_args, self.get_parser(''))
        return [('', 'profile', *row) for row in resolved]


class CheckServerSnapshot(base.GuardedLister):
    _description = _(
        """Tell what a consistent snapshot would be now, and why.

        Nothing is changed: it looks at the server, the quotas and, over ssh,
        at what is to be quiesced, which is asked everything that a snapshot
        would ask it before the first lock. The rows come in the order in
        which a snapshot would meet these things; the last one, class, is the
        verdict. Exit codes: 0 it would have the required class, 5 a lower
        one, 3 it can't be quiesced, 75 try again later, and what else
        "server snapshot consistent" with the same options would end with."""
    )
    example = 'openstack server snapshot check --quiesce mysql db'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        from xloudclient.commands import guest_options, options, profile

        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        options.add_servers(parser, _('Server(s) to look at (name or ID)'))
        with profile.profiled(parser, guest_options.of_a_snapshot()):
            options.add_data_volumes(parser, by_default=True)
            guest_options.add_quiescing(parser)
            guest_options.add_hooks(parser, guest_options.NOT_RUN)
            guest_options.add_guest_access(parser)
            options.add_concurrency(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Any]]:
        from xloudclient import wiring
        from xloudclient.commands import columns

        self.check_columns(parsed_args, *CHECK_COLUMNS)
        self._resolve(parsed_args)
        reports = wiring.check(self.app.client_manager, parsed_args)
        self._exit_code = int(wiring.exit_code(reports))
        return CHECK_COLUMNS, [
            (
                columns.Text(report.server_name),
                one.check,
                str(one.result),
                one.text,
                one.advice,
            )
            for report in reports
            for one in report.findings
        ]

    def _resolve(self, parsed_args: argparse.Namespace) -> None:
        """Complete the options: a profile has those of a snapshot, too."""
        from xloudclient.commands import profile

        snapshot = CreateConsistentServerSnapshot(self.app, None)
        profile.resolve(parsed_args, snapshot.get_parser(''))


class RecoverServerSnapshot(base.GuardedLister):
    _description = _(
        """Finish or undo what interrupted snapshots left behind.

        A run that was killed is put right by the next one on its server, or
        by this command: hooks whose post never ran, snapshots that were
        requested and not proven, evidence that was not yet written. The
        guest itself needs no recovery: it released on its own."""
    )
    example = 'openstack server snapshot recover'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            'run',
            metavar='<run>',
            nargs='?',
            help=_('Run to recover (ID; default: all that need it)'),
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Any]]:
        from xloudclient import wiring

        self.check_columns(parsed_args, *RECOVER_COLUMNS)
        recovered = wiring.recover(self.app.client_manager, parsed_args.run)
        self._exit_code = int(wiring.exit_code(recovered))
        for one in recovered:
            self.tell(f'{one.reason}. {one.advice}'.strip(), one.exit_code)
        return RECOVER_COLUMNS, [
            (one.run_id, one.server_id, str(one.state), one.reason)
            for one in recovered
        ]


class FreezeHook(base.GuardedLister):
    """What the commands on the freeze hook share."""

    verb = ''

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        from xloudclient.commands import guest_options, options

        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.set_defaults(
            **guest_options.of_a_snapshot(), **guest_options.of_a_hold()
        )
        options.add_servers(parser, _('Server(s) (name or ID)'))
        if self.verb == 'install':
            guest_options.add_freeze_hook(parser)
        guest_options.add_guest_access(parser)
        options.add_concurrency(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Any]]:
        from xloudclient import wiring

        self.check_columns(parsed_args, *HOOK_COLUMNS)
        manager = self.app.client_manager
        rows = wiring.manage_freeze_hooks(manager, parsed_args, self.verb)
        self._exit_code = int(wiring.exit_code(rows))
        for one in rows:
            if one.exit_code:
                self.tell(one.message, one.exit_code)
            elif one.message:
                self.log.warning('%s', one.message)
        return HOOK_COLUMNS, map(_hook_row, rows)


class InstallFreezeHook(FreezeHook):
    _description = _(
        """Put the guest agent's freeze hook into one or more servers.

        Nova has the guest agent freeze a guest around the point in time of
        its snapshot. The hook holds the databases there, so that they are
        blocked for a moment, whatever the size of the disk: use it with
        --quiesce agent. It needs root in the guest, qemu-guest-agent, and
        hw_qemu_guest_agent on the image that the server was booted from.
        An agent that systemd runs is restarted. Run it again to change what
        is held, or for a new version. Exit codes: 0 done, 1 failed, 2 usage,
        3 it could not hold that, or there is no way to have it called
        (nothing was changed), 75 try again later."""
    )
    example = 'openstack server snapshot hook install --quiesce mysql db'
    verb = 'install'


class RemoveFreezeHook(FreezeHook):
    _description = _(
        """Take the guest agent's freeze hook out of one or more servers.

        The agent's configuration is as it was before; a hook that was there
        before is called again. Exit codes: 0 done, 1 failed, 2 usage, 3 the
        host key is not known, 75 try again later."""
    )
    example = 'openstack server snapshot hook remove db'
    verb = 'remove'


class ListFreezeHooks(FreezeHook):
    _description = _(
        """Tell which servers have the freeze hook, and what it holds.

        Agent says whether the guest agent calls it; Freezes counts its
        freezes since boot. Exit codes: 0 all could be seen, 1 not all, 2
        usage, 3 a host key is not known."""
    )
    example = 'openstack server snapshot hook list db web'
    verb = 'list'


def _hook_row(row: Any) -> tuple[Any, ...]:
    from xloudclient.commands import columns

    hook = row.hook
    is_there = hook.is_installed
    return (
        columns.Text(row.server_name),
        str(row.state),
        columns.Words([one.name for one in hook.quiescers]),
        columns.Seconds(hook.cap) if is_there else None,
        hook.agent if is_there or hook.is_still_called else None,
        hook.last if is_there else None,
        row.reason,
    )


def _harmless(row: Sequence[str]) -> tuple[Any, ...]:
    from xloudclient.commands import columns

    return tuple(map(columns.Text, row))


def show(outcomes: Sequence[Any], width: int) -> list[tuple[Any, ...]]:
    """Make the rows of the table: one per server, with so many columns."""
    return [(_row(one) + _long(one))[:width] for one in outcomes]


def _row(outcome: Any) -> tuple[Any, ...]:
    from xloudclient.commands import columns

    is_skipped = outcome.status == 'skipped'
    return (
        columns.Text(outcome.plan.target.name),
        outcome.requested.image_id if outcome.requested else None,
        None if is_skipped else outcome.plan.snapshot_name or None,
        str(outcome.status),
        None if outcome.consistency is None else str(outcome.consistency),
        None
        if outcome.frozen_seconds is None
        else columns.Seconds(outcome.frozen_seconds),
        outcome.captured_at or None,
    )


def _long(outcome: Any) -> tuple[Any, ...]:
    from xloudclient.commands import columns

    requested = outcome.requested
    return (
        outcome.plan.target.id,
        str(outcome.plan.target.kind),
        columns.Words(list(requested.volume_snapshots if requested else ())),
        columns.Words(list(outcome.quiesced)),
        columns.Words(list(outcome.hooks)),
        outcome.plan.run_id or None,
        outcome.reason,
        None if outcome.consistency is None else outcome.plan.group_id,
    )
