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

"""What the options ask of the quiescers, before a guest is reached."""

import testtools

from xloudclient.consistency.errors import Misuse
from xloudclient.planning import freeze_hooks
from xloudclient.planning.wanted import built_in, read_quiescers


class TestNumber(testtools.TestCase):
    """A guest has room for so many holders."""

    def test_more_than_can_be_held_at_once_is_refused(self):
        self.assertEqual(6, len(read_quiescers(['sync'] * 6)))
        misuse = self.assertRaises(Misuse, read_quiescers, ['sync'] * 7)
        self.assertIn('--quiesce: at most 6', str(misuse))

    def test_a_freeze_hook_holds_one_fewer(self):
        freeze_hooks.check((built_in('sync'),) * 5, by_agent=False)
        misuse = self.assertRaises(
            Misuse, freeze_hooks.check, (built_in('sync'),) * 6, False
        )
        self.assertIn('--quiesce: a freeze hook holds at most 5', str(misuse))
