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

"""Hooks that run on this machine."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence

from xloudclient.consistency.answers import HookOutcome, HookState
from xloudclient.consistency.errors import HookRefused
from xloudclient.consistency.plan import Hook
from xloudclient.local.hook_group import HookGroup
from xloudclient.local.trust import check

#: What a hook gets of our environment, without being asked for.
KEPT_VARIABLES = ('PATH', 'HOME', 'LANG', 'TZ')

#: Exit status of a hook that says: not now (sysexits.h, EX_TEMPFAIL).
NOT_NOW_STATUS = 75

#: Seconds between SIGTERM and SIGKILL, and for the kernel to act on the
#: latter: a process in an uninterruptible sleep is not waited for longer.
GRACE_SECONDS = 2.0


class LocalHooks:
    """The port :class:`~xloudclient.consistency.ports.HookRunner`.

    :param environ: our own environment
    :param passed: names of further variables that hooks get (--hook-env)
    :param grace: seconds from SIGTERM to SIGKILL
    :param on_start: told the process group of each hook, before it runs
    :param is_interrupted: a signal came, which ends a pre hook early
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        passed: Sequence[str] = (),
        grace: float = GRACE_SECONDS,
        is_interrupted: Callable[[], bool] = bool,
        on_start: Callable[[int], object] = abs,
    ) -> None:
        names = (*KEPT_VARIABLES, *passed)
        self._kept = {n: environ[n] for n in names if n in environ}
        self._kept.setdefault('PATH', os.defpath)
        self._grace = grace
        self._is_interrupted = is_interrupted
        self._on_start = on_start

    def run(
        self,
        hook: Hook,
        phase: str,
        environment: Mapping[str, str],
        timeout: float,
    ) -> HookOutcome:
        """Run the hook and wait for its end; never raises.

        Whatever it started in its process group is ended with it.

        :param phase: ``pre`` or ``post``: whose arguments are given
        :param environment: the ``XLOUD_*`` variables
        :param timeout: seconds until its process group is ended
        """
        began = time.monotonic()
        try:
            command = [check(hook.path), *hook.arguments(phase)]
            group = HookGroup(command, {**self._kept, **environment})
            # what undoes is never cut short
            is_unwanted = self._is_interrupted if phase == 'pre' else bool
            state, reason = self._see_through(group, timeout, is_unwanted)
        except HookRefused as refusal:
            state, reason = HookState.FAILED, str(refusal)
        except (OSError, ValueError) as error:
            state, reason = HookState.FAILED, f"can't be run: {error}"
        return HookOutcome(state, reason, time.monotonic() - began)

    def _see_through(
        self,
        group: HookGroup,
        timeout: float,
        is_unwanted: Callable[[], bool],
    ) -> tuple[HookState, str]:
        """Wait for the end, if need be make it; say how it was."""
        is_late = True
        try:
            self._on_start(group.group)
            group.let_go()
            is_late = not group.ends_within(timeout, is_unwanted)
            if is_late:
                group.terminate(self._grace)
        finally:
            status = group.finish(self._grace)
        state, why = judge(status)
        if is_late:
            end = "can't be ended" if status is None else 'was ended'
            when = (
                'as a signal came' if is_unwanted() else f'after {timeout:g} s'
            )
            state, why = HookState.TIMED_OUT, f'{when} it {end}'
        return state, why + group.quotation if why else ''


def judge(status: int | None) -> tuple[HookState, str]:
    """Return what an exit status means, and the reason if it is bad.

    :param status: as :mod:`subprocess` has it, negative for a signal; None
        if it was lost (SIGCHLD is ignored)
    """
    if status == 0:
        return HookState.SUCCEEDED, ''
    if status == NOT_NOW_STATUS:
        return HookState.NOT_NOW, f'exit status {status}'
    if status is None:
        return HookState.FAILED, 'its exit status was lost'
    if status < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-status).name
            return HookState.FAILED, f'it was ended by {name}'
    return HookState.FAILED, f'exit status {status}'
