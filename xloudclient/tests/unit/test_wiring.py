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
import threading
import types
from unittest import mock

import testtools

from xloudclient import wiring
from xloudclient.consistency.errors import ExitCode
from xloudclient.consistency.outcome import Outcome, Status
from xloudclient.consistency.plan import Budget
from xloudclient.guest.access import Access
from xloudclient.guest.session import GRACE_SECONDS
from xloudclient.local.progress import Progress
from xloudclient.planning.planner import Prepared
from xloudclient.tests.fakes import world as fakes


class TestGuest(testtools.TestCase):
    def test_no_holder_gets_longer_to_release_than_a_hook_may_take(self):
        for hook, grace in ((0.5, 1), (4.0, 4), (30.0, GRACE_SECONDS)):
            plan = fakes.plan(budget=Budget(hook=hook))
            guest = wiring._guest(Prepared(plan, Access('10.0.0.5')))
            self.assertEqual(grace, guest._grace)


class TestRuns(testtools.TestCase):
    def test_one_that_cant_be_started_costs_no_other_its_outcome(self):
        prepared = [Prepared(self.plan(name)) for name in ('a', 'b', 'c')]
        options = types.SimpleNamespace(concurrency=8, group=False)
        wired = wiring.Wired(prepared, None, None, options, Progress(0))
        wired._execute = lambda one, *_: Outcome(
            one.plan, Status.FAILED, ExitCode.RELEASE_FAILED
        )
        start = threading.Thread.start

        def refuse(thread):
            if prepared[1] in thread._args:
                raise RuntimeError("can't start new thread")
            start(thread)

        with mock.patch('threading.Thread.start', refuse):
            outcomes = wired.run()
        self.assertEqual(
            [
                ExitCode.RELEASE_FAILED,
                ExitCode.FAILED,
                ExitCode.RELEASE_FAILED,
            ],
            [one.exit_code for one in outcomes],
        )
        self.assertIn("can't start new thread", outcomes[1].message)

    def plan(self, name):
        plan = fakes.plan(name=name)
        target = dataclasses.replace(plan.target, id=name, host_id=name)
        return dataclasses.replace(plan, target=target)
