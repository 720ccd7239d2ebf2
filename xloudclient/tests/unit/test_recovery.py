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


import itertools
import json
import pathlib
from unittest import mock

import fixtures
import testtools
from hypothesis import given, settings
from hypothesis import strategies as st

from xloudclient.consistency.answers import HookOutcome, HookState, Requested
from xloudclient.consistency.errors import (
    Busy,
    CaptureFailed,
    ExitCode,
    Interrupted,
    Misuse,
    ReleaseFailed,
    ReplyLost,
)
from xloudclient.consistency.run import Run
from xloudclient.local import runs
from xloudclient.local.journal import FileJournal
from xloudclient.recovery import Recovery, Remains, State
from xloudclient.tests.fakes import world as fakes
from xloudclient.tests.fakes.world import End
from xloudclient.tests.unit.consistency.test_run import FAULTS

HOOK = {'number': 0, 'path': '/hook', 'at': 'here', 'post': ['thaw', 'all']}
OWED = {
    'event': 'owed',
    'posts': [HOOK],
    'environment': {'XLOUD_RUN_ID': 'r'},
}
PAID = {'event': 'post-hook', 'number': 0, 'state': 'succeeded'}
PAID_1 = {**PAID, 'number': 1}
REQUEST = {'event': 'request', 'name': 'n', 'volumes': ['v']}
PROVEN = {
    'event': 'proven',
    'image': 'i',
    'properties': {'xloud_image': 'i'},
    'tags': ['t'],
}


class RecoveryTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.cloud = mock.Mock(place='here')
        self.cloud.find_run.return_value = Requested('i')
        self.cloud.remove.return_value = ()
        self.hooks = mock.Mock()
        self.hooks.run.return_value = HookOutcome(HookState.SUCCEEDED)
        self.clock = fakes.Clock(None)
        self.recovery = Recovery(
            self.cloud, self.hooks, self.folder, self.clock
        )

    def dead(
        self,
        *events,
        run_id='r',
        server='s',
        place='here',
        group='',
        **begun,
    ):
        begin = {
            'event': 'begin',
            'server': server,
            'place': place,
            'group': group,
            **begun,
        }
        lines = [begin, *events]
        text = ''.join(json.dumps(line) + '\n' for line in lines)
        (self.folder / f'{run_id}{runs.SUFFIX}').write_text(text)

    def recover(self):
        [done] = self.recovery.recover()
        return done

    def posts_called(self):
        paths = [one.args[0].path for one in self.hooks.run.mock_calls]
        self.hooks.run.reset_mock()
        return paths

    @property
    def journals(self):
        return [path.name for path in self.folder.iterdir()]


class TestRecovery(RecoveryTestCase):
    def test_the_post_of_a_hook_that_began_runs(self):
        self.dead(OWED)
        self.assertEqual(State.RECOVERED, self.recover().state)
        hook, phase, told, _ = self.hooks.run.call_args.args
        self.assertEqual(('/hook', 'post'), (hook.path, phase))
        self.assertEqual(('thaw', 'all'), hook.post)
        self.assertEqual('aborted', told['XLOUD_RESULT'])
        self.assertEqual([], self.journals)

    def test_a_snapshot_that_says_what_it_is_is_not_deleted(self):
        self.dead({'event': 'request', 'volumes': []})
        self.cloud.find_run.return_value = Requested('i')
        self.cloud.images.get.return_value = {'xloud_image': 'i'}
        self.assertEqual(State.RECOVERED, self.recover().state)
        self.cloud.remove.assert_not_called()
        self.assertEqual([], self.journals)

    def test_parts_of_a_snapshot_whose_upload_failed_are_removed(self):
        self.dead({'event': 'request', 'volumes': ['v']}, PROVEN)
        self.cloud.images.get.return_value = None
        parts = Requested('', ('part',))
        self.cloud.find_run.return_value = parts
        self.cloud.remove.return_value = ()
        self.assertIn('vanished', self.recover().reason)
        self.cloud.remove.assert_called_once_with(parts)

    def test_of_several_that_may_be_the_snapshot_none_is_removed(self):
        self.dead(REQUEST)
        several = CaptureFailed('several', 'Leave one at most.')
        self.cloud.find_run.side_effect = several
        done = self.recover()
        self.assertEqual(State.FAILED, done.state)
        self.assertEqual(
            ('several', 'Leave one at most.'), (done.reason, done.advice)
        )
        self.cloud.remove.assert_not_called()
        self.assertEqual(['r.jsonl'], self.journals)

    def test_a_post_that_ran_does_not_run_again(self):
        self.dead(OWED, PAID)
        self.recover()
        self.hooks.run.assert_not_called()

    def test_a_post_that_failed_is_still_owed(self):
        self.dead(OWED, {**PAID, 'state': 'failed'}, PROVEN)
        self.cloud.images.get.return_value = {'status': 'saving'}
        self.recover()
        self.recover()
        self.hooks.run.assert_called_once()

    def test_posts_run_in_reverse_and_each_file_as_often_as_given(self):
        posts = [HOOK, {**HOOK, 'number': 1}, {**HOOK, 'number': 2}]
        self.dead({**OWED, 'posts': posts}, {**PAID, 'number': 1})
        self.recover()
        self.assertEqual(2, self.hooks.run.call_count)

    def test_a_post_in_the_guest_is_named(self):
        self.dead({**OWED, 'posts': [{**HOOK, 'at': 'guest'}]})
        done = self.recover()
        self.assertEqual(ExitCode.RELEASE_FAILED, done.exit_code)
        self.assertIn('"$f" thaw all', done.advice)
        self.assertIn('< /hook', done.advice)

    def test_a_signal_ends_it(self):
        self.dead(REQUEST)
        self.clock.interrupted = 2
        self.cloud.find_run.side_effect = TimeoutError
        self.assertRaises(Interrupted, self.recover)

    def test_a_post_that_fails_is_exit_6_and_stays(self):
        self.dead(OWED)
        self.hooks.run.return_value = HookOutcome(HookState.FAILED, 'why')
        done = self.recover()
        self.assertEqual(ExitCode.RELEASE_FAILED, done.exit_code)
        self.assertEqual(['r.jsonl'], self.journals)
        error = self.assertRaises(
            ReleaseFailed, list, self.recovery.recover_server('s')
        )
        self.assertIn('MAY STILL BE BLOCKED', str(error))

    def test_every_post_runs_and_each_that_is_owed_is_told(self):
        """Whichever of them fail, and whatever becomes of the snapshot."""
        here = [{**HOOK, 'number': n, 'path': f'/{n}'} for n in range(2)]
        guest = {**HOOK, 'number': 2, 'path': '/guest', 'at': 'guest'}
        self.hooks.run.side_effect = lambda hook, *_: HookOutcome(
            HookState.FAILED if hook.path in bad else HookState.SUCCEEDED
        )
        yes_or_no = itertools.product((True, False), repeat=4)
        for is_bad, is_other_bad, in_guest, is_left in yes_or_no:
            bad = ['/1'] * is_bad + ['/0'] * is_other_bad
            self.dead({**OWED, 'posts': here + [guest] * in_guest}, REQUEST)
            self.cloud.remove.return_value = ('rm i',) * is_left
            done = self.recover()
            self.assertEqual(['/1', '/0'], self.posts_called())
            owed = ['/guest'] * in_guest + bad
            for path in ('/guest', '/1', '/0'):
                is_owed = path in owed
                self.assertEqual(is_owed, f'hook {path} ' in done.reason)
                self.assertEqual(is_owed, f'{path} ' in done.advice)
            self.assertEqual(is_left, 'rm i' in done.reason)
            may_go = bool(owed) and not is_left
            self.assertEqual(may_go, 'then remove' in done.advice)
            self.assertEqual(bool(owed or is_left), bool(self.journals))
            self.assertEqual(
                owed != [], done.exit_code is ExitCode.RELEASE_FAILED
            )
            if self.journals:
                # what was paid is not asked for once more
                self.recover()
                self.assertEqual(bad, self.posts_called())

    def test_a_snapshot_that_was_not_proven_is_deleted(self):
        self.dead(REQUEST)
        self.assertEqual(State.RECOVERED, self.recover().state)
        self.cloud.remove.assert_called_once_with(Requested('i'))

    def test_what_cannot_be_deleted_is_named_and_stays(self):
        self.dead(REQUEST)
        self.cloud.remove.return_value = ('openstack image delete i',)
        done = self.recover()
        self.assertEqual(State.FAILED, done.state)
        self.assertIn('openstack image delete i', done.reason)
        self.assertEqual(['r.jsonl'], self.journals)

    def test_what_the_run_could_not_delete_is_deleted(self):
        left = ['openstack image delete i']
        self.dead(REQUEST, {'event': 'discarded', 'left': left})
        self.assertEqual(State.RECOVERED, self.recover().state)
        self.cloud.remove.assert_called_once_with(Requested('i'))

    def test_what_the_run_deleted_is_not_looked_for(self):
        self.dead(REQUEST, {'event': 'discarded', 'left': []})
        self.assertEqual(State.RECOVERED, self.recover().state)
        self.cloud.find_run.assert_not_called()

    def test_what_may_have_come_after_the_run_deleted_the_rest(self):
        line = {'event': 'discarded', 'left': [], 'pending': 'v'}
        self.dead(REQUEST, line)
        self.assertEqual(State.RECOVERED, self.recover().state)
        self.cloud.remove.assert_called_once_with(Requested('i'))

    def test_a_cloud_that_does_not_answer_leaves_it(self):
        self.dead(REQUEST)
        self.cloud.find_run.side_effect = ReplyLost('504')
        self.assertEqual(State.FAILED, self.recover().state)
        self.assertEqual(['r.jsonl'], self.journals)

    def test_evidence_is_written_once_the_upload_has_ended(self):
        self.dead(REQUEST, PROVEN)
        self.cloud.images.get.return_value = {'status': 'saving'}
        self.assertEqual(State.WAITING, self.recover().state)
        self.cloud.images.get.return_value = {'status': 'active'}
        self.assertEqual(State.RECOVERED, self.recover().state)
        self.cloud.record.assert_called_once_with(
            'i', {'xloud_image': 'i'}, ['t']
        )
        self.cloud.remove.assert_not_called()

    def test_evidence_that_is_there_is_not_written_again(self):
        self.dead(PROVEN)
        self.cloud.images.get.return_value = {
            'status': 'active',
            'xloud_image': 'i',
        }
        self.recover()
        self.cloud.record.assert_not_called()

    def test_an_image_that_vanished_is_told_once(self):
        self.dead(PROVEN)
        self.cloud.images.get.return_value = None
        self.assertIn('vanished', self.recover().reason)
        self.assertEqual([], self.journals)

    def test_one_that_was_discarded_after_all_has_not_vanished(self):
        self.dead(PROVEN, {'event': 'discarded', 'left': []})
        self.recover()
        self.cloud.images.get.assert_not_called()

    def test_only_the_runs_of_the_server_are_looked_at(self):
        self.dead(REQUEST, server='other')
        self.assertEqual([], list(self.recovery.recover_server('s')))

    def test_a_run_of_another_cloud_is_left_alone(self):
        self.dead(OWED, REQUEST, place='there')
        self.assertEqual(State.WAITING, self.recover().state)
        self.hooks.run.assert_called_once()
        self.cloud.find_run.assert_not_called()
        self.assertEqual(['r.jsonl'], self.journals)

    def assert_left_alone(self, reason):
        before = (self.folder / 'r.jsonl').read_bytes()
        [told] = self.recovery.recover_server('s')
        self.assertIn(reason, told)
        self.assertEqual([], list(self.recovery.recover('r'))[1:])
        done = self.recover()
        self.assertIn(reason, done.reason)
        self.hooks.run.assert_not_called()
        self.cloud.find_run.assert_not_called()
        self.assertEqual(before, (self.folder / 'r.jsonl').read_bytes())
        return done

    def test_a_run_of_another_machine_is_left_to_that_one(self):
        self.dead(OWED, REQUEST, machine='other', host='far\x1b')
        done = self.assert_left_alone('far\\x1b: recover it there')
        self.assertEqual(State.WAITING, done.state)
        self.assertEqual(ExitCode.DONE, done.exit_code)
        self.assertEqual([], list(self.recovery.recover_server('t')))

    def test_a_journal_that_others_can_write_is_not_obeyed(self):
        self.dead(OWED, REQUEST)
        (self.folder / 'r.jsonl').chmod(0o666)
        done = self.assert_left_alone('r.jsonl is refused: ')
        self.assertEqual(State.FAILED, done.state)
        self.assertEqual(ExitCode.FAILED, done.exit_code)

    def test_a_run_that_is_not_there(self):
        self.assertRaises(Misuse, self.recovery.recover, 'x')

    def test_a_run_that_lives(self):
        journal = FileJournal(self.folder, 'x', lambda: 'now')
        journal.begin('s')
        self.addCleanup(journal.close, True)
        self.assertRaises(Busy, self.recovery.recover, 'x')


class TestWhatARunLeaves(testtools.TestCase):
    def test_what_may_still_appear_is_looked_for_after_every_fault(self):
        for fault, end in itertools.product(FAULTS, End):
            world = fakes.World(dict([fault, ('volume', end)]))
            plan = fakes.plan(volumes=(fakes.data_volume(),))
            run = Run(plan, world.ports)
            run.execute()
            remains = Remains.of(runs.Record('r', 's', tuple(world.lines)))
            if run.progress.unfound or run.progress.leftovers:
                self.assertTrue(remains.is_requested, (fault, end))
            elif run.progress.is_discarded:
                self.assertFalse(remains.is_requested, (fault, end))


class TestGroup(RecoveryTestCase):
    def setUp(self):
        super().setUp()
        self.journal = FileJournal(self.folder, 'any', lambda: 'now')
        self.cloud.images.get.return_value = {'status': 'active'}

    def test_what_was_proven_counts_once_the_group_is_whole(self):
        for run in ('a', 'b'):
            self.dead(REQUEST, PROVEN, run_id=run, group='g')
        self.assertTrue(self.journal.agree('g', 60))
        self.assertEqual(2, len(list(self.recovery.recover())))
        self.assertEqual(2, self.cloud.record.call_count)
        self.cloud.remove.assert_not_called()
        self.assertEqual([], self.journals)

    def test_of_a_group_that_was_not_whole_nothing_is_kept(self):
        self.dead(REQUEST, PROVEN, run_id='a', group='g')
        self.dead(REQUEST, run_id='b', group='g')
        self.assertTrue(self.journal.agree('another', 60))
        self.assertEqual(2, len(list(self.recovery.recover())))
        self.cloud.record.assert_not_called()
        self.assertEqual(2, self.cloud.remove.call_count)
        self.assertEqual([], self.journals)

    def test_the_agreement_stays_as_long_as_a_member_needs_it(self):
        self.dead(REQUEST, PROVEN, run_id='a', group='g')
        self.dead(REQUEST, PROVEN, run_id='b', server='t', group='g')
        self.assertTrue(self.journal.agree('g', 60))
        list(self.recovery.recover_server('s'))
        self.assertEqual(['b.jsonl', 'g.agreed'], sorted(self.journals))
        list(self.recovery.recover_server('t'))
        self.assertEqual(2, self.cloud.record.call_count)
        self.assertEqual([], self.journals)


class TestDamage(RecoveryTestCase):
    def test_a_journal_cut_at_any_byte_tells_of_what_was_begun(self):
        self.dead(OWED, REQUEST, PROVEN)
        whole = (self.folder / 'r.jsonl').read_bytes()
        for size in range(len(whole)):
            remains = Remains.of(runs.parse('r', whole[:size]))
            lines = self.count(whole, size)
            self.assertEqual(lines > 1, bool(remains.posts), size)
            self.assertEqual(lines > 2, remains.is_requested, size)
            self.assertEqual(lines > 3, remains.proven is not None, size)

    def cuts(self):
        """Yield the lines that are whole, for a journal cut at any byte."""
        here = [{**HOOK, 'number': n, 'path': f'/{n}'} for n in (0, 1)]
        self.dead({**OWED, 'posts': here}, REQUEST, PAID_1, PROVEN, PAID)
        path = self.folder / 'r.jsonl'
        whole = path.read_bytes()
        # so many files are not to wait for the disk
        self.useFixture(fixtures.MockPatch('os.fsync'))
        for size in range(len(whole) + 1):
            path.write_bytes(whole[:size])
            yield self.count(whole, size)

    def count(self, whole, size):
        """The lines that are whole but, at most, for their end."""
        ends = [at for at, byte in enumerate(whole) if byte == ord('\n')]
        return sum(end <= size for end in ends)

    def test_a_journal_cut_at_any_byte_is_recovered(self):
        self.cloud.images.get.return_value = {'status': 'active'}
        for lines in self.cuts():
            self.cloud.reset_mock()
            done = self.recover()
            self.assertEqual(State.RECOVERED, done.state, done)
            self.assertEqual(self.owed(lines), self.posts_called())
            self.assertEqual(lines > 4, self.cloud.record.called)
            is_begun = 2 < lines <= 4
            self.assertEqual(is_begun, self.cloud.remove.called)
            self.assertEqual([], self.journals)

    def owed(self, lines):
        """The posts that so many lines tell to be owed, in reverse."""
        if lines < 2:
            return []
        return ['/1'] * (lines < 4) + ['/0'] * (lines < 6)

    def test_a_journal_cut_at_any_byte_stays_while_the_cloud_is_away(self):
        self.cloud.images.get.side_effect = ReplyLost('504')
        self.cloud.find_run.side_effect = ReplyLost('504')
        for lines in self.cuts():
            done = self.recover()
            self.assertEqual(self.owed(lines), self.posts_called())
            self.assertEqual(lines > 2, bool(self.journals))
            if self.journals:
                self.assertEqual(State.FAILED, done.state)
                self.assertIn('504', done.reason)
                self.recover()
                self.assertEqual([], self.posts_called())
            self.cloud.record.assert_not_called()
            self.cloud.remove.assert_not_called()

    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(
            st.dictionaries(
                st.sampled_from([*OWED, *HOOK, *PROVEN, 'server']),
                st.one_of(
                    st.none(),
                    st.sampled_from(['owed', 'proven', 'request', 'here']),
                    st.lists(st.text()),
                    st.lists(st.just(HOOK)),
                    st.dictionaries(st.text(), st.text()),
                ),
            )
        )
    )
    def test_lines_of_any_shape_tell_what_they_can(self, events):
        remains = Remains.of(runs.Record('r', 's', tuple(events)))
        for _, hook in remains.posts:
            self.assertIsInstance(hook.path, str)
