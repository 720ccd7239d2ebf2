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

import testtools

from xloudclient.consistency import auto
from xloudclient.consistency.answers import FreezeHook, GuestFacts
from xloudclient.consistency.errors import NotQuiesced
from xloudclient.consistency.plan import Consistency, Kind, Quiescer
from xloudclient.tests.fakes import world as fakes

CATALOGUE = {
    name: Quiescer(name, name, (), gives)
    for name, gives in (
        ('mysql', Consistency.APPLICATION),
        ('postgresql', Consistency.APPLICATION),
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
        found = {'databases': [{'quiescer': 'redis'}, {'quiescer': 'mysql'}]}
        self.assertEqual(['redis', 'mysql', 'sync'], self.names(found))
        self.assertEqual(
            ['redis', 'mysql', 'sync', 'fsfreeze'], self.names(found, True)
        )

    def test_what_takes_long_and_blocks_nobody_comes_first(self):
        names = ('mysql', 'redis', 'postgresql')
        found = {'databases': [{'quiescer': name} for name in names]}
        self.assertEqual(
            ['postgresql', 'redis', 'mysql', 'sync'], self.names(found)
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

    def test_more_than_can_be_held_at_once_is_refused(self):
        names = ['mysql'] * 5
        found = {'databases': [{'quiescer': name} for name in names]}
        self.assertEqual([*names, 'sync'], self.names(found))
        failure = self.assertRaises(NotQuiesced, self.resolve, found, True)
        self.assertIn('7 at once', str(failure))
        self.assertIn('--quiesce', failure.advice)

    def test_a_probe_that_answers_nonsense_is_refused(self):
        for found in (
            {'databases': 'x'},
            {'databases': [1]},
            {'databases': None},
            {'other': {'a': 1}},
        ):
            self.assertRaises(NotQuiesced, self.resolve, found)


class TestFreezeHook(testtools.TestCase):
    """Where the hook would hold what runs, it is left to the hook."""

    def resolve(self, names=('mysql',), found=('mysql',), **changes):
        agent = changes.pop('agent', 'used')
        has_agent = changes.pop('has_agent', True)
        hook = FreezeHook(
            True, False, tuple(map(self.quiescer, names)), 60, agent, 3
        )
        plan = fakes.plan(
            quiescers=(), is_auto=True, catalogue=CATALOGUE, **changes
        )
        target = dataclasses.replace(plan.target, has_agent=has_agent)
        plan = dataclasses.replace(plan, target=target)
        databases = [
            {'quiescer': word.split()[0], 'options': self.options(word)}
            for word in found
        ]
        probed = {'databases': databases, 'other': []}
        return auto.resolve(plan, probed, GuestFacts(), hook)

    def quiescer(self, word):
        name = word.split()[0]
        options = tuple(self.options(word).items())
        if name not in CATALOGUE:
            return Quiescer(name, '', options, None)
        return dataclasses.replace(CATALOGUE[name], options=options)

    def options(self, word):
        return {'socket': word.split()[1]} if ' ' in word else {}

    def test_it_holds_what_runs(self):
        for names, found, required in (
            (('mysql',), ('mysql',), Consistency.APPLICATION),
            (('mysql /a',), ('mysql /a',), Consistency.APPLICATION),
            (('mysql', './own'), ('mysql /a',), Consistency.APPLICATION),
            ((), (), Consistency.FILESYSTEM),
        ):
            plan = self.resolve(names, found)
            self.assertTrue(plan.by_agent, names)
            self.assertEqual((), plan.quiescers)
            self.assertEqual(required, plan.required)

    def test_else_it_is_held_over_ssh(self):
        for names, found in (
            (('mysql',), ('mysql', 'redis')),
            (('mysql', 'redis'), ('mysql',)),
            (('mysql',), ('mysql', 'mysql')),
            (('mysql /a',), ('mysql /b',)),
            ((), ('mysql',)),
        ):
            plan = self.resolve(names, found)
            self.assertFalse(plan.by_agent, names)
            self.assertEqual(len(found) + 1, len(plan.quiescers))

    def test_nova_has_to_call_it_for_this_capture(self):
        for changes in (
            {'agent': 'stale'},
            {'has_agent': False},
            {'kind': Kind.VOLUME},
            {'volumes': (fakes.data_volume(),)},
            {'group_id': 'g'},
            {'rehearse': True},
        ):
            self.assertFalse(self.resolve(**changes).by_agent, changes)
        self.assertTrue(
            self.resolve(
                volumes=(fakes.data_volume(),), with_data_volumes=False
            ).by_agent
        )
