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

"""Signals as something that can be waited for.

Nothing in the client converts signals: SIGTERM would end the process without
a ``finally``, and leave the guest to its lease. Here the first signal only
sets an :class:`Interruption`; every wait of a run looks at it.
"""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any

#: A signal that comes between Python's last look for one and the system call
#: is handled only when that returns.
UNHEARD_SECONDS = 0.5
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Whether a signal asked us to stop, and which.

    It is a pipe, as :class:`threading.Event` must not be set by a handler
    that may have interrupted the very thread that is inside its lock. The
    pipe is never read from, so that all waiters see it.
    """

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        self.signal_number = 0

    def fileno(self) -> int:
        """A descriptor that is readable once a signal came."""
        return self._read_end

    def set(self, signal_number: int) -> None:
        """Make every wait end; the first number counts."""
        if not self.signal_number:
            self.signal_number = signal_number
            os.write(self._write_end, b'!')

    def wait(self, seconds: float) -> bool:
        """Wait so long at most, and say whether a signal came."""
        return bool(readable([self], seconds))


def readable(files: list[Any], seconds: float) -> list[int]:
    """Return the descriptors that something can be read from, or that ended.

    :param files: descriptors, or what has a ``fileno()``
    :param seconds: to wait at most; less than 0 is 0
    """
    poll = select.poll()
    for file in files:
        poll.register(file, select.POLLIN)
    end = time.monotonic() + seconds
    while True:
        remaining = min(max(end - time.monotonic(), 0), UNHEARD_SECONDS)
        # rounded up: a wait of less than it was asked for would be a busy loop
        found = poll.poll(int(remaining * 1000 + 0.999))
        if found or time.monotonic() >= end:
            return [descriptor for descriptor, _ in found]


def join(threads: Iterable[threading.Thread]) -> None:
    """Wait for threads in the main thread, which has to hear signals."""
    for thread in threads:
        while thread.is_alive():
            thread.join(UNHEARD_SECONDS)


@contextlib.contextmanager
def interruptible(say_again: Callable[[], None]) -> Iterator[Interruption]:
    """Convert SIGINT, SIGTERM and SIGHUP while the block runs.

    A signal that is ignored stays so: ``nohup`` means it. Afterwards the old
    handlers are back. To be entered in the main thread.

    :param say_again: called, in a thread, for each further signal: to say
        what is being waited for
    """
    interruption = Interruption()
    again, tell = os.pipe()
    os.set_blocking(tell, False)

    def handle(number: int, frame: FrameType | None) -> None:
        if not interruption.signal_number:
            interruption.set(number)
            return
        with contextlib.suppress(BlockingIOError):
            os.write(tell, b'!')

    teller = threading.Thread(
        target=_tell, args=(again, say_again), daemon=True
    )
    teller.start()
    previous = _install(handle)
    try:
        yield interruption
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        os.close(tell)
        # not joined: what it says may be stuck in a full terminal, and what
        # is still interrupted may be looked at after the block


def _tell(again: int, say: Callable[[], None]) -> None:
    """Call ``say`` for each byte; a handler may neither print nor lock."""
    with os.fdopen(again, 'rb', buffering=0) as pipe:
        while pipe.read(1):
            with contextlib.suppress(Exception):
                say()


def _install(
    handle: Callable[[int, FrameType | None], None],
) -> dict[signal.Signals, Any]:
    """Set the handler; return the previous ones of those it was set for."""
    previous: dict[signal.Signals, Any] = {}
    for number in SIGNALS:
        handler = signal.getsignal(number)
        if handler is signal.SIG_IGN:
            continue
        # None: it was not set by Python, and can't be put back
        previous[number] = signal.SIG_DFL if handler is None else handler
        signal.signal(number, handle)
    return previous
