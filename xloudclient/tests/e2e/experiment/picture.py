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

"""The picture of the timelines, as SVG: when each store could be written to,
around one snapshot of each arm.
"""

from collections.abc import Iterator, Sequence
from html import escape

from xloudclient.tests.e2e.experiment.result import STORES, Result

#: Seconds that are shown before the first event and after the release.
MARGIN = 2.0
LEFT, RIGHT, TOP = 120, 24, 28
WIDTH = 900
BAR, ROW, PANEL = 7, 10, 116
WRITING, BLOCKED, INK, FAINT = '#7fb069', '#c8553d', '#333333', '#888888'
#: Events that have a line in the picture.
MARKS = (
    'locked, it seems',
    'locking',
    'requested',
    'agent told to freeze',
    'hook locking',
    'hook released',
    'seen captured',
    'released',
    'unlocked',
)
#: Seconds between the numbers below a panel.
TICK = 10
STYLE = 'font-family="sans-serif" font-size="11"'


def render(results: Sequence[Result]) -> str:
    """Return the picture of these trials, one below the other."""
    spans = [_span(one) for one in results]
    longest = max((end - begin for begin, end in spans), default=1.0)
    scale = (WIDTH - LEFT - RIGHT) / longest
    height = TOP + PANEL * len(results) + 20
    body = [
        line
        for index, (result, (begin, end)) in enumerate(
            zip(results, spans, strict=True)
        )
        for line in _panel(result, begin, end, scale, TOP + PANEL * index)
    ]
    return '\n'.join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
            f'height="{height}" viewBox="0 0 {WIDTH} {height}" {STYLE}>',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            *_legend(),
            *body,
            '</svg>\n',
        ]
    )


def _span(result: Result) -> tuple[float, float]:
    """From when to when a trial is shown."""
    marks = [when for name, when in result.events if name in MARKS]
    pauses = [b for pairs in result.pauses.values() for _, b in pairs]
    last = result.events[-1][1]
    ends = [*marks, *(one for one in pauses if one < last)]
    return min(marks) - MARGIN, max(ends) + MARGIN


def _legend() -> Iterator[str]:
    for x, colour, text in (
        (LEFT, WRITING, 'rows are acknowledged'),
        (LEFT + 160, BLOCKED, 'one waits for more than half a second'),
    ):
        yield _box(x, 8, 12, BAR, colour)
        yield _text(x + 17, 15, text)


def _panel(
    result: Result, begin: float, end: float, scale: float, top: float
) -> Iterator[str]:
    yield _text(8, top + 14, result.arm, 'font-weight="bold"')
    for row, store in enumerate(STORES):
        y = top + 22 + row * ROW
        yield _text(8, y + BAR, store)
        yield _box(LEFT, y, (end - begin) * scale, BAR, WRITING)
        for a, b in result.pauses.get(store, ()):
            a, b = max(a, begin), min(b, end)
            if b > a:
                x = LEFT + (a - begin) * scale
                yield _box(x, y, max(1.0, (b - a) * scale), BAR, BLOCKED)
    yield from _marks(result, begin, scale, top)
    yield from _axis(end - begin, scale, top + 22 + len(STORES) * ROW)


def _marks(
    result: Result, begin: float, scale: float, top: float
) -> Iterator[str]:
    low = top + 22 + len(STORES) * ROW
    first = dict(reversed(result.events))
    marks = sorted((first[name], name) for name in MARKS if name in first)
    spots = [LEFT + (when - begin) * scale for when, _ in marks]
    widths = [6.2 * len(name) + 12 for _, name in marks]
    for (_, name), x, at in zip(
        marks, spots, _side_by_side(spots, widths), strict=True
    ):
        yield (
            f'<line x1="{x:.1f}" y1="{top + 18}" x2="{x:.1f}" '
            f'y2="{low}" stroke="{INK}" stroke-width="1"/>'
        )
        yield _text(at, top + 14, name, f'fill="{FAINT}"')


def _side_by_side(
    spots: Sequence[float], widths: Sequence[float]
) -> list[float]:
    """Return where texts begin, each as near to its spot as there is room."""
    places = []
    free = 0.0
    for x, width in zip(spots, widths, strict=True):
        places.append(max(x, free))
        free = places[-1] + width
    free = WIDTH
    for index in reversed(range(len(places))):
        places[index] = free = min(places[index], free - widths[index])
    return places


def _axis(seconds: float, scale: float, top: float) -> Iterator[str]:
    for second in range(0, int(seconds) + 1, TICK):
        x = LEFT + second * scale
        yield (
            f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{top + 4}" '
            f'stroke="{FAINT}" stroke-width="1"/>'
        )
        label = f'{second} s' if second else '0'
        yield _text(x + 2, top + 11, label, f'fill="{FAINT}" font-size="9"')


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height}" fill="{colour}"/>'
    )


def _text(x: float, y: float, text: str, more: str = '') -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(text)}</text>'
