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

import contextlib
import threading
from typing import Any

from xloudclient.consistency.answers import GuestFacts
from xloudclient.consistency.text import printable
from xloudclient.guest.child import VERBS, Child

#: What the supervisor tells of the guest.
FACTS = (
    'boot',
    'uid',
    'used',
    'serial',
    'root',
    'server',
    'firmware',
    'card',
    'taken',
)
#: As many facts (disks, lines of a report) as are kept.
MOST_FACTS = 1000
#: What the supervisor says of a child that it could not start.
NEVER_STARTED_STATUS = 73


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
                # a number of a million digits is no number
                with contextlib.suppress(ValueError, RecursionError):
                    self._take(words)
            self.heard.notify_all()

    def _take(self, words: str) -> None:
        verb, _, rest = words.partition(' ')
        number, _, text = rest.partition(' ')
        child = self.children.get(int(number) if number.isdecimal() else 0)
        if child is not None and verb in VERBS:
            VERBS[verb](child, text)
        elif verb in FACTS:
            self._keep(self.facts, (verb, *rest.split()))
        elif verb == 'report':
            self._keep(self.report, rest)
        elif verb == 'open':
            self.is_open = True
        elif verb == 'busy':
            self.is_busy = True
        elif verb == 'failed':
            self.failure = printable(rest)
        elif verb == 'over':
            self.is_answered = True
        elif verb == 'lapsed' and self.lapsed is None:
            self.lapsed = printable(rest)

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
        is_root = self._first('uid') == '0'
        used = self._first('used')
        root = [name for (name, *_) in self._all('root', 1)]
        return GuestFacts(
            boot_id=boot_id,
            root_disks=tuple(dict.fromkeys(root)),
            serials={name: one for (name, one, *_) in self._all('serial', 2)},
            used_bytes=_kibibytes(used),
            is_root=is_root,
            may_freeze=is_root and boot_id != own_boot_id,
            server_id=self._first('server').lower(),
            firmware_id=self._first('firmware').lower(),
            cards=tuple(one.lower() for (one, *_) in self._all('card', 1)),
            is_taken=bool(self._all('taken', 0)),
            earlier=self._earlier(),
        )

    def _earlier(self) -> str:
        """Say what the guest did for a run before that was gone by then."""
        why, ends = '', []
        for line in self.report:
            verb, _, rest = line.partition(' ')
            if verb == 'why':
                why = printable(rest)
            elif verb == 'done':
                ends.append(Child(0, ''))
                VERBS['done'](ends[-1], rest.partition(' ')[2])
        free = [end.released().is_free for end in ends]
        if not all(free):
            why += (
                f'; of {free.count(False)} of {len(free)} holders it is not '
                'known whether they let go'
            )
        return why

    def _all(self, key: str, least: int) -> list[tuple[str, ...]]:
        """Return the facts of a kind that have at least so many words."""
        facts = [fact[1:] for fact in self.facts if fact[0] == key]
        return [words for words in facts if len(words) >= least]

    def _first(self, key: str) -> str:
        return next((words[0] for words in self._all(key, 1)), '')

    def apply_report(self, nonce: str, lines: list[str]) -> bool:
        """Take in what another supervisor tells of this one's last moments.

        It has a line for each child that was started: who has none, and was
        not heard of, never was.

        :param nonce: of this one's session
        :param lines: the whole report
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
        for child in self.children.values():
            if not (child.ended or child.is_ready):
                self.hear(f'done {child.id} before {NEVER_STARTED_STATUS} no')
        return True


def _kibibytes(text: str) -> int:
    """Read a number of KiB, as bytes; 0 for anything else."""
    is_number = text.isascii() and text.isdecimal() and len(text) < 16
    return int(text) * 1024 if is_number else 0
