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


"""A look into a guest: beside a run, and in nobody's way."""

import os
import signal
import subprocess

import testscenarios

from xloudclient.consistency.errors import Busy, NotQuiesced
from xloudclient.consistency.plan import Quiescer
from xloudclient.guest.look import Look
from xloudclient.tests.functional.test_guest_machine import (
    LEASE,
    GuestTest,
    send,
    wait_until,
)

SHELLS = [
    ('dash', {'shell': 'dash'}),
    ('busybox', {'shell': 'busybox ash'}),
]


class LookTest(testscenarios.WithScenarios, GuestTest):
    scenarios = SHELLS

    def look(self) -> Look:
        look = Look(
            self.sshd.access(), shell=self.shell, lease=LEASE, use_sudo=False
        )
        self.addCleanup(look.close)
        self.seen = look.open(20)
        return look

    def examine(self, script: str, timeout: float = 10):
        quiescer = Quiescer('x', f'#!/bin/sh\n{script}\n', (('a', 'b'),))
        return self.look().examine(quiescer, timeout)

    def test_it_tells_of_a_run_and_does_not_disturb_it(self) -> None:
        self.look()
        self.assertFalse(self.seen.is_taken)
        guest = self.open(self.shell)
        guest.start_lease(30)
        guest.hold(self.sshd.quiescer('one'), {}, 10)
        look = self.look()
        self.assertTrue(self.seen.is_taken)
        self.assertEqual(self.facts.boot_id, self.seen.boot_id)
        look.close()
        self.assertEqual('p1', guest.verify(5)[0].position)
        [released] = guest.release(20)
        self.assertTrue(released.is_free)
        guest.close()
        self.look()
        self.assertFalse(self.seen.is_taken)

    def test_what_lives_on_in_a_folder_that_is_gone_is_no_run(self) -> None:
        self.open(self.shell).close()
        folder = self.sshd / 'run' / 'xloudclient' / 'run.gone'
        folder.mkdir()
        left = subprocess.Popen(
            ['sh', '-c', 'sleep 60; :', 'xloud-supervisor', 'main'],
            cwd=folder,
            **self.sshd.ids,
        )
        self.addCleanup(left.wait)
        self.addCleanup(left.kill)
        self.look()
        self.assertTrue(self.seen.is_taken)
        folder.rmdir()
        self.look()
        self.assertFalse(self.seen.is_taken)

    def test_a_run_may_begin_and_other_looks_go_on(self) -> None:
        first, second = self.look(), self.look()
        guest = self.open(self.shell)
        guest.close()
        for look in (first, second):
            self.assertIn('databases', look.probe(20))
            look.close()
        self.assert_nothing_left()

    def test_a_killed_one_leaves_nothing(self) -> None:
        self.look()
        send(self.sshd.main(), signal.SIGKILL)
        wait_until(lambda: not self.sshd.processes(), LEASE + 20)
        left = set(os.listdir(self.sshd / 'run' / 'xloudclient'))
        self.assertLessEqual(left, {'lock', 'report'})

    def test_a_quiescer_is_asked_with_its_options_and_not_held(self) -> None:
        seen = self.examine(
            """printf '{"gives": "crash", "said": "%s"}' "$*" """
        )
        self.assertEqual('check a=b', seen.detail['said'])

    def test_why_it_could_not_quiesce(self) -> None:
        for script, failure in (
            ('echo no database >&2; exit 1', NotQuiesced),
            ('echo no database >&2; exit 75', Busy),
            ('echo no database', NotQuiesced),
        ):
            raised = self.assertRaises(failure, self.examine, script)
            self.assertTrue(str(raised).startswith(('x ', 'the answer of x')))

    def test_one_that_takes_too_long(self) -> None:
        self.assertRaises(TimeoutError, self.examine, 'sleep 60', 1)
