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

"""What a program makes of its numbers, before it is a page or a picture."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

#: One measurement; what is in it is the program's affair. It becomes JSON.
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Goal:
    """What was to be reached, and what was.

    :param limit: why it can't be, in reStructuredText; shown if it is missed
    """

    text: str
    measured: str
    is_met: bool
    limit: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """Rows of text below a head; the first column is the stub."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def text(self) -> str:
        """For a terminal."""
        cells = [self.head, *self.rows]
        widths = [max(map(len, column)) for column in zip(*cells)]
        return '\n'.join(
            '  '.join(
                cell.ljust(width) for cell, width in zip(row, widths)
            ).rstrip()
            for row in cells
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Chart:
    """Bars side by side, in groups.

    :param unit: of the values, e.g. ``s``
    :param series: what the bars of each group are, the first one is ours
    :param groups: label of each group -> a value for each series, or None
    :param is_log: whether ten times is a step
    """

    title: str
    unit: str
    series: Sequence[str]
    groups: Mapping[str, Sequence[float | None]]
    is_log: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """Everything that is shown of a program's numbers.

    :param about: what was measured and how, in reStructuredText
    """

    about: str
    goals: Sequence[Goal]
    tables: Sequence[Table]
    chart: Chart


def median(values: Sequence[float], digits: int, unit: str) -> str:
    """The median of some runs and, of more than one, their spread."""
    middle = f'{statistics.median(values):.{digits}f} {unit}'
    if len(values) == 1:
        return middle
    least, most = min(values), max(values)
    return f'{middle} ({least:.{digits}f} to {most:.{digits}f})'


def times(native: float, ours: float) -> str:
    """How many times as much the native way takes."""
    return f'{native / ours:.1f}' if ours else '-'
