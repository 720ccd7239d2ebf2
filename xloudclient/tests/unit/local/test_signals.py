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

import os
import signal
import subprocess
import sys
import threading
import time

import testtools

from xloudclient.local import signals


class SignalsTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        for number in signals.SIGNALS:
            self.addCleanup(signal.signal, number, signal.getsignal(number))
            signal.signal(number, signal.SIG_DFL)
        self.again = threading.Semaphore(0)


class TestInterruption(SignalsTestCase):
    def test_each_signal_is_converted(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with signals.interruptible(self.again.release) as interruption:
                self.assertEqual(0, interruption.signal_number)
                os.kill(os.getpid(), number)
                self.assertTrue(interruption.wait(5))
                self.assertEqual(number, interruption.signal_number)

    def test_without_a_signal_a_wait_takes_its_time(self):
        began = time.monotonic()
        self.assertFalse(signals.Interruption().wait(0.05))
        self.assertGreaterEqual(time.monotonic() - began, 0.05)

    def test_a_wait_of_less_than_nothing_is_none(self):
        self.assertFalse(signals.Interruption().wait(-1))

    def wait_and(self, kill, interruption):
        """Wait, and call it in another thread when that is about to begin."""
        begun = threading.Event()
        descriptor = interruption.fileno()

        def fileno():
            begun.set()
            return descriptor

        # the last thing that is asked for before the wait
        interruption.fileno = fileno
        thread = threading.Thread(target=lambda: begun.wait() and kill())
        thread.start()
        began = time.monotonic()
        self.assertTrue(interruption.wait(10))
        self.assertLess(time.monotonic() - began, 5)
        thread.join()

    def test_a_signal_ends_a_wait(self):
        with signals.interruptible(self.again.release) as interruption:
            self.wait_and(
                lambda: os.kill(os.getpid(), signal.SIGTERM), interruption
            )

    def test_a_signal_that_ends_no_system_call_ends_a_wait(self):
        """As one that comes just before it: here another thread takes it."""
        with signals.interruptible(self.again.release) as interruption:
            self.wait_and(
                lambda: signal.pthread_kill(
                    threading.get_ident(), signal.SIGTERM
                ),
                interruption,
            )

    def test_so_is_one_that_comes_while_threads_are_waited_for(self):
        with signals.interruptible(self.again.release) as interruption:
            thread = threading.Thread(target=interruption.wait, args=(10,))
            killer = threading.Thread(
                target=lambda: signal.pthread_kill(
                    threading.get_ident(), signal.SIGTERM
                )
            )
            thread.start()
            killer.start()
            began = time.monotonic()
            signals.join([thread, killer])
            self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(signal.SIGTERM, interruption.signal_number)

    def test_one_that_comes_as_soon_as_it_is_handled_is_heard(self):
        install = signals._install

        def install_in_time(handle):
            previous = install(handle)
            signal.raise_signal(signal.SIGTERM)
            return previous

        self.patch(signals, '_install', install_in_time)
        with signals.interruptible(self.again.release) as interruption:
            self.assertEqual(signal.SIGTERM, interruption.signal_number)

    def test_all_threads_see_it(self):
        interruption = signals.Interruption()
        interruption.set(signal.SIGTERM)
        for _ in range(3):
            self.assertTrue(interruption.wait(0))

    def test_the_first_signal_counts(self):
        with signals.interruptible(self.again.release) as interruption:
            os.kill(os.getpid(), signal.SIGTERM)
            self.assertTrue(interruption.wait(5))
            os.kill(os.getpid(), signal.SIGINT)
            self.assertTrue(self.again.acquire(timeout=5))
            self.assertEqual(signal.SIGTERM, interruption.signal_number)

    def test_it_is_still_known_after_the_block(self):
        with signals.interruptible(self.again.release) as interruption:
            os.kill(os.getpid(), signal.SIGTERM)
            self.assertTrue(interruption.wait(5))
        self.assertTrue(interruption.wait(0))
        self.assertEqual(signal.SIGTERM, interruption.signal_number)


class TestSecondSignal(SignalsTestCase):
    # one at a time: signals that nobody has seen yet merge into one

    def interrupt(self, interruption):
        os.kill(os.getpid(), signal.SIGINT)
        self.assertTrue(interruption.wait(5))

    def interrupt_again(self):
        os.kill(os.getpid(), signal.SIGINT)
        self.assertTrue(self.again.acquire(timeout=5))

    def test_the_first_one_says_nothing(self):
        with signals.interruptible(self.again.release) as interruption:
            self.interrupt(interruption)
            self.assertFalse(self.again.acquire(timeout=0.05))

    def test_each_further_one_says_what_is_waited_for(self):
        with signals.interruptible(self.again.release) as interruption:
            self.interrupt(interruption)
            self.interrupt_again()
            self.interrupt_again()

    def test_trouble_with_saying_it_is_ignored(self):
        def say():
            self.again.release()
            raise BrokenPipeError

        with signals.interruptible(say) as interruption:
            self.interrupt(interruption)
            self.interrupt_again()
            self.interrupt_again()


class TestHandlers(SignalsTestCase):
    def test_the_old_ones_are_restored(self):
        def mine(number, frame):
            pass

        signal.signal(signal.SIGTERM, mine)
        with signals.interruptible(self.again.release):
            self.assertIsNot(mine, signal.getsignal(signal.SIGTERM))
        self.assertIs(mine, signal.getsignal(signal.SIGTERM))
        self.assertIs(signal.SIG_DFL, signal.getsignal(signal.SIGHUP))

    def test_they_are_restored_after_an_exception_too(self):
        def fail():
            with signals.interruptible(self.again.release):
                raise LookupError

        self.assertRaises(LookupError, fail)
        self.assertIs(signal.SIG_DFL, signal.getsignal(signal.SIGTERM))

    def test_an_ignored_signal_stays_ignored(self):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with signals.interruptible(self.again.release) as interruption:
            os.kill(os.getpid(), signal.SIGHUP)
            self.assertEqual(0, interruption.signal_number)
        self.assertIs(signal.SIG_IGN, signal.getsignal(signal.SIGHUP))

    def test_a_storm_of_signals_does_no_harm(self):
        """In a process of its own: a deadlock would be ours."""
        script = (
            'import os, signal, threading\n'
            'from xloudclient.local import signals\n'
            'def storm():\n'
            '    for _ in range(2000):\n'
            '        os.kill(os.getpid(), signal.SIGINT)\n'
            'with signals.interruptible(lambda: None) as interruption:\n'
            '    thread = threading.Thread(target=storm)\n'
            '    thread.start()\n'
            '    while thread.is_alive():\n'
            '        interruption.wait(0.001)\n'
            '    print(interruption.signal_number)\n'
        )
        result = subprocess.run(
            [sys.executable, '-c', script],
            capture_output=True,
            text=True,
            timeout=30,
        )
        self.assertEqual(('2\n', ''), (result.stdout, result.stderr))
