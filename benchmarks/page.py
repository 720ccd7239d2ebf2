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

"""The page of results, made of nothing but the numbers."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.programs import PROGRAMS
from benchmarks.report import Goal, Report, Table

#: Of the page, its numbers, and, with a program's name, the pictures.
NAME = 'performance'
WIDTH = 78
HEAD = """\
.. tools/benchmark writes this file: do not edit it.

=============
What it costs
=============

How long an application is blocked by a snapshot, what it costs to have the
plugin installed, and how it does among many images and with many servers:
measured, beside what one would run instead.

The cloud is a real one, the services of OpenStack on one machine (see
:doc:`/contributor/embedded-cloud`); so are sshd and the databases in the
guests. Clients, services and guests share the cores, so times are longer than
with a cloud of its own, for all alike; what counts is the relation.

.. code-block:: console

   $ tools/benchmark --quick blocked save     # some, small: a try
   $ tools/benchmark                          # all, on an idle machine

The second writes this page, its pictures, and the numbers that both are made
of (``performance.json``, beside this page in the source).

"""


def render(results: Mapping[str, Any]) -> str:
    """Return the page.

    :param results: what ``python -m benchmarks`` writes as JSON
    """
    reports = reports_of(results)
    parts = [HEAD, *_machine(results), *_overview(reports)]
    for name, report in reports.items():
        parts += _section(name, report)
    return ''.join(parts).rstrip('\n') + '\n'


def reports_of(results: Mapping[str, Any]) -> dict[str, Report]:
    """Return what there is to be shown, by name of the program."""
    return {
        name: program.report(results['programs'][name]['rows'])
        for name, program in PROGRAMS.items()
        if name in results['programs']
    }


def _machine(results: Mapping[str, Any]) -> Iterator[str]:
    yield _headline('The machine', '=')
    for what, value in results['machine'].items():
        yield f'{what}\n    {value}\n'
    runs = results['programs'].values()
    began = min(run['began'] for run in runs)
    minutes = sum(run['seconds'] for run in runs) / 60
    yield f'measured\n    {began}, for {minutes:.0f} minutes'
    yield ' (``--quick``: a try)' if any(r['quick'] for r in runs) else ''
    yield '\n\n'


def _overview(reports: Mapping[str, Report]) -> Iterator[str]:
    yield _headline('The goals', '=')
    goals = [goal for report in reports.values() for goal in report.goals]
    met = sum(goal.is_met for goal in goals)
    yield f'{met} of {len(goals)} are met. '
    yield 'Why the others are not is said below their numbers.\n\n'
    rows = [
        (PROGRAMS[name].TITLE, goal.text, goal.measured, _verdict(goal))
        for name, report in reports.items()
        for goal in report.goals
    ]
    yield from _table(Table(('', 'goal', 'measured', ''), rows), '20 45 25 10')


def _verdict(goal: Goal) -> str:
    return 'met' if goal.is_met else '**missed**'


def _section(name: str, report: Report) -> Iterator[str]:
    yield _headline(PROGRAMS[name].TITLE, '=')
    yield f'{report.about}\n'
    yield f'.. image:: {NAME}-{name}.svg\n   :alt: {report.chart.title}\n\n'
    for table in report.tables:
        yield from _table(table)
    yield from missed_of(report.goals)


def missed_of(goals: Sequence[Goal]) -> Iterator[str]:
    """Say which goals were missed, and why."""
    missed = [goal for goal in goals if not goal.is_met]
    for limit in dict.fromkeys(goal.limit for goal in missed):
        texts = '; '.join(one.text for one in missed if one.limit == limit)
        yield _filled(f'Missed: {texts}.')
        yield _filled(limit)


def _headline(text: str, line: str) -> str:
    return f'{text}\n{line * len(text)}\n\n'


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False) + '\n\n'


def _table(table: Table, widths: str = '') -> Iterator[str]:
    yield '.. list-table::\n   :header-rows: 1\n'
    yield f'   :widths: {widths}\n\n' if widths else '\n'
    for row in (table.head, *table.rows):
        yield from _row(row)
    yield '\n'


def _row(cells: Sequence[str]) -> Iterator[str]:
    for number, cell in enumerate(cells):
        first, *rest = textwrap.wrap(
            cell, 72, break_long_words=False, break_on_hyphens=False
        ) or ['']
        yield f'   {"  " if number else "* "}- {first}'.rstrip() + '\n'
        yield from (f'       {one}\n' for one in rest)
