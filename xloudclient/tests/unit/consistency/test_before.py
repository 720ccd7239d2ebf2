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


import dataclasses
import datetime

import testtools

from xloudclient.consistency import forecast, naming
from xloudclient.consistency.answers import FreezeHook
from xloudclient.consistency.errors import (
    ExitCode,
    Misuse,
    NotQuiesced,
    most_urgent,
)
from xloudclient.consistency.plan import Kind
from xloudclient.tests.fakes import world as fakes

NOW = datetime.datetime(2026, 3, 18, 14, 5, 9, tzinfo=datetime.UTC)


class TestNames(testtools.TestCase):
    def fill(self, template, server='web-server'):
        return naming.fill(template, server, 'ID', 'RUN', NOW)

    def test_the_default(self):
        self.assertEqual('web-server-2026-03-18', self.fill(naming.DEFAULT))

    def test_every_field(self):
        self.assertEqual(
            'web-server ID 140509 RUN',
            self.fill('{server} {server_id} {time} {run}'),
        )

    def test_a_taken_name_gets_the_time(self):
        self.assertEqual('a-140509', naming.extend('a', '-140509'))

    def test_names_are_cut(self):
        name = self.fill('{server}', 'x' * 300)
        self.assertEqual(255, len(name))
        self.assertEqual(255, len(naming.extend(name, '-140509')))
        self.assertEqual(242, len(naming.extend(name, '-1', 242)))

    def test_what_a_server_is_called_is_not_a_template(self):
        self.assertEqual('{date}', self.fill('{server}', '{date}'))

    def test_wrong_templates(self):
        for template in (
            '{host}',
            '{server.__class__}',
            '{server!r}',
            '{date:>10}',
            '{',
            '{}',
            '{0}',
            '',
            ' ',
            'a\nb',
            '\x1b[2J',
        ):
            self.assertRaises(Misuse, naming.check, template, False)

    def test_several_servers_need_different_names(self):
        self.assertRaises(Misuse, naming.check, '{date}', True)
        naming.check('{server_id}', True)


class TestForecast(testtools.TestCase):
    def test_a_measured_hold_counts_most(self):
        found = forecast.predict(fakes.plan(), 1500, 10**12)
        self.assertEqual((1.5, True), (found.seconds, found.is_measured))

    def test_estimates(self):
        plan = fakes.plan()
        self.assertEqual(
            10.0, forecast.predict(plan, None, 1_500_000_000).seconds
        )
        self.assertIsNone(forecast.predict(plan, None, 0).seconds)
        plan = fakes.plan(kind=Kind.VOLUME)
        self.assertEqual(10.0, forecast.predict(plan, None, 10**12).seconds)

    def refuse(self, seconds, is_measured):
        return forecast.refuse(
            fakes.plan(), forecast.Forecast(seconds, is_measured)
        )

    def test_what_fits_is_not_warned_of(self):
        self.assertEqual('', self.refuse(60.0, True))
        self.assertEqual('', self.refuse(None, False))

    def test_an_estimate_is_refused_over_twice_the_limit(self):
        self.assertIn('predicted', self.refuse(120.0, False))
        self.assertRaises(NotQuiesced, self.refuse, 120.1, False)

    def test_a_measurement_is_refused_over_the_limit(self):
        error = self.assertRaises(NotQuiesced, self.refuse, 60.1, True)
        self.assertIn('--max-freeze', error.advice)

    def ways(self, hook=forecast.NO_HOOK, has_agent=True, **changes):
        plan = fakes.plan(**changes)
        target = dataclasses.replace(plan.target, has_agent=has_agent)
        plan = dataclasses.replace(plan, target=target)
        long = forecast.Forecast(200.0, is_measured=True)
        error = self.assertRaises(
            NotQuiesced, forecast.refuse, plan, long, hook
        )
        return error.advice

    def test_the_freeze_hook_is_named_where_it_would_hold(self):
        self.assertIn('hook install', self.ways())
        self.assertNotIn('hw_qemu_guest_agent', self.ways())
        self.assertIn('if its image has', self.ways(has_agent=None))
        for changes in (
            {'has_agent': False},
            {'kind': Kind.VOLUME},
            {'volumes': (fakes.data_volume(),)},
            {'group_id': 'g'},
            {'rehearse': True},
        ):
            self.assertNotIn('freeze hook', self.ways(**changes), changes)

    def test_a_freeze_hook_that_is_there_is_to_be_used(self):
        held = fakes.plan().quiescers[:1]
        hook = FreezeHook(is_installed=True, quiescers=held, agent='used')
        self.assertIn('--quiesce agent', self.ways(hook))
        self.assertNotIn('hook install', self.ways(hook))
        other = dataclasses.replace(hook, quiescers=())
        self.assertIn('hook install', self.ways(other))

    def join(self, *members):
        return forecast.join(
            forecast.Forecast(seconds, is_measured, is_joint, host)
            for seconds, is_measured, is_joint, host in members
        )

    def test_copies_on_one_host_count_one_after_another(self):
        one, two = (20.0, False, False, 'a'), (15.0, True, False, 'a')
        other = (30.0, True, False, 'b')
        self.assertEqual(35.0, self.join(one, two, other).seconds)
        self.assertFalse(self.join(one, two, other).is_measured)
        self.assertTrue(self.join(one, other).is_measured)

    def test_volumes_and_what_was_measured_in_a_group_count_once(self):
        volumes = [(10.0, False, False, '')] * 3
        self.assertEqual(10.0, self.join(*volumes).seconds)
        joint = [(25.0, True, True, '')] * 3
        self.assertEqual(25.0, self.join(*volumes, *joint).seconds)
        found = forecast.predict(fakes.plan(), 1500, 10**12, 25_000)
        self.assertEqual('', found.host_id)

    def test_what_is_not_known_predicts_nothing(self):
        unknown = (None, False, False, 'a')
        self.assertIsNone(self.join(unknown).seconds)
        self.assertEqual(2.0, self.join(unknown, (2.0, 1, 0, 'a')).seconds)


class TestUrgency(testtools.TestCase):
    def test_the_most_urgent_code_of_several_servers(self):
        order = [6, 130, 143, 129, 4, 3, 7, 1, 75, 5, 0]
        for at, code in enumerate(order):
            codes = [ExitCode(one) for one in reversed(order[at:])]
            self.assertEqual(code, most_urgent(codes))
        self.assertEqual(0, most_urgent([]))
