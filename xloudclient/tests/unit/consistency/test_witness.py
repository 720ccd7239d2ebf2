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


"""What is made of what a freeze hook saw."""

import dataclasses

import testtools

from xloudclient.consistency import evidence
from xloudclient.consistency.answers import (
    Data,
    Evidence,
    Freeze,
    FreezeHook,
    Released,
    Testimony,
)
from xloudclient.consistency.errors import ExitCode
from xloudclient.consistency.outcome import Status
from xloudclient.consistency.plan import (
    Consistency,
    GuestState,
    Kind,
    Quiescer,
)
from xloudclient.consistency.run import Run
from xloudclient.tests.fakes import world as fakes
from xloudclient.tests.fakes.world import End

WATCH = Quiescer('fsfreeze', '', (), Consistency.FILESYSTEM)
MYSQL = Quiescer('mysql', '', (), Consistency.APPLICATION)
FROZEN = Evidence(Consistency.FILESYSTEM, frozen=('vda', 'vdb'))
LOCKED = Evidence(
    Consistency.APPLICATION,
    (Data('/var/lib/mysql', ('vda',)),),
    position='binlog.1:42',
)
SEEN = Testimony(WATCH, FROZEN, Evidence())
HELD = Testimony(MYSQL, LOCKED, Evidence(position='binlog.1:42'))
GOOD = Freeze(8, False, True, True, 0.4, (SEEN, HELD))
USED = FreezeHook(True, False, (MYSQL,), 60, 'used', 'boot 77 7', 7)
IMAGES = ('queued', 'queued', 'queued', 'queued', 'saving')


def recorded(*freezes):
    """The hook, as it is after these freezes."""
    last = USED.last + len(freezes)
    return dataclasses.replace(USED, last=last, freezes=freezes)


def changed(**changes):
    return dataclasses.replace(GOOD, **changes)


class WitnessTestCase(testtools.TestCase):
    def run_it(self, hooks, images=IMAGES, script=None, **changes):
        self.world = fakes.World(script, images=images)
        self.world.freeze_hooks = list(hooks)
        return Run(fakes.plan(**changes), self.world.ports).execute()


class TestByAgent(WitnessTestCase):
    def by_agent(self, *freezes, **changes):
        return self.run_it(
            (USED, USED, recorded(*freezes)),
            quiescers=(),
            by_agent=True,
            **changes,
        )

    def test_what_the_hook_held_is_what_is_proven(self):
        outcome = self.by_agent(GOOD)
        self.assertEqual(ExitCode.DONE, outcome.exit_code, outcome.message)
        self.assertEqual(Consistency.APPLICATION, outcome.consistency)
        self.assertEqual(('agent', 'fsfreeze', 'mysql'), outcome.quiesced)
        self.assertEqual(0.4, outcome.frozen_seconds)
        self.assertEqual('binlog.1:42', self.world.recorded['xloud_position'])
        self.assertEqual('400', self.world.recorded['xloud_frozen_ms'])

    def test_the_hook_is_told_before_the_request(self):
        self.by_agent(GOOD)
        log = self.world.log
        self.assertLess(log.index('expect'), log.index('request'))
        self.assertNotIn('lease', log)

    def test_what_was_not_shown_is_not_claimed(self):
        lost = dataclasses.replace(HELD, held='the session is gone')
        moved = dataclasses.replace(HELD, held=Evidence(position='2'))
        unseen = dataclasses.replace(SEEN, held='not seen to freeze /')
        for freezes, words in (
            ((), 'was not called'),
            ((GOOD, GOOD), 'has 2 freezes'),
            ((changed(testimonies=(SEEN, lost)),), 'session is gone'),
            ((changed(testimonies=(SEEN, moved)),), 'position moved'),
            ((changed(testimonies=(unseen, HELD)),), 'not seen to freeze'),
            ((changed(is_over=False),), 'not thawed yet'),
            ((changed(is_held=False),), 'did not hold'),
            ((changed(is_watched=True),), 'did not hold'),
        ):
            outcome = self.by_agent(*freezes)
            self.assertEqual(Consistency.CRASH, outcome.consistency, words)
            self.assertEqual(ExitCode.LOWER_CLASS, outcome.exit_code)
            self.assertIn(words, outcome.reason)

    def test_freezes_are_counted_and_not_their_records(self):
        for changes, words in (
            # the other one's record is gone, or was cut
            ({'last': 9}, 'has 2 freezes'),
            ({'last': 8, 'freezes': ()}, 'missing, or it is not whole'),
            ({'last': 8, 'freezes': (GOOD, GOOD)}, 'not whole'),
            ({'last': 1}, 'restart of the guest'),
            ({'last': 0, 'freezes': ()}, 'restart of the guest'),
            ({'process': 'boot 77 8'}, 'started anew'),
        ):
            hook = dataclasses.replace(recorded(GOOD), **changes)
            outcome = self.run_it(
                (USED, USED, hook), quiescers=(), by_agent=True
            )
            self.assertEqual(Consistency.CRASH, outcome.consistency, changes)
            self.assertIn(words, outcome.reason)

    def test_what_the_hook_did_not_release_is_the_worst(self):
        free = Released('mysql', True)
        stuck = Released('redis', False, reason='exit status 6')
        whole = changed(released=(free, stuck))
        failed = changed(is_held=False, testimonies=(), released=(stuck,))
        # also if nobody can tell which of two was Nova's
        for freezes in ((whole,), (failed,), (failed, GOOD)):
            outcome = self.by_agent(*freezes)
            self.assertEqual(ExitCode.RELEASE_FAILED, outcome.exit_code)
            self.assertIn('MAY STILL BE BLOCKED', outcome.message)
            self.assertIn('redis (exit status 6)', outcome.message)
            self.assertIn('reboot --hard', outcome.message)
            self.assertNotIn('mysql', outcome.message)
        outcome = self.by_agent(changed(released=(free,)))
        self.assertEqual(ExitCode.DONE, outcome.exit_code)

    def test_what_no_compute_host_uploads_nova_did_not_freeze(self):
        for images in (('queued', 'active'), ('queued', 'importing')):
            outcome = self.run_it(
                (USED, USED, recorded(GOOD)),
                images,
                quiescers=(),
                by_agent=True,
            )
            self.assertEqual(Consistency.CRASH, outcome.consistency)
            self.assertIn('upload the disk', outcome.reason)

    def test_a_run_that_failed_asks_whether_it_let_go(self):
        stuck = Released('mysql', False, reason='killed')
        hooks = (
            USED,
            USED,
            recorded(changed(is_over=False)),
            recorded(changed(released=(stuck,))),
        )
        for end in (End.INTERRUPTED, End.BUG):
            outcome = self.run_it(
                hooks, script={'look': end}, quiescers=(), by_agent=True
            )
            self.assertEqual(ExitCode.RELEASE_FAILED, outcome.exit_code, end)
            self.assertIn('mysql (killed)', outcome.message)

    def test_only_the_root_disk_is_captured_while_it_holds(self):
        outcome = self.by_agent(GOOD, volumes=(fakes.data_volume(),))
        self.assertEqual(Consistency.NONE, outcome.consistency)
        self.assertIn('several disks', outcome.reason)

    def test_a_thaw_proves_nothing_of_a_volume_backed_server(self):
        outcome = self.by_agent(
            GOOD, kind=Kind.VOLUME, volumes=(fakes.data_volume(),)
        )
        self.assertLess(outcome.consistency, Consistency.FILESYSTEM)

    def test_without_databases_it_is_the_file_systems(self):
        outcome = self.run_it(
            (
                dataclasses.replace(USED, quiescers=()),
                USED,
                recorded(changed(testimonies=(SEEN,))),
            ),
            quiescers=(),
            by_agent=True,
            is_required_by_default=True,
            required=Consistency.NONE,
        )
        self.assertEqual(Consistency.FILESYSTEM, outcome.consistency)
        self.assertEqual(ExitCode.DONE, outcome.exit_code)

    def test_a_hook_that_would_not_be_called_takes_no_snapshot(self):
        for hook, words in (
            (FreezeHook(), 'hook install'),
            (FreezeHook(is_closed=True), 'only root'),
            (dataclasses.replace(USED, agent='absent'), 'no guest agent'),
            (dataclasses.replace(USED, agent='stale'), 'restart'),
            (dataclasses.replace(USED, agent='other /x'), 'other /x'),
        ):
            outcome = self.run_it((hook,), quiescers=(), by_agent=True)
            self.assertEqual(ExitCode.NOT_QUIESCED, outcome.exit_code)
            self.assertEqual(Status.SKIPPED, outcome.status)
            self.assertIn(words, outcome.message)
            self.assertNotIn('request', self.world.log)

    def test_a_guest_that_answers_late_is_asked_again(self):
        late = [TimeoutError(), TimeoutError()]

        class World(fakes.World):
            def freeze_hook(self, timeout, since=0, expect=False):
                hook = super().freeze_hook(timeout, since, expect)
                if 'request' in self.log and late:
                    raise late.pop()
                return hook

        world = World(images=IMAGES)
        world.freeze_hooks = [USED, USED, recorded(GOOD)]
        plan = fakes.plan(quiescers=(), by_agent=True)
        outcome = Run(plan, world.ports).execute()
        self.assertEqual([], late)
        self.assertEqual(Consistency.APPLICATION, outcome.consistency)

    def test_a_record_that_can_not_be_read_proves_nothing(self):
        class World(fakes.World):
            def freeze_hook(self, timeout, since=0, expect=False):
                if 'request' in self.log:
                    raise TimeoutError
                return USED

        world = World(images=IMAGES)
        plan = fakes.plan(quiescers=(), by_agent=True)
        outcome = Run(plan, world.ports).execute()
        self.assertEqual(Consistency.CRASH, outcome.consistency)
        self.assertIn('could not be read', outcome.reason)

    def test_a_guest_that_is_not_running_is_not_asked(self):
        self.run_it((USED,), by_agent=False, state=GuestState.STOPPED)
        self.assertNotIn('hook', self.world.log)


class TestEarlyRelease(WitnessTestCase):
    def looks_held(self, *hooks, **changes):
        changes = {'has_agent': True, **changes}
        self.outcome = self.run_it((USED, USED, *hooks), **changes)
        log = self.world.log
        return log[: log.index('release')].count('look')

    def test_a_thaw_that_was_seen_releases(self):
        self.assertEqual(1, self.looks_held(recorded(GOOD)))
        self.assertEqual(ExitCode.DONE, self.outcome.exit_code)
        self.assertEqual(Consistency.APPLICATION, self.outcome.consistency)
        self.assertNotIn('expect', self.world.log)
        # verified while it was held, and not again
        log = self.world.log
        self.assertEqual(1, log.count('verify'))
        self.assertLess(log.index('verify'), log.index('release'))

    def test_the_next_hold_is_not_predicted_from_a_short_one(self):
        self.looks_held(recorded(GOOD))
        reason = self.world.recorded['xloud_reason']
        self.assertIn("saw Nova's thaw", reason)
        self.assertNotIn(reason, evidence.AS_PLANNED)
        self.looks_held(recorded())
        self.assertEqual('', self.world.recorded['xloud_reason'])

    def test_what_may_be_another_freeze_releases_nothing(self):
        unseen = dataclasses.replace(SEEN, held='not seen')
        for freezes in (
            (),
            (GOOD, GOOD),
            (changed(is_over=False),),
            (changed(testimonies=(unseen,)),),
            (changed(testimonies=()),),
        ):
            looks = self.looks_held(recorded(*freezes))
            self.assertEqual(len(IMAGES), looks, freezes)
        two = dataclasses.replace(recorded(GOOD), last=9)
        self.assertEqual(len(IMAGES), self.looks_held(two))

    def test_a_thaw_is_not_nova_s_where_it_calls_no_agent(self):
        looks = self.looks_held(recorded(GOOD), has_agent=False)
        self.assertEqual(len(IMAGES), looks)
        self.assertEqual(1, self.world.log.count('hook'))

    def test_a_second_freeze_after_an_early_release_lowers_the_class(self):
        for freezes, words in (
            ((GOOD, GOOD), 'has 2 freezes'),
            # a reboot has none
            ((), 'has 0 freezes'),
        ):
            self.looks_held(recorded(GOOD), recorded(*freezes))
            self.assertEqual(Consistency.CRASH, self.outcome.consistency)
            self.assertIn(words, self.outcome.reason)

    def test_what_no_compute_host_uploads_was_released_too_early(self):
        outcome = self.run_it(
            (USED, USED, recorded(GOOD)),
            ('queued', 'queued', 'active'),
            has_agent=True,
        )
        self.assertEqual(Consistency.CRASH, outcome.consistency)
        self.assertIn('upload the disk', outcome.reason)

    def test_it_is_for_the_only_disk_of_an_image_backed_server(self):
        volumes = (fakes.data_volume(),)
        looks = self.looks_held(recorded(GOOD), volumes=volumes)
        self.assertEqual(len(IMAGES), looks)
        self.outcome = self.run_it(
            (USED, recorded(GOOD)), kind=Kind.VOLUME, volumes=volumes
        )
        self.assertEqual(1, self.world.log.count('hook'))

    def test_a_hook_that_does_not_answer_changes_nothing(self):
        for end in (End.BADLY, End.HANGING, End.LOST):
            outcome = self.run_it((USED,), script={'hook': end})
            self.assertEqual(ExitCode.DONE, outcome.exit_code, end)
            self.assertEqual(Consistency.APPLICATION, outcome.consistency)
