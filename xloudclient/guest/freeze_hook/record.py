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


"""What a freeze hook left written, as ``setup.sh status`` prints it.

It comes from the guest: what does not have the right shape counts as not
said. A record has names and messages that anybody may have written, so a line
ends where the shell says, and nowhere else; and only those with the nonce of
the installation are the hook's own.
"""

import contextlib
from collections.abc import Iterable, Sequence

from xloudclient.consistency.answers import (
    Evidence,
    Freeze,
    FreezeHook,
    Released,
    Testimony,
)
from xloudclient.consistency.plan import MOST_QUIESCERS, Quiescer
from xloudclient.consistency.text import printable
from xloudclient.guest.child import Child
from xloudclient.guest.conversation import Conversation
from xloudclient.guest.freeze_hook import undescribe

#: Why the supervisor lapses when its client, here the hook, says `release`.
ASKED = 'the client asked for it'
#: The number of the last freeze is told before the records and after them.
LASTS = 2


def read(text: str) -> FreezeHook:
    """Read what ``setup.sh status`` printed."""
    facts, records = _split(text.split('\n'))
    first = dict(reversed(facts))
    holders = [undescribe(words) for key, words in facts if key == 'holder'][
        :MOST_QUIESCERS
    ]
    last = [_number(value) for key, value in facts if key == 'last']
    is_whole = len(last) == LASTS
    return FreezeHook(
        is_installed='installed' in first,
        is_closed='closed' in first,
        quiescers=tuple(holders[1:]),
        cap=_number(first.get('cap', '')),
        agent=printable(first.get('agent', 'absent')),
        process=first.get('process', ''),
        last=max(last, default=0),
        freezes=tuple(
            _freeze(number, _own(record, first.get('nonce', '')), holders)
            for number, record in records
            if is_whole
        ),
    )


def _split(
    lines: Iterable[str],
) -> tuple[list[tuple[str, str]], list[tuple[int, list[str]]]]:
    """Return the facts, and number and lines of each record that ends."""
    facts: list[tuple[str, str]] = []
    records: list[tuple[int, list[str]]] = []
    number = 0
    record: list[str] | None = None
    for line in lines:
        key, _, value = line.partition(' ')
        if record is not None and line == 'end':
            records.append((number, record))
            record = None
        elif record is not None:
            record.append(line)
        elif key == 'record':
            number, record = _number(value), []
        else:
            facts.append((key, value))
    return facts, records


def _own(record: Iterable[str], nonce: str) -> list[str]:
    """Return what the hook itself said, without its nonce."""
    pairs = [line.partition(' ') for line in record]
    return [words for mark, _, words in pairs if mark and mark == nonce]


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _freeze(
    number: int, record: list[str], holders: Sequence[Quiescer]
) -> Freeze:
    heard = _Heard(holders)
    for words in record:
        heard.take(words)
    notes = heard.notes
    is_watched = 'watching' in notes
    began, ended = notes.get('lock'), notes.get('closed')
    return Freeze(
        number=number,
        is_watched=is_watched,
        is_held='held' in notes,
        is_over='closed' in notes,
        seconds=None if began is None or ended is None else ended - began,
        testimonies=heard.testimonies(1 if is_watched else len(holders)),
        released=() if is_watched else heard.released(),
    )


class _Heard:
    """What the supervisor of one freeze said, and when it was thawed."""

    def __init__(self, holders: Sequence[Quiescer]) -> None:
        self.notes: dict[str, float] = {}
        self._holders = holders
        self._talk = Conversation()
        self._children = [self._talk.add(one.name) for one in holders]
        self._ready: dict[int, Evidence] = {}

    def take(self, words: str) -> None:
        """Take in a line; those before the thaw can be no answer to it."""
        verb, _, note = words.partition(' ')
        if verb != 'note':
            self._talk.hear(words)
            return
        name, _, uptime = note.partition(' ')
        with contextlib.suppress(ValueError):
            self.notes.setdefault(name, float(uptime))
        if name == 'thaw':
            self._ask()

    def _ask(self) -> None:
        for child in self._children:
            child.asked = 1
            with contextlib.suppress(ValueError):
                if child.is_ready:
                    self._ready[child.id] = child.evidence()

    def testimonies(self, count: int) -> tuple[Testimony, ...]:
        pairs = zip(self._holders, self._children, strict=True)
        return tuple(
            Testimony(
                one,
                self._ready.get(child.id),
                self._held(child),
            )
            for one, child in pairs
        )[:count]

    def released(self) -> tuple[Released, ...]:
        """Judge those that may hold, or have held, something.

        Before it says ``lapsed`` the supervisor tells the end of all that it
        started.
        """
        return tuple(
            child.released()
            for child in self._children[1:]
            if self._is_told(child) and self._is_judged(child)
        )

    def _is_told(self, child: Child) -> bool:
        """Whether it was told to hold: in turn, once the one before does."""
        before = self._talk.children.get(child.id - 1)
        return before is None or before.is_ready

    def _is_judged(self, child: Child) -> bool:
        if child.ended or 'closed' not in self.notes:
            return bool(child.ended)
        return child.is_ready or self._talk.lapsed is None

    def _held(self, child: Child) -> Evidence | str:
        if child.id not in self._ready:
            return self._never_held(child)
        if child.answers != 1 or child.is_talkative:
            return self._lost(child)
        try:
            return child.evidence()
        except ValueError:
            return 'its answer is not JSON'

    def _lost(self, child: Child) -> str:
        if child.quotation and child.ended in ('', 'before'):
            return f'it has ended: {child.how}{child.quotation}'
        lapsed = self._talk.lapsed
        # The thaw asks all, and releases, with the same breath.
        if lapsed in (None, ASKED):
            return f'it did not answer{child.quotation}'
        return f'it was released by the guest: {lapsed}'

    def _never_held(self, child: Child) -> str:
        is_well = not child.has_ended or child.status == 0
        if is_well and not self._is_told(child):
            return 'the hook did not come to it: another one failed'
        why = child.how if child.has_ended else 'it was not ready in time'
        return f'the hook could not hold it: {why}{child.quotation}'
