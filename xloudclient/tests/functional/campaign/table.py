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

"""The page of the documentation: an overview, and a table for each fault."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from xloudclient.tests.functional.campaign import judge
from xloudclient.tests.functional.campaign.fault import Fault
from xloudclient.tests.functional.campaign.faults import FAULTS
from xloudclient.tests.functional.campaign.observation import Observation
from xloudclient.tests.functional.campaign.phases import PHASES

Key = tuple[str, str]
Results = Mapping[Key, Observation]
WIDTH = 78
COLUMNS = ('phase', 'locked', 'exit', 'class', 'left behind')
WIDTHS = '14 14 10 14 48'
HEAD = """\
.. tools/campaign writes this file: do not edit it.

==========================
What happens when it fails
==========================

Everything that can break was broken, at every step of a consistent snapshot,
and what became of it was looked at from outside. This page is the result.

What was done
=============

The cloud is a real one (the services of OpenStack, on one machine), and so
are sshd, MariaDB, PostgreSQL and Redis in the guest. A run of ``openstack
server snapshot consistent --wait --max-freeze 25s`` with ``mysql``, ``redis``
and ``postgresql`` is brought into a *phase* and kept there; then a *fault*
strikes. Two applications write to MariaDB and to Redis all the time: what is
said of locks is what they saw. Pauses in which something that nobody locks
could not write to the same disk either are the machine's, and do not count.
What is said of the class was compared with the cloud's own record of when
the disk was captured. What a run left behind was looked for in the cloud, in
the guest and on the client's machine, and then the next run on the same
server was started.

A cell is bad, and says so in bold type, if

* an application is locked longer than it may be after the fault: the lease
  (15 s) and 5 s; where the cloud or this machine fails, and the run goes on,
  ``--max-freeze`` (25 s) and 5 s;
* a class is recorded although a row was written between the lock and the
  capture, or nothing shows that it was held;
* the exit code is not one for such a fault, or it is 6 (may still be blocked)
  and somebody was left who could tell that nothing is;
* a traceback is shown, or the client does not end;
* the next run does not succeed, or does not clear what was left.

.. code-block:: console

   $ tools/campaign --fast                    # the telling cells
   $ tools/campaign --phase held --fault 'ssh kill -9' --again
   $ tools/campaign                           # all that has no result yet

All of it takes two hours; it can be interrupted, and goes on with the
cells that have no result. In the end it writes this page. Its exit code is 1
if a cell is bad.

Not in it, as tests of their own show it: a journal that was cut at any of its
bytes, and a file system that is frozen when its holders are killed. The
holder, the database client, the database and the lock session are MariaDB's.

"""
PHASES_HEAD = """\
Phases
======

"""
OVERVIEW = """\
Overview
========

{summary}

A number is the exit code, ``killed`` is a client that was. A dash: it makes
no difference in that phase, or can't happen, for the reason that is given
below. A dot: not tried yet; ``tools/campaign`` does.

"""
DETAILS = """\
How to read the tables
======================

``locked``
    ``0.2 s``: all could write again that long after the fault. Where the
    fault lets the run go on, this is when the run released. ``no``: nobody was
    kept from writing after the fault.
``exit``
    See :doc:`exit-codes`.
``class``
    A snapshot was kept, and this class is recorded on it.
``left behind``
    And whether the next run on the server cleared it. A report in the guest
    is what the supervisor did when nobody heard it: it tells the next run.
    ``python -P -m`` is ours (``xloudclient.recording``): it writes the
    evidence when the upload has ended, and then ends.

"""
NOBODY = (
    'Nobody is left who could tell what such a holder released, so the run '
    'says that it may still be blocked: exit code 6, on purpose.'
)
LEAVES = (
    'What a hook of yours leaves in the background is not ended: it may be '
    'the application that it started again.'
)


def render(tries: Sequence[Observation]) -> str:
    """Return the page.

    :param tries: all results in order; of a cell the last one counts
    """
    results = {(one.phase, one.fault): one for one in tries}
    parts = [HEAD, PHASES_HEAD, *_phases()]
    summary = f'{_summary(results)}{_tried_again(tries)}'
    parts += [OVERVIEW.format(summary=summary), *_overview(results)]
    parts.append(DETAILS)
    for group in dict.fromkeys(fault.group for fault in FAULTS):
        parts.append(f'{group}\n{"=" * len(group)}\n\n')
        for fault in FAULTS:
            if fault.group == group:
                parts += _fault(fault, results)
    return ''.join(parts).rstrip('\n') + '\n'


def _phases() -> Iterator[str]:
    for one in PHASES:
        yield f'{one.name}\n    {one.meaning[0].upper()}{one.meaning[1:]}.\n'
    yield '\n'


def _summary(results: Results) -> str:
    """Count the cells, and the bad ones."""
    faults = {one.name: one for one in FAULTS}
    cells = [(phase, one) for one in FAULTS for phase in one.phases]
    tried = [
        seen
        for phase, fault in cells
        if (seen := results.get((phase, fault.name)))
    ]
    bad = [one for one in tried if judge.problems(one, faults[one.fault])]
    commits = ', '.join(sorted({one.commit for one in tried} - {''}))
    on = f' They were run on commit {commits}.' if commits else ''
    return textwrap.fill(
        f'{len(tried)} of {len(cells)} cells were tried; '
        f'{len(bad) or "none"} of them {"is" if len(bad) == 1 else "are"} '
        'bad. In the tried cells applications were locked for '
        f'{max((one.freed or 0 for one in tried), default=0):.1f} s after '
        f'the fault at most.{on}',
        WIDTH,
    )


def _tried_again(tries: Sequence[Observation]) -> str:
    """Tell of the cells that were bad in a try before their last one."""
    faults = {one.name: one for one in FAULTS}
    last = {(one.phase, one.fault): one for one in tries}
    lines = []
    for cell, result in last.items():
        of_cell = [one for one in tries if (one.phase, one.fault) == cell]
        bad = [
            problem
            for one in of_cell
            if one is not result and one.fault in faults
            for problem in judge.problems(one, faults[one.fault])
        ]
        if bad:
            what = '; '.join(sorted(set(bad)))
            lines.append(
                textwrap.fill(
                    f'* {cell[0]}, {cell[1]}: {len(of_cell)} tries, '
                    f'{len(bad)} of the earlier ones bad ({what})',
                    WIDTH,
                    subsequent_indent='  ',
                )
            )
    if not lines:
        return ''
    return '\n\nOf these cells an earlier try was bad:\n\n' + '\n'.join(lines)


def _overview(results: Results) -> Iterator[str]:
    widths = '24' + ' 7' * len(PHASES)
    yield from _table(widths, ('fault', *(one.name for one in PHASES)))
    for fault in FAULTS:
        yield from _row(
            [
                f'{fault.name}',
                *(_code(one.name, fault, results) for one in PHASES),
            ]
        )
    yield '\n'


def _code(phase: str, fault: Fault, results: Results) -> str:
    seen = results.get((phase, fault.name))
    if phase not in fault.phases:
        return '--'
    if seen is None:
        return '.'
    code = judge.ending(seen)
    return f'**{code}**' if judge.problems(seen, fault) else code


def _fault(fault: Fault, results: Results) -> Iterator[str]:
    yield f'{fault.name}\n{"-" * len(fault.name)}\n\n'
    notes = [
        NOBODY if fault.ends_witness else '',
        LEAVES if fault.leaves else '',
    ]
    if len(fault.phases) < len(PHASES):
        notes.append(f'Not in the other phases: {fault.why_not}.')
    for note in filter(None, notes):
        yield textwrap.fill(note, WIDTH) + '\n\n'
    yield from _table(WIDTHS, COLUMNS)
    for phase in fault.phases:
        seen = results.get((phase, fault.name))
        cells = judge.cells(seen, fault) if seen else ('.',) * 4
        yield from _row([phase, *cells])
    yield '\n'


def _table(widths: str, head: Iterable[str]) -> Iterator[str]:
    yield '.. list-table::\n   :header-rows: 1\n   :stub-columns: 1\n'
    yield f'   :widths: {widths}\n\n'
    yield from _row(head)


def _row(cells: Iterable[str]) -> Iterator[str]:
    for number, cell in enumerate(cells):
        first, *rest = textwrap.wrap(cell, 72, break_long_words=False) or ['']
        yield f'   {"  " if number else "* "}- {first}'.rstrip() + '\n'
        yield from (f'       {one}\n' for one in rest)
