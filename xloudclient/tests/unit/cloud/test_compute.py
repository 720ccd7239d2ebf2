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

from unittest import mock

import testtools

from xloudclient.cloud.compute import Servers
from xloudclient.tests.fakes import world as fakes


def servers(body):
    """Servers of a Nova that answers everything with the same."""
    found = Servers(mock.Mock())
    found._get = mock.Mock(return_value=body)
    return found


class TestServers(testtools.TestCase):
    def test_what_is_no_id_is_not_asked_for(self):
        found = servers({'server': {'id': fakes.SERVER}})
        for text in ('', '../flavors', f'{fakes.SERVER}/../x', 'db\x1b'):
            self.assertIsNone(found.get(text))
        found._get.assert_not_called()
        self.assertEqual({'id': fakes.SERVER}, found.get(fakes.SERVER))
