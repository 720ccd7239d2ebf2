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

"""What a supervisor has said so far, and what is known from it.

The reader thread writes, under a condition; the methods of the guest wait
for something to be known. All of it is bounded, as a guest may say anything.
"""

import dataclasses
import json
import threading
from collections.abc import Mapping
from typing import Any

from xloudclient.consistency.evidence import evidence
from xloudclient.consistency.ports import Evidence, GuestFacts, Released
from xloudclient.guest.protocol import LOG_CHARACTERS, escape, mend, quote

#: As many facts (disks, lines of a report) as are kept.
MOST_FACTS = 1000
#: Evidence is one line of at most so many bytes, says the contract of hooks.
EVIDENCE_CHARACTERS = 4096

#: Quiescers whose lock ends with the process, whatever ends it: it is bound
#: to a session of the database. All others have something to undo.
BOUND_TO_PROCESS = frozenset({'sync', 'mysql', 'postgresql'})
#: Exit status of a holder that could not release, see quiescers/common.sh.
NOT_RELEASED_STATUS = 6
#: From here on an exit status tells of a signal, says sh(1).
SIGNAL_STATUS = 128


@dataclasses.dataclass(slots=True)
class Child:
    """A process of the supervisor's: a holder, or a hook that runs and ends.

    :ivar answers: how many times it answered ``held``, of ``asked``
    :ivar status: its exit status once it has ended; None if that is unknown
    :ivar ended: how a holder ended: ``before`` it was asked to release, when
        ``asked``, ``terminated``, ``killed``; or it is ``stuck``
    """

    id: int
    name: str
    is_ready: bool = False
    is_dropped: bool = False
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
    read: list[str] = dataclasses.field(default_factory=list)

    @property
    def is_holding(self) -> bool:
        """Whether, as far as we heard, it holds."""
        return self.is_ready and not (self.has_ended or self.is_dropped)

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
        line = json.loads(self.answer) if self.answer else {}
        if not isinstance(line, dict):
            raise ValueError('not an object')
        return evidence(line)

    def released(self) -> Released:
        """Judge whether it is known that nothing of it is held any more."""
        was_held = self.ended not in ('', 'before')
        if not self.ended:
            return Released(self.name, False, True, 'it is not known')
        if self.ended == 'stuck':
            return Released(self.name, False, True, 'it could not be ended')
        force = f'it was {self.ended}' if self._is_forced else ''
        if self.said_released or self.status == 0:
            why = force or ('' if was_held else 'it ended by itself')
            return Released(self.name, True, was_held, why)
        return Released(
            self.name,
            self._is_free,
            was_held,
            (force or self.how) + self.quotation,
        )

    @property
    def _is_forced(self) -> bool:
        return self.ended in ('terminated', 'killed')

    @property
    def _is_free(self) -> bool:
        """Whether it is free though it did not say so."""
        if self.status == NOT_RELEASED_STATUS:
            return False
        is_signalled = self.status is None or self.status > SIGNAL_STATUS
        if self._is_forced or is_signalled:
            return self.name in BOUND_TO_PROCESS
        return self.ended == 'before'


class Conversation:
    """What was heard from one supervisor.

    :ivar heard: is notified after each change
    :ivar lapsed: why it has released everything; None if it has not
    :ivar is_over: nothing more will be heard
    """

    def __init__(self) -> None:
        self.heard = threading.Condition()
        self.children: dict[int, Child] = {}
        self.facts: list[tuple[str, ...]] = []
        self.report: list[str] = []
        self.is_open = False
        self.is_busy = False
        self.is_answered = False
        self.failure: str | None = None
        self.lapsed: str | None = None
        self.is_over = False

    def add(self, name: str) -> Child:
        """Return a new child, with the next number."""
        with self.heard:
            child = Child(len(self.children) + 1, name)
            self.children[child.id] = child
            return child

    def hear(self, words: str | None) -> None:
        """Take in a line of the supervisor; None is the end of all."""
        with self.heard:
            if words is None:
                self.is_over = True
            else:
                self._take(words)
            self.heard.notify_all()

    def _take(self, words: str) -> None:
        verb, _, rest = words.partition(' ')
        number, _, text = rest.partition(' ')
        child = self.children.get(int(number) if number.isdecimal() else 0)
        if child is not None and verb in _CHILD_VERBS:
            _CHILD_VERBS[verb](child, text)
        elif verb in ('boot', 'uid', 'used', 'serial', 'root'):
            self._keep(self.facts, (verb, *rest.split()))
        elif verb == 'report':
            self._keep(self.report, rest)
        elif verb == 'open':
            self.is_open = True
        elif verb == 'busy':
            self.is_busy = True
        elif verb == 'failed':
            self.failure = escape(rest)
        elif verb == 'over':
            self.is_answered = True
        elif verb == 'lapsed' and self.lapsed is None:
            self.lapsed = escape(rest)

    @staticmethod
    def _keep(kept: list[Any], one: Any) -> None:
        if len(kept) < MOST_FACTS:
            kept.append(one)

    def guest_facts(self, own_boot_id: str) -> GuestFacts:
        """Return what the supervisor saw.

        :param own_boot_id: of this machine, whose own file systems are not
            to be frozen
        """
        boot_id = self._first('boot')
        used = self._first('used')
        return GuestFacts(
            boot_id=boot_id,
            root_disks=tuple(
                dict.fromkeys(f[1] for f in self.facts if f[0] == 'root')
            ),
            serials={f[1]: f[2] for f in self.facts if f[0] == 'serial'},
            used_bytes=int(used) * 1024 if used.isdecimal() else 0,
            may_freeze=self._first('uid') == '0' and boot_id != own_boot_id,
        )

    def _first(self, key: str) -> str:
        return next((f[1] for f in self.facts if f[0] == key and f[1:]), '')

    def apply_report(self, nonce: str, lines: list[str]) -> bool:
        """Take in what another supervisor tells of this one's last moments.

        :param nonce: of this one's session
        :returns: whether the report is about it
        """
        if f'run {nonce}' not in lines:
            return False
        for line in lines:
            verb, _, rest = line.partition(' ')
            if verb == 'why':
                self.hear(f'lapsed {rest}')
            elif verb == 'done':
                self.hear(line)
        return True


def _part(child: Child, text: str) -> None:
    child.spoken = (child.spoken + text)[: EVIDENCE_CHARACTERS + 1]


def _answer(child: Child) -> None:
    child.answer, child.spoken = mend(child.spoken), ''


def _ready(child: Child, text: str) -> None:
    _answer(child)
    child.is_ready = True


def _held(child: Child, text: str) -> None:
    _answer(child)
    child.answers += 1


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
    child.text[text] = mend(child.spoken)
    child.spoken = ''
    child.read.append(text)


_CHILD_VERBS: Mapping[str, Any] = {
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
