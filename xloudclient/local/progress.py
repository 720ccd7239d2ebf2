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
import json
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import IO, Any

from rich import console, markup, status

from xloudclient.consistency.errors import Misuse
from xloudclient.consistency.plan import Plan
from xloudclient.consistency.ports import Clock

#: What a step is called; ``{...}`` are its fields.
STEPS: Mapping[str, str] = {
    'connecting': 'connecting to the guest at {address}',
    'found': 'auto chose {quiescers}',
    'predicted': 'the hold is predicted to take {hold}',
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


class Progress:
    """The progress of all servers of one command.

    :param verbosity: 0 says nothing
    :param events: path of a file for JSON lines; None for none
    :raises Misuse: the events file can't be written
    """

    def __init__(self, verbosity: int, events: str | None = None) -> None:
        self._lock = threading.Lock()
        self._is_quiet = verbosity < 1
        self._console = console.Console(
            file=sys.stderr, highlight=False, soft_wrap=True
        )
        self._status: status.Status | None = None
        self._waiting: dict[str, str] = {}
        self._events = _opened(events)

    def __enter__(self) -> 'Progress':
        if self._console.is_terminal and not self._is_quiet:
            self._status = self._console.status('starting')
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._status:
            self._status.stop()
        if self._events:
            # A full disk has taken what it could.
            with contextlib.suppress(OSError):
                self._events.close()

    def of(self, plan: Plan, clock: Clock) -> 'ServerProgress':
        """The progress of one server, timed from now."""
        return ServerProgress(self, plan, clock)

    def insist(self) -> None:
        """A further signal came: say what is being waited for."""
        waiting = '; '.join(
            f'{server}: {text}' for server, text in self._waiting.items()
        )
        self.say(f'releasing first, please wait ({waiting or "starting"})')

    def say(self, text: str) -> None:
        """Print a line, unless told to be quiet. Never raises."""
        if not self._is_quiet:
            with contextlib.suppress(OSError, ValueError):
                self._console.print(markup.escape(text))

    def step(self, server: str, text: str, event: Mapping[str, Any]) -> None:
        """Print and record a step. Never raises."""
        with self._lock:
            self._waiting[server] = text
            self.say(f'{server}  +{event["elapsed"]:.3f} s  {text}')
            if self._status:
                self._status.update(markup.escape(f'{server}: {text}'))
            if self._events:
                with contextlib.suppress(OSError, ValueError):
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
    return _printable(text)


def _printable(text: str) -> str:
    """Names come from other people: no control character is printed raw."""
    return ''.join(c if c.isprintable() else f'\\x{ord(c):02x}' for c in text)


def _opened(path: str | None) -> IO[str] | None:
    if path is None:
        return None
    try:
        return open(path, 'a', encoding='utf-8')
    except OSError as error:
        raise Misuse(f"--events: can't write {path}: {error}") from error
