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


"""Scripts around a hold: called before it, and after it.

Once the first pre is due every post runs, the guest's first, in reverse, each
on its own: one failure never stops the next. Which posts are owed is written
down before, so that somebody can run them whatever ends this process.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping

from xloudclient.consistency.answers import HookOutcome, HookState
from xloudclient.consistency.errors import (
    Busy,
    Failure,
    GuestLost,
    NotQuiesced,
    ReleaseFailed,
)
from xloudclient.consistency.plan import Hook, Place, Plan
from xloudclient.consistency.ports import HookRunner, World


class Hooks:
    """The pre and post hooks of one run.

    :param remaining: raises what is to be raised when there is no time left
    """

    def __init__(
        self, plan: Plan, world: World, remaining: Callable[[], float]
    ) -> None:
        self.plan = plan
        self.world = world
        self.problems: list[Failure] = []
        self.log: list[str] = []
        self._remaining = remaining
        self._is_owed = False
        self._has_pre_run = False

    def owe_posts(self) -> None:
        """Write down every post before the first pre: whatever ends this
        process, somebody can run them."""
        owed = [
            {
                'number': number,
                'path': hook.path,
                'at': hook.place,
                'post': hook.post,
            }
            for number, hook in enumerate(self.plan.hooks)
            if hook.post is not None
        ]
        if owed and not self.world.journal.write(
            'owed',
            posts=owed,
            environment=environment(self.plan),
            login=self.plan.login_command,
        ):
            raise Failure(
                "the journal can't be written",
                'Make room or set XDG_STATE_HOME.',
            )
        self._is_owed = True

    def _number(self, hook: Hook) -> int:
        """The same file may be given twice, so identity counts."""
        [number] = [n for n, one in enumerate(self.plan.hooks) if one is hook]
        return number

    def _hooks(self, place: Place) -> list[Hook]:
        return [hook for hook in self.plan.hooks if hook.place is place]

    @property
    def pres(self) -> Iterator[Hook]:
        """Those to be called before: first here, then in the guest."""
        for place in (Place.HERE, Place.GUEST):
            for hook in self._hooks(place):
                if hook.pre is not None:
                    yield hook

    def run_pre(self, hook: Hook) -> None:
        """Call a hook before the hold.

        :raises NotQuiesced: it failed; Busy: it said not now
        """
        self._has_pre_run = True
        outcome = self._call(hook, 'pre', {})
        self._remaining()
        if outcome.state is HookState.NOT_NOW:
            raise Busy(
                f'the pre hook {hook.path} says not now', 'Try again later.'
            )
        if outcome.state is not HookState.SUCCEEDED:
            raise NotQuiesced(
                f'the pre hook {hook.path} {outcome.state}: {outcome.reason}'
            )

    def _call(
        self, hook: Hook, phase: str, more: dict[str, str]
    ) -> HookOutcome:
        runner: HookRunner = self.world.hooks
        if hook.place is Place.GUEST:
            runner = GuestHooks(self.world)
        self.world.reporter.step(f'{phase}-hook', path=hook.path)
        outcome = runner.run(
            hook,
            phase,
            {**environment(self.plan), **more, 'XLOUD_PHASE': phase},
            self.plan.budget.hook,
        )
        self.log.append(f'{hook.path} {phase} {outcome.state}')
        if outcome.state is not HookState.SUCCEEDED:
            self.world.reporter.step(
                'hook-failed',
                path=hook.path,
                phase=phase,
                reason=f'{outcome.state}: {outcome.reason}',
            )
        return outcome

    def run_posts(self, more: dict[str, str]) -> None:
        """Run every post hook, guest's first, in reverse. Never raises.

        :param more: ``XLOUD_RESULT`` and ``XLOUD_SNAPSHOT_ID``
        """
        if not self._is_owed:
            return
        for place in (Place.GUEST, Place.HERE):
            for hook in reversed(self._hooks(place)):
                if hook.post is not None:
                    self._post(hook, more)

    def _post(self, hook: Hook, more: dict[str, str]) -> None:
        try:
            outcome = self._call(hook, 'post', more)
        except BaseException as error:
            # whatever it was, the other posts are still to run
            why = f'{type(error).__name__}: {error}'
            outcome = HookOutcome(HookState.FAILED, why)
        self.world.journal.write(
            'post-hook',
            number=self._number(hook),
            state=outcome.state,
        )
        if outcome.state is HookState.SUCCEEDED:
            return
        text = f'the post hook {hook.path} {outcome.state}: {outcome.reason}'
        if not self._has_pre_run:
            self.problems.append(Failure(text))
            return
        self.problems.append(
            ReleaseFailed(
                f'AN APPLICATION MAY STILL BE BLOCKED: {text}',
                'What a pre hook did may still be in force; run by hand: '
                + by_hand(hook, self.plan.login_command),
            )
        )


def environment(plan: Plan) -> dict[str, str]:
    """What hooks and holders are told."""
    target = plan.target
    return {
        'XLOUD_RUN_ID': plan.run_id,
        'XLOUD_GROUP': plan.group_id,
        'XLOUD_SERVER_ID': target.id,
        'XLOUD_SERVER_NAME': target.name,
        'XLOUD_PROJECT_ID': target.project_id,
        'XLOUD_SERVER_ADDRESS': plan.address,
        'XLOUD_SNAPSHOT_NAME': plan.snapshot_name,
    }


#: Runs standard input in the guest: it is a file there, so that its own
#: interpreter runs it, and root does, where the run could be root.
RUN_THERE = (
    'f=$(mktemp) && cat >"$f" && chmod 700 "$f" && '
    '$(sudo -n true 2>/dev/null && echo sudo) "$f"{words} && rm "$f"'
)


def by_hand(hook: Hook, login: str) -> str:
    """The command that runs a post hook.

    :param login: the command that logs in to the guest
    """
    path = shlex.quote(hook.path)
    words = ''.join(f' {shlex.quote(word)}' for word in hook.arguments('post'))
    if hook.place is Place.HERE:
        return path + words
    # the shell there takes it apart once more
    return f'{login} {shlex.quote(RUN_THERE.format(words=words))} < {path}'


class GuestHooks:
    """Runs hooks in the guest; a lost guest is a failed hook."""

    def __init__(self, world: World) -> None:
        self.world = world

    def run(
        self,
        hook: Hook,
        phase: str,
        environment: Mapping[str, str],
        timeout: float,
    ) -> HookOutcome:
        try:
            return self.world.guest.run_hook(hook, phase, environment, timeout)
        except TimeoutError:
            return HookOutcome(HookState.TIMED_OUT, f'after {timeout:g} s')
        except GuestLost as error:
            return HookOutcome(
                HookState.FAILED, f'the connection was lost: {error}'
            )
