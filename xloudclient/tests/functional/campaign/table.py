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

"""The table, for the documentation."""

import string
import textwrap
from collections.abc import Iterable, Mapping

from xloudclient.tests.functional.campaign import judge
from xloudclient.tests.functional.campaign.fault import Fault
from xloudclient.tests.functional.campaign.faults import FAULTS
from xloudclient.tests.functional.campaign.observation import Observation
from xloudclient.tests.functional.campaign.phases import PHASES

Key = tuple[str, str]
LETTERS = string.ascii_lowercase
HEAD = """\
:orphan:

.. tools/campaign writes this file: do not edit it.

=======================
What happens when it fails
=======================
"""
TEXT = """\
Each cell of these tables was tried: a run of ``openstack server snapshot
consistent`` was brought into the phase of the column, and then what the row
says was done to it. The cloud is a real one (the services of OpenStack, on
one machine), and so are sshd, MariaDB, PostgreSQL and Redis in the guest.
Two applications wrote to MariaDB and to Redis all the time; what is said of
locks is what they saw. What is said of claims was compared with the cloud's
own record of when the disk was captured.

``freed 0.2 s``
    All could write again that long after the fault. Where the fault lets the
    run go on, this is when the run released. ``not held``: nobody was kept
    from writing after the fault.
``exit 130``
    The exit code; see ``openstack help server snapshot consistent``.
``application``, ``crash``, ...
    A snapshot was kept, and this class is recorded on it.
``left``
    What was left behind in the cloud, in the guest or here; whether the next
    run on the server clears it was tried, too.
``- (a)``
    It makes no difference, or can't happen, in that phase: see the note.
``.``
    It was not tried yet.

In no cell may an application be locked out longer than 15 s (the lease)
after what held the lock was lost, and none may have a class that is claimed
although a row was written between the lock and the capture. A cell in which
it is so says so in bold type. ``tools/campaign`` makes these tables.

Not in them, as tests of their own show it: a journal that was cut at any of
its bytes, and a file system that is frozen when its holders are killed.

Phases
======
"""


def render(results: Mapping[Key, Observation]) -> str:
    """Return the page.

    :param results: by phase and fault
    """
    groups = dict.fromkeys(fault.group for fault in FAULTS)
    parts = [_title(HEAD), TEXT, *map(_phase, _phases()), '']
    for group in groups:
        parts += _group(group, results)
    return '\n'.join(parts)


def _title(text: str) -> str:
    """Make the lines around a title as long as it is."""
    lines = text.splitlines()
    length = max(len(one) for one in lines[-3:])
    lines[-1] = lines[-3] = '=' * length
    return '\n'.join(lines) + '\n'


def _phases() -> list[tuple[str, str]]:
    return [(one.name, one.meaning) for one in PHASES]


def _phase(phase: tuple[str, str]) -> str:
    return f'{phase[0]}\n    {phase[1][0].upper()}{phase[1][1:]}.'


def _group(group: str, results: Mapping[Key, Observation]) -> list[str]:
    faults = [fault for fault in FAULTS if fault.group == group]
    phases = [
        one.name
        for one in PHASES
        if any(one.name in fault.phases for fault in faults)
    ]
    notes = _notes(faults, phases)
    return [
        group,
        '=' * len(group),
        '',
        '.. list-table::',
        '   :header-rows: 1',
        '   :stub-columns: 1',
        '',
        *_row(['fault', *phases]),
        *(
            line
            for one in faults
            for line in _row(_cells(one, phases, results, notes))
        ),
        '',
        *(f'\\{letter}: {note}.\n' for note, letter in notes.items()),
    ]


def _notes(faults: list[Fault], phases: list[str]) -> dict[str, str]:
    """Return a letter for each reason why a cell is not tried."""
    reasons = dict.fromkeys(
        one.why_not for one in faults if set(phases) - set(one.phases)
    )
    return {one: f'- ({letter})' for one, letter in zip(reasons, LETTERS)}


def _cells(
    fault: Fault,
    phases: list[str],
    results: Mapping[Key, Observation],
    notes: Mapping[str, str],
) -> list[str]:
    cells = [fault.name]
    for phase in phases:
        seen = results.get((phase, fault.name))
        if phase not in fault.phases:
            cells.append(f'\\{notes[fault.why_not]}')
        else:
            cells.append(judge.text(seen, fault) if seen else '.')
    return cells


def _row(cells: Iterable[str]) -> list[str]:
    lines: list[str] = []
    for number, cell in enumerate(cells):
        wrapped = textwrap.wrap(cell, 72, break_long_words=False)
        lines.append(f'   {"  " if number else "* "}- {wrapped[0]}')
        lines += [f'       {one}' for one in wrapped[1:]]
    return lines
