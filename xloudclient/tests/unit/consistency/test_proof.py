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

from xloudclient.consistency import proof
from xloudclient.consistency.answers import Data, Evidence, GuestFacts
from xloudclient.consistency.plan import (
    Consistency,
    GuestState,
    Kind,
    Quiescer,
    Volume,
)
from xloudclient.consistency.proof import Holder
from xloudclient.tests.fakes import world as fakes

FACTS = GuestFacts('boot', ('vda',), {'vdb': fakes.VOLUME[:20]})
MYSQL = Quiescer('mysql', '', (), Consistency.APPLICATION)
FSFREEZE = Quiescer('fsfreeze', '', (), Consistency.FILESYSTEM)
OWN = Quiescer('./own', '', (), None)


def holder(quiescer=MYSQL, held=None, **ready):
    if quiescer is MYSQL:
        ready.setdefault('data', (Data('/var/lib/mysql', ('vda',)),))
    said = Evidence(**ready)
    return Holder(quiescer, said, said if held is None else held)


class TestProof(testtools.TestCase):
    def prove(self, *holders, facts=FACTS, lapses=(), **plan):
        return proof.prove(fakes.plan(**plan), facts, holders, lapses)

    def expect(self, consistency, *holders, **more):
        proof = self.prove(*holders, **more)
        self.assertEqual(consistency, proof.consistency, proof.reason)
        return proof

    def test_a_held_database_on_one_disk_is_application(self):
        self.expect(Consistency.APPLICATION, holder())

    def test_nothing_held_is_crash(self):
        self.expect(Consistency.CRASH)

    def test_a_position_that_moved_is_no_hold(self):
        proof = self.expect(
            Consistency.CRASH,
            holder(position='1-1-7', held=Evidence(position='1-1-8')),
        )
        self.assertIn('moved', proof.reason)

    def test_one_lost_of_two_databases_is_crash(self):
        self.expect(Consistency.CRASH, holder(), holder(held='gone'))

    def test_a_lapse_is_crash(self):
        self.expect(Consistency.CRASH, holder(), lapses=['silence'])

    def test_data_on_a_disk_that_was_not_captured_is_none(self):
        data = (Data('/mnt/nfs', ('sdz',)),)
        proof = self.expect(Consistency.NONE, holder(data=data))
        self.assertIn('/mnt/nfs is on sdz', proof.reason)

    def test_a_file_system_that_is_captured_in_part_is_none(self):
        line = {'frozen': [{'path': '/', 'disks': ['vda', 'vdz']}]}
        frozen = proof.read_line(line)
        said = self.expect(
            Consistency.NONE,
            Holder(FSFREEZE, frozen, Evidence()),
        )
        self.assertIn('/ is also on vdz', said.reason)
        roots = GuestFacts('boot', ('vda', 'vdb'), {})
        self.expect(Consistency.NONE, facts=roots)

    def test_data_on_an_unknown_disk_is_none(self):
        self.expect(Consistency.NONE, holder(data=(Data('/x'),)))

    def test_data_nobody_knows_of_is_none(self):
        self.expect(Consistency.NONE, holder(data=()))

    def test_an_excluded_volume_is_none(self):
        proof = self.expect(
            Consistency.NONE,
            holder(data=(Data('/data', ('vdb',)),)),
            volumes=(Volume(fakes.VOLUME, '/dev/vdb'),),
            with_data_volumes=False,
        )
        self.assertIn('vdb', proof.reason)

    def test_two_disks_need_a_freeze_of_both(self):
        two = {'volumes': (Volume(fakes.VOLUME, '/dev/vdb'),)}
        self.expect(Consistency.NONE, holder(), **two)
        one = holder(FSFREEZE, frozen=('vda',))
        self.expect(Consistency.NONE, holder(), one, **two)
        both = holder(FSFREEZE, frozen=('vda', 'vdb'))
        self.expect(Consistency.APPLICATION, holder(), both, **two)
        self.expect(Consistency.FILESYSTEM, both, **two)

    def test_a_volume_the_guest_does_not_show_is_not_frozen(self):
        both = holder(FSFREEZE, frozen=('vda', 'vdb'))
        self.expect(
            Consistency.NONE,
            both,
            facts=GuestFacts('boot', ('vda',), {}),
            volumes=(Volume(fakes.VOLUME, '/dev/vdb'),),
        )

    def test_a_root_over_a_disk_that_was_not_captured_is_none(self):
        lvm = GuestFacts('boot', ('vda', 'vdb'), {'vdb': fakes.VOLUME[:20]})
        self.expect(
            Consistency.NONE,
            holder(data=(Data('/var/lib/mysql', ('vda', 'vdb')),)),
            facts=lvm,
            volumes=(Volume(fakes.VOLUME, '/dev/vdb'),),
            with_data_volumes=False,
        )

    def test_a_volume_without_a_serial_may_be_what_is_below_the_root(self):
        attached = {
            'volumes': (Volume(fakes.VOLUME, '/dev/sdb'),),
            'with_data_volumes': False,
        }
        data = (Data('/var/lib/mysql', ('sdb',)),)
        for serials, expected in (
            ({}, Consistency.NONE),
            ({'sdc': fakes.VOLUME}, Consistency.APPLICATION),
        ):
            self.expect(
                expected,
                holder(data=data),
                facts=GuestFacts('boot', ('sdb',), serials),
                **attached,
            )

    def test_without_serials_the_only_disk_is_the_captured_one(self):
        facts = GuestFacts('boot', ('vda',), {})
        self.expect(Consistency.APPLICATION, holder(), facts=facts)
        root = {'kind': Kind.VOLUME, 'volumes': (Volume(fakes.VOLUME, ''),)}
        self.expect(Consistency.APPLICATION, holder(), facts=facts, **root)

    def test_a_root_over_an_ephemeral_disk_is_none(self):
        lvm = GuestFacts('boot', ('vda', 'vdb'), {})
        self.expect(
            Consistency.NONE,
            holder(data=(Data('/var/lib/mysql', ('vda', 'vdb')),)),
            facts=lvm,
        )

    def test_what_a_holder_takes_back_counts_beside_a_better_one(self):
        less = Quiescer('postgresql', '', (), Consistency.APPLICATION)
        proof = self.expect(
            Consistency.CRASH,
            holder(),
            holder(
                less,
                gives=Consistency.CRASH,
                data=(Data('/p', ('vda',)),),
                detail={'reason': 'fsync is off'},
            ),
        )
        self.assertIn('fsync is off', proof.reason)

    def test_a_volume_backed_server_counts_its_volumes(self):
        root = {'kind': Kind.VOLUME, 'volumes': (Volume(fakes.VOLUME, ''),)}
        facts = GuestFacts('boot', ('vda',), {'vda': fakes.VOLUME[:20]})
        self.expect(Consistency.APPLICATION, holder(), facts=facts, **root)

    def test_a_freeze_that_was_lifted_is_no_freeze(self):
        self.expect(
            Consistency.CRASH,
            holder(FSFREEZE, frozen=('vda',), held='/ is not frozen'),
        )

    def test_a_freeze_of_too_little_is_crash(self):
        self.expect(Consistency.CRASH, holder(FSFREEZE, frozen=('vdz',)))

    def test_an_own_hook_gives_what_it_declares(self):
        self.expect(Consistency.CRASH, holder(OWN))
        self.expect(
            Consistency.APPLICATION,
            holder(OWN, gives=Consistency.APPLICATION),
        )

    def test_a_built_in_cannot_declare_more_than_it_gives(self):
        sync = Quiescer('sync', '', (), Consistency.CRASH)
        self.expect(
            Consistency.CRASH, holder(sync, gives=Consistency.APPLICATION)
        )

    def test_the_position_is_kept(self):
        proof = self.prove(holder(position='bin.1:328'))
        self.assertEqual('bin.1:328', proof.position)

    def test_an_idle_guest(self):
        for state, reason in (('stopped', 'stopped'), ('paused', 'paused')):
            plan = fakes.plan(state=GuestState(state))
            shown = proof.prove_idle(plan)
            self.assertEqual(Consistency.CRASH, shown.consistency)
            self.assertIn(reason, shown.reason)

    def test_what_others_may_write_is_not_held(self):
        """A multi-attach volume: the freeze here stops nobody there."""
        shared = {
            'kind': Kind.VOLUME,
            'volumes': (Volume('v', '/dev/vda', frozenset('ab')),),
        }
        frozen = self.expect(Consistency.NONE, holder(), **shared)
        self.assertIn('volume v', frozen.reason)
        stopped = fakes.plan(state=GuestState.STOPPED, **shared)
        idle = proof.prove_idle(stopped)
        self.assertEqual(frozen.reason, idle.reason)


class TestReadingTheGuest(testtools.TestCase):
    def test_a_ready_line(self):
        said = proof.read_line(
            {
                'gives': 'application',
                'data': [{'path': '/var/lib/mysql', 'disks': ['vda']}],
                'position': 'b.1:4',
            }
        )
        self.assertEqual(Consistency.APPLICATION, said.gives)
        self.assertEqual((Data('/var/lib/mysql', ('vda',)),), said.data)

    def test_what_has_another_shape_is_not_said(self):
        for line in (
            {'gives': 'everything'},
            {'data': 'x'},
            {'data': [1, {'disks': 'vda'}]},
            {'frozen': {'a': 1}},
            {'position': {'a': 1}},
        ):
            said = proof.read_line(line)
            self.assertIsNone(said.gives)
            self.assertEqual((), said.data)
            self.assertEqual((), said.frozen)

    def test_a_disk_with_a_skipped_file_system_is_not_frozen(self):
        said = proof.read_line(
            {
                'frozen': [
                    {'path': '/a', 'disks': ['vdb']},
                    {'path': '/', 'disks': ['vda']},
                ],
                'skipped': [{'path': '/boot', 'disks': ['vda']}],
            }
        )
        self.assertEqual(('vdb',), said.frozen)
