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

"""Draws a chart of bars as SVG: a page and a half of code, and no library."""

import math
from collections.abc import Iterator
from xml.sax.saxutils import escape

from benchmarks.report import Chart

WIDTH, LABEL_WIDTH, VALUE_WIDTH = 720, 190, 70
BAR, GAP, HEAD, LEGEND = 14, 12, 34, 22
#: Ours first; can be told apart in grey, and by the colour-blind.
COLOURS = ('#0b6e99', '#d98e04', '#a8a8a8', '#5c5c5c')
STYLE = (
    'text{font:12px sans-serif;fill:#333}'
    '.title{font-size:14px;font-weight:bold}'
)


def draw(chart: Chart) -> str:
    """Return the picture."""
    rows = sum(1 + len(chart.series) for _ in chart.groups)
    height = HEAD + rows * BAR + len(chart.groups) * GAP
    height += LEGEND * len(chart.series)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} '
        f'{height}" width="{WIDTH}" height="{height}" role="img">',
        f'<title>{escape(chart.title)}</title>',
        f'<style>{STYLE}</style>',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text class="title" x="10" y="20">{escape(_title(chart))}</text>',
        *_legend(chart),
        *_groups(chart),
        '</svg>',
    ]
    return '\n'.join(parts) + '\n'


def _title(chart: Chart) -> str:
    scale = ', each step ten times' if chart.is_log else ''
    return f'{chart.title} ({chart.unit}{scale})'


def _legend(chart: Chart) -> Iterator[str]:
    for number, name in enumerate(chart.series):
        top = HEAD + number * LEGEND
        yield _bar(10, top, BAR, COLOURS[number])
        yield f'<text x="30" y="{top + 12}">{escape(name)}</text>'


def _groups(chart: Chart) -> Iterator[str]:
    top = HEAD + LEGEND * len(chart.series) + GAP
    for label, values in chart.groups.items():
        yield f'<text x="10" y="{top + 12}">{escape(label)}</text>'
        for number, value in enumerate(values):
            if value is not None:
                length = _length(chart, value)
                yield _bar(LABEL_WIDTH, top, length, COLOURS[number])
                yield (
                    f'<text x="{LABEL_WIDTH + length + 6:.0f}" '
                    f'y="{top + 11}">{value:.3g}</text>'
                )
            top += BAR
        top += BAR + GAP


def _length(chart: Chart, value: float) -> float:
    """Of a bar, in pixels; at least two, so that it is seen."""
    values = [one for group in chart.groups.values() for one in group if one]
    room, most = WIDTH - LABEL_WIDTH - VALUE_WIDTH, max(values, default=1)
    if not chart.is_log or value <= 0:
        return max(2, room * value / most)
    lowest = math.ceil(math.log10(min(values))) - 1
    span = math.log10(most) - lowest
    return max(2, room * (math.log10(value) - lowest) / (span or 1))


def _bar(left: float, top: float, length: float, colour: str) -> str:
    return (
        f'<rect x="{left}" y="{top}" width="{length:.0f}" '
        f'height="{BAR - 2}" fill="{colour}"/>'
    )
