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


import threading

import testtools

from xloudclient.consistency.errors import (
    Busy,
    ExitCode,
    GroupBroken,
    Interrupted,
    OutOfTime,
)
from xloudclient.consistency.group import Stage
from xloudclient.local.rendezvous import Rendezvous

GIVEN_UP = 'the group was given up because of'


def plenty():
    return 60.0


def nothing():
    raise OutOfTime('--max-freeze ran out')


class TestRendezvous(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.group = Rendezvous(2)
        self.ended = []

    def start(self, server, remaining=plenty):
        """Let a member wait at a stage; how it ended is noted."""
        thread = threading.Thread(target=self.meet, args=(server, remaining))
        thread.start()
        self.addCleanup(thread.join, 10)
        return thread

    def start_and_see_it_wait(self, server):
        is_waiting = threading.Event()

        def remaining():
            is_waiting.set()
            return plenty()

        thread = self.start(server, remaining)
        self.assertTrue(is_waiting.wait(10))
        return thread

    def meet(self, server, remaining=plenty):
        try:
            self.group.meet(server, Stage.HELD, remaining, server)
        except GroupBroken as failure:
            self.ended.append(failure)
        else:
            self.ended.append(server)

    def test_all_come_and_know_what_each_brought(self):
        thread = self.start('a')
        words = self.group.meet('b', Stage.HELD, plenty, 'b')
        thread.join(10)
        self.assertEqual(['a'], self.ended)
        self.assertEqual(['a', 'b'], sorted(words))

    def test_stages_are_apart(self):
        self.assertRaises(OutOfTime, self.group.meet, 'a', Stage.HELD, nothing)

    def test_who_waits_is_told_at_once_that_another_gave_up(self):
        thread = self.start('a')
        self.group.give_up('b', Busy('not now'))
        thread.join(10)
        [failure] = self.ended
        self.assertEqual(f'{GIVEN_UP} b: not now', str(failure))
        self.assertEqual(ExitCode.BUSY, failure.exit_code)

    def test_the_first_who_gives_up_is_named(self):
        self.group.give_up('a', Busy('one'))
        self.group.give_up('b', Interrupted('two', 2))
        self.assertRaisesRegex(GroupBroken, 'a: one', self.group.check)

    def test_who_stops_waiting_is_not_counted_by_the_last(self):
        self.assertRaises(OutOfTime, self.group.meet, 'a', Stage.HELD, nothing)
        self.meet('b')
        self.assertEqual(
            [f'{GIVEN_UP} a: --max-freeze ran out'],
            list(map(str, self.ended)),
        )

    def test_who_has_met_stays_so_when_somebody_gives_up_later(self):
        thread = self.start('a')
        self.group.meet('b', Stage.HELD, nothing)
        self.group.give_up('b', Busy('later'))
        thread.join(10)
        self.assertEqual(['a'], self.ended)

    def test_the_last_one_to_come_acts_before_any_goes_on(self):
        thread = self.start_and_see_it_wait('a')
        seals = []
        self.group.meet(
            'b', Stage.HELD, plenty, seal=lambda: seals.extend(self.ended)
        )
        thread.join(10)
        self.assertEqual(([], ['a']), (seals, self.ended))

    def test_what_the_last_one_cannot_do_nobody_passes(self):
        thread = self.start_and_see_it_wait('a')

        def fail():
            raise OutOfTime('no')

        error = self.assertRaises(
            OutOfTime, self.group.meet, 'b', Stage.HELD, plenty, seal=fail
        )
        self.assertEqual([], self.ended)
        self.group.give_up('b', error)
        thread.join(10)
        [failure] = self.ended
        self.assertEqual(f'{GIVEN_UP} b: no', str(failure))

    def test_the_hold_began_with_the_first_lock(self):
        self.assertEqual(3.0, self.group.begin_hold(3.0))
        self.assertEqual(3.0, self.group.begin_hold(4.0))
