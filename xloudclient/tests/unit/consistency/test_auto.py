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

from xloudclient.consistency import auto
from xloudclient.consistency.errors import NotQuiesced
from xloudclient.consistency.plan import Consistency, Quiescer
from xloudclient.consistency.ports import GuestFacts
from xloudclient.tests.fakes import world as fakes

CATALOGUE = {
    name: Quiescer(name, name, (), gives)
    for name, gives in (
        ('mysql', Consistency.APPLICATION),
        ('redis', Consistency.APPLICATION),
        ('sync', Consistency.CRASH),
        ('fsfreeze', Consistency.FILESYSTEM),
    )
}


class TestAuto(testtools.TestCase):
    def resolve(self, found, may_freeze=False, **changes):
        plan = fakes.plan(
            quiescers=(), is_auto=True, catalogue=CATALOGUE, **changes
        )
        found = {'databases': [], 'other': [], **found}
        return auto.resolve(plan, found, GuestFacts(may_freeze=may_freeze))

    def names(self, *arguments):
        return [one.name for one in self.resolve(*arguments).quiescers]

    def test_databases_come_first_then_the_file_systems(self):
        found = {'databases': [{'quiescer': 'mysql'}, {'quiescer': 'redis'}]}
        self.assertEqual(['mysql', 'redis', 'sync'], self.names(found))
        self.assertEqual(
            ['mysql', 'redis', 'sync', 'fsfreeze'], self.names(found, True)
        )

    def test_each_server_of_a_kind_has_its_holder_and_options(self):
        found = {
            'databases': [
                {'quiescer': 'mysql', 'options': {'socket': '/a'}},
                {'quiescer': 'mysql', 'options': {'socket': '/b'}},
            ]
        }
        one, two, _ = self.resolve(found).quiescers
        self.assertEqual((('socket', '/a'),), one.options)
        self.assertEqual((('socket', '/b'),), two.options)

    def test_what_is_required_follows_what_was_found(self):
        found = {'databases': [{'quiescer': 'mysql'}]}
        self.assertEqual(Consistency.APPLICATION, self.resolve(found).required)
        self.assertEqual(Consistency.CRASH, self.resolve({}).required)
        asked = self.resolve(
            {}, required=Consistency.NONE, is_required_by_default=False
        )
        self.assertEqual(Consistency.NONE, asked.required)

    def test_what_it_cannot_quiesce_is_refused(self):
        for found in (
            {'other': ['mongod']},
            {'databases': [{'quiescer': 'oracle'}]},
        ):
            self.assertRaises(NotQuiesced, self.resolve, found)

    def test_a_probe_that_answers_nonsense_is_refused(self):
        for found in (
            {'databases': 'x'},
            {'databases': [1]},
            {'databases': None},
            {'other': {'a': 1}},
        ):
            self.assertRaises(NotQuiesced, self.resolve, found)
