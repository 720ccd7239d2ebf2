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

"""One run of ``ssh``: its process, its pipes, and nothing of what they mean.

Nothing here waits for the guest: reading is done by threads, writing never
blocks, ending is by SIGKILL if need be. A stopped ssh can't stop us.
"""

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from xloudclient.consistency.errors import GuestLost
from xloudclient.guest.protocol import LineSplitter

#: Seconds that ssh gets to end by itself.
END_SECONDS = 2.0
STDERR_BYTES = 16 * 1024
READ_BYTES = 64 * 1024


class Connection:
    """A running ssh.

    :param command: its arguments
    :param nonce: what each line to and from the supervisor begins with
    :param hear: is given each line of the supervisor, without the nonce, in
        a thread of its own; None once when there will be no more
    :ivar was_heard: something came from the guest, if only noise
    :raises OSError: there is no such program
    """

    def __init__(
        self,
        command: Sequence[str],
        nonce: str,
        hear: Callable[[str | None], None],
    ) -> None:
        self._prefix = nonce + ' '
        self._hear = hear
        self._stderr = b''
        self.was_heard = False
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin is not None  # noqa: S101  for mypy
        self._input = self._process.stdin
        os.set_blocking(self._input.fileno(), False)
        self._readers = [
            self._start(self._read_output),
            self._start(self._read_stderr),
        ]

    @staticmethod
    def _start(
        target: Callable[..., None], *arguments: float
    ) -> threading.Thread:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        thread.start()
        return thread

    @property
    def stderr(self) -> str:
        """What ssh said; not escaped."""
        return self._stderr.decode(errors='replace')

    def await_status(self, seconds: float) -> int | None:
        """Return the exit status of ssh; None if it runs on."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        # Its last words; somebody else may keep the pipe open.
        self._readers[1].join(1.0)
        return status

    def send(self, line: str, deadline: float) -> None:
        """Send a line of at most PIPE_BUF bytes, which is one piece.

        :param deadline: as :func:`time.monotonic` has it
        :raises GuestLost: ssh has ended; TimeoutError: it takes nothing
        """
        while not self.try_send(line):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError('ssh takes no more input')
            self._await_room(min(remaining, 0.5))

    def _await_room(self, seconds: float) -> None:
        with contextlib.suppress(OSError, ValueError):
            select.select([], [self._input], [], seconds)

    def try_send(self, line: str) -> bool:
        """Send a line if there is room for it; say whether there was.

        :raises GuestLost: ssh has ended
        """
        data = f'{self._prefix}{line}\n'.encode()
        try:
            with self._writing:
                os.write(self._input.fileno(), data)
        except BlockingIOError:
            return False
        except (OSError, ValueError) as error:
            raise GuestLost('ssh has ended') from error
        return True

    def beat(self, period: float) -> None:
        """Say ``beat`` every so many seconds, until the end.

        The thread does nothing else: as long as this process runs, it beats.
        """
        self._start(self._beat, period)

    def _beat(self, period: float) -> None:
        with contextlib.suppress(GuestLost):
            while not self._stop.wait(period):
                self.try_send('beat')

    def _read_output(self) -> None:
        splitter = LineSplitter()
        for data in self._blocks(self._process.stdout):
            self.was_heard = True
            for line in splitter.feed(data):
                # What a shell's start-up file left without an end of line
                # may be in front.
                _, nonce, words = line.partition(self._prefix)
                if nonce:
                    self._hear(words)
        self._hear(None)

    def _read_stderr(self) -> None:
        for data in self._blocks(self._process.stderr):
            self._stderr = (self._stderr + data)[-STDERR_BYTES:]

    @staticmethod
    def _blocks(pipe: IO[bytes] | None) -> Iterator[bytes]:
        assert pipe is not None  # noqa: S101  for mypy
        with pipe, contextlib.suppress(OSError):
            while data := os.read(pipe.fileno(), READ_BYTES):
                yield data

    def end(self, seconds: float = END_SECONDS) -> None:
        """End ssh and reap it. Idempotent, never raises.

        :param seconds: that it gets to end by itself; 0: it is killed
        """
        self._stop.set()
        with self._writing, contextlib.suppress(OSError):
            self._input.close()
        if self.await_status(seconds) is not None:
            return
        # The whole session: a ProxyCommand may keep our pipes open.
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
