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

"""The page of the benchmarks is what their numbers say."""

import json
import pathlib
from xml.etree import ElementTree

import testtools

from benchmarks import blocked, catalog, holding, lane, page, picture
from benchmarks.programs import PROGRAMS
from benchmarks.report import Chart, Goal
from xloudclient.tests.cloud.control import Event

PAGES = pathlib.Path(page.__file__).parents[1] / 'doc' / 'source' / 'user'


class TestPage(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.results = json.loads(self.read(f'{page.NAME}.json'))
        self.reports = page.reports_of(self.results)

    def read(self, name):
        return (PAGES / name).read_text(encoding='utf-8')

    def test_it_has_all_programs(self):
        self.assertEqual(list(PROGRAMS), list(self.reports))

    def test_none_of_it_is_a_try(self):
        # else: tools/benchmark, without --quick
        programs = self.results['programs']
        tries = [name for name, one in programs.items() if one['quick']]
        self.assertEqual([], tries)

    def test_durations_are_those_that_were_measured(self):
        rows = self.results['programs']['holding']['rows']
        report = holding.report([{**row, 'seconds': 7.0} for row in rows])
        self.assertIn('for 7 s of that', report.about)

    def test_it_says_what_the_numbers_say(self):
        # else: tools/benchmark --render
        self.assertEqual(
            self.read(f'{page.NAME}.rst'), page.render(self.results)
        )

    def test_so_do_the_pictures(self):
        for name, report in self.reports.items():
            self.assertEqual(
                self.read(f'{page.NAME}-{name}.svg'),
                picture.draw(report.chart),
            )

    def test_every_goal_is_met_or_explained(self):
        for name, report in self.reports.items():
            for goal in report.goals:
                self.assertTrue(goal.is_met or goal.limit, (name, goal))

    def test_a_missed_goal_is_shown_as_such(self):
        [report] = list(self.reports.values())[:1]
        goal = Goal('a goal', 'a number', False, 'Because.')
        text = ''.join(page.missed_of([goal, *report.goals]))
        self.assertIn('Missed: a goal.\n\nBecause.\n', text)


class TestBlocked(testtools.TestCase):
    def row(self, way, **more):
        return {
            'way': way,
            'capture': 20,
            'upload': 60,
            'blocked': 21.0,
            'is_consistent': True,
            'cloud': 20.5,
            'claimed': 'application',
            'quiesced': ['agent', 'fsfreeze', 'mysql'],
            'held': 0.5,
            **more,
        }

    def report(self, *hooked):
        """Of a snapshot in each way, and of those with the hook."""
        others = [one for one in lane.WAYS if one != lane.AGENT]
        return blocked.report(
            [
                *(self.row(way) for way in others),
                *(self.row(lane.AGENT, **more) for more in hooked),
            ]
        )

    def goals(self, *hooked):
        """Of the hook: whether each is met, and what was measured."""
        return [
            (goal.is_met, goal.measured)
            for goal in self.report(*hooked).goals
            if 'agent hook' in goal.text
        ]

    def test_with_the_hook_the_worst_counts(self):
        good, bad = {'blocked': 0.6}, {'blocked': 1.0}
        self.assertEqual(
            [(True, '0.60 s at most'), (True, '1 of 1')], self.goals(good)
        )
        self.assertEqual(
            [(False, '1.00 s at most'), (True, '2 of 2')],
            self.goals(good, bad),
        )

    def test_consistent_is_not_enough_and_neither_is_a_claim(self):
        _, known = self.goals({}, {'is_consistent': False})
        self.assertEqual((False, '1 of 2'), known)
        _, known = self.goals({}, {'claimed': 'crash', 'held': None})
        self.assertEqual((False, '1 of 2'), known)

    def test_it_says_how_long_everything_was_held(self):
        about = ' '.join(self.report({}, {'held': 0.9}).about.split())
        self.assertIn('for 0.70 s (median; 0.90 s at most)', about)
        self.assertIn('(agent, fsfreeze, mysql)', about)

    def test_all_ways_are_beside_each_other(self):
        report = self.report({'blocked': 0.6})
        [shown] = report.chart.groups.values()
        bars = dict(zip(report.chart.series, shown, strict=True))
        self.assertEqual((0.6, 21.0), (bars[lane.AGENT], bars[lane.OURS]))
        [table] = report.tables
        cells = dict(zip(table.head, table.rows[0], strict=True))
        self.assertEqual('0.60 s', cells['agent hook'])
        self.assertEqual('1 of 1', cells['consistent: agent hook'])

    def is_consistent(self, locked, *acknowledged):
        """Of a disk that was copied from 10.0 to 10.1."""
        details = {'monotonic_begin': 10.0}
        captured = Event(0.0, 10.1, 'id', 'captured', details)
        return lane.is_consistent(locked, captured, acknowledged)

    def test_no_row_is_between_the_lock_and_the_capture(self):
        self.assertTrue(self.is_consistent(9.0, 8.0, 9.0, 10.2))
        # one was committed, or may have been
        for moment in (9.1, 9.9, 10.05, 10.12):
            self.assertFalse(self.is_consistent(9.0, 8.0, moment, 10.2))
        # the lock came too late, or not at all
        for locked in (10.0, 11.0, float('inf')):
            self.assertFalse(self.is_consistent(locked, 8.0, 12.0))


class TestCatalog(testtools.TestCase):
    def row(self, images, command, seconds, is_whole=True):
        return {
            'images': images,
            'command': command,
            'requests': 6,
            'seconds': seconds,
            'cpu_seconds': 1.0,
            'peak_mib': 99.0,
            'lines': 10,
            'is_whole': is_whole,
        }

    def report(self, is_whole):
        """Of our list in three turns; native may be stopped in the last."""
        return catalog.report(
            [
                self.row(images, command, seconds, command in ours or whole)
                for images, whole in ((10, True), (1000, is_whole))
                for ours in [catalog.OURS]
                for command, seconds in (
                    *((catalog.LIST, one) for one in (2.0, 9.0, 1.0)),
                    *((one, 4.0) for one in ours if one != catalog.LIST),
                    (catalog.NATIVE, 110.0),
                )
            ]
        )

    def test_the_goal_is_about_the_median(self):
        goal, *_ = self.report(True).goals
        self.assertEqual((True, '55.0 times'), (goal.is_met, goal.measured))

    def test_all_of_what_was_stopped_is_marked(self):
        report = self.report(False)
        _, _, runs, time, _, *took = report.tables[0].rows[-1]
        self.assertEqual(['1', '> 110.0 s'], [runs, time])
        self.assertEqual(['> 6', '> 1.0 s', '> 99 MiB', '> 10'], took)
        self.assertIn('stopped after 110 s', report.about)
        self.assertEqual('> 55.0 times', report.goals[0].measured)

    def test_what_ended_is_not(self):
        report = self.report(True)
        self.assertNotIn('>', str(report.tables[0].rows))
        self.assertNotIn('stopped', report.about)


class TestPicture(testtools.TestCase):
    def lengths(self, values, is_log=False):
        """Of the bars of one group, in pixels."""
        series = [f'<{number}>' for number in range(len(values))]
        chart = Chart('a & b', 's', series, {'all': values}, is_log)
        root = ElementTree.fromstring(picture.draw(chart))
        bars = root.findall('{http://www.w3.org/2000/svg}rect')
        # after the background and the legend
        return [int(one.get('width')) for one in bars[1 + len(series) :]]

    def test_twice_as_much_is_twice_as_long(self):
        long, short = self.lengths([100.0, 50.0])
        self.assertEqual(long, 2 * short)

    def test_ten_times_as_much_is_a_step(self):
        first, second, third = self.lengths([1000.0, 100.0, 10.0], True)
        self.assertAlmostEqual(first - second, second - third, delta=1)

    def test_what_was_not_measured_has_no_bar(self):
        self.assertEqual(1, len(self.lengths([None, 1.0])))
