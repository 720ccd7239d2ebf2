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

"""What a planner makes of options that do not suit a server."""

import functools
import types
from unittest import mock

import testtools

from xloudclient.consistency.errors import Misuse, NotQuiesced
from xloudclient.consistency.plan import Hook, Kind, Place
from xloudclient.planning.planner import Planner
from xloudclient.tests.fakes import world as fakes


class TestPlanner(testtools.TestCase):
    def test_the_server_is_named_that_data_volumes_are_not_for(self):
        cloud = mock.Mock()
        target = fakes.plan(name='db\x1b', kind=Kind.VOLUME).target
        cloud.servers.target.return_value = target
        options = types.SimpleNamespace(data_volumes=False)
        planner = Planner(options, mock.Mock(), cloud, 'p')
        misuse = self.assertRaises(Misuse, planner.plan, {'id': target.id})
        self.assertIn('; db\\x1b is volume-backed', str(misuse))

    def test_what_the_guest_cannot_be_told_is_refused_untouched(self):
        guest = functools.partial(Hook, '/hook', Place.GUEST)
        planner = Planner(None, mock.Mock(), mock.Mock(), 'p')
        planner.way_to = mock.Mock(
            return_value=mock.Mock(address='a', login_command='ssh a')
        )
        self.assertTrue(planner._with_guest(fakes.plan(), {}).guest)
        for changes in (
            {'hooks': (guest(pre=('x' * 3001,)),)},
            {'hooks': (guest(post=('pre', ' ' * 601)),)},
            {'hooks': (guest(),), 'name': '\u9ed2' * 255},
            {'hooks': (guest(),), 'snapshot_name': '\ud800'},
        ):
            plan = fakes.plan(**changes)
            self.assertRaises(NotQuiesced, planner._with_guest, plan, {})

    def test_only_a_name_that_nova_makes_longer_is_cut_shorter(self):
        cloud = mock.Mock()
        cloud.images.has_name.return_value = False
        planner = Planner(None, mock.Mock(), cloud, 'p')
        planner.wanted.name = '{server}'
        for kind, length in ((Kind.IMAGE, 255), (Kind.VOLUME, 242)):
            plan = fakes.plan(name='x' * 300, kind=kind, volumes=('a', 'b'))
            name = planner._name(plan.target, 'run')
            self.assertEqual(length, len(name), kind)
