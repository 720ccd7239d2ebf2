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
import itertools

import fixtures
import testtools
from hypothesis import given, settings
from hypothesis import strategies as st

from xloudclient.consistency import evidence
from xloudclient.consistency.answers import Data, Evidence, Requested
from xloudclient.consistency.errors import CaptureFailed, ExitCode
from xloudclient.consistency.hold import VERIFY_SECONDS
from xloudclient.consistency.outcome import Outcome, Status
from xloudclient.consistency.plan import (
    Budget,
    Companion,
    Consistency,
    GuestState,
    Hook,
    Kind,
    Place,
    Quiescer,
    Volume,
)
from xloudclient.consistency.run import Run
from xloudclient.tests.fakes import world as fakes
from xloudclient.tests.fakes.world import WELL, End

ENDS = (
    End.BADLY,
    End.HANGING,
    End.INTERRUPTED,
    End.LOST,
    End.BUSY,
    End.BUG,
)
#: The exit code if nothing but this goes wrong, in the order of ``ENDS``, by
#: the table of the exit codes; the steps are in the order in which their
#: faults end a run (a cloud that shows nothing does at ``--max-freeze``).
CODES = {
    'open': (3, 3, 130, 3, 75, 1),
    # nobody needs it here
    'hook': (0, 0, 130, 0, 75, 1),
    'pre': (3, 3, 130, 3, 75, 1),
    'guest-pre': (3, 3, 130, 3, 75, 1),
    'lease': (3, 3, 130, 3, 75, 1),
    'hold:mysql': (3, 3, 130, 3, 75, 1),
    'hold:sync': (3, 3, 130, 3, 75, 1),
    # a lost reply is looked for, and found
    'request': (4, 7, 130, 0, 75, 1),
    'task': (0, 0, 130, 0, 75, 1),
    'look': (7, 7, 130, 7, 75, 1),
    # BUSY means nothing to it
    'verify': (5, 5, 130, 5, 0, 5),
    'release': (6, 6, 130, 6, 6, 6),
    'guest-post': (6, 6, 130, 6, 6, 6),
    'post': (6, 6, 130, 6, 6, 6),
    # a signal is too late
    'record': (5, 5, 0, 5, 75, 5),
    # not reached by a run that ends well
    'discard': (0, 0, 0, 0, 0, 0),
}
#: The same of a server with a volume, both of its disks frozen.
CODES_OF_VOLUMES = {
    'volume': (4, 7, 130, 4, 75, 1),
    'volumes': (5, 5, 130, 5, 5, 1),
}
#: Of lines of the journal: without that of the posts no hook may run.
WRITES = {
    'owed': 1,
    'hold': 0,
    'request': 0,
    'requested': 0,
    'captured': 0,
    'released': 0,
    'post-hook': 0,
    'proven': 0,
    'discarded': 0,
}
UNWRITTEN = (End.BADLY, End.HANGING, End.BUSY)

STEPS = tuple(CODES)
FAULTS = tuple(itertools.product(STEPS, ENDS))
FAULTS_OF_VOLUMES = tuple(itertools.product(CODES_OF_VOLUMES, ENDS))
FAULTS_OF_WRITES = tuple(
    (f'write:{event}', end)
    for event, end in itertools.product(WRITES, UNWRITTEN)
)

#: Two of each place; that they are mixed changes no order.
HOOKS = (
    Hook('/here', Place.HERE),
    Hook('/guest', Place.GUEST),
    Hook('/guest-too', Place.GUEST),
    Hook('/here-too', Place.HERE),
)
PRES = [
    'pre /here',
    'pre /here-too',
    'guest-pre /guest',
    'guest-pre /guest-too',
]
POSTS = [
    'guest-post /guest-too',
    'guest-post /guest',
    'post /here-too',
    'post /here',
]


def run(world, measured_ms=None, **changes):
    plan = fakes.plan(**changes)
    return Run(plan, world.ports, measured_ms).execute()


def with_a_plan(whole):
    """All that a run is made of and that has a plan, the run included."""
    found = [whole]
    for part in found:
        for one in vars(part).values():
            if hasattr(one, 'plan') and one not in found:
                found.append(one)
    return found


class TestGoodRuns(testtools.TestCase):
    def test_everything_happens_in_order(self):
        world = fakes.World()
        outcome = run(world)
        self.assertEqual(
            [
                'open',
                'hook',
                'pre',
                'guest-pre',
                'lease',
                'hold:mysql',
                'hold:sync',
                'request',
                'look',
                'look',
                'verify',
                'release',
                'guest-post',
                'post',
                'look',
                'record',
                'close',
            ],
            world.log,
        )
        self.assertEqual(['sync', 'mysql'], world.released)
        self.assertEqual(ExitCode.DONE, outcome.exit_code)
        self.assertEqual(Status.ACTIVE, outcome.status)
        self.assertEqual(Consistency.APPLICATION, outcome.consistency)
        self.assertEqual('', outcome.message)

    def test_what_the_guest_did_for_an_earlier_run_is_told(self):
        world = fakes.World()
        run(world)
        self.assertNotIn('lapsed', world.told)
        world = fakes.World()
        world.earlier = 'the client was not heard for 15 s'
        run(world)
        self.assertEqual({'reason': world.earlier}, world.told['lapsed'])

    def test_while_it_is_uploaded_the_evidence_is_deferred(self):
        world = fakes.World(images=['queued', 'saving'])
        outcome = run(world)
        self.assertEqual(Status.CAPTURED, outcome.status)
        self.assertTrue(outcome.is_deferred)
        self.assertEqual('application', world.recorded['xloud_consistency'])
        self.assertNotIn('record', world.log)

    def test_what_could_not_be_written_down_is_not_left_to_others(self):
        for end in (End.BADLY, End.HANGING):
            world = fakes.World(
                {'write:proven': end}, images=['queued', 'saving', 'saving']
            )
            world.images.append('active')
            outcome = run(world)
            self.assertFalse(outcome.is_deferred)
            self.assertEqual(Status.ACTIVE, outcome.status)
            self.assertIn('record', world.log)

    def test_a_signal_while_waiting_defers_the_evidence(self):
        world = fakes.World(images=['saving'])
        plan = fakes.plan(wait=True)
        ports = world.ports
        world.step = lambda event, **fields: (
            event == 'post-hook' and setattr(world.clock, 'interrupted', 2)
        )
        outcome = Run(plan, ports).execute()
        self.assertEqual(ExitCode.INTERRUPTED, outcome.exit_code)
        self.assertEqual(Status.CAPTURED, outcome.status)
        self.assertTrue(outcome.is_deferred)

    def test_the_request_claims_nothing_and_the_update_names_its_image(self):
        world = fakes.World()
        run(world)
        self.assertEqual('none', world.properties['xloud_consistency'])
        self.assertEqual('', world.properties['xloud_image'])
        self.assertEqual('application', world.recorded['xloud_consistency'])
        self.assertEqual(fakes.IMAGE, world.recorded['xloud_image'])

    def test_the_journal_tells_with_what_it_was_quiesced(self):
        lines = {}
        world = fakes.World()
        world.write = lambda event, **fields: bool(
            lines.update({event: fields}) or True
        )
        pair = Quiescer(
            'pair',
            '',
            (('pre', 'freeze'),),
            companions=(Companion('file', '/script', ''),),
        )
        run(world, quiescers=(Quiescer('sync', ''), pair))
        self.assertEqual(
            ['sync', 'pair,file=/script,pre=freeze'],
            lines['request']['quiesce'],
        )
        for changes, expected in (
            ({'by_agent': True, 'quiescers': ()}, ['agent']),
            # which has made a plan with the PIDs of now
            ({'catalogue': {'sync': pair}}, ['auto']),
        ):
            self.assertEqual(expected, fakes.plan(**changes).words)

    def test_a_lock_that_was_not_had_is_not_said_to_have_been_held(self):
        outcome = run(fakes.World({'hold:mysql': End.BADLY}))
        self.assertIn('none was had', outcome.message)
        self.assertNotIn('held for', outcome.message)
        outcome = run(fakes.World({'hold:sync': End.BADLY}))
        self.assertIn('held for', outcome.message)

    def test_waiting_ends_with_active(self):
        outcome = run(fakes.World(), wait=True)
        self.assertEqual(Status.ACTIVE, outcome.status)

    def test_a_protected_snapshot_is_protected_once_active(self):
        world = fakes.World()
        run(world, wait=True, is_protected=True)
        self.assertEqual(['protect', 'close'], world.log[-2:])

    def test_a_volume_backed_one_is_held_until_its_snapshots_are(self):
        world = fakes.World(
            images=['active'], volumes=['creating'] * 5 + ['available']
        )
        outcome = run(world, kind=Kind.VOLUME, volumes=(fakes.data_volume(),))
        self.assertEqual(6, world.log.count('look'))
        self.assertEqual(Status.ACTIVE, outcome.status)
        self.assertIn('own', world.log)

    def test_without_holders_a_running_guest_gives_crash(self):
        world = fakes.World()
        outcome = run(world, quiescers=(), hooks=(), required=Consistency.NONE)
        self.assertEqual(Consistency.CRASH, outcome.consistency)
        self.assertIsNone(outcome.frozen_seconds)
        self.assertNotIn('open', world.log)

    def test_a_rehearsal_takes_no_snapshot(self):
        world = fakes.World()
        outcome = run(world, rehearse=True)
        self.assertNotIn('request', world.log)
        self.assertIn('verify', world.log)
        self.assertEqual(ExitCode.DONE, outcome.exit_code)
        self.assertEqual(Status.SKIPPED, outcome.status)
        self.assertEqual(Consistency.APPLICATION, outcome.consistency)
        self.assertIsNone(world.recorded)
        self.assertGreater(outcome.frozen_seconds, 0)

    def test_a_rehearsal_where_nothing_is_held_does_not_wait(self):
        world = fakes.World()
        outcome = run(
            world, rehearse=True, state=GuestState.STOPPED,
            quiescers=(), hooks=(), required=Consistency.NONE,
        )  # fmt: skip
        self.assertEqual(0, world.clock.time)
        self.assertEqual(Status.SKIPPED, outcome.status)

    def test_auto_takes_what_it_finds(self):
        plan = fakes.plan()
        world = fakes.World()
        outcome = run(
            world,
            quiescers=(),
            is_auto=True,
            catalogue={q.name: q for q in plan.quiescers},
        )
        self.assertEqual(('mysql', 'sync'), outcome.quiesced)

    def test_no_part_of_a_run_goes_on_with_the_plan_before_auto(self):
        known = {q.name: q for q in fakes.plan().quiescers}
        plan = fakes.plan(quiescers=(), is_auto=True, catalogue=known)
        whole = Run(plan, fakes.World().ports)
        whole.execute()
        parts = with_a_plan(whole)
        self.assertTrue(whole.plan.quiescers)
        self.assertEqual([], [one for one in parts if one.plan is plan])


class TestClasses(testtools.TestCase):
    def test_two_disks_without_a_freeze_are_nothing(self):
        outcome = run(fakes.World(), volumes=(fakes.data_volume(),))
        self.assertEqual(Consistency.NONE, outcome.consistency)
        self.assertEqual(ExitCode.LOWER_CLASS, outcome.exit_code)
        self.assertIn('several disks', outcome.reason)

    def test_a_volume_left_out_leaves_one_disk(self):
        outcome = run(
            fakes.World(),
            volumes=(fakes.data_volume(),),
            with_data_volumes=False,
        )
        self.assertEqual(Consistency.APPLICATION, outcome.consistency)

    def test_a_lost_lock_is_crash_and_exit_5(self):
        outcome = run(fakes.World({'verify': End.BADLY}))
        self.assertEqual(Consistency.CRASH, outcome.consistency)
        self.assertEqual(ExitCode.LOWER_CLASS, outcome.exit_code)
        self.assertIn('the session is gone', outcome.message)

    def test_a_lower_class_is_discarded_when_asked(self):
        world = fakes.World({'verify': End.BADLY})
        outcome = run(world, discard_lower=True)
        self.assertEqual(Status.DISCARDED, outcome.status)
        self.assertEqual(ExitCode.LOWER_CLASS, outcome.exit_code)
        self.assertFalse(world.exists)

    def test_a_stopped_guest_gives_crash(self):
        outcome = run(
            fakes.World(),
            quiescers=(),
            hooks=(),
            state=GuestState.STOPPED,
            required=Consistency.NONE,
        )
        self.assertEqual(Consistency.CRASH, outcome.consistency)
        self.assertIn('stopped', outcome.reason)

    def test_a_guest_started_meanwhile_gives_none(self):
        idle = {
            'quiescers': (),
            'hooks': (),
            'state': GuestState.STOPPED,
            'required': Consistency.NONE,
        }
        world = fakes.World()
        world.is_started = True
        outcome = run(world, **idle)
        self.assertEqual(Consistency.NONE, outcome.consistency)
        self.assertIn('it was started', outcome.reason)
        unseen = run(fakes.World({'actions': End.LOST}), **idle)
        self.assertEqual(Consistency.NONE, unseen.consistency)
        self.assertIn("can't be seen", unseen.reason)

    def test_a_dropped_quiescer_takes_the_class_with_it(self):
        outcome = run(
            fakes.World({'hold:mysql': End.BADLY}), continue_on_error=True
        )
        self.assertEqual(Consistency.CRASH, outcome.consistency)
        self.assertEqual(ExitCode.LOWER_CLASS, outcome.exit_code)

    def test_evidence_that_was_not_written_claims_nothing(self):
        outcome = run(fakes.World({'record': End.LOST}))
        self.assertEqual(ExitCode.LOWER_CLASS, outcome.exit_code)
        self.assertIn('could not be written', outcome.message)


class TestFailures(testtools.TestCase):
    def codes(self, expected, script, **changes):
        world = fakes.World(script)
        outcome = run(world, **changes)
        self.assertEqual(expected, outcome.exit_code, outcome.message)
        self.assertEqual([], world.held)
        return world, outcome

    def test_a_failed_pre_hook_is_exit_3_and_every_post_runs(self):
        world, outcome = self.codes(ExitCode.NOT_QUIESCED, {'pre': End.BADLY})
        self.assertEqual(
            ['open', 'hook', 'pre', 'guest-post', 'post'], world.log[:5]
        )
        self.assertEqual(Status.SKIPPED, outcome.status)

    def test_a_hook_that_says_not_now_is_exit_75(self):
        self.codes(ExitCode.BUSY, {'pre': End.BUSY})

    def test_a_refused_request_is_exit_4(self):
        self.codes(ExitCode.CAPTURE_FAILED, {'request': End.BADLY})

    def test_a_busy_server_is_exit_75(self):
        self.codes(ExitCode.BUSY, {'request': End.BUSY})

    def test_a_lost_reply_is_looked_for(self):
        _, outcome = self.codes(ExitCode.DONE, {'request': End.LOST})
        self.assertEqual(fakes.IMAGE, outcome.requested.image_id)
        self.assertFalse(outcome.leaves_something)

    def test_of_several_that_may_be_the_snapshot_none_is_touched(self):
        world = fakes.World({'request': End.LOST})

        def find(plan):
            raise CaptureFailed('several', 'Leave one at most.')

        world.find_requested = find
        outcome = run(world)
        self.assertEqual(ExitCode.CAPTURE_FAILED, outcome.exit_code)
        self.assertIn('Leave one at most.', outcome.message)
        self.assertNotIn('discard', world.log)
        self.assertTrue(outcome.leaves_something)
        self.assertEqual(['sync', 'mysql'], world.released)

    def test_a_vanished_image_is_exit_4(self):
        world = fakes.World(images=['queued', None])
        outcome = run(world)
        self.assertEqual(ExitCode.CAPTURE_FAILED, outcome.exit_code)
        self.assertEqual(Status.FAILED, outcome.status)
        self.assertEqual(['sync', 'mysql'], world.released)

    def test_a_task_that_is_over_with_a_queued_image_is_exit_4(self):
        world = fakes.World(images=['queued'])
        world.task_is_over = True
        outcome = run(world)
        self.assertEqual(ExitCode.CAPTURE_FAILED, outcome.exit_code)
        self.assertIn('discard', world.log)

    def test_an_upload_that_fails_leaves_no_snapshots_of_volumes(self):
        world = fakes.World(images=['queued', 'saving', None])
        outcome = run(world, volumes=(fakes.data_volume(),), wait=True)
        self.assertEqual(ExitCode.CAPTURE_FAILED, outcome.exit_code)
        self.assertIn('discard', world.log)

    def test_what_fails_after_max_freeze_is_discarded(self):
        world = fakes.World(images=['queued'] * 300 + [None])
        outcome = run(world)
        self.assertEqual(ExitCode.OUT_OF_TIME, outcome.exit_code)
        self.assertIn('discard', world.log)

    def test_a_proven_snapshot_that_does_not_say_so_keeps_its_journal(self):
        outcome = run(fakes.World({'record': End.BADLY}))
        self.assertEqual(ExitCode.LOWER_CLASS, outcome.exit_code)
        self.assertTrue(outcome.leaves_something)
        self.assertFalse(run(fakes.World()).leaves_something)

    def test_max_freeze_releases_and_lets_the_snapshot_go_on(self):
        world = fakes.World(images=['queued'] * 300 + ['saving'])
        outcome = run(world)
        self.assertEqual(ExitCode.OUT_OF_TIME, outcome.exit_code)
        self.assertEqual(Status.CAPTURED, outcome.status)
        self.assertEqual(Consistency.CRASH, outcome.consistency)
        self.assertIn('out of time', outcome.reason)
        self.assertLessEqual(outcome.frozen_seconds, 60.5)
        self.assertLess(
            world.log.index('post'),
            len(world.log) - world.log[::-1].index('look'),
        )

    def test_a_hung_cloud_is_let_go_at_max_freeze(self):
        _, outcome = self.codes(ExitCode.OUT_OF_TIME, {'look': End.HANGING})
        self.assertLessEqual(outcome.frozen_seconds, 60.5)

    def test_timeout_before_the_capture_discards(self):
        world = fakes.World(images=['queued'])
        outcome = run(world, budget=Budget(total=30.0))
        self.assertEqual(ExitCode.OUT_OF_TIME, outcome.exit_code)
        self.assertFalse(world.exists)

    def test_a_measured_hold_over_the_limit_is_refused_untouched(self):
        world = fakes.World()
        outcome = run(world, measured_ms=61_000)
        self.assertEqual(ExitCode.NOT_QUIESCED, outcome.exit_code)
        self.assertEqual(['open', 'hook', 'close'], world.log)

    def test_a_signal_before_the_capture_discards(self):
        world, outcome = self.codes(
            ExitCode.INTERRUPTED, {'look': End.INTERRUPTED}
        )
        self.assertFalse(world.exists)
        self.assertEqual(Status.FAILED, outcome.status)

    def test_a_failed_release_is_said_above_all(self):
        _, outcome = self.codes(
            ExitCode.RELEASE_FAILED,
            {'release': End.BADLY, 'look': End.INTERRUPTED},
        )
        self.assertIn('MAY STILL BE BLOCKED', outcome.message)

    def test_a_release_that_went_wrong_is_recorded(self):
        world, outcome = self.codes(
            ExitCode.RELEASE_FAILED, {'release': End.BADLY}
        )
        reason = 'at the release: sync (stuck); mysql (stuck)'
        self.assertEqual(reason, world.recorded['xloud_reason'])
        self.assertEqual(reason, outcome.reason)
        # so that no hold is predicted from it
        self.assertNotIn(reason, evidence.AS_PLANNED)

    def test_the_post_of_a_pair_that_fails_is_a_failed_release(self):
        self.codes(ExitCode.RELEASE_FAILED, {'post': End.BADLY})


class TestWhateverEndsIt(testtools.TestCase):
    def test_no_hook_keeps_the_others_waiting_longer_than_a_hook_may(self):
        for hook, expected in ((4.0, 4.0), (30.0, VERIFY_SECONDS)):
            world, given = fakes.World(), []
            verify = world.verify

            def note(timeout, verify=verify, given=given):
                given.append(timeout)
                return verify(timeout)

            world.verify = note
            run(world, budget=Budget(hook=hook))
            self.assertEqual([expected], given)

    def test_a_journal_that_is_not_written_stops_it_before_any_hook(self):
        world = fakes.World()
        world.write = lambda event, **fields: event != 'owed'
        outcome = run(world)
        self.assertEqual(ExitCode.FAILED, outcome.exit_code)
        self.assertEqual(['open', 'hook', 'close'], world.log)

    def test_what_only_ends_a_process_still_releases(self):
        world = fakes.World()

        def step(event, **fields):
            if event == 'requested':
                raise SystemExit(1)

        world.step = step
        outcome = run(world)
        self.assertEqual(ExitCode.FAILED, outcome.exit_code)
        self.assertEqual(['sync', 'mysql'], world.released)
        self.assertIn('post', world.log)

    def test_a_guest_that_is_not_seen_to_be_the_server_is_refused(self):
        for server_id, cards in (
            (fakes.VOLUME, (fakes.CARD,)),
            ('', ('fa:16:3e:00:00:02',)),
            ('', ()),
        ):
            world = fakes.World()
            world.server_id, world.cards = server_id, cards
            outcome = run(world)
            self.assertEqual(ExitCode.NOT_QUIESCED, outcome.exit_code)
            self.assertEqual(['open', 'close'], world.log)

    def test_a_guest_that_is_the_server_needs_no_card_of_it(self):
        world = fakes.World()
        world.server_id, world.cards = fakes.SERVER, ()
        self.assertEqual(ExitCode.DONE, run(world).exit_code)
        world = fakes.World()
        world.firmware_id, world.cards = fakes.SERVER, ()
        self.assertEqual(ExitCode.DONE, run(world).exit_code)

    def volumes(self, world, **changes):
        """Snapshot a server with a volume; both of its disks are frozen."""
        disks = ('vda', 'vdb')
        world.evidence = Evidence(
            Consistency.APPLICATION, (Data('/var/lib', disks),), disks
        )
        look = world.open
        world.open = lambda timeout: dataclasses.replace(
            look(timeout), is_root=True, may_freeze=True
        )
        freeze = Quiescer('fsfreeze', '', (), Consistency.FILESYSTEM)
        changes.setdefault('quiescers', (freeze,))
        plan = {'volumes': (fakes.data_volume(),), **changes}
        return run(world, required=Consistency.NONE, **plan)

    def test_a_volume_that_was_attached_meanwhile_takes_the_class(self):
        world = fakes.World()
        good = self.volumes(world)
        self.assertEqual(Consistency.FILESYSTEM, good.consistency)
        self.assertEqual(1, world.log.count('volumes'))
        self.assertLess(world.log.index('release'), world.log.index('volumes'))
        [volume] = world.attached
        for now in (
            [],
            [volume, Volume('another', '/dev/vdc')],
            # swapped, attached to another server too, or anew to this one
            [Volume('another', volume.device)],
            [Volume(volume.id, volume.device, frozenset('ab'))],
            [Volume(volume.id, volume.device, frozenset('b'))],
        ):
            world = fakes.World()
            world.attached = now
            outcome = self.volumes(world)
            self.assertEqual(Consistency.NONE, outcome.consistency)
            self.assertIn('attached', outcome.reason)
            self.assertEqual('none', world.recorded['xloud_consistency'])

    def test_a_snapshot_of_another_volume_takes_the_class(self):
        world = fakes.World()
        world._requested = lambda plan: Requested(fakes.IMAGE, ('s-another',))
        outcome = self.volumes(world, kind=Kind.VOLUME)
        self.assertEqual(Consistency.NONE, outcome.consistency)
        self.assertIn('attached', outcome.reason)

    def test_volumes_that_cannot_be_seen_again_take_the_class(self):
        outcome = self.volumes(fakes.World({'volumes': End.LOST}))
        self.assertEqual(Consistency.NONE, outcome.consistency)
        self.assertIn("can't be seen", outcome.reason)

    def test_nobody_asks_for_volumes_that_no_claim_is_about(self):
        for changes in (
            {'with_data_volumes': False},
            # the class is none anyhow
            {'quiescers': ()},
        ):
            world = fakes.World()
            self.volumes(world, **changes)
            self.assertNotIn('volumes', world.log)

    def test_a_volume_snapshot_without_a_reply_is_named(self):
        world = fakes.World({'volume': End.INTERRUPTED})
        outcome = run(world, volumes=(fakes.data_volume(),))
        self.assertEqual(ExitCode.INTERRUPTED, outcome.exit_code)
        self.assertTrue(outcome.leaves_something)
        self.assertIn('volume snapshot list --volume', outcome.message)

    def test_a_rehearsal_that_loses_its_lock_is_exit_5(self):
        outcome = run(fakes.World({'verify': End.BADLY}), rehearse=True)
        self.assertEqual(ExitCode.LOWER_CLASS, outcome.exit_code)

    def test_posts_run_where_nothing_was_to_be_quiesced(self):
        world = fakes.World()
        run(world, quiescers=(), required=Consistency.NONE)
        self.assertIn('post', world.log)


class ReleaseTestCase(testtools.TestCase):
    """Judges the release, whatever happened."""

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.FakeLogger())

    def assert_released(self, world, plan):
        self.assertEqual([], world.held)
        began = [s for s in world.log if s.startswith('hold:')]
        wanted = [f'hold:{one.name}' for one in plan.quiescers]
        self.assertEqual(wanted[: len(began)], began)
        releases = world.log.count('release')
        self.assertLessEqual(releases, 1)
        if began:
            self.assertEqual(1, releases)
        self.assert_hooks(world, plan)
        self.assertEqual('close', world.log[-1])

    def assert_hooks(self, world, plan):
        """Pres in order, and, after the release, each post in reverse."""
        pres = [one for one in world.called if 'pre ' in one]
        posts = [one for one in world.called if 'post ' in one]
        self.assertEqual(PRES[: len(pres)], pres)
        self.assertEqual(pres + posts, world.called)
        if posts or pres or 'lease' in world.log:
            self.assertEqual(POSTS if plan.hooks else [], posts)
        if 'release' in world.log:
            before = world.log[: world.log.index('release')]
            self.assertFalse({'post', 'guest-post'} & set(before))


class TestEverySequence(ReleaseTestCase):
    """Whatever happens, and in whatever order."""

    def check(self, script, *known, **changes):
        """
        :param known: the faults of which the exit code is to be judged
        """
        # so many that the task is looked at, too
        images = ['queued'] * 4 + ['saving', 'active']
        world = fakes.World(script, images=images)
        if 'volumes' in changes:
            disks = ('vda', 'vdb')
            world.evidence = Evidence(
                Consistency.APPLICATION, (Data('/var/lib', disks),), disks
            )
        # the shorter, the fewer looks of a run that has to give up
        budget = Budget(max_freeze=30.0, hook=2.0)
        outcome = run(world, budget=budget, hooks=HOOKS, **changes)
        self.assert_released(world, outcome.plan)
        self.assert_told(world, outcome)
        self.assert_honest(world, outcome)
        self.assert_claims(world, outcome)
        if known:
            code = self.expected(world, known)
            self.assertEqual(code, outcome.exit_code, (script, world.log))
        return world, outcome

    def failed_posts(self, world):
        for hook in HOOKS:
            step = 'post' if hook.place is Place.HERE else 'guest-post'
            if world.end_of(step, hook) not in WELL:
                yield hook

    def assert_told(self, world, outcome: Outcome):
        """A post that failed is named, whatever else did, and stays owed."""
        if not {'pre', 'guest-pre'} & set(world.log):
            return
        for hook in self.failed_posts(world):
            self.assertEqual(ExitCode.RELEASE_FAILED, outcome.exit_code)
            self.assertIn(f'the post hook {hook.path} ', outcome.message)
            self.assertTrue(outcome.leaves_something)

    def may_block(self, world):
        is_stuck = world.script.get('release', End.WELL) not in WELL
        is_owed = {'pre', 'guest-pre'} & set(world.log)
        return (is_stuck and world.released) or (
            is_owed and any(self.failed_posts(world))
        )

    def code_of(self, step, end):
        if step.startswith('write:'):
            return WRITES[step.removeprefix('write:')]
        [step, *_] = step.split()
        return {**CODES, **CODES_OF_VOLUMES}[step][ENDS.index(end)]

    def is_reached(self, world, step, end):
        if step.startswith('write:'):
            event = step.removeprefix('write:')
            return event in [line['event'] for line in world.lines]
        if step not in world.log:
            return step in world.called
        before = world.log[: world.log.index(step)]
        # a task seen after the release: the time had run out, so that only
        # a signal counts
        is_late = step == 'task' and 'release' in before
        return end is End.INTERRUPTED or not is_late

    def expected(self, world, faults):
        """The exit code of faults that are given in the order of ``STEPS``.

        What may still block is said above all. Else it is the first that
        ended the run, or a signal when the time had run out; a class that is
        lower is told of if nothing else is to be.
        """
        if self.may_block(world):
            return ExitCode.RELEASE_FAILED
        codes = [
            self.code_of(step, end)
            for step, end in faults
            if self.is_reached(world, step, end)
        ]
        # without anything held, nothing is stuck
        ends = [code for code in codes if code not in (0, 5, 6)]
        if {7, 130} <= set(ends):
            return ExitCode.INTERRUPTED
        return ends[0] if ends else 5 if 5 in codes else 0

    def assert_honest(self, world, outcome: Outcome):
        self.assertIn(outcome.exit_code, set(ExitCode))
        self.assertEqual(
            bool(outcome.message), outcome.exit_code is not ExitCode.DONE
        )
        is_six = outcome.exit_code is ExitCode.RELEASE_FAILED
        self.assertEqual(bool(self.may_block(world)), is_six)
        if outcome.status is Status.SKIPPED:
            self.assertFalse(world.exists)
        if outcome.status in (Status.DISCARDED, Status.FAILED):
            # or it is named, and the journal stays
            self.assertTrue(not world.exists or outcome.leaves_something)
        is_kept = outcome.status in (Status.ACTIVE, Status.CAPTURED)
        if is_kept:
            self.assertTrue(world.exists)
            self.assertEqual(fakes.IMAGE, outcome.requested.image_id)
        if outcome.exit_code in (ExitCode.DONE, ExitCode.LOWER_CLASS):
            self.assertTrue(is_kept or outcome.status is Status.DISCARDED)

    def assert_claims(self, world, outcome: Outcome):
        """No row, image or journal says more than was shown."""
        shown = self.shown(world, outcome)
        if outcome.consistency is not None:
            self.assertEqual(shown, outcome.consistency)
        proven = [one for one in world.lines if one['event'] == 'proven']
        for claims in (
            world.recorded or {},
            *(one['properties'] for one in proven),
        ):
            claimed = claims.get('xloud_consistency', 'none')
            self.assertLessEqual(Consistency.of(claimed), shown)
        if outcome.exit_code is ExitCode.DONE:
            self.assertEqual(Consistency.APPLICATION, outcome.consistency)
            said = world.recorded['xloud_consistency']
            self.assertEqual('application', said)
        if outcome.consistency not in (None, Consistency.APPLICATION):
            self.assertNotEqual('', outcome.reason)
        names = world.asked if self.were_held(world) else ()
        self.assertEqual(names, outcome.quiesced)

    def were_held(self, world):
        end = world.script.get('verify', End.WELL)
        is_well = end in (*WELL, End.BUSY) and not world.is_lost
        return 'verify' in world.log and is_well

    def shown(self, world, outcome: Outcome):
        """The class that the world showed, whatever the run made of it."""
        if not outcome.captured_at:
            return Consistency.NONE
        has_volumes = bool(outcome.plan.captured_volumes)
        has_held = (
            self.were_held(world)
            and world.seen_before_verify in ('saving', 'active')
            and world.log.index('verify') < world.log.index('release')
        )
        if not has_held:
            return Consistency.NONE if has_volumes else Consistency.CRASH
        are_same = world.script.get('volumes', End.WELL) in WELL
        if has_volumes and not are_same:
            return Consistency.NONE
        if 'dropped' in world.told:
            return Consistency.NONE if has_volumes else Consistency.CRASH
        return Consistency.APPLICATION

    def test_every_single_fault(self):
        for fault in (*FAULTS, *FAULTS_OF_WRITES):
            self.check(dict([fault]), fault)

    def test_every_fault_of_one_of_two_hooks(self):
        for one, end in itertools.product(PRES + POSTS, ENDS):
            self.check({one: end}, (one, end))

    def test_every_single_fault_with_a_volume(self):
        volumes = (fakes.data_volume(),)
        for fault in (*FAULTS, *FAULTS_OF_VOLUMES, *FAULTS_OF_WRITES):
            self.check(dict([fault]), fault, volumes=volumes)

    def test_every_end_of_the_discard_of_a_lower_class(self):
        for end in ENDS:
            world, outcome = self.check(
                {'verify': End.BADLY, 'discard': end}, discard_lower=True
            )
            self.assertIn('discard', world.log)
            self.assertEqual(ExitCode.LOWER_CLASS, outcome.exit_code)
            self.assertEqual(world.exists, outcome.leaves_something)
            is_gone = outcome.status is Status.DISCARDED
            self.assertEqual(not world.exists, is_gone)

    def test_every_single_fault_of_a_rehearsal(self):
        untouched = ('request', 'look', 'task', 'record', 'discard')
        for step, end in FAULTS:
            world = fakes.World({step: end})
            outcome = run(world, rehearse=True, hooks=HOOKS)
            self.assert_released(world, outcome.plan)
            self.assertNotIn('request', world.log)
            self.assertEqual(Status.SKIPPED, outcome.status)
            code = 0 if step in untouched else self.code_of(step, end)
            self.assertEqual(code, outcome.exit_code, (step, end))
            if outcome.exit_code is ExitCode.DONE:
                self.assertEqual(Consistency.APPLICATION, outcome.consistency)

    def test_every_pair_of_faults(self):
        for one, other in itertools.combinations(FAULTS, 2):
            if one[0] != other[0]:
                self.check(dict([one, other]), one, other)

    def test_every_pair_of_faults_with_a_volume(self):
        volumes = (fakes.data_volume(),)
        ends = (End.BADLY, End.LOST)
        others = tuple(itertools.product(CODES_OF_VOLUMES, ends))
        for one, other in itertools.product(FAULTS, others):
            self.check(dict([one, other]), volumes=volumes)

    def test_every_fault_and_every_pair_where_what_failed_is_dropped(self):
        # the ends that something can be dropped for
        ends = (End.BADLY, End.LOST)
        faults = itertools.product(STEPS, ends)
        for one, other in itertools.combinations(faults, 2):
            self.check(dict([one, other]), continue_on_error=True)

    def test_every_fault_of_the_look_for_databases_and_each_other(self):
        auto = {
            'quiescers': (),
            'is_auto': True,
            'catalogue': {q.name: q for q in fakes.plan().quiescers},
        }
        probes = tuple(itertools.product(['probe'], ENDS))
        for one, other in itertools.product((*FAULTS, *probes), probes):
            self.check(dict([one, other]), **auto)

    def test_every_fault_with_a_line_that_is_not_written(self):
        written = [
            one
            for one in FAULTS_OF_WRITES
            if one[0] in ('write:owed', 'write:proven')
        ]
        for line, fault in itertools.product(written, FAULTS):
            self.check(dict([line, fault]))

    @settings(max_examples=300, deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(
                [*STEPS, *CODES_OF_VOLUMES, *PRES, *POSTS]
                + [f'write:{event}' for event in WRITES]
            ),
            st.sampled_from(End),
            min_size=3,
        ),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    )
    def test_longer_sequences(self, script, discard, wait, has_volume):
        more = {'volumes': (fakes.data_volume(),)} if has_volume else {}
        self.check(script, discard_lower=discard, wait=wait, **more)
