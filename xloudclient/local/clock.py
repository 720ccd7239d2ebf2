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

"""Time, and waits that a signal can end."""

import contextlib
import datetime
import os
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from xloudclient.consistency.errors import Interrupted
from xloudclient.local.signals import Interruption, interruptible, readable

#: Seconds; poll(2) can wait no longer than 24 days.
FOREVER = 2e6

T = TypeVar('T')


def utc() -> str:
    """The time of day, ISO 8601 in UTC with milliseconds."""
    now = datetime.datetime.now(datetime.UTC)
    return now.isoformat(timespec='milliseconds').replace('+00:00', 'Z')


class SystemClock:
    """The port :class:`~xloudclient.consistency.ports.Clock`.

    :param interruption: set by the signals that ask us to stop
    """

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def utc(self) -> str:
        """The time of day, ISO 8601 in UTC with milliseconds."""
        return utc()

    @property
    def interrupted(self) -> int:
        """The number of the signal that asked us to stop; 0 if none."""
        return self._interruption.signal_number

    def wait(self, seconds: float, ignore_signals: bool = False) -> None:
        """Return after so many seconds, or at once when interrupted."""
        if ignore_signals:
            time.sleep(max(seconds, 0))
        else:
            self._interruption.wait(seconds)

    def bounded(
        self,
        call: Callable[[], T],
        seconds: float,
        ignore_signals: bool = False,
    ) -> T:
        """Make a call that may hang, and wait only so long for it.

        :raises TimeoutError: it did not end in time, or a signal came (then
            :attr:`interrupted` is set); it may still be under way. It was
            not begun if the signal had come before
        """
        if not ignore_signals:
            self._raise_if_interrupted()
        signals = [] if ignore_signals else [self._interruption]
        with contextlib.closing(_Background(call)) as background:
            ready = readable([background, *signals], seconds)
            if background.fileno() in ready:
                return background.result()
        if not ignore_signals:
            self._raise_if_interrupted()
        raise TimeoutError(f'no answer within {seconds:g} s')

    def _raise_if_interrupted(self) -> None:
        if self.interrupted:
            raise TimeoutError('interrupted')


def stoppable(call: Callable[[], T]) -> T:
    """Make a call, and leave it at the first SIGINT, SIGTERM or SIGHUP.

    For what may end anywhere, as it may be killed: it goes on in its thread
    until the process ends. (A handler that raises would be simpler, but what
    it interrupts may have taken a lock that is then never released.)

    :raises Interrupted: a signal came
    """
    with interruptible(lambda: None) as interruption:
        clock = SystemClock(interruption)
        try:
            return clock.bounded(call, FOREVER)
        except TimeoutError:
            if not clock.interrupted:
                raise
            raise Interrupted('interrupted', clock.interrupted) from None


class _Background(Generic[T]):
    """A call in a thread, and a descriptor that tells its end.

    The thread is a daemon, as the end of the process would wait for any
    other one, and the call may never end. That it did is told by closing its
    end of a pipe: unlike writing, this is safe when nobody waits any more.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._values: list[T] = []
        self._error: BaseException | None = None
        self._read_end, write_end = os.pipe()
        threading.Thread(
            target=self._run, args=(write_end,), daemon=True
        ).start()

    def _run(self, write_end: int) -> None:
        try:
            self._values.append(self._call())
        except BaseException as error:
            self._error = error
        finally:
            os.close(write_end)

    def fileno(self) -> int:
        return self._read_end

    def result(self) -> T:
        """Return what the call returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._values[0]

    def close(self) -> None:
        os.close(self._read_end)
