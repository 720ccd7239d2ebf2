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


import calendar
import datetime

import testtools
from hypothesis import given, settings
from hypothesis import strategies as st

from xloudclient.catalog import retention
from xloudclient.catalog.retention import Policy, Span
from xloudclient.tests.unit.catalog import restic

UTC = datetime.UTC
NOW = datetime.datetime(2026, 3, 18, 12, tzinfo=UTC)
LETTERS = {
    'l': 'last',
    'h': 'hourly',
    'd': 'daily',
    'w': 'weekly',
    'm': 'monthly',
    'y': 'yearly',
}


def moment(text):
    return datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)


def kept(policy, moments, now=NOW):
    """The moments that are kept, the oldest first."""
    reasons = retention.reasons_to_keep(policy, moments, now)
    return sorted(one for one, why in zip(moments, reasons) if why)


class TestAsRestic(testtools.TestCase):
    def test_its_test_data(self):
        newest_first = sorted(restic.moments(restic.TIMES), reverse=True)
        for words, expected in restic.results():
            span = words.pop('within', '')
            counts = {word: int(number) for word, number in words.items()}
            policy = Policy(**counts, within=Span.of(span or '0h'))
            reasons = retention.reasons_to_keep(policy, newest_first, NOW)
            told = [self.told(why, span) for why in expected]
            told += [()] * (len(reasons) - len(told))
            self.assertEqual(told, reasons, (words, span))

    @staticmethod
    def told(letters, span):
        """The reasons in full."""
        return tuple(
            f'within {span_as_restic_writes(span)}'
            if one == 'i'
            else f'{LETTERS[one]} snapshot'
            if one in LETTERS
            else f'oldest {LETTERS[one.lower()]} snapshot'
            for one in letters.replace('-', '')
        )

    def test_its_documented_example(self):
        self.assertEqual(
            restic.moments(restic.EXAMPLE_DAILY_5),
            kept(Policy(daily=5), restic.moments(restic.EXAMPLE)),
        )


def span_as_restic_writes(span):
    """Years come first, whatever the order was."""
    return {'1y1d1m': '1y1m1d'}.get(span, span)


class TestWords(testtools.TestCase):
    def test_numbers(self):
        self.assertEqual(0, retention.count('0'))
        self.assertEqual(12, retention.count('12'))
        self.assertEqual(retention.UNLIMITED, retention.count('unlimited'))
        for text in ('-1', '', '1.5', 'all', '٣', ' 1', '9' * 30):
            self.assertRaises(ValueError, retention.count, text)

    def test_spans(self):
        for text, told in (
            ('9h', '9h'),
            ('4h3d9m', '9m3d4h'),
            ('1y2m3d3h', '1y2m3d3h'),
            ('1d2d', '2d'),
            ('0d', ''),
        ):
            self.assertEqual(told, str(Span.of(text)))
        for text in ('', '2w', '30s', '7', 'd', '-7d', '1.5d', '7d ', '٣d'):
            self.assertRaises(ValueError, Span.of, text)

    def test_nothing_asked_for_is_an_empty_policy(self):
        self.assertTrue(Policy().is_empty)
        self.assertTrue(Policy(daily=0, within=Span.of('0h')).is_empty)
        self.assertFalse(Policy(yearly=retention.UNLIMITED).is_empty)


class TestTimes(testtools.TestCase):
    def test_a_span_may_reach_back_to_before_the_calendar(self):
        past = moment('0001-01-02T00:00:00')
        for span in ('9999y', '999999999d', '999999999h'):
            self.assertEqual([past, NOW], kept(within(span), [NOW, past]))

    def test_a_month_before_the_31st_may_be_the_1st(self):
        self.assertEqual(
            moment('2025-10-01T08:00:00'),
            Span(months=1).before(moment('2025-10-31T08:00:00')),
        )

    def test_the_future_is_kept_and_not_counted(self):
        future, today = moment('2030-01-01'), moment('2026-03-18')
        moments = [future, today, moment('2026-01-01')]
        for policy in (within('7d'), Policy(last=1), Policy(daily=1)):
            self.assertEqual([today, future], kept(policy, moments))
        self.assertEqual([future], kept(Policy(last=1), [future]))

    def test_of_one_moment_the_first_is_the_newest(self):
        reasons = retention.reasons_to_keep(Policy(last=1), [NOW, NOW], NOW)
        self.assertEqual([('last snapshot',), ()], reasons)


def within(span):
    return Policy(within=Span.of(span))


MOMENTS = st.lists(
    st.datetimes(
        moment('2023-12-28').replace(tzinfo=None),
        moment('2026-03-18').replace(tzinfo=None),
        timezones=st.just(UTC),
    )
    | st.datetimes(
        moment('2026-03-15').replace(tzinfo=None),
        moment('2026-03-20').replace(tzinfo=None),
        timezones=st.just(UTC),
    ),
    max_size=12,
)
COUNTS = st.integers(-1, 4)
SPANS = st.builds(
    Span,
    st.integers(0, 2),
    st.integers(0, 13),
    st.integers(0, 40),
    st.integers(0, 30),
)
POLICIES = st.builds(
    Policy, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, SPANS
)

#: What the moments of one period have in common, as a text.
STAMPS = {
    'hourly': '%Y-%m-%d %H',
    'daily': '%Y-%m-%d',
    'weekly': '%G-W%V',
    'monthly': '%Y-%m',
    'yearly': '%Y',
}


def is_kept(policy, past, at):
    """The plain and slow reference: is the snapshot at a position kept?

    It looks at each snapshot alone, and counts the periods after it.
    """
    mine = past[at]
    newer = [
        one
        for n, one in enumerate(past)
        if one > mine or (one == mine and n < at)
    ]
    is_oldest = len(newer) == len(past) - 1
    for name, stamp in STAMPS.items():
        number = getattr(policy, name)
        periods = {one.strftime(stamp) for one in newer}
        is_first = mine.strftime(stamp) not in periods
        has_room = number == -1 or len(periods) < number
        if number and has_room and (is_first or is_oldest):
            return True
    if policy.last == -1 or len(newer) < policy.last:
        return True
    return policy.within != Span() and is_within(policy.within, mine, past)


def is_within(span, mine, past):
    """Whether the span, counted back by hand, begins before a moment."""
    begin = max(past)
    year, month, day = begin.year - span.years, begin.month, begin.day
    for _ in range(span.months):
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
    if day > (length := calendar.monthrange(year, month)[1]):
        day -= length
        month += 1
    begin = begin.replace(year=year, month=month, day=day)
    for _ in range(span.days):
        begin -= datetime.timedelta(days=1)
    return mine > begin - datetime.timedelta(hours=span.hours)


class TestAgainstTheReference(testtools.TestCase):
    @settings(max_examples=60, deadline=None)
    @given(POLICIES, MOMENTS)
    def test_every_decision(self, policy, moments):
        reasons = retention.reasons_to_keep(policy, moments, NOW)
        past = [one for one in moments if one <= NOW]
        decided = [why for one, why in zip(moments, reasons) if one <= NOW]
        for at, why in enumerate(decided):
            self.assertEqual(is_kept(policy, past, at), bool(why), (at, why))
        future = [why for one, why in zip(moments, reasons) if one > NOW]
        self.assertEqual([('in the future',)] * len(future), future)

    @settings(max_examples=30, deadline=None)
    @given(POLICIES, MOMENTS, st.integers(0, 900))
    def test_a_clock_that_is_behind_keeps_more(self, policy, moments, days):
        behind = NOW - datetime.timedelta(days=days)
        less = kept(policy, moments)
        self.assertLessEqual(set(less), set(kept(policy, moments, behind)))

    @settings(max_examples=30, deadline=None)
    @given(POLICIES, MOMENTS)
    def test_what_is_left_is_left_the_next_time(self, policy, moments):
        left = kept(policy, moments)
        self.assertEqual(left, kept(policy, left))
        if moments and not policy.is_empty:
            self.assertIn(max(moments), left)
