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


"""Which snapshots of a server a retention policy keeps.

The words and their meaning are those of ``restic forget`` (``ApplyPolicy`` in
``internal/data/snapshot_policy.go``, restic 0.19), so that what a user knows
of one holds for the other:

* ``last`` keeps the newest so many snapshots.
* ``hourly``, ``daily``, ``weekly``, ``monthly`` and ``yearly`` keep the newest
  snapshot of each of the last so many periods that have any. Weeks are those
  of ISO 8601. As periods without a snapshot do not count, a server that is
  snapshotted no more loses nothing to the passing of time.
* Where there are fewer periods than asked for, the oldest snapshot of all is
  kept as well, so that the history begins as early as it can.
* ``within`` keeps what is newer than a span of time before the newest
  snapshot, which is not before now.
* A snapshot that one of them keeps is kept.
* What is of the future is kept and not counted, as restic's manual has it
  (its code counts it, but for ``within``): when a clock was wrong for an hour,
  what was taken then must not push out what is taken now.

All times are in UTC: a day is not another one where the command runs.
"""

import dataclasses
import datetime
import re
from collections.abc import Callable, Iterator, Sequence

Moment = datetime.datetime

#: Instead of a number: all of them.
UNLIMITED = -1
EARLIEST = Moment.min.replace(tzinfo=datetime.UTC)
PART = re.compile(r'([0-9]{1,9})([ymdh])')
SPAN = re.compile(f'(?:{PART.pattern})+')


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """A length of time on the calendar; restic's ``Duration``."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0

    @classmethod
    def of(cls, text: str) -> 'Span':
        """Read a span such as ``2y5m7d3h``; ``m`` is months.

        :raises ValueError: it is nothing of the kind; the message is for the
            user
        """
        if not SPAN.fullmatch(text):
            raise ValueError(
                f'{text!r} is not a number of years, months, days and hours '
                'such as 14d or 1y6m (m is months)'
            )
        parts = {unit: int(number) for number, unit in PART.findall(text)}
        return cls(*(parts.get(unit, 0) for unit in 'ymdh'))

    def before(self, moment: Moment) -> Moment:
        """Return the moment that is so long before another one.

        As Go's ``time.AddDate`` counts: a month before October 31 is
        "September 31", and that is October 1.
        """
        months = (moment.year - self.years) * 12 + moment.month - self.months
        year, month = divmod(months - 1, 12)
        try:
            first = moment.replace(year=year, month=month + 1, day=1)
            days = moment.day - 1 - self.days
            return first + datetime.timedelta(days=days, hours=-self.hours)
        except (ValueError, OverflowError):
            return EARLIEST

    def __str__(self) -> str:
        parts = zip(dataclasses.astuple(self), 'ymdh')
        return ''.join(f'{number}{unit}' for number, unit in parts if number)


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """How many snapshots of each period are kept; 0 keeps none for it.

    :param within: everything this long before the newest is kept
    """

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: Span = Span()

    @property
    def is_empty(self) -> bool:
        """Whether it would keep nothing at all."""
        return self == Policy()


def count(text: str) -> int:
    """Read how many are kept: a number, or ``unlimited``.

    :raises ValueError: it is neither; the message is for the user
    """
    if text == 'unlimited':
        return UNLIMITED
    if not re.fullmatch('[0-9]{1,9}', text):
        raise ValueError(f'{text!r} is neither a number nor "unlimited"')
    return int(text)


#: Policy's field -> what two snapshots of one period have in common.
PERIODS: dict[str, Callable[[Moment], tuple[int, ...]]] = {
    'hourly': lambda moment: moment.timetuple()[:4],
    'daily': lambda moment: moment.timetuple()[:3],
    'weekly': lambda moment: moment.isocalendar()[:2],
    'monthly': lambda moment: moment.timetuple()[:2],
    'yearly': lambda moment: moment.timetuple()[:1],
}


def reasons_to_keep(
    policy: Policy, moments: Sequence[Moment], now: Moment
) -> list[tuple[str, ...]]:
    """Return for each snapshot why it is kept; it is not if there is none.

    Of several snapshots of one moment, the first in ``moments`` counts as
    the newest.

    :param moments: when each was taken, in UTC, in any order
    :param now: what is later than this is kept and not counted
    """
    newest_first = sorted(
        range(len(moments)), key=moments.__getitem__, reverse=True
    )
    past = [number for number in newest_first if moments[number] <= now]
    reasons: list[tuple[str, ...]] = [
        () if moment <= now else ('in the future',) for moment in moments
    ]
    for position, reason in _matches(policy, [moments[n] for n in past]):
        reasons[past[position]] += (reason,)
    return reasons


def _matches(
    policy: Policy, newest_first: Sequence[Moment]
) -> Iterator[tuple[int, str]]:
    """Yield what each rule keeps, as a position, and the rule's words."""
    if policy.within != Span():
        yield from _within(policy.within, newest_first)
    numbers = [(number,) for number in range(len(newest_first))]
    yield from _counted('last', policy.last, numbers)
    for name, period in PERIODS.items():
        periods = [period(moment) for moment in newest_first]
        yield from _counted(name, getattr(policy, name), periods)


def _within(
    span: Span, newest_first: Sequence[Moment]
) -> Iterator[tuple[int, str]]:
    for position, moment in enumerate(newest_first):
        if moment > span.before(newest_first[0]):
            yield position, f'within {span}'


def _counted(
    name: str, left: int, periods: Sequence[tuple[int, ...]]
) -> Iterator[tuple[int, str]]:
    """Yield the newest of each period, and the oldest, while any are left."""
    previous = None
    for position, period in enumerate(periods):
        if left == 0:
            return
        is_oldest = position == len(periods) - 1
        if period != previous:
            yield position, f'{name} snapshot'
            left -= 1
        elif is_oldest:
            yield position, f'oldest {name} snapshot'
        previous = period
