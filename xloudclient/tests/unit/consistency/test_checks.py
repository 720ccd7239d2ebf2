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


"""The rules of a check, on plain values."""

import dataclasses

import testtools

from xloudclient.consistency.answers import (
    Data,
    Evidence,
    FreezeHook,
    GuestFacts,
)
from xloudclient.consistency.checks import cloud, guest, prediction, quota, run
from xloudclient.consistency.checks.cloud import VolumeDetails
from xloudclient.consistency.checks.finding import (
    Report,
    Result,
    ok,
    problem,
    warning,
)
from xloudclient.consistency.checks.quota import Allowance
from xloudclient.consistency.errors import (
    Busy,
    ExitCode,
    LowerClass,
    NotQuiesced,
)
from xloudclient.consistency.plan import (
    Consistency,
    GuestState,
    Kind,
    Quiescer,
)
from xloudclient.consistency.proof import Proof, read_line
from xloudclient.tests.fakes import world as fakes

FREEZE = Quiescer('fsfreeze', '', (), Consistency.FILESYSTEM)
MYSQL = Quiescer('mysql', '', (), Consistency.APPLICATION)
FACTS = GuestFacts(
    root_disks=('vda',), serials={'vdb': fakes.VOLUME[:20]}, used_bytes=10**9
)
ON_ROOT = Evidence(Consistency.APPLICATION, (Data('/db', ('vda',)),))
ALL_FROZEN = Evidence(Consistency.FILESYSTEM, frozen=('vda', 'vdb'))


class TestVerdict(testtools.TestCase):
    def test_the_first_failure_decides(self):
        found = (
            ok('a', ''),
            warning('b', ''),
            problem('c', Busy('busy')),
            problem('d', NotQuiesced('no')),
        )
        self.assertEqual(ExitCode.BUSY, Report('s', found).exit_code)
        verdict = prediction.verdict(
            found, fakes.plan(), Proof(Consistency.APPLICATION)
        )
        self.assertEqual('no snapshot (exit code 75): busy', verdict.text)

    def test_what_is_next_is_the_command_alone(self):
        failure = NotQuiesced('no ssh', 'Try: ssh -- host true')
        self.assertEqual('ssh -- host true', problem('c', failure).advice)

    def test_a_lower_class_is_a_failure_of_its_own(self):
        proof = Proof(Consistency.CRASH, 'why')
        verdict = prediction.verdict((), fakes.plan(), proof)
        self.assertIsInstance(verdict.failure, LowerClass)
        self.assertIn('crash, required is application: why', verdict.text)

    def test_a_warning_is_none(self):
        found = (warning('a', ''), ok('class', 'application'))
        self.assertEqual(ExitCode.DONE, Report('s', found).exit_code)

    def test_what_others_wrote_is_escaped(self):
        shown = warning('a', 'x\x1b[2J', 'y\n').printable()
        self.assertNotIn('\x1b', shown.text)
        self.assertNotIn('\n', shown.advice)


class TestPrediction(testtools.TestCase):
    def proof(self, *seen, lapses=(), **changes):
        plan = fakes.plan(**changes)
        return prediction.proof(plan, FACTS, seen, lapses).consistency

    def test_it_is_judged_as_a_run_would_be(self):
        self.assertEqual(Consistency.APPLICATION, self.proof((MYSQL, ON_ROOT)))
        two = {'volumes': (fakes.data_volume(),)}
        self.assertEqual(Consistency.NONE, self.proof((MYSQL, ON_ROOT), **two))
        self.assertEqual(
            Consistency.APPLICATION,
            self.proof((MYSQL, ON_ROOT), (FREEZE, ALL_FROZEN), **two),
        )

    def test_what_would_be_dropped_lowers_it(self):
        self.assertEqual(
            Consistency.CRASH, self.proof((MYSQL, ON_ROOT), lapses=['x'])
        )

    def test_a_guest_that_does_not_run_is_judged_without_holders(self):
        self.assertEqual(
            Consistency.CRASH, self.proof(state=GuestState.STOPPED)
        )

    def test_nova_thaws_what_we_froze_on_a_server_with_an_agent(self):
        plan = fakes.plan()
        plan = dataclasses.replace(
            plan, target=dataclasses.replace(plan.target, has_agent=True)
        )
        proof = prediction.proof(plan, FACTS, [(FREEZE, ALL_FROZEN)], [])
        self.assertEqual(Consistency.CRASH, proof.consistency)
        self.assertIn('agent', proof.reason)
        plan = dataclasses.replace(plan, quiescers=(), by_agent=True)
        proof = prediction.proof(plan, FACTS, [(FREEZE, ALL_FROZEN)], [])
        self.assertEqual(Consistency.FILESYSTEM, proof.consistency)

    def test_the_hold_follows_the_forecast(self):
        plan = fakes.plan(has_agent=True)
        for measured_ms, result in (
            (None, Result.OK),
            (9_000, Result.OK),
            (59_000, Result.WARNING),
            (61_000, Result.PROBLEM),
        ):
            found = prediction.hold(plan, measured_ms, FACTS)
            self.assertEqual(result, found.result, measured_ms)
            is_advised = 'hook install' in found.advice
            self.assertEqual(result is not Result.OK, is_advised)
        by_agent = dataclasses.replace(plan, quiescers=(), by_agent=True)
        found = prediction.hold(by_agent, 59_000, FACTS)
        self.assertIn('2.0 s (estimated)', found.text)
        target = dataclasses.replace(plan.target, has_agent=False)
        without = dataclasses.replace(plan, target=target)
        found = prediction.hold(without, 59_000, FACTS)
        self.assertEqual(Result.OK, found.result)
        hook = FreezeHook(is_installed=True, quiescers=plan.quiescers[:1])
        found = prediction.hold(plan, 59_000, FACTS, hook)
        self.assertIn('--quiesce agent', found.advice)
        large = dataclasses.replace(FACTS, used_bytes=15 * 10**9)
        found = prediction.hold(plan, None, large)
        self.assertEqual(Result.WARNING, found.result)


class TestQuota(testtools.TestCase):
    def images(self, kind=Kind.IMAGE, **allowances):
        plan = fakes.plan(kind=kind)
        return quota.images(plan, allowances).result

    def test_an_image_has_to_fit(self):
        for used, limit, result in (
            (1, 2, Result.OK),
            (2, 2, Result.PROBLEM),
            (2, -1, Result.OK),
        ):
            allowance = Allowance(used, limit)
            self.assertEqual(result, self.images(image_count_total=allowance))
        self.assertEqual(Result.OK, self.images())

    def test_an_upload_fails_once_more_is_used_than_allowed(self):
        for used, result in ((5, Result.OK), (6, Result.PROBLEM)):
            allowance = Allowance(used, 5)
            self.assertEqual(result, self.images(image_size_total=allowance))
        self.assertEqual(
            Result.OK,
            self.images(Kind.VOLUME, image_size_total=Allowance(6, 5)),
        )

    def test_what_is_missing_is_said_where_anything_is(self):
        for key, end in (
            ('image_count_total', ': 6 of 5, and 1 more'),
            ('image_size_total', ': 6 of 5'),
        ):
            found = quota.images(fakes.plan(), {key: Allowance(6, 5)})
            self.assertTrue(str(found.failure).endswith(end), found.failure)

    def test_volumes_count_in_all_and_by_type(self):
        details = (
            VolumeDetails('a', 10, 'fast'),
            VolumeDetails('b', 5, 'slow'),
        )
        for key, allowance, result in (
            ('snapshots', Allowance(8, 10), Result.OK),
            ('snapshots', Allowance(9, 10), Result.PROBLEM),
            ('snapshots_fast', Allowance(9, 10), Result.OK),
            ('snapshots_fast', Allowance(10, 10), Result.PROBLEM),
            ('gigabytes', Allowance(86, 100), Result.PROBLEM),
            ('gigabytes_fast', Allowance(90, 100), Result.OK),
            ('gigabytes_slow', Allowance(96, 100), Result.PROBLEM),
            ('gigabytes_other', Allowance(100, 100), Result.OK),
        ):
            found = quota.volume_snapshots({key: allowance}, details)
            self.assertEqual(result, found.result, (key, allowance))
        self.assertEqual(
            Result.OK,
            quota.volume_snapshots({'snapshots': Allowance(1, 1)}, ()).result,
        )


class TestCloud(testtools.TestCase):
    def test_only_captures_on_the_host_make_a_queue(self):
        tasks = {'a': 'image_uploading', 'b': 'rebooting'}
        found = cloud.host_queue(fakes.plan(), tasks)
        self.assertEqual(Result.WARNING, found.result)
        self.assertIn('captures a now', found.text)
        for plan, seen in (
            (fakes.plan(), {'b': 'rebooting'}),
            (fakes.plan(kind=Kind.VOLUME), tasks),
        ):
            self.assertEqual(Result.OK, cloud.host_queue(plan, seen).result)

    def test_a_required_freeze_without_an_agent(self):
        required = {'os_require_quiesce': 'True'}
        for kind, code in (
            (Kind.IMAGE, ExitCode.CAPTURE_FAILED),
            (Kind.VOLUME, ExitCode.NOT_QUIESCED),
        ):
            found = cloud.agent(fakes.plan(kind=kind), required)
            self.assertEqual(code, found.failure.exit_code)
        for state, properties, result in (
            (GuestState.STOPPED, required, Result.OK),
            (GuestState.RUNNING, {}, Result.OK),
            (
                GuestState.RUNNING,
                {'hw_qemu_guest_agent': 'yes'},
                Result.WARNING,
            ),
            (
                GuestState.RUNNING,
                {**required, 'hw_qemu_guest_agent': 'yes'},
                Result.OK,
            ),
        ):
            found = cloud.agent(fakes.plan(state=state), properties)
            self.assertEqual(result, found.result, properties)

    def test_disks(self):
        plan = fakes.plan(volumes=(fakes.data_volume(),))
        several, shared = cloud.volumes(
            plan, [VolumeDetails(fakes.VOLUME, 1, attachments=frozenset('ab'))]
        )
        self.assertIn('root disk, /dev/vdb, captured one after', several.text)
        self.assertEqual(Result.WARNING, shared.result)
        plan = dataclasses.replace(plan, with_data_volumes=False)
        root, left = cloud.volumes(plan, [])
        self.assertEqual('root disk', root.text)
        self.assertIn('left out', left.text)

    def test_the_last_snapshot_is_one_of_ours(self):
        ours = {
            'id': 'a',
            'name': 'n',
            'xloud_image': 'a',
            'xloud_consistency': 'crash',
            'xloud_frozen_ms': '1500',
            'xloud_reason': 'why',
        }
        foreign = {**ours, 'id': 'b'}
        text = cloud.earlier([foreign, ours]).text
        self.assertIn('n, is crash and was held for 1.500 s: why', text)
        self.assertIn('no snapshot', cloud.earlier([foreign]).text)
        strange = {**ours, 'xloud_frozen_ms': '9' * 99}
        self.assertNotIn('held', cloud.earlier([strange]).text)


class TestRun(testtools.TestCase):
    def test_runs_of_this_machine(self):
        live, dead = run.other_runs('r1', ['r2'])
        self.assertEqual(ExitCode.BUSY, live.failure.exit_code)
        self.assertEqual(Result.WARNING, dead.result)
        self.assertEqual([], list(run.other_runs('', [])))

    def test_the_journal_needs_room(self):
        for is_writable, free, result in (
            (True, 10**9, Result.OK),
            (True, 1000, Result.PROBLEM),
            (False, 10**9, Result.PROBLEM),
        ):
            found = run.journal('/f', is_writable, free)
            self.assertEqual(result, found.result)


class TestGuest(testtools.TestCase):
    def results(self, **facts):
        found = guest.login(fakes.plan(), GuestFacts(**facts))
        return [one.result for one in found]

    def test_the_login(self):
        root = {'is_root': True, 'may_freeze': True}
        self.assertEqual([Result.OK], self.results(**root))
        self.assertEqual([Result.WARNING], self.results())
        self.assertEqual(
            [Result.PROBLEM, Result.OK], self.results(is_taken=True, **root)
        )
        self.assertEqual(
            [Result.OK, Result.WARNING], self.results(is_root=True)
        )

    def test_what_can_not_be_frozen_is_named(self):
        seen = read_line(
            {
                'gives': 'filesystem',
                'frozen': [{'path': '/', 'disks': ['vda']}],
                'still': [{'path': '/boot/efi', 'disks': ['vda']}],
                'skipped': [
                    {'path': '/n', 'disks': [], 'reason': 'nfs4 can not be'}
                ],
            }
        )
        first, second = guest.quiescer(FREEZE, seen)
        self.assertIn('freezes /; /boot/efi must not be', first.text)
        self.assertEqual('not frozen: /n (nfs4 can not be)', second.text)

    def test_what_gives_less_says_why(self):
        seen = Evidence(Consistency.CRASH, detail={'reason': 'fsync=off'})
        first, _ = guest.quiescer(MYSQL, seen)
        self.assertEqual('gives crash: fsync=off', first.text)

    def test_evidence_of_any_shape_is_borne(self):
        for value in (None, 1, 'x', [1, 'x', {}], {'a': 1}):
            seen = read_line({'frozen': value, 'skipped': value})
            self.assertTrue(list(guest.quiescer(FREEZE, seen)))
