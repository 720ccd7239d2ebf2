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

"""What freeze hooks are told to hold."""

from unittest import mock

import testtools

from xloudclient.consistency.answers import FreezeHook, GuestFacts
from xloudclient.consistency.errors import ExitCode
from xloudclient.planning import freeze_hooks
from xloudclient.planning.patience import Patience
from xloudclient.tests.fakes import world as fakes


class TestAuto(testtools.TestCase):
    def install(self, databases):
        """Install the hook where these run; return the row and the guest."""
        guest = mock.Mock()
        guest.open.return_value = GuestFacts(cards=(fakes.CARD,))
        guest.probe.return_value = {
            'databases': [{'quiescer': name} for name in databases],
            'other': [],
        }
        guest.install_freeze_hook.return_value = FreezeHook()
        planner = mock.Mock()
        planner.wanted.is_auto = True
        planner.options.hook_timeout = 1.0
        planner.cloud.servers.target.return_value = fakes.plan().target
        planner.way_to.return_value.address = '10.0.0.5'
        patience = Patience(fakes.World().clock)
        hooks = freeze_hooks.FreezeHooks(planner, 'install', patience)
        with mock.patch.object(freeze_hooks, 'Look', return_value=guest):
            return hooks.row({'name': 'db'}), guest

    def test_a_server_with_more_than_it_can_hold_has_its_own_row(self):
        row, guest = self.install(['mysql'] * 5)
        self.assertEqual(ExitCode.DONE, row.exit_code)
        guest.install_freeze_hook.assert_called_once()
        row, guest = self.install(['mysql'] * 6)
        guest.install_freeze_hook.assert_not_called()
        self.assertEqual(ExitCode.NOT_QUIESCED, row.exit_code)
        self.assertIn('at most 5', row.reason)
