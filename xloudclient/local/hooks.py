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

"""Hooks that run on this machine, each in a process group of its own.

The group is what is ended when a hook takes too long, so that no part of a
pre hook is at work any more when its post hook starts. Its session is its
own, too: Ctrl-C at the terminal is for us, and we are to run the posts.
"""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from xloudclient.consistency.errors import HookRefused
from xloudclient.consistency.plan import Hook
from xloudclient.consistency.ports import HookOutcome, HookState
from xloudclient.local.trust import check

#: What a hook gets of our environment, without being asked for.
KEPT_VARIABLES = ('PATH', 'HOME', 'LANG', 'TZ')

#: Exit status of a hook that says: not now (sysexits.h, EX_TEMPFAIL).
NOT_NOW_STATUS = 75

#: How much of a hook's output is kept; the end of it.
OUTPUT_BYTES = 64 * 1024

#: How much of that is quoted in a reason.
QUOTED_CHARACTERS = 300

#: Seconds between SIGTERM and SIGKILL, and for the kernel to act on the
#: latter: a process in an uninterruptible sleep is not waited for longer.
GRACE_SECONDS = 2.0

POLL_SECONDS = 0.02


class LocalHooks:
    """The port :class:`~xloudclient.consistency.ports.HookRunner`.

    :param environ: our own environment
    :param passed: names of further variables that hooks get (--hook-env)
    :param grace: seconds from SIGTERM to SIGKILL
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        passed: Sequence[str] = (),
        grace: float = GRACE_SECONDS,
    ) -> None:
        names = (*KEPT_VARIABLES, *passed)
        self._kept = {n: environ[n] for n in names if n in environ}
        self._kept.setdefault('PATH', os.defpath)
        self._grace = grace

    def run(
        self,
        hook: Hook,
        phase: str,
        environment: Mapping[str, str],
        timeout: float,
    ) -> HookOutcome:
        """Run the hook and wait for its end; never raises.

        Whatever it started in its process group is ended with it.

        :param phase: ``pre`` or ``post``: whose argument is given
        :param environment: the ``XLOUD_*`` variables
        :param timeout: seconds until its process group is ended
        """
        began = time.monotonic()
        argument = hook.pre if phase == 'pre' else hook.post
        try:
            command = [check(hook.path), *filter(None, [argument])]
            group = HookGroup(command, {**self._kept, **environment})
            state, reason = self._see_through(group, timeout)
        except HookRefused as refusal:
            state, reason = HookState.FAILED, str(refusal)
        except (OSError, ValueError) as error:
            state, reason = HookState.FAILED, f"can't be run: {error}"
        return HookOutcome(state, reason, time.monotonic() - began)

    def _see_through(
        self, group: 'HookGroup', timeout: float
    ) -> tuple[HookState, str]:
        """Wait for the end, if need be make it; say how it was."""
        is_late = True
        try:
            is_late = not group.ends_within(timeout)
            if is_late:
                group.terminate(self._grace)
        finally:
            status = group.finish(self._grace)
        if is_late:
            what = f'it took longer than {timeout:g} s and was ended'
            if status is None:
                what = f"it took longer than {timeout:g} s and can't be ended"
            return HookState.TIMED_OUT, what + group.quotation
        state, what = judge(status)
        return state, what + group.quotation if what else ''


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


class HookGroup:
    """The process group of a running hook, and what it writes.

    :raises OSError: it could not be started
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdout is not None  # noqa: S101  for mypy
        self._pipe = self._process.stdout
        os.set_blocking(self._pipe.fileno(), False)
        self._is_pipe_open = True
        self._is_lost = False
        self._output = b''

    @property
    def quotation(self) -> str:
        """The end of the output, fit to be shown on a terminal."""
        text = self._output.decode(errors='replace').strip()
        quoted = escape(text[-QUOTED_CHARACTERS:])
        return f'; it said: {quoted}' if quoted else ''

    def ends_within(self, seconds: float) -> bool:
        """Wait for the hook itself, and read on; say whether it ended.

        The end of its output is no sign: a process that it left behind may
        keep the pipe open for ever.
        """
        deadline = time.monotonic() + seconds
        while not self._has_ended():
            if time.monotonic() >= deadline:
                return False
            self._read(POLL_SECONDS)
        return True

    def terminate(self, grace: float) -> None:
        """Ask the whole group to end, and wait ``grace`` seconds for it."""
        self._signal(signal.SIGTERM)
        self.ends_within(grace)

    def finish(self, grace: float) -> int | None:
        """End what is left of the group, and reap the hook.

        :returns: its exit status; None if it is not known
        """
        # The hook is not reaped yet, so that its number, which is the
        # group's as well, can't have been given to somebody else.
        self._signal(signal.SIGKILL)
        if self.ends_within(grace):
            self._drain()
        self._pipe.close()
        try:
            status = self._process.wait(grace)
        except subprocess.TimeoutExpired:
            return None
        self._await_group(grace)
        return None if self._is_lost else status

    def _has_ended(self) -> bool:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self._process.pid, flags) is not None
        except ChildProcessError:
            self._is_lost = True
            return True

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _await_group(self, seconds: float) -> None:
        """Wait until nothing of the group is left."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                os.killpg(self._process.pid, 0)
            except OSError:
                return
            time.sleep(POLL_SECONDS)

    def _read(self, seconds: float) -> bool:
        """Wait for output and keep its end; say whether there was some."""
        if not self._is_pipe_open:
            time.sleep(seconds)
            return False
        if not select.select([self._pipe], [], [], seconds)[0]:
            return False
        chunk = self._pipe.read(OUTPUT_BYTES) or b''
        self._is_pipe_open = bool(chunk)
        self._output = (self._output + chunk)[-OUTPUT_BYTES:]
        return self._is_pipe_open

    def _drain(self) -> None:
        """Read what was written before the end: a pipe holds 1 MiB at most
        (pipe(7)), and what somebody still writes is not waited for."""
        for _ in range(16):
            if not self._read(0):
                return


def escape(text: str) -> str:
    """Return the text without anything that a terminal would act on."""
    return ''.join(
        one if one.isprintable() else one.encode('unicode_escape').decode()
        for one in text
    )
