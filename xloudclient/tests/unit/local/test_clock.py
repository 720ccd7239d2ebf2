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

import re
import signal
import subprocess
import sys
import threading
import time

import testtools

from xloudclient.local import clock, signals


class ClockTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.interruption = signals.Interruption()
        self.clock = clock.SystemClock(self.interruption)
        self.never = threading.Event()
        self.addCleanup(self.never.set)

    def interrupt_soon(self):
        timer = threading.Timer(0.02, self.interruption.set, (signal.SIGTERM,))
        timer.start()
        self.addCleanup(timer.join)


class TestTime(ClockTestCase):
    def test_utc_has_milliseconds_and_its_zone(self):
        pattern = r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z'
        self.assertTrue(re.fullmatch(pattern, self.clock.utc()))

    def test_now_is_of_the_clock_that_nobody_sets(self):
        before = time.monotonic()
        now = self.clock.now()
        self.assertLessEqual(before, now)
        self.assertLessEqual(now, time.monotonic())

    def test_it_knows_the_signal(self):
        self.assertEqual(0, self.clock.interrupted)
        self.interruption.set(signal.SIGHUP)
        self.assertEqual(1, self.clock.interrupted)


class TestWait(ClockTestCase):
    def elapsed(self, *arguments):
        began = time.monotonic()
        self.clock.wait(*arguments)
        return time.monotonic() - began

    def test_it_takes_its_time(self):
        self.assertGreaterEqual(self.elapsed(0.03), 0.03)

    def test_a_signal_ends_it(self):
        self.interrupt_soon()
        self.assertLess(self.elapsed(10), 5)

    def test_after_a_signal_it_returns_at_once(self):
        self.interruption.set(signal.SIGINT)
        self.assertLess(self.elapsed(10), 5)

    def test_it_can_ignore_signals(self):
        self.interruption.set(signal.SIGINT)
        self.assertGreaterEqual(self.elapsed(0.03, True), 0.03)

    def test_less_than_nothing_is_nothing(self):
        self.elapsed(-1)
        self.elapsed(-1, True)


class TestBounded(ClockTestCase):
    def test_it_returns_what_the_call_returns(self):
        self.assertEqual(42, self.clock.bounded(lambda: 42, 5))
        self.assertIsNone(self.clock.bounded(lambda: None, 5))

    def test_it_raises_what_the_call_raises(self):
        def fail():
            raise LookupError('no server')

        error = self.assertRaises(LookupError, self.clock.bounded, fail, 5)
        self.assertEqual('no server', str(error))

    def test_even_what_is_no_exception(self):
        self.assertRaises(SystemExit, self.clock.bounded, sys.exit, 5)

    def test_a_call_that_hangs_is_a_time_out(self):
        error = self.assertRaises(
            TimeoutError, self.clock.bounded, self.never.wait, 0.03
        )
        self.assertIn('0.03 s', str(error))
        self.assertEqual(0, self.clock.interrupted)

    def test_a_signal_ends_the_waiting(self):
        self.interrupt_soon()
        began = time.monotonic()
        self.assertRaises(
            TimeoutError, self.clock.bounded, self.never.wait, 10
        )
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(signal.SIGTERM, self.clock.interrupted)

    def test_after_a_signal_nothing_is_begun(self):
        self.interruption.set(signal.SIGINT)
        begun = []
        self.assertRaises(
            TimeoutError, self.clock.bounded, lambda: begun.append(1), 5
        )
        self.assertEqual([], begun)

    def test_what_must_be_done_is_done_after_a_signal_too(self):
        self.interruption.set(signal.SIGINT)
        self.assertEqual(42, self.clock.bounded(lambda: 42, 5, True))

    def test_a_call_may_end_after_nobody_waits_any_more(self):
        ended = threading.Event()

        def late():
            self.never.wait()
            ended.set()

        self.assertRaises(TimeoutError, self.clock.bounded, late, 0.01)
        self.never.set()
        self.assertTrue(ended.wait(5))

    def test_a_call_that_hangs_does_not_keep_the_process(self):
        script = (
            'import threading\n'
            'from xloudclient.local import clock, signals\n'
            'one = clock.SystemClock(signals.Interruption())\n'
            'try:\n'
            '    one.bounded(threading.Event().wait, 0.01)\n'
            'except TimeoutError:\n'
            '    print("late")\n'
        )
        result = subprocess.run(
            [sys.executable, '-c', script],
            capture_output=True,
            text=True,
            timeout=30,
        )
        self.assertEqual(('late\n', ''), (result.stdout, result.stderr))
