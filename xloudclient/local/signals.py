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
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any

#: Between two looks at a thread: a handler runs in the main thread only, and
#: one that comes between Python's last look for a signal and the system call
#: runs when that returns.
UNHEARD_SECONDS = 0.5
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Whether a signal asked us to stop, and which.

    Python writes the number of a signal to a socket at once, in whichever
    thread it comes (:func:`signal.set_wakeup_fd`): the handler runs later,
    when the main thread gets to it, and a :class:`threading.Event` must not
    be set there, as it may have interrupted the very thread that is inside
    its lock. What is written is only looked at, so that all waiters see it.
    """

    def __init__(self) -> None:
        self._heard, self._told = socket.socketpair()
        self._heard.setblocking(False)
        self._told.setblocking(False)

    def fileno(self) -> int:
        """A descriptor that is readable once a signal came."""
        return self._heard.fileno()

    @property
    def signal_number(self) -> int:
        """The first signal; 0 if none came."""
        try:
            return self._heard.recv(1, socket.MSG_PEEK)[0]
        except BlockingIOError:
            return 0

    def set(self, signal_number: int) -> None:
        """Make every wait end; the first number counts."""
        with contextlib.suppress(BlockingIOError):
            self._told.send(bytes([signal_number]))

    @contextlib.contextmanager
    def set_by_signals(self) -> Iterator[None]:
        """Within, it is set by each signal that Python has a handler for.

        Nobody in this process has one for any but those that ask us to stop.
        """
        previous = signal.set_wakeup_fd(
            self._told.fileno(), warn_on_full_buffer=False
        )
        try:
            yield
        finally:
            signal.set_wakeup_fd(previous)

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
        remaining = max(end - time.monotonic(), 0)
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
    came: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            with contextlib.suppress(BlockingIOError):
                os.write(tell, b'!')

    teller = threading.Thread(
        target=_tell, args=(again, say_again), daemon=True
    )
    teller.start()
    try:
        # first: the handler alone would have a signal come to nothing
        with interruption.set_by_signals():
            previous = _install(handle)
            try:
                yield interruption
            finally:
                for number, handler in previous.items():
                    signal.signal(number, handler)
    finally:
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
