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

"""A process that the supervisor runs, as far as we have heard of it.

Whether it is known to have let go is judged here, and nowhere else.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping

from xloudclient.consistency.answers import Evidence, Released
from xloudclient.consistency.proof import read_line
from xloudclient.guest.protocol import LOG_CHARACTERS, mend, quote

#: Evidence is one line of at most so many bytes, says the contract of hooks.
EVIDENCE_CHARACTERS = 4096

#: Quiescers whose lock ends with the process, whatever ends it: it is bound
#: to a session of the database. All others have something to undo.
BOUND_TO_PROCESS = frozenset({'sync', 'mysql', 'postgresql'})
#: Exit status of a holder that could not release, see quiescers/common.sh.
NOT_RELEASED_STATUS = 6
#: What is read of its files: what it wrote to standard output, and its log.
FILES = ('out', 'log')
#: From here on an exit status tells of a signal, says sh(1).
SIGNAL_STATUS = 128


@dataclasses.dataclass(slots=True)
class Child:
    """A process of the supervisor's: a holder, or a hook that runs and ends.

    :ivar answers: how many times it answered ``held``, of ``asked``
    :ivar is_talkative: it answered more often than that
    :ivar status: its exit status once it has ended; None if that is unknown
    :ivar ended: how a holder ended: ``before`` it was asked to release, when
        ``asked``, ``terminated``, ``killed``; or it is ``stuck``
    :ivar text: those of its files that were read to the end
    """

    id: int
    name: str
    is_ready: bool = False
    is_dropped: bool = False
    is_talkative: bool = False
    asked: int = 0
    answers: int = 0
    has_ended: bool = False
    status: int | None = None
    is_late: bool = False
    ended: str = ''
    said_released: bool = False
    spoken: str = ''
    answer: str = ''
    text: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def is_counted(self) -> bool:
        """Whether it quiesced and is one that the run counts on."""
        return self.is_ready and not self.is_dropped

    @property
    def how(self) -> str:
        """How it ended, for a reason."""
        if self.status is None:
            return 'it was ended'
        if self.status > SIGNAL_STATUS:
            return f'it was ended by signal {self.status - SIGNAL_STATUS}'
        return f'exit status {self.status}'

    @property
    def quotation(self) -> str:
        """What it wrote, to be put after a reason; perhaps empty."""
        written = self.text.get('log', '').strip() or self.text.get('out', '')
        quoted = quote(written)
        return f'; it said: {quoted}' if quoted else ''

    def evidence(self) -> Evidence:
        """Read what it said last.

        :raises ValueError: that was not JSON
        """
        try:
            line = json.loads(self.answer) if self.answer else {}
        except RecursionError as error:
            raise ValueError('nested too deeply') from error
        if not isinstance(line, dict):
            raise ValueError('not an object')
        return read_line(line)

    def released(self) -> Released:
        """Judge whether it is known that nothing of it is held any more."""
        was_held = self.ended not in ('', 'before')
        if not self.ended and self.has_ended and not self.is_ready:
            return Released(self.name, True, False, 'it never held')
        if not self.ended:
            return Released(self.name, False, True, 'it is not known')
        if self.ended == 'stuck':
            return Released(self.name, False, True, 'it could not be ended')
        if self.said_released or self.status == 0:
            why = self._force or ('' if was_held else 'it ended by itself')
            return Released(self.name, True, was_held, why)
        why = self._force or self.how
        if self._is_cut_off and not self._is_free:
            why += ', and only it knows whether it released'
        return Released(
            self.name, self._is_free, was_held, why + self.quotation
        )

    @property
    def _force(self) -> str:
        """How it had to be ended; empty if it ended when it was asked."""
        is_forced = self.ended in ('terminated', 'killed')
        return f'it had to be {self.ended}' if is_forced else ''

    @property
    def _is_signalled(self) -> bool:
        """Whether it ended without an exit status of its own."""
        return self.status is None or self.status > SIGNAL_STATUS

    @property
    def _is_cut_off(self) -> bool:
        return self._is_signalled or bool(self._force)

    @property
    def _is_free(self) -> bool:
        """Whether it is free though it did not say so."""
        if self.status == NOT_RELEASED_STATUS:
            return False
        if self._is_cut_off and self.name in BOUND_TO_PROCESS:
            return True
        if self._is_signalled:
            return False
        # before it was ready, its exit says that nothing is held
        return self.ended == 'before' or not self.is_ready


def _part(child: Child, text: str) -> None:
    child.spoken = (child.spoken + text)[: EVIDENCE_CHARACTERS + 1]


def _answer(child: Child) -> None:
    child.answer, child.spoken = mend(child.spoken), ''


def _ready(child: Child, text: str) -> None:
    if child.has_ended:
        return
    _answer(child)
    child.is_ready = True


def _held(child: Child, text: str) -> None:
    # One that has ended says nothing more, whoever speaks for it.
    if child.has_ended:
        return
    _answer(child)
    child.answers += 1
    if child.answers > child.asked:
        # What it says unasked proves nothing, nor does what comes after it.
        child.is_talkative = True


def _exit(child: Child, text: str) -> None:
    status, _, late = text.partition(' ')
    child.has_ended = True
    child.status = int(status) if status.isdecimal() else None
    child.is_late = late == 'yes'


def _done(child: Child, text: str) -> None:
    how, _, rest = text.partition(' ')
    status, _, said = rest.partition(' ')
    if how != 'stuck':
        _exit(child, status)
    child.ended = how
    child.said_released = said == 'yes'


def _text(child: Child, text: str) -> None:
    if len(child.spoken) < LOG_CHARACTERS:
        child.spoken += text


def _line(child: Child, text: str) -> None:
    _text(child, text + '\n')


def _end(child: Child, text: str) -> None:
    # the supervisor reads each of them once
    if text in FILES:
        child.text.setdefault(text, mend(child.spoken))
    child.spoken = ''


#: What the supervisor says of a child, and what that changes.
VERBS: Mapping[str, Callable[[Child, str], None]] = {
    'part': _part,
    'ready': _ready,
    'held': _held,
    'exit': _exit,
    'ran': _exit,
    'done': _done,
    'text': _text,
    'line': _line,
    'end': _end,
}
