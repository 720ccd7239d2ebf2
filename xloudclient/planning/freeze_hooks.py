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


"""Puts the freeze hook into guests, takes it out, and tells of it."""

import contextlib
import dataclasses
import enum
from collections.abc import Callable, Mapping
from typing import Any

from xloudclient.consistency import auto, fitness
from xloudclient.consistency.answers import FreezeHook
from xloudclient.consistency.errors import (
    Busy,
    CloudError,
    ExitCode,
    Failure,
    GuestLost,
    HostKeyUnknown,
    Interrupted,
    Misuse,
    NotQuiesced,
)
from xloudclient.consistency.freeze_hook import (
    CLOSED,
    OF_VOLUMES,
    not_released,
    why_unused,
)
from xloudclient.consistency.plan import Kind, Plan, Quiescer, Target
from xloudclient.consistency.text import printable
from xloudclient.guest import freeze_hook
from xloudclient.guest.look import Look
from xloudclient.planning.patience import Patience, PatientLook
from xloudclient.planning.planner import Planner
from xloudclient.planning.wanted import catalogue

#: Seconds to put the hook in its place and to restart the guest agent.
SETUP_SECONDS = 60.0
#: With a quiescer that fails, the agent would freeze nothing at all.
UNABLE = (
    'Nothing was changed in the guest. Install the hook again once that '
    'works, or name with --quiesce what it is to hold.'
)
STILL_CALLED = (
    'the guest agent was not restarted since, and still calls what was '
    'removed; that does nothing now. In the guest: systemctl restart '
    'qemu-guest-agent; then, for the rest of it: openstack server snapshot '
    'hook remove {}'
)
HALF_DONE = (
    'The hook may be half there. What is: openstack server snapshot hook '
    'list {0}; then run this again, or take it out: openstack server '
    'snapshot hook remove {0}'
)
NO_AGENT = (
    'hw_qemu_guest_agent is not set on its image, so Nova has no guest agent '
    'freeze it'
)
UNSEEN_AGENT = (
    "can't see the image that it was booted from; Nova has the guest agent "
    'freeze it only if hw_qemu_guest_agent was set there'
)
#: Options that hold until the next restart of a server.
PASSING = ('pid',)


class State(enum.StrEnum):
    INSTALLED = 'installed'
    ABSENT = 'not installed'
    FAILED = 'failed'


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """The freeze hook of one server, after what was done.

    :param hook: what the guest told; of a failure, nothing
    :param reason: why it failed, or why the agent won't call it
    :param message: the sentence for stderr; empty if all is well
    """

    server_name: str
    state: State
    hook: FreezeHook = FreezeHook()  # noqa: RUF009 - it is frozen
    exit_code: ExitCode = ExitCode.DONE
    reason: str = ''
    message: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class FreezeHooks:
    """Does one thing to the freeze hooks of servers.

    :param verb: ``install``, ``remove`` or ``list``
    """

    planner: Planner
    verb: str
    patience: Patience

    def row(self, server: Mapping[str, Any]) -> Row:
        """Do it to one server, and say how it is then.

        :raises Misuse: the options make no sense
        """
        name = str(server['name'])
        try:
            target = self.planner.cloud.servers.target(server)
            hook = self._in_guest(target, server)
            if hook.is_closed:
                raise Failure(*CLOSED)
            reason = self._doubt(target, server, hook)
        except Misuse:
            raise
        except Failure as failure:
            return _failed(name, failure, self._exit_code(failure))
        except CloudError as error:
            return _failed(name, Failure(str(error)), ExitCode.FAILED)
        state = State.INSTALLED if hook.is_installed else State.ABSENT
        message = f'{name}: {reason}' if reason else ''
        return Row(name, state, hook, reason=reason, message=message)

    def _exit_code(self, failure: Failure) -> ExitCode:
        """Nothing is to be quiesced but by what is installed."""
        is_3 = failure.exit_code is ExitCode.NOT_QUIESCED
        is_key = isinstance(failure, HostKeyUnknown)
        if is_3 and self.verb != 'install' and not is_key:
            return ExitCode.FAILED
        return failure.exit_code

    def _in_guest(
        self, target: Target, server: Mapping[str, Any]
    ) -> FreezeHook:
        if not target.state.is_writing:
            raise NotQuiesced(
                f'the guest is {target.state}, so its freeze hook can be '
                'neither changed nor seen',
                f'When it runs: openstack server snapshot hook {self.verb} '
                f'{target.id}',
            )
        guest = self.planner.way_to(target, server)
        look = Look(guest)
        with contextlib.closing(look):
            facts = PatientLook(look, self.patience).open()
            plan = Plan(target, '', '', address=guest.address)
            fitness.check_identity(plan, facts)
            if facts.is_taken and self.verb != 'list':
                raise Busy(
                    'another run is at work in the guest', 'Try again later.'
                )
            return self._do(look, target)

    def _do(self, look: Look, target: Target) -> FreezeHook:
        patient = PatientLook(look, self.patience)
        if self.verb == 'install':
            chosen = self._chosen(patient)
            for one in chosen:
                self._examine(patient, one)
            max_freeze = self.planner.options.max_freeze
            return self._change(
                lambda: look.install_freeze_hook(
                    chosen, max_freeze, SETUP_SECONDS
                ),
                target,
            )
        if self.verb == 'remove':
            return self._change(
                lambda: look.remove_freeze_hook(SETUP_SECONDS), target
            )
        return patient.freeze_hook()

    def _chosen(self, look: PatientLook) -> tuple[Quiescer, ...]:
        """What the hook is to hold: as asked, or what runs now.

        :raises NotQuiesced: it can't hold what runs
        """
        wanted = self.planner.wanted
        if not wanted.is_auto:
            return wanted.quiescers
        databases = auto.find(look.probe(), catalogue())
        auto.check_number(databases, freeze_hook.MOST)
        return tuple(
            dataclasses.replace(
                one,
                options=tuple(
                    pair for pair in one.options if pair[0] not in PASSING
                ),
            )
            for one in databases
        )

    def _examine(self, look: PatientLook, quiescer: Quiescer) -> None:
        """Ask one whether it could hold now; a user's own is not run.

        :raises NotQuiesced: it could not; Busy: not now
        """
        if not quiescer.can_be_examined:
            return
        try:
            look.examine(quiescer, self.planner.options.hook_timeout)
        except NotQuiesced as failure:
            raise NotQuiesced(str(failure), UNABLE) from failure

    def _change(
        self, call: Callable[[], FreezeHook], target: Target
    ) -> FreezeHook:
        """Change the hook in a guest that was reached.

        :raises NotQuiesced: nothing was changed; Failure: it may be half done
        """
        advice = HALF_DONE.format(target.id)
        try:
            return self.patience.ask(call, SETUP_SECONDS + 1)
        except (GuestLost, TimeoutError) as error:
            raise Failure(
                'the guest was reached, and did not tell whether the freeze '
                f'hook is as it was to be: {error}',
                advice,
            ) from error
        except NotQuiesced as failure:
            if any(one in str(failure) for one in freeze_hook.REFUSALS):
                raise
            raise Failure(str(failure), advice) from failure
        except Interrupted as failure:
            failure.advice = advice
            raise

    def _doubt(
        self, target: Target, server: Mapping[str, Any], hook: FreezeHook
    ) -> str:
        """Say why an installed hook would not be called; '' if it would.

        Or why one that was removed still is.
        """
        if not hook.is_installed:
            text = STILL_CALLED.format(target.id)
            return text if hook.is_still_called else ''
        plan = Plan(target, '', '')
        for problem in not_released(plan, hook.freezes[-1:]):
            return printable(f'{problem}. {problem.advice}')
        if not hook.is_used:
            return printable('. '.join(why_unused(plan, hook)))
        if target.kind is Kind.VOLUME:
            return OF_VOLUMES
        has_agent = self.planner.cloud.has_agent(server, target)
        if has_agent is None:
            return UNSEEN_AGENT
        return '' if has_agent else NO_AGENT


def check(quiescers: tuple[Quiescer, ...], by_agent: bool) -> None:
    """Refuse what a freeze hook can't hold.

    :raises Misuse: the agent does that itself, or it is too much
    """
    names = {one.name for one in quiescers}
    if by_agent or 'fsfreeze' in names:
        raise Misuse(
            '--quiesce: the guest agent freezes the file systems itself; name '
            'what its hook is to hold'
        )
    if len(quiescers) > freeze_hook.MOST:
        raise Misuse(
            f'--quiesce: a freeze hook holds at most {freeze_hook.MOST} '
            'quiescers'
        )


def _failed(name: str, failure: Failure, exit_code: ExitCode) -> Row:
    text = f'{name}: {failure}. {failure.advice}'.strip()
    return Row(
        name,
        State.FAILED,
        exit_code=exit_code,
        reason=printable(str(failure)),
        message=printable(text),
    )
