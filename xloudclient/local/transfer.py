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

"""Says on stderr how far a transfer is: a bar, or a line now and then."""

import sys
import time
from types import TracebackType

from rich import progress, text

from xloudclient.consistency.text import byte_size, printable
from xloudclient.local.progress import Console

#: Seconds between two lines where there is no terminal.
LINE_SECONDS = 10.0
#: Seconds between two looks at how far it is.
LOOK_SECONDS = 0.1


class _Rate(progress.ProgressColumn):
    """Rich's own counts in thousands, and everything else here in 1024."""

    def render(self, task: progress.Task) -> text.Text:
        return text.Text(f'{byte_size(task.speed or 0)}/s')


class Transfer:
    """The progress of one transfer; :meth:`begin` comes first.

    :param verbosity: 0 says nothing
    :param total: bytes
    """

    def __init__(self, verbosity: int, total: int) -> None:
        self._total = total
        self._console = Console(sys.stderr, verbosity)
        self._bar = progress.Progress(
            progress.TextColumn('{task.description}', markup=False),
            progress.BarColumn(),
            progress.DownloadColumn(binary_units=True),
            _Rate(),
            progress.TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=self._console.quiet or not self._console.is_terminal,
        )
        self._next_look = self._next_line = 0.0

    def __enter__(self) -> 'Transfer':
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def begin(self, what: str, position: int = 0) -> None:
        """From now on ``what`` is done, from that position on."""
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._bar.add_task(
            printable(what), total=self._total, completed=position
        )
        self._next_line = time.monotonic() + LINE_SECONDS

    def at(self, position: int) -> None:
        """It is so far: bytes."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        [task] = self._bar.tasks
        self._bar.update(task.id, completed=position)
        if self._bar.disable and now >= self._next_line:
            self._next_line = now + LINE_SECONDS
            self.say(_line(task))

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.say(printable(text))


def _line(task: progress.Task) -> str:
    left = task.time_remaining
    return (
        f'{task.description}: {task.percentage:.0f} % of '
        f'{byte_size(task.total or 0)}, {byte_size(task.speed or 0)}/s, '
        f'{"?" if left is None else f"{left:.0f} s"} left'
    )
