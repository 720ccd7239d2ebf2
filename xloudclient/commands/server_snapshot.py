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
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from osc_lib.command import command

from xloudclient.commands import columns, options
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


class FailureLister(command.Lister):
    """Shows its rows, and then has an exit code of its own."""

    log = LOG
    _exit_code = 0

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Show the result, then return the exit code that it has."""
        from xloudclient import wiring

        try:
            super().run(parsed_args)
        except wiring.Failure as failure:
            self.log.error('%s', sentence(failure))
            return int(failure.exit_code)
        return self._exit_code

    def say(self, message: str, exit_code: int) -> None:
        """Exit code 6 is said whatever -q and the log level are."""
        if exit_code == 6:
            self.app.stderr.write(message + '\n')
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

        wired = wiring.prepare(
            self.app.client_manager, parsed_args, self.verbosity
        )
        if parsed_args.dry_run:
            return PLAN_COLUMNS, wired.steps()
        outcomes = wired.run()
        self._exit_code = int(wiring.exit_code(outcomes))
        for outcome in outcomes:
            if outcome.message:
                self.say(outcome.message, outcome.exit_code)
        return show(outcomes, parsed_args.long)

    @property
    def verbosity(self) -> int:
        level: int = self.app.options.verbose_level
        return level


class CreateServerSnapshot(SnapshotServers):
    _description = _(
        """Create a snapshot of one or more servers

        The snapshot is taken as the server runs, with nothing quiesced: what
        a database finds in it is what it would find after a power failure.
        Use "openstack server snapshot consistent" to have it quiesced first.

        Example: openstack server snapshot create --wait web"""
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        options.add_snapshot(parser, data_volumes_by_default=False)
        options.add_run(parser)
        options.leave_guest_alone(parser)


class CreateConsistentServerSnapshot(SnapshotServers):
    _description = _(
        """Create an application-consistent snapshot of one or more servers

        Quiesces each server, captures its disks, proves that the hold lasted
        until the disks were captured, releases it, and records the class
        that was proven, with its evidence, on the snapshot.

        Exit codes: 0 done; 1 failed; 2 usage; 3 can't be quiesced as asked
        (no snapshot); 4 the snapshot failed; 5 taken, but of a lower class
        than required; 6 release failed, an application may still be blocked;
        7 out of time; 75 busy, try again later; 130, 143, 129 interrupted.
        In all of them but 6 everything was released.

        Example: openstack server snapshot consistent --quiesce mysql db"""
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        options.add_snapshot(parser, data_volumes_by_default=True)
        options.add_quiescing(parser)
        options.add_hooks(parser)
        options.add_guest_access(parser)
        options.add_run(parser)


class RecoverServerSnapshot(FailureLister):
    _description = _(
        """Finish or undo what interrupted snapshots left behind

        A run that was killed is put right by the next one on its server, or
        by this command: hooks whose post never ran, snapshots that were
        requested and not proven, evidence that was not yet written. The
        guest itself needs no recovery: it released on its own.

        Example: openstack server snapshot recover"""
    )

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

        recovered = wiring.recover(self.app.client_manager, parsed_args.run)
        self._exit_code = int(wiring.exit_code(recovered))
        for one in recovered:
            self.say(f'{one.reason}. {one.advice}'.strip(), one.exit_code)
        return RECOVER_COLUMNS, [
            (one.run_id, one.server_id, str(one.state), one.reason)
            for one in recovered
        ]


def sentence(failure: Exception) -> str:
    """One sentence on what failed, and what to do next."""
    advice = getattr(failure, 'advice', '')
    return f'{failure}. {advice}'.strip()


def show(
    outcomes: Sequence[Any], long: bool
) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
    """Make the table: one row per server."""
    rows = [_row(one) + (_long(one) if long else ()) for one in outcomes]
    return COLUMNS + (LONG_COLUMNS if long else ()), rows


def _row(outcome: Any) -> tuple[Any, ...]:
    return (
        outcome.plan.target.name,
        outcome.requested.image_id if outcome.requested else None,
        outcome.plan.snapshot_name,
        str(outcome.status),
        None if outcome.consistency is None else str(outcome.consistency),
        columns.Seconds(outcome.frozen_seconds),
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
        outcome.plan.run_id,
        outcome.reason,
    )
