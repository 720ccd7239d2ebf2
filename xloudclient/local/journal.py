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

"""The journal of a run: what has to be known after this process is dead.

One file per run, one JSON object per line, each synced before the act that it
tells of. While the run lives it holds a lock on its file; ``runs`` reads it.
"""

import contextlib
import json
import logging
import os
import pathlib
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from xloudclient.consistency.errors import Busy, Failure
from xloudclient.local import machine
from xloudclient.local.journal_files import (
    append,
    create,
    read,
    reopen,
    touch,
)
from xloudclient.local.runs import (
    SUFFIX,
    Record,
    agreement,
    live_run,
    parse,
)

LOG = logging.getLogger(__name__)

#: A write is not waited for longer: the guest may be held meanwhile.
PATIENCE_SECONDS = 1.0


def runs_folder(environ: Mapping[str, str]) -> pathlib.Path:
    """Return where journals are (XDG Base Directory Specification)."""
    state = pathlib.Path(environ.get('XDG_STATE_HOME', ''))
    if not state.is_absolute():
        home = environ.get('HOME') or pathlib.Path.home()
        state = pathlib.Path(home, '.local', 'state')
    return state / 'xloudclient' / 'runs'


class FileJournal:
    """The port :class:`~xloudclient.consistency.ports.Journal`.

    :param folder: see :func:`runs_folder`; made if it is missing
    :param utc: tells the time of day, ISO 8601
    """

    def __init__(
        self, folder: pathlib.Path, run_id: str, utc: Callable[[], str]
    ) -> None:
        self.path = folder / f'{run_id}{SUFFIX}'
        self._utc = utc
        self._writer: _Writer | None = None
        self._last: _Line | None = None

    def begin(self, server_id: str, **fields: Any) -> None:
        """Make the journal; from now on the run is a live one.

        :raises Failure: it can't be written, or others could write there:
            nothing may be touched
        :raises Busy: another run is at work on that server
        """
        where = {'machine': machine.identity(), 'host': machine.name()}
        line = self._format('begin', {'server': server_id, **where, **fields})
        try:
            self._writer = _Writer(create(self.path, line), self.path)
        except OSError as error:
            raise _unusable(self.path, error) from error
        other = live_run(self.path.parent, server_id, self.path.stem)
        if other is not None:
            self.close(done=True)
            raise Busy(
                f'run {other.run_id} is at work on this server',
                'Try again when it is done.',
            )

    def adopt(self) -> Record:
        """Take over the journal of a dead run, in order to recover it.

        :returns: what it says
        :raises Busy: the run lives, or somebody else recovers it
        :raises Failure: it is missing, or can't be read or written
        """
        try:
            descriptor = reopen(self.path)
            record = parse(self.path.stem, read(descriptor))
        except BlockingIOError as error:
            raise Busy(f'somebody is at run {self.path.stem}') from error
        except OSError as error:
            raise _unusable(self.path, error) from error
        self._writer = _Writer(descriptor, self.path)
        return record

    def write(self, event: str, **fields: Any) -> bool:
        """Append one line and sync it; never raises.

        :returns: whether it is on the disk

        After a second the line is left to be written when it can be, and
        until it is, those that follow are not waited for.
        """
        is_late = self._last is not None and not self._last.is_done()
        self._last = _Line(self._format(event, fields))
        if self._writer is None:
            LOG.debug('no journal for %s', event)
            return False
        self._writer.lines.put(self._last)
        if is_late or not self._last.wait(PATIENCE_SECONDS):
            # not a warning: a terminal that is stopped would stop us
            LOG.debug('the journal %s is late: %s', self.path, event)
            return False
        return not self._last.is_lost

    def is_written(self, seconds: float) -> bool:
        """Wait so long for the last line; whether it is on the disk."""
        if self._writer is None or self._last is None:
            return False
        return self._last.wait(seconds) and not self._last.is_lost

    def agree(self, group_id: str, seconds: float) -> bool:
        """Write down, once for all its members, that a group is whole.

        One file, made in one act: a process that dies leaves a group that is
        whole or one that is not, never half of one. Never raises.

        :returns: whether it is on the disk; one that came there later than
            after so many seconds is removed: nobody counts on it any more
        """
        path = agreement(self.path.parent, group_id)
        end = time.monotonic() + seconds
        try:
            touch(path)
            if time.monotonic() < end:
                return True
        except OSError as error:
            LOG.debug("can't write that %s is whole: %s", group_id, error)
        with contextlib.suppress(OSError):
            path.unlink()
        return False

    def close(self, done: bool) -> None:
        """End the life of the run; never raises, and takes 2 s at most.

        :param done: nothing of it is left to be looked after: the journal is
            removed. Otherwise it stays, as a dead run's
        """
        if self._writer is None:
            return
        if done:
            with contextlib.suppress(OSError):
                self.path.unlink()
        else:
            self.write('closed')
        self._writer.lines.put(None)
        self._writer.join(PATIENCE_SECONDS)
        self._writer = None

    def _format(self, event: str, fields: dict[str, Any]) -> bytes:
        entry = {'time': self._utc(), 'event': event, **fields}
        return json.dumps(entry, default=str).encode() + b'\n'


class _Line:
    """A line on its way to the disk."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.is_lost = False
        self._is_done = threading.Event()

    def is_done(self) -> bool:
        return self._is_done.is_set()

    def wait(self, seconds: float) -> bool:
        return self._is_done.wait(seconds)

    def set_done(self) -> None:
        self._is_done.set()


class _Writer(threading.Thread):
    """Writes lines, and waits for a disk that does not answer.

    It owns the descriptor, and so the lock; the line None ends it. A daemon:
    the end of the process must not wait for the disk.
    """

    def __init__(self, descriptor: int, path: pathlib.Path) -> None:
        super().__init__(daemon=True)
        self.lines: queue.SimpleQueue[_Line | None] = queue.SimpleQueue()
        self._descriptor = descriptor
        self._path = path
        self.start()

    def run(self) -> None:
        is_cut = False
        while (line := self.lines.get()) is not None:
            try:
                append(self._descriptor, is_cut * b'\n' + line.text)
                is_cut = False
            except OSError as error:
                # a part of it may be there; the next one begins afresh
                is_cut = True
                line.is_lost = True
                LOG.debug("can't write %s: %s", self._path, error)
            line.set_done()
        os.close(self._descriptor)


def _unusable(path: pathlib.Path, error: OSError) -> Failure:
    why = error.strerror or str(error)
    return Failure(
        f"can't use the journal {path}: {why}",
        'Make room or set XDG_STATE_HOME; nothing was touched.',
    )
