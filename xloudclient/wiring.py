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


"""The composition root: options and a connection become runs in a world.

It knows every room that a run needs. The main thread takes the signals and
waits; each server's run has a thread of its own, so that one that hangs keeps
no other from its release.
"""

import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import Any

from xloudclient import recording
from xloudclient.cloud.project import OpenStack
from xloudclient.consistency.checks.finding import Report
from xloudclient.consistency.conclusion import refused
from xloudclient.consistency.errors import (
    ExitCode,
    Failure,
    most_urgent,
)
from xloudclient.consistency.group import Alone
from xloudclient.consistency.outcome import Outcome
from xloudclient.consistency.plan import Plan
from xloudclient.consistency.ports import Group, Guest, World
from xloudclient.consistency.run import Run
from xloudclient.guest.absent import NoGuest
from xloudclient.guest.session import GRACE_SECONDS
from xloudclient.guest.ssh import SshGuest
from xloudclient.local import profiles
from xloudclient.local.clock import SystemClock
from xloudclient.local.hook_group import start_of
from xloudclient.local.hooks import LocalHooks
from xloudclient.local.journal import FileJournal, runs_folder
from xloudclient.local.progress import Progress
from xloudclient.local.rendezvous import Rendezvous
from xloudclient.local.runs import forget_groups
from xloudclient.local.signals import Interruption, interruptible, join
from xloudclient.local.turns import Turns
from xloudclient.planning import freeze_hooks, planner, profiled, steps
from xloudclient.planning.checking import Checker
from xloudclient.planning.patience import Patience
from xloudclient.planning.wanted import Options, Wanted
from xloudclient.recovery import Recovered, Recovery

LOG = logging.getLogger(__name__)

__all__ = (
    'check',
    'exit_code',
    'manage_freeze_hooks',
    'prepare',
    'profile_hooks',
    'profile_quiescers',
    'read_profile',
    'recover',
)

profile_hooks = profiled.hooks
profile_quiescers = profiled.quiescers


class Wired:
    """The runs of one command, ready to go."""

    def __init__(
        self,
        prepared: Sequence[planner.Prepared],
        conn: Any,
        cloud: OpenStack,
        options: Options,
        progress: Progress,
    ) -> None:
        self._prepared = prepared
        self._conn = conn
        self._cloud = cloud
        self._options = options
        self._progress = progress
        self._outcomes: dict[str, Outcome] = {}

    def steps(self) -> Iterator[tuple[str, str, str, str]]:
        """The plan, as rows: server, step, what, limit."""
        for one in self._prepared:
            if one.refusal:
                yield one.plan.target.name, 'refused', str(one.refusal), ''
            else:
                yield from steps.steps(one.plan)

    @property
    def refusals(self) -> list[Outcome]:
        """The outcomes of the servers that there will be no run for."""
        return [
            refused(one.plan, one.refusal)
            for one in self._prepared
            if one.refusal
        ]

    def run(self) -> list[Outcome]:
        """Run them all; one outcome per server, in order."""
        turns = Turns(self._options.concurrency)
        group = self._group()
        insist = self._progress.insist
        with self._progress, interruptible(insist) as interruption:
            join(list(self._start(turns, group, interruption)))
        forget_groups(runs_folder(os.environ))
        return [self._outcomes[one.plan.target.id] for one in self._prepared]

    def _group(self) -> Group:
        if self._options.group:
            return Rendezvous(len(self._prepared))
        return Alone()

    def _start(
        self, turns: Turns, group: Group, interruption: Interruption
    ) -> Iterator[threading.Thread]:
        """Start the runs; one that can't be costs no other its outcome."""
        for one in self._prepared:
            thread = threading.Thread(
                target=self._run_one, args=(one, turns, group, interruption)
            )
            try:
                thread.start()
            except RuntimeError as error:
                self._outcomes[one.plan.target.id] = _not_begun(
                    one.plan, Failure(str(error)), group
                )
            else:
                yield thread

    def _run_one(
        self,
        prepared: planner.Prepared,
        turns: Turns,
        group: Group,
        interruption: Interruption,
    ) -> None:
        plan = prepared.plan
        clock = SystemClock(interruption)
        try:
            if prepared.refusal:
                raise prepared.refusal
            with turns.turn(plan, clock):
                outcome = self._execute(prepared, clock, group)
        except Failure as failure:
            outcome = _not_begun(plan, failure, group)
        except BaseException as error:
            LOG.debug('unexpected', exc_info=True)
            unexpected = Failure(f'unexpected: {error!r}')
            outcome = _not_begun(plan, unexpected, group)
        self._outcomes[plan.target.id] = outcome

    def _execute(
        self, prepared: planner.Prepared, clock: SystemClock, group: Group
    ) -> Outcome:
        plan = prepared.plan
        folder = runs_folder(os.environ)
        journal = FileJournal(folder, plan.run_id, clock.utc)
        hooks = LocalHooks(
            os.environ,
            self._options.hook_env,
            is_interrupted=lambda: bool(clock.interrupted),
            on_start=lambda group: journal.write(
                'hook', group=group, start=start_of(group)
            ),
        )
        recovery = Recovery(self._cloud, hooks, folder, clock)
        for text in recovery.recover_server(plan.target.id):
            LOG.warning('%s: %s', plan.target.name, text)
        journal.begin(
            plan.target.id,
            name=plan.target.name,
            place=self._cloud.place,
            group=plan.group_id,
        )
        is_done = False
        try:
            world = World(
                cloud=self._cloud,
                guest=_guest(prepared),
                hooks=hooks,
                journal=journal,
                recorder=recording.DetachedRecorder(
                    self._conn, journal.path, plan.budget.total
                ),
                clock=clock,
                reporter=self._progress.of(plan, clock),
                group=group,
            )
            run = Run(plan, world, prepared.measured_ms, prepared.joint_ms)
            outcome = run.execute()
            is_done = not (outcome.leaves_something or outcome.is_deferred)
        finally:
            journal.close(is_done)
        return outcome


def prepare(client_manager: Any, options: Options, verbosity: int) -> Wired:
    """Plan what the options ask for; nothing is changed yet.

    :param client_manager: openstackclient's, authenticated on first use
    :param verbosity: the shell's: 0 with ``-q``
    :raises Failure: the options make no sense, or name no server
    """
    wanted = Wanted.of(options)
    progress = Progress(verbosity, options.events)
    conn = client_manager.sdk_connection
    cloud = OpenStack(conn)
    planned = planner.Planner(options, wanted, cloud, conn.current_project_id)
    prepared = [
        planned.within_quota(planned.plan(one))
        for one in planned.find(options.servers)
    ]
    return Wired(prepared, conn, cloud, options, progress)


def check(client_manager: Any, options: Options) -> list[Report]:
    """Tell what snapshots would run into; nothing is changed.

    :raises Failure: the options make no sense, or name no server
    """
    wanted = Wanted.of(options)
    conn = client_manager.sdk_connection
    cloud = OpenStack(conn)
    project_id = conn.current_project_id
    planned = planner.Planner(options, wanted, cloud, project_id)
    servers = planned.find(options.servers)
    prepared = [planned.plan(one) for one in servers]
    with interruptible(_insist) as interruption:
        clock = SystemClock(interruption)
        folder = runs_folder(os.environ)
        checker = Checker(cloud, project_id, folder, clock)
        with futures.ThreadPoolExecutor(options.concurrency) as pool:
            return list(pool.map(checker.check, prepared, servers))


def manage_freeze_hooks(
    client_manager: Any, options: Options, verb: str
) -> list[freeze_hooks.Row]:
    """Install, remove or list the freeze hooks of servers.

    :param verb: which of these
    :raises Failure: the options make no sense, or name no server
    """
    wanted = Wanted.of(options)
    freeze_hooks.check(wanted.quiescers, wanted.by_agent)
    conn = client_manager.sdk_connection
    planned = planner.Planner(
        options, wanted, OpenStack(conn), conn.current_project_id
    )
    servers = planned.find(options.servers)
    with interruptible(_insist) as interruption:
        patience = Patience(SystemClock(interruption))
        hooks = freeze_hooks.FreezeHooks(planned, verb, patience)
        with futures.ThreadPoolExecutor(options.concurrency) as pool:
            return list(pool.map(hooks.row, servers))


def read_profile(name: str) -> profiles.Profile:
    """Read and check a profile.

    :raises Misuse: there is none, or something in it is wrong
    :raises HookRefused: somebody else could have written it
    """
    return profiles.load(name, os.environ)


def _not_begun(plan: Plan, failure: Failure, group: Group) -> Outcome:
    """A run that could not begin ends that of its group."""
    group.give_up(plan.target.name, failure)
    return refused(plan, failure)


def _insist() -> None:
    sys.stderr.write('ending what is under way, please wait\n')


def recover(client_manager: Any, run_id: str | None) -> list[Recovered]:
    """Recover one dead run, or all of this user's.

    :raises Failure: there is no such run, or it lives
    """
    with interruptible(_insist) as interruption:
        clock = SystemClock(interruption)
        recovery = Recovery(
            OpenStack(client_manager.sdk_connection),
            LocalHooks(os.environ),
            runs_folder(os.environ),
            clock,
        )
        return list(recovery.recover(run_id))


def _guest(prepared: planner.Prepared) -> Guest:
    if prepared.guest is None:
        return NoGuest()
    plan = prepared.plan
    grace = max(1, int(min(GRACE_SECONDS, plan.budget.hook)))
    return SshGuest(prepared.guest, plan.run_id, grace=grace)


def exit_code(
    outcomes: Sequence[Outcome | Recovered | Report | freeze_hooks.Row],
) -> ExitCode:
    """The most urgent code of several servers or runs."""
    return most_urgent([outcome.exit_code for outcome in outcomes])
