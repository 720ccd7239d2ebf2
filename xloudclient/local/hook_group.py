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

"""The process group of a hook.

It is what is ended when a hook takes too long, so that no part of a pre hook
is at work any more when its post hook starts. Its session is its own, too:
Ctrl-C at the terminal is for us, and we are to run the posts.
"""

import contextlib
import os
import pathlib
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from xloudclient.consistency.text import printable

#: How much of a hook's output is kept; the end of it.
OUTPUT_BYTES = 64 * 1024

#: How much of that is quoted in a reason.
QUOTED_CHARACTERS = 300

POLL_SECONDS = 0.02

#: Becomes the hook when it is told so, and ends if nobody is left to do that.
#: Python ignores two signals, and may set LC_CTYPE (PEP 538): neither is for
#: the hook.
GATE = """
import os, signal, sys
gate, *command = sys.argv[1:]
if not os.read(int(gate), 1):
    sys.exit(1)
os.close(int(gate))
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
with open('/proc/self/environ', 'rb') as file:
    given = [one for one in file.read().split(b'\\0') if one]
environment = dict(one.split(b'=', 1) for one in given)
try:
    os.execve(command[0], command, environment)
except OSError as error:
    sys.exit(f"can't be run: {error}")
"""


class HookGroup:
    """The process group of a hook, and what it writes.

    It waits at a gate until it is let go; if this process dies before, it
    ends and the hook was never run.

    :raises OSError: it could not be started
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        entrance, self._gate = os.pipe()
        try:
            self._process = self._start(entrance, command, environment)
        except (OSError, ValueError):
            os.close(self._gate)
            raise
        finally:
            os.close(entrance)
        assert self._process.stdout is not None  # noqa: S101  for mypy
        self._pipe = self._process.stdout
        os.set_blocking(self._pipe.fileno(), False)
        self._is_pipe_open = True
        self._is_lost = False
        self._output = b''

    def _start(
        self,
        entrance: int,
        command: Sequence[str],
        environment: Mapping[str, str],
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, '-I', '-S', '-c', GATE, str(entrance), *command],
            env=environment,
            pass_fds=[entrance],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )

    def let_go(self) -> None:
        """Let the hook run."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._gate, b'\n')

    @property
    def group(self) -> int:
        """The number of the process group."""
        return self._process.pid

    @property
    def quotation(self) -> str:
        """The end of the output, fit to be shown on a terminal."""
        text = self._output.decode(errors='replace').strip()
        quoted = printable(text[-QUOTED_CHARACTERS:])
        return f'; it said: {quoted}' if quoted else ''

    def ends_within(
        self, seconds: float, is_unwanted: Callable[[], bool] = bool
    ) -> bool:
        """Wait for the hook itself, and read on; say whether it ended.

        :param is_unwanted: ends the wait early; never, by default

        The end of its output is no sign: a process that it left behind may
        keep the pipe open for ever.
        """
        deadline = time.monotonic() + seconds
        while not self._has_ended():
            if time.monotonic() >= deadline or is_unwanted():
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
        os.close(self._gate)
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
        while time.monotonic() < deadline and is_alive(self._process.pid):
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
        """Read what was written before the end.

        A pipe holds 1 MiB at most (pipe(7)); what somebody still writes is
        not waited for.
        """
        for _ in range(16):
            if not self._read(0):
                return


def is_alive(group: int) -> bool:
    """Whether a process of the group can still do something.

    A zombie can't; it stays for as long as its parent cares to leave it,
    which in a container may be for ever.
    """
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return any(_is_at_work(one, group) for one in _process_statuses())


def _process_statuses() -> Iterator[list[str]]:
    """Yield state, parent and group of each process (proc(5))."""
    for folder in pathlib.Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            text = (folder / 'stat').read_text(errors='replace')
            yield text.rpartition(')')[2].split()[:3]


def _is_at_work(status: list[str], group: int) -> bool:
    return status[2] == str(group) and status[0] not in 'ZX'


def start_of(group: int) -> str:
    """Tell when the leader of a group was started, and in which boot.

    Field 22 of ``/proc/PID/stat`` (proc(5)); '' if there is no such process.
    """
    with contextlib.suppress(OSError, IndexError):
        text = pathlib.Path(f'/proc/{group}/stat').read_text()
        boot = pathlib.Path('/proc/sys/kernel/random/boot_id').read_text()
        return f'{boot.strip()} {text.rpartition(")")[2].split()[19]}'
    return ''


def end_group(group: int, start: str, seconds: float = 2.0) -> None:
    """End a hook that outlived its run, if it is still the same one.

    :param start: what :func:`start_of` told when it was started
    :param seconds: to wait for its end
    """
    if group < 2 or not start or start_of(group) != start:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and is_alive(group):
        time.sleep(POLL_SECONDS)
