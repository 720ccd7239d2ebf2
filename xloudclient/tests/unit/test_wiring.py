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

import testtools

from xloudclient import wiring
from xloudclient.consistency.plan import Budget
from xloudclient.guest.access import Access
from xloudclient.guest.session import GRACE_SECONDS
from xloudclient.planning.planner import Prepared
from xloudclient.tests.fakes import world as fakes


class TestGuest(testtools.TestCase):
    def test_no_holder_gets_longer_to_release_than_a_hook_may_take(self):
        for hook, grace in ((0.5, 1), (4.0, 4), (30.0, GRACE_SECONDS)):
            plan = fakes.plan(budget=Budget(hook=hook))
            guest = wiring._guest(Prepared(plan, Access('10.0.0.5')))
            self.assertEqual(grace, guest._grace)
