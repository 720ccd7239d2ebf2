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


"""server snapshot create | consistent | recover"""

import argparse
import contextlib
import logging
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from osc_lib.command import command

from xloudclient.commands import columns, guest_options, options
from xloudclient.commands.examples import WithExample
from xloudclient.i18n import _

LOG = logging.getLogger(__name__)

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
RECOVER_COLUMNS = ('Run ID', 'Server ID', 'Status', 'Reason')
PLAN_COLUMNS = ('Server', 'Step', 'What', 'Limit')


class FailureLister(WithExample, command.Lister):
    """Shows its rows, and then has an exit code of its own."""

    log = LOG
    _exit_code = 0

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Show the result, then return the exit code that it has.

        A result that can't be shown does not change what it was.
        """
        from xloudclient import wiring

        try:
            super().run(parsed_args)
        except wiring.Failure as failure:
            if self.app.options.debug:
                self.log.exception('%s', sentence(failure))
            else:
                self.log.error('%s', sentence(failure))
            return int(failure.exit_code)
        except Exception as error:
            if not self._exit_code:
                raise
            self.log.error('%s', error)
        return self._exit_code

    def check_columns(
        self, parsed_args: argparse.Namespace, *known: str
    ) -> None:
        """Refuse -c before anything is done, not when it has been."""
        from xloudclient import wiring

        chosen = parsed_args.columns
        if chosen and not set(chosen) & set(known):
            raise wiring.Misuse(
                f'-c: there is no such column (there are {", ".join(known)})'
            )

    def tell(self, message: str, exit_code: int) -> None:
        """Say what went wrong; exit code 6 whatever -q says."""
        from xloudclient import wiring

        if exit_code == wiring.ExitCode.RELEASE_FAILED:
            shout(message)
        elif exit_code:
            self.log.error('%s', message)


class SnapshotServers(FailureLister):
    """What create and consistent share: prepare, run, show."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        options.add_servers(parser)
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

        self.check_columns(parsed_args, *self._columns(parsed_args))
        profile = self.resolve(parsed_args)
        wired = wiring.prepare(
            self.app.client_manager, parsed_args, self.verbosity
        )
        dry = parsed_args.dry_run
        outcomes = wired.refusals if dry else wired.run()
        self._exit_code = int(wiring.exit_code(outcomes))
        for outcome in outcomes:
            if outcome.message:
                self.tell(outcome.message, outcome.exit_code)
        rows = (
            [*profile, *wired.steps()]
            if dry
            else show(outcomes, parsed_args.long)
        )
        return self._columns(parsed_args), rows

    def resolve(
        self, parsed_args: argparse.Namespace
    ) -> Iterable[tuple[str, ...]]:
        """Complete the options; return the rows that say from where."""
        return ()

    def _columns(self, parsed_args: argparse.Namespace) -> tuple[str, ...]:
        if parsed_args.dry_run:
            return PLAN_COLUMNS
        return COLUMNS + (LONG_COLUMNS if parsed_args.long else ())

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
        7 out of time, 75 try again later."""
    )
    example = 'openstack server snapshot consistent --quiesce mysql --wait db'

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        from xloudclient.commands import profile

        with profile.profiled(parser):
            options.add_snapshot(parser, data_volumes_by_default=True)
            guest_options.add_quiescing(parser)
            guest_options.add_hooks(parser)
            guest_options.add_guest_access(parser)
            options.add_run(parser)

    def resolve(
        self, parsed_args: argparse.Namespace
    ) -> Iterable[tuple[str, ...]]:
        from xloudclient.commands import profile

        resolved = profile.resolve(parsed_args, self.get_parser(''))
        return [('', 'profile', *row) for row in resolved]


class RecoverServerSnapshot(FailureLister):
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


def shout(message: str) -> None:
    """Say it wherever it can be said."""
    with contextlib.suppress(Exception):
        sys.stderr.write(message + '\n')
        sys.stderr.flush()
        return
    with contextlib.suppress(Exception), open('/dev/tty', 'w') as terminal:
        terminal.write(message + '\n')


def sentence(failure: Exception) -> str:
    """One sentence on what failed, and what to do next."""
    advice = getattr(failure, 'advice', '')
    return f'{failure}. {advice}'.strip()


def show(outcomes: Sequence[Any], long: bool) -> list[tuple[Any, ...]]:
    """Make the rows of the table: one per server."""
    return [_row(one) + (_long(one) if long else ()) for one in outcomes]


def _row(outcome: Any) -> tuple[Any, ...]:
    return (
        outcome.plan.target.name,
        outcome.requested.image_id if outcome.requested else None,
        outcome.plan.snapshot_name or None,
        str(outcome.status),
        None if outcome.consistency is None else str(outcome.consistency),
        None
        if outcome.frozen_seconds is None
        else columns.Seconds(outcome.frozen_seconds),
        outcome.captured_at or None,
    )


def _long(outcome: Any) -> tuple[Any, ...]:
    requested = outcome.requested
    return (
        outcome.plan.target.id,
        str(outcome.plan.target.kind),
        columns.Words(list(requested.volume_snapshots if requested else ())),
        columns.Words(list(outcome.quiesced)),
        columns.Words(list(outcome.hooks)),
        outcome.plan.run_id or None,
        outcome.reason,
    )
