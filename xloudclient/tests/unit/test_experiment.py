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

"""What the experiment on real guests makes of what it saw."""

import dataclasses
from xml.etree import ElementTree

import testtools

from xloudclient.tests.e2e.experiment import page, picture
from xloudclient.tests.e2e.experiment.result import STORES, Result


def result(arm='nothing', store=None, disk=None, **more):
    """A result in which all is well, but for one store or disk."""
    well = {'last': 100, 'rows': 100, 'faults': []}
    stores = {name: dict(well) for name in STORES}
    stores['MyISAM'] |= store or {}
    disks = {'vda': {'type': 'ext4', 'replayed': False, 'fsck': ''}}
    disks['vda'] |= disk or {}
    return Result(
        arm,
        1,
        position=dict.fromkeys(STORES, 100),
        events=[('begun', 10.0), ('requested', 12.0), ('over', 20.0)],
        pauses={'MyISAM': [(2.0, 9.0), (13.0, 17.5)]},
        stores=stores,
        disks=disks,
        **more,
    )


class TestResult(testtools.TestCase):
    def test_all_that_was_acknowledged_is_there(self):
        self.assertTrue(result().is_clean)

    def test_rows_from_after_the_position_are_no_loss(self):
        seen = result(store={'last': 103, 'rows': 103})
        self.assertTrue(seen.is_clean)
        self.assertEqual(3, seen.beyond('MyISAM'))

    def test_rows_that_are_not_there_are_lost(self):
        seen = result(store={'last': 60, 'rows': 60})
        self.assertEqual(40, seen.lost('MyISAM'))
        self.assertFalse(seen.is_clean)

    def test_what_we_held_was_not_written_to(self):
        late = {'last': 103, 'rows': 103}
        seen = result(store=late, claimed='application')
        self.assertEqual(['MyISAM'], seen.leaked)
        self.assertFalse(seen.is_clean)
        # who holds nothing says nothing of it
        self.assertEqual([], result(store=late).leaked)

    def test_a_fault_is_damage(self):
        seen = result(store={'faults': ['Corrupt']})
        self.assertEqual(['MyISAM'], seen.torn)
        self.assertFalse(seen.is_clean)

    def test_a_journal_that_was_replayed_was_not_at_rest(self):
        seen = result(disk={'replayed': True})
        self.assertEqual(['vda'], seen.replayed)
        self.assertFalse(seen.is_clean)

    def test_xfs_replays_after_each_freeze(self):
        seen = result(disk={'type': 'xfs', 'replayed': True})
        self.assertTrue(seen.is_clean)

    def test_what_fsck_says_counts(self):
        self.assertFalse(result(disk={'fsck': 'wrong'}).is_clean)

    def test_only_pauses_around_the_snapshot_count(self):
        self.assertEqual(4.5, result().blocked('MyISAM'))
        self.assertEqual(0.0, result().blocked('Redis'))


class TestPage(testtools.TestCase):
    def test_a_row_says_what_was_lost_and_damaged(self):
        bad = result(store={'last': 60, 'rows': 60, 'faults': ['Corrupt']})
        text = page.render([bad, result('consistent', claimed='application')])
        self.assertIn('- MyISAM 40 (40)', text)
        self.assertIn('- 1 of 1 (MyISAM)', text)
        self.assertIn('- application', text)
        self.assertIn('- 4.50 s (4.50)', text)

    def test_what_was_written_later_is_told(self):
        text = page.render([result(store={'last': 103, 'rows': 103})])
        self.assertIn('- MyISAM 3', text)

    def test_the_large_disk_is_told_of_if_both_were_measured(self):
        slow = result('large-disk')
        self.assertNotIn('side by side', page.render([slow]))
        text = page.render([slow, result('large-disk-hook')])
        self.assertIn('4.5 to 4.5 s by the locks over', text)
        self.assertIn('4.50 to 4.50 s by the freeze hook', text)

    def test_a_trial_without_a_verdict_is_counted(self):
        failed = Result('nothing', 1, note='exit 5')
        text = page.render([failed, result()])
        self.assertIn('* - ``nothing``\n     - 1\n     - 1\n', text)

    def test_an_arm_that_only_failed_is_in_the_table(self):
        text = page.render([Result('nothing', 1, note='exit 3')] * 2)
        self.assertIn('* - ``nothing``\n     - 0\n     - 2\n', text)
        self.assertIn('     - 2\n     - –\n', text)

    def test_the_page_names_the_commits_of_its_runs(self):
        runs = [result(), dataclasses.replace(result(), commit='abc')]
        self.assertIn('The runs are of commit abc.\n', page.render(runs))
        self.assertNotIn('commit', page.render([result()]))

    def test_an_arm_that_was_not_run_is_left_out(self):
        self.assertNotIn('* - ``recipe``', page.render([result()]))

    def test_each_store_s_time_is_told(self):
        text = page.render([result()])
        short = '< 0.5'
        cells = ['``nothing``', short, short, '4.50', short, short, short]
        self.assertIn('\n     - '.join(cells), text)

    def test_the_picture_has_room_for_all_that_it_says(self):
        events = [(name, 1.0 + n / 10) for n, name in enumerate(picture.MARKS)]
        crowded = result()
        crowded.events[:] = [('begun', -80.0), *events, ('over', 3.0)]
        root = ElementTree.fromstring(picture.render([crowded]))
        said = {
            one.text: float(one.get('x'))
            for one in root.iter()
            if one.text in picture.MARKS
        }
        places = [said[name] for name in picture.MARKS]
        self.assertEqual(sorted(places), places)
        for name, next_place in zip(
            picture.MARKS, [*places[1:], picture.WIDTH], strict=True
        ):
            self.assertLessEqual(said[name] + 6.2 * len(name), next_place)

    def test_the_picture_is_an_image_of_each_arm(self):
        chosen = page.chosen([result(), result('consistent')])
        self.assertEqual(['nothing', 'consistent'], [a.arm for a in chosen])
        root = ElementTree.fromstring(picture.render(chosen))
        self.assertEqual('{http://www.w3.org/2000/svg}svg', root.tag)
