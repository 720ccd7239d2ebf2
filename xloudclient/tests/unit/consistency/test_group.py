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

"""Runs of a group: all or nothing.

First one run, with others that do as the test says: no threads. Then two,
each in its thread, at the rendezvous that is used in earnest.
"""

import dataclasses
import functools
import itertools
import threading

from xloudclient.consistency.answers import Data, Evidence
from xloudclient.consistency.errors import (
    CaptureFailed,
    ExitCode,
    Failure,
    GroupBroken,
    NotQuiesced,
    OutOfTime,
)
from xloudclient.consistency.group import Stage
from xloudclient.consistency.outcome import Status
from xloudclient.consistency.plan import (
    Consistency,
    GuestState,
    Quiescer,
)
from xloudclient.consistency.run import Run
from xloudclient.local.rendezvous import Rendezvous
from xloudclient.tests.fakes import world as fakes
from xloudclient.tests.fakes.world import End
from xloudclient.tests.unit.consistency import test_run

GROUP = '20260318T000000Z-0123abcd-of-2'
IMAGES = ['queued', 'queued', 'saving']
#: Where nothing of a group may be kept if somebody fails.
BINDING = [stage for stage in Stage if stage is not Stage.ACTIVE]
APPLICATION = Consistency.APPLICATION
SYNC = Quiescer('sync', '', stops_writes=False)
FREEZE = Quiescer('freeze', '', gives=Consistency.FILESYSTEM)
POSTGRESQL = Quiescer('postgresql', '', gives=APPLICATION, stops_writes=False)
OWN = Quiescer('./own', '', gives=None)


@dataclasses.dataclass
class Others:
    """The port Group; the others end at a stage.

    :param failure: why they end there; None: they never come
    :param is_after: they come there, and end then
    """

    clock: fakes.Clock
    end: Stage | None = None
    failure: Exception | None = None
    began: float = 0.0
    is_after: bool = False
    culprit: Exception | None = None
    met: list = dataclasses.field(default_factory=list)

    def meet(self, server, stage, remaining, word=None, seal=bool):
        self.check()
        if stage is self.end:
            self.culprit = self.failure
        if stage is self.end and not self.is_after:
            self.check()
            while True:
                self.clock.wait(remaining())
        seal()
        self.met.append(stage)
        return (word, word)

    def check(self):
        if self.culprit:
            raise GroupBroken('other', self.culprit)

    def give_up(self, server, failure):
        self.culprit = self.culprit or failure

    def begin_hold(self, now):
        return self.began


#: Those of a run alone, and of the last step that only a group has.
FAULTS = test_run.FAULTS + tuple(
    ('agree', end) for end in set(End) - {End.WELL}
)


class MemberTestCase(test_run.ReleaseTestCase):
    """One run of a group, with others that do as they are told."""

    images = ('queued', 'queued', 'saving')
    evidence = fakes.World().evidence
    is_started = False

    def run_one(
        self,
        script=None,
        end=None,
        failure=None,
        began=0.0,
        is_after=False,
        **changes,
    ):
        world = self.world = fakes.World(script, self.images)
        world.evidence = self.evidence
        world.is_started = self.is_started
        self.others = world.group = Others(
            world.clock, end, failure, began, is_after
        )
        changes.setdefault('hooks', test_run.HOOKS)
        plan = fakes.plan(group_id=GROUP, **changes)
        outcome = Run(plan, world.ports).execute()
        self.assert_released(world, plan)
        return outcome

    def assert_nothing_kept(self, outcome):
        self.assertIsNone(self.world.recorded)
        self.assertIsNone(outcome.consistency)
        self.assertFalse(self.world.has_agreed)
        self.assertNotEqual(ExitCode.DONE, outcome.exit_code)
        if self.world.exists:
            self.assertTrue(outcome.leaves_something, outcome)


class TestMember(MemberTestCase):
    def test_it_meets_the_others_at_each_stage(self):
        outcome = self.run_one()
        self.assertEqual(BINDING, self.others.met)
        self.assertEqual(ExitCode.DONE, outcome.exit_code)

    def test_the_group_is_claimed_with_the_proof_and_not_before(self):
        self.run_one()
        self.assertEqual('', self.world.properties['xloud_group'])
        self.assertEqual(GROUP, self.world.recorded['xloud_group'])

    def test_others_that_fail_at_any_stage(self):
        for stage in BINDING:
            outcome = self.run_one(end=stage, failure=NotQuiesced('no'))
            self.assertEqual(ExitCode.NOT_QUIESCED, outcome.exit_code)
            self.assertIn('other: no', outcome.message)
            self.assert_nothing_kept(outcome)

    def test_others_that_fail_after_any_stage(self):
        self.images = ['queued'] * 20 + ['saving']
        for stage in BINDING[:-1]:
            outcome = self.run_one(
                end=stage, failure=NotQuiesced('no'), is_after=True
            )
            self.assertEqual(ExitCode.NOT_QUIESCED, outcome.exit_code)
            if stage is not Stage.CAPTURED:
                self.assertLess(outcome.frozen_seconds or 0.0, 1)
            self.assert_nothing_kept(outcome)

    def test_others_that_never_come(self):
        for stage in BINDING:
            outcome = self.run_one(end=stage)
            self.assertEqual(ExitCode.OUT_OF_TIME, outcome.exit_code)
            self.assertLess(outcome.frozen_seconds or 0.0, 61)
            self.assert_nothing_kept(outcome)

    def test_every_fault_with_others_that_fail(self):
        for (step, end), stage in itertools.product(FAULTS, BINDING):
            failure = CaptureFailed('no')
            outcome = self.run_one({step: end}, stage, failure)
            self.assert_nothing_kept(outcome)

    def test_the_others_are_told_of_every_fault(self):
        for step, end in FAULTS:
            outcome = self.run_one({step: end})
            if Stage.PROVEN not in self.others.met:
                self.assertIsNotNone(self.others.culprit, (step, end))
                self.assert_nothing_kept(outcome)

    def test_a_member_that_cannot_write_down_its_proof_ends_the_group(self):
        for end in (End.BADLY, End.HANGING):
            outcome = self.run_one({'write:proven': end})
            self.assertEqual(ExitCode.FAILED, outcome.exit_code)
            self.assertEqual(Status.DISCARDED, outcome.status)
            self.assertIn("journal can't be written", outcome.message)
            self.assertIsNotNone(self.others.culprit)
            self.assertNotIn(Stage.PROVEN, self.others.met)
            self.assert_nothing_kept(outcome)

    def test_a_group_that_cannot_be_written_down_as_whole_is_none(self):
        for end in (End.BADLY, End.HANGING, End.BUG):
            outcome = self.run_one({'agree': end})
            self.assertEqual(ExitCode.FAILED, outcome.exit_code)
            self.assertEqual(Status.DISCARDED, outcome.status)
            self.assertIsNotNone(self.others.culprit)
            self.assertNotIn(Stage.PROVEN, self.others.met)
            self.assert_nothing_kept(outcome)

    def test_a_slow_disk_is_waited_for_when_all_is_released(self):
        outcome = self.run_one({'write:proven': End.BUSY})
        self.assertEqual(ExitCode.DONE, outcome.exit_code)
        self.assertEqual(GROUP, self.world.recorded['xloud_group'])

    def test_posts_are_told_that_it_is_not_kept(self):
        self.run_one(end=Stage.PROVEN, failure=CaptureFailed('no'))
        self.assertEqual('failed', self.world.result)
        self.run_one(end=Stage.PROVEN, failure=OutOfTime('no'))
        self.assertEqual('expired', self.world.result)

    def test_an_upload_that_fails_elsewhere_ends_it_if_it_is_waited_for(self):
        failure = Failure('the upload failed')
        self.images = ('queued', 'saving', 'active')
        outcome = self.run_one({}, Stage.ACTIVE, failure, wait=True)
        self.assertEqual(Status.DISCARDED, outcome.status)
        self.assertEqual(ExitCode.FAILED, outcome.exit_code)
        self.assertIsNone(self.world.recorded)
        self.assertIsNone(outcome.consistency)

    def test_max_freeze_counts_from_the_first_lock_of_any_member(self):
        outcome = self.run_one({'look': End.HANGING}, began=-50.0)
        self.assertEqual(ExitCode.OUT_OF_TIME, outcome.exit_code)
        self.assertLess(outcome.frozen_seconds, 11)
        self.assert_nothing_kept(outcome)
        discarded = self.world.log.index('discard')
        self.assertNotIn('look', self.world.log[discarded:])

    def test_a_rehearsal_meets_the_others_and_takes_nothing(self):
        outcome = self.run_one(rehearse=True)
        self.assertEqual(BINDING[:-1], self.others.met)
        self.assertEqual(ExitCode.DONE, outcome.exit_code)

    def test_a_lost_lock_is_exit_5_and_nothing_is_kept(self):
        outcome = self.run_one({'verify': End.BADLY})
        self.assertEqual(ExitCode.LOWER_CLASS, outcome.exit_code)
        self.assertEqual(Status.DISCARDED, outcome.status)
        self.assert_nothing_kept(outcome)

    def test_a_lower_class_than_required_is_kept_if_it_stood_still(self):
        self.evidence = Evidence(Consistency.FILESYSTEM, frozen=('vda',))
        outcome = self.run_one(quiescers=(FREEZE,))
        self.assertEqual(Consistency.FILESYSTEM, outcome.consistency)
        self.assertEqual(ExitCode.LOWER_CLASS, outcome.exit_code)
        outcome = self.run_one(quiescers=(FREEZE,), discard_lower=True)
        self.assertEqual(Status.DISCARDED, outcome.status)
        self.assert_nothing_kept(outcome)


class TestStandstill(MemberTestCase):
    """Whose moment is none in common takes no part."""

    def refused(self, *quiescers, **changes):
        outcome = self.run_one(quiescers=quiescers, **changes)
        self.assertEqual(ExitCode.NOT_QUIESCED, outcome.exit_code)
        self.assertNotIn('request', self.world.log)
        return self.world.log

    def test_nothing_that_stops_writes_is_refused_untouched(self):
        for quiescers in ((), (SYNC,), (POSTGRESQL,), (POSTGRESQL, SYNC)):
            self.assertNotIn('pre', self.refused(*quiescers))

    def test_what_a_hook_of_ones_own_declares_is_seen_when_it_is_ready(self):
        self.evidence = Evidence(Consistency.CRASH)
        self.assertIn('hold:./own', self.refused(OWN))
        self.evidence = Evidence(Consistency.APPLICATION)
        outcome = self.run_one(quiescers=(OWN,))
        self.assertEqual(Consistency.APPLICATION, outcome.consistency)

    def test_a_freeze_of_other_disks_is_not_enough(self):
        self.evidence = Evidence(Consistency.FILESYSTEM, frozen=('vdc',))
        self.refused(FREEZE)

    def test_postgresql_takes_part_when_its_disks_are_frozen(self):
        data = (Data('/var/lib/postgresql', ('vda',)),)
        self.evidence = Evidence(Consistency.APPLICATION, data, ('vda',))
        outcome = self.run_one(quiescers=(POSTGRESQL, FREEZE))
        self.assertEqual(Consistency.APPLICATION, outcome.consistency)
        self.evidence = Evidence(Consistency.APPLICATION, data)
        self.refused(POSTGRESQL, OWN)

    def test_one_that_is_stopped_takes_part(self):
        idle = {'quiescers': (), 'hooks': (), 'state': GuestState.STOPPED}
        outcome = self.run_one(required=Consistency.NONE, **idle)
        self.assertEqual(ExitCode.DONE, outcome.exit_code)
        self.assertEqual(GROUP, self.world.recorded['xloud_group'])

    def test_one_that_was_started_meanwhile_does_not(self):
        idle = {'quiescers': (), 'hooks': (), 'state': GuestState.STOPPED}
        self.is_started = True
        outcome = self.run_one(required=Consistency.NONE, **idle)
        self.assertEqual(ExitCode.LOWER_CLASS, outcome.exit_code)
        self.assert_nothing_kept(outcome)


class TestTwoMembers(test_run.ReleaseTestCase):
    """Both for real, in their threads; only their worlds are made up."""

    def run_two(self, *scripts, **changes):
        group = Rendezvous(len(scripts))
        clock = fakes.Clock(None)
        self.timeline = []
        self.worlds = [fakes.World(one, list(IMAGES)) for one in scripts]
        outcomes = {}
        threads = []
        for number, world in enumerate(self.worlds):
            world.clock, world.group = clock, group
            world.step = functools.partial(self.note, number)
            run = Run(
                fakes.plan(group_id=GROUP, name=f'db{number}', **changes),
                world.ports,
            )
            threads.append(
                threading.Thread(
                    target=lambda key, run: outcomes.update(
                        {key: run.execute()}
                    ),
                    args=(number, run),
                )
            )
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return [outcomes[number] for number in range(len(scripts))]

    def note(self, member, event, **fields):
        self.timeline.append(event)

    def check(self, *scripts, **changes):
        changes.setdefault('hooks', test_run.HOOKS)
        outcomes = self.run_two(*scripts, **changes)
        for world in self.worlds:
            self.assert_released(world, fakes.plan(**changes))
        self.assert_in_step()
        self.assert_all_or_nothing(outcomes)

    def assert_in_step(self):
        for before, after in (
            ('pre-hook', 'quiescing'),
            ('held', 'requesting'),
            ('captured', 'verified'),
            ('captured', 'recorded'),
        ):
            if after in self.timeline:
                first = self.timeline.index(after)
                self.assertNotIn(before, self.timeline[first:])

    def assert_all_or_nothing(self, outcomes):
        agreed = [world.has_agreed for world in self.worlds]
        self.assertLessEqual(sum(agreed), 1)
        if any(agreed):
            return
        for world, outcome in zip(self.worlds, outcomes, strict=True):
            self.assertNotEqual(ExitCode.DONE, outcome.exit_code)
            self.assertIsNone(world.recorded)
            self.assertIsNone(outcome.consistency)
            if world.exists:
                self.assertTrue(outcome.leaves_something, outcome)

    def test_both_are_held_then_captured_then_asked(self):
        self.check({}, {})
        self.assertEqual(4, self.timeline.count('held'))
        for world in self.worlds:
            self.assertEqual(GROUP, world.recorded['xloud_group'])

    def test_every_fault_of_either(self):
        for step, end in FAULTS:
            self.check({step: end}, {})
            self.check({}, {step: end})

    def test_every_fault_of_both(self):
        for one, two in zip(FAULTS, FAULTS[::-1]):
            self.check(dict([one]), dict([two]))
        for fault in FAULTS:
            self.check(dict([fault]), dict([fault]))

    def test_a_proof_of_either_that_is_not_written_down(self):
        self.check({'write:proven': End.BADLY}, {})
        self.check({}, {'write:proven': End.HANGING})

    def test_a_group_of_one(self):
        [outcome] = self.run_two({})
        self.assertEqual(ExitCode.DONE, outcome.exit_code)
