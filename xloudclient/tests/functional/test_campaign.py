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

"""The telling cells of the fault campaign; ``tools/campaign`` runs them all.

The rest of the table takes over an hour, and is in the documentation.
"""

import testtools

from xloudclient.tests.cloud import fixture
from xloudclient.tests.functional.campaign import (
    faults,
    judge,
    phases,
    table,
)
from xloudclient.tests.functional.campaign.fast import FAST
from xloudclient.tests.functional.campaign.observation import Observation
from xloudclient.tests.functional.campaign.runner import Cell
from xloudclient.tests.functional.campaign.stage import Stage


class CampaignTest(testtools.TestCase):
    """One cloud and one server serve all cells, one after the other."""

    def setUp(self):
        super().setUp()
        place = self.useFixture(fixture.CloudFixture())
        self.stage = Stage(place.cloud)
        self.stage.__enter__()
        self.addCleanup(self.stage.__exit__)

    def test_the_telling_cells_hold_nothing_and_claim_nothing_false(self):
        bad = []
        for phase, fault in FAST:
            struck = faults.BY_NAME[fault]
            seen = Cell(self.stage, phases.BY_NAME[phase], struck).run()
            bad += [
                f'{phase}, {fault}: {one}: {seen.said}'
                for one in judge.problems(seen, struck)
            ]
            if fault == 'lock session KILLed':
                # those who could tell of a false claim do see the rows
                self.assertGreater(seen.written, 0, seen)
        self.assertEqual([], bad)


class TableTest(testtools.TestCase):
    def test_what_must_not_be_is_a_problem(self):
        for bad in (
            {'recorded': 'application', 'held': True, 'written': 1},
            {'claimed': 'application', 'held': False},
            {'blocked': ('mysql',)},
            {'freed': 99.0},
            {'code': 6},
            {'code': 9},
            {'code': 0},
            {'code': None},
            {'has_traceback': True},
            {'next_code': 1},
            {'left_then': ('journal',)},
        ):
            well = {'phase': 'held', 'fault': 'SIGINT', 'code': 130}
            seen = Observation(**{**well, **bad})
            found = judge.problems(seen, faults.BY_NAME['SIGINT'])
            self.assertEqual(1, len(found), (bad, found))

    def test_a_signal_s_exit_code_is_its_own_in_a_post_hook_too(self):
        fault = faults.BY_NAME['SIGINT']
        seen = Observation('post hook', fault.name, code=6)
        self.assertEqual(1, len(judge.problems(seen, fault)))

    def test_what_no_witness_can_see_is_refuted_by_the_fault(self):
        fault = faults.BY_NAME['PostgreSQL kill -9, restarted']
        for phase, expected in (('capturing', 1), ('verifying', 0)):
            seen = Observation(
                phase, fault.name, code=0, recorded='application', held=True
            )
            found = judge.problems(seen, fault)
            self.assertEqual(expected, len(found), found)

    def test_the_page_counts_what_must_not_be_and_shows_it_in_bold(self):
        well = Observation('held', 'SIGINT', code=130, freed=0.5, commit='abc')
        bad = Observation('held', 'SIGTERM', code=0, blocked=('mysql',))
        page = table.render([well, bad])
        self.assertIn('2 of ', page)
        self.assertIn('run on commit abc.', page)
        self.assertIn('; 1 of them is bad', page)
        self.assertIn('     - **0**\n', page)
        self.assertIn('     - nothing. **HELD: mysql can not write', page)
        self.assertIn('   * - held\n     - 0.5 s\n     - 130\n', page)

    def test_the_page_tells_of_cells_that_were_bad_at_first(self):
        bad = Observation('held', 'SIGINT', code=6)
        well = Observation('held', 'SIGINT', code=130)
        page = table.render([bad, well])
        self.assertIn('none of them are bad', page)
        self.assertIn('* held, SIGINT: 2 tries, 1 of the earlier', page)
        self.assertNotIn('tries', table.render([well]))

    def test_every_cell_of_the_fast_part_is_in_the_table(self):
        for phase, fault in FAST:
            self.assertIn(phase, faults.BY_NAME[fault].phases)

    def test_a_fault_that_is_not_tried_somewhere_says_why(self):
        for fault in faults.FAULTS:
            if set(fault.phases) != set(phases.BY_NAME):
                self.assertNotEqual('', fault.why_not, fault.name)
