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


"""Says on stderr, and in an events file, what the runs are doing.

A line for each step, and on a terminal a live line for what is being waited
for. The result itself goes to stdout and is not written here.
"""

import contextlib
import functools
import io
import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import IO, Any

from rich import console, markup, status

from xloudclient.consistency.errors import Misuse
from xloudclient.consistency.plan import Plan
from xloudclient.consistency.ports import Clock
from xloudclient.consistency.text import printable

#: Steps that wait to be written; further ones are dropped.
MOST_STEPS = 1000
#: Seconds to wait at the end until all is written.
PATIENCE_SECONDS = 2.0

#: What a step is called; ``{...}`` are its fields.
STEPS: Mapping[str, str] = {
    'connecting': 'connecting to the guest at {address}',
    'lapsed': 'a run before this one was released by the guest: {reason}',
    'found': 'auto chose {quiescers}',
    'predicted': 'the hold is predicted to take {hold}',
    'waiting': 'waiting until all servers are {stage}',
    'pre-hook': 'pre hook {path}',
    'quiescing': 'asking for the lock: {name}',
    'held': 'locked: {name}',
    'dropped': 'dropped, and the class with it: {reason}',
    'requesting': 'requesting {name}',
    'requested': 'requested: image {image}',
    'captured': 'captured: the point in time is fixed',
    'verified': 'held until now: {proven}',
    'released': 'released',
    'recorded': 'recorded as {consistency}',
    'hook-failed': 'the {phase} hook {path} {reason}',
    'deferred': 'proven: {consistency}; recorded when the upload ends',
    'post-hook': 'post hook {path}',
    'discarded': 'deleting what was begun',
    'active': 'active: it can be launched',
}


class Console(console.Console):
    """A console on stderr, whose reader may go away.

    :param verbosity: 0 says nothing
    """

    def __init__(self, file: IO[str], verbosity: int) -> None:
        # rich would take stdout in the place of a closed stderr
        is_quiet = verbosity < 1 or sys.stderr is None
        super().__init__(
            file=file, highlight=False, soft_wrap=True, quiet=is_quiet
        )

    def say(self, text: str) -> None:
        """Print a line, as it is."""
        self.print(text, markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Say no more; rich's own would also silence stdout, and exit."""
        self.quiet = True


class Progress:
    """The progress of all servers of one command.

    A thread of its own writes it: a terminal that is stopped, or a pipe that
    nobody reads, must not stop a release. What it can't keep up with is
    dropped.

    :param verbosity: 0 says nothing
    :param events: path of a file for JSON lines; None for none
    """

    def __init__(self, verbosity: int, events: str | None = None) -> None:
        self._console = Console(_own_stderr(), verbosity)
        self._status: status.Status | None = None
        self._waiting: dict[str, str] = {}
        self._path = events
        self._events: IO[str] | None = None
        self._steps: queue.Queue[Callable[[], None] | None] = queue.Queue(
            MOST_STEPS
        )
        self._writer = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> 'Progress':
        """Begin.

        :raises Misuse: the events file can't be written
        """
        self._events = _opened(self._path)
        if self._console.is_terminal and not self._console.quiet:
            self._status = self._console.status('starting')
            self._put(self._status.start)
        self._writer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._put(None)
        self._writer.join(PATIENCE_SECONDS)

    def _put(self, step: Callable[[], None] | None) -> None:
        with contextlib.suppress(queue.Full):
            self._steps.put_nowait(step)

    def _write(self) -> None:
        while step := self._steps.get():
            # SystemExit is what rich makes of a broken pipe
            with contextlib.suppress(BaseException):
                step()
        with contextlib.suppress(BaseException):
            if self._status:
                self._status.stop()
            if self._events:
                self._events.close()

    def of(self, plan: Plan, clock: Clock) -> 'ServerProgress':
        """The progress of one server, timed from now."""
        return ServerProgress(self, plan, clock)

    def insist(self) -> None:
        """A further signal came: say what is being waited for."""
        waiting = '; '.join(
            f'{server}: {text}' for server, text in self._waiting.items()
        )
        text = f'releasing first, please wait ({waiting or "starting"})'
        self._put(functools.partial(self._console.say, text))

    def step(self, server: str, text: str, event: Mapping[str, Any]) -> None:
        """Have a step printed and recorded. Never raises, never waits."""
        self._waiting[server] = text
        self._put(functools.partial(self._step, server, text, event))

    def _step(self, server: str, text: str, event: Mapping[str, Any]) -> None:
        line = f'{printable(server)}  +{event["elapsed"]:.3f} s  {text}'
        self._console.say(line)
        if self._status:
            self._status.update(markup.escape(f'{server}: {text}'))
        if self._events:
            self._events.write(json.dumps(event) + '\n')
            self._events.flush()


class ServerProgress:
    """The Reporter port for one server."""

    def __init__(self, progress: Progress, plan: Plan, clock: Clock) -> None:
        self._progress = progress
        self._plan = plan
        self._clock = clock
        self._began = clock.now()

    def step(self, event: str, **fields: Any) -> None:
        target = self._plan.target
        record = {
            'time': self._clock.utc(),
            'monotonic': round(self._clock.now(), 3),
            'elapsed': round(self._clock.now() - self._began, 3),
            'server': target.name,
            'server_id': target.id,
            'run': self._plan.run_id,
            'event': event,
            **fields,
        }
        self._progress.step(target.name, _text(event, fields), record)


def _text(event: str, fields: Mapping[str, Any]) -> str:
    words = {
        key: ', '.join(map(str, value))
        if isinstance(value, list | tuple)
        else str(value)
        for key, value in fields.items()
    }
    text = STEPS.get(event, event).format_map(words)
    if words.get('warning'):
        text += f'. Warning: {words["warning"]}'
    if words.get('lost'):
        text = f'LOST before the capture was over: {words["lost"]}'
    if words.get('stuck'):
        text = f'NOT RELEASED: {words["stuck"]}'
    return printable(text)


def _own_stderr() -> IO[str]:
    """Return stderr under a descriptor and a buffer of its own.

    A thread that is stuck in writing to sys.stderr holds a lock on it that
    Python wants at its end, and aborts without.
    """
    try:
        return open(os.dup(sys.stderr.fileno()), 'w', encoding='utf-8')
    except (AttributeError, OSError):
        return sys.stderr or io.StringIO()


def _opened(path: str | None) -> IO[str] | None:
    if path is None:
        return None
    try:
        return open(path, 'a', encoding='utf-8')
    except OSError as error:
        raise Misuse(f"--events: can't write {path}: {error}") from error
