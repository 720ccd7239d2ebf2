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

"""Each symptom has its cause and its cure."""

import dataclasses
import datetime

import testtools

from xloudclient.catalog.diagnosis import server as of_server
from xloudclient.catalog.diagnosis import snapshot as of_snapshot
from xloudclient.catalog.diagnosis.facts import (
    DeadRun,
    Part,
    Quota,
    Request,
    ServerFacts,
    ServerState,
    SnapshotFacts,
)
from xloudclient.consistency.checks.finding import Finding, Result
from xloudclient.consistency.checks.quota import Allowance
from xloudclient.guest import quiescers
from xloudclient.tests.unit.catalog.test_snapshot import (
    FROM_VOLUMES,
    OURS,
    snapshot,
)

NOW = datetime.datetime(2026, 3, 18, 12, tzinfo=datetime.UTC)
IDLE = ServerState('s', 'db', 'ACTIVE', '', NOW)
AT_IT = dataclasses.replace(IDLE, task='image_uploading')
HOUR = datetime.timedelta(hours=1)
GOOD = tuple(Part(one, 'available') for one in ('x', 'y'))


class TestSnapshot(testtools.TestCase):
    def found(self, *image: dict, reader: str = 'p', **facts) -> list[Finding]:
        facts = {'server': IDLE, **facts}
        return list(
            of_snapshot.findings(
                SnapshotFacts(snapshot(*image, reader=reader), NOW, **facts)
            )
        )

    def assertOne(self, result: Result, next: str, found: list) -> str:
        """There is one such finding; return its cause."""
        [one] = [finding for finding in found if finding.result is result]
        self.assertEqual(next, one.advice)
        return one.text

    def test_nothing_is_wrong(self):
        for found in (
            self.found(OURS, {'xloud_volumes': ''}),
            self.found(OURS, FROM_VOLUMES, parts=GOOD),
        ):
            self.assertEqual({Result.OK}, {one.result for one in found})

    def test_an_upload_that_nobody_makes(self):
        delete = 'openstack snapshot delete a'
        for status, server, cause in (
            ('queued', IDLE, 'has no task'),
            ('saving', IDLE, 'has no task'),
            ('queued', None, 'server is gone'),
            ('killed', IDLE, 'no data'),
        ):
            found = self.found(
                OURS, {'xloud_volumes': '', 'status': status}, server=server
            )
            self.assertIn(cause, self.assertOne(Result.PROBLEM, delete, found))

    def test_an_upload_under_way(self):
        young = {'status': 'saving', 'created_at': '2026-03-18T11:59:00Z'}
        [first, *_rest] = self.found(OURS, young, server=AT_IT)
        self.assertIs(Result.OK, first.result)
        self.assertIn('60 s', first.text)

    def test_an_upload_that_takes_long(self):
        [first, *_rest] = self.found(OURS, {'status': 'saving'}, server=AT_IT)
        self.assertIs(Result.WARNING, first.result)
        self.assertEqual('openstack snapshot diagnose s', first.advice)

    def test_an_administrator_took_it_away(self):
        found = self.found(
            OURS, {'xloud_volumes': '', 'status': 'deactivated'}
        )
        self.assertOne(
            Result.PROBLEM, 'openstack image set --activate a', found
        )

    def test_a_volume_snapshot_that_is_no_good(self):
        delete = 'openstack snapshot delete a'
        for part, cause in (
            (Part('x', 'error', 'no space'), 'error: no space'),
            (Part('x', 'error_deleting'), 'error_deleting;'),
            (Part('x', ''), 'does not exist'),
        ):
            found = self.found(OURS, FROM_VOLUMES, parts=(part, GOOD[1]))
            self.assertIn(cause, self.assertOne(Result.PROBLEM, delete, found))

    def test_a_volume_snapshot_that_is_being_made(self):
        parts = (Part('x', 'creating'),)
        found = self.found(OURS, FROM_VOLUMES, parts=parts)
        self.assertOne(Result.WARNING, '', found)

    def test_a_volume_backed_one_of_another_project(self):
        found = self.found(
            FROM_VOLUMES,
            {'visibility': 'shared'},
            reader='q',
            parts=(Part('x', ''),),
        )
        cure = 'openstack snapshot share --convert a q'
        self.assertIn(
            "owner's project", self.assertOne(Result.PROBLEM, cure, found)
        )

    def test_sharing_what_can_not_be_launched(self):
        found = self.found(
            OURS, FROM_VOLUMES, parts=GOOD, members=('q', 'it is')
        )
        cure = "openstack snapshot share --convert a q 'it is'"
        self.assertOne(Result.PROBLEM, cure, found)

    def test_sharing_what_can(self):
        found = self.found(OURS, {'xloud_volumes': ''}, members=('q',))
        self.assertEqual({Result.OK}, {one.result for one in found})

    def test_an_offer(self):
        found = self.found(OURS, {'xloud_volumes': ''}, is_pending_offer=True)
        self.assertOne(Result.WARNING, 'openstack snapshot accept a', found)

    def test_a_proof_that_was_not_recorded(self):
        pending = {'xloud_image': '', 'xloud_volumes': ''}
        cure = 'openstack server snapshot recover r'
        found = self.found(OURS, pending, dead_run='r')
        self.assertOne(Result.PROBLEM, cure, found)

    def test_what_nobody_proved(self):
        found = self.found({'image_type': 'snapshot'})
        self.assertEqual(
            'others made it', self.assertOne(Result.WARNING, '', found)
        )


class TestServer(testtools.TestCase):
    def found(self, server: ServerState = IDLE, **facts) -> list[Finding]:
        return list(of_server.findings(ServerFacts(server, 'p', NOW, **facts)))

    def assertProblem(self, next: str, found: list) -> str:
        [one] = [
            finding for finding in found if finding.result is Result.PROBLEM
        ]
        self.assertEqual(next, one.advice)
        return one.text

    def test_nothing_is_wrong(self):
        found = self.found(
            snapshots=(snapshot(OURS),),
            requests=(Request(NOW - 2 * HOUR),),
            quotas=(
                Quota('snapshots', Allowance(9, 10), 1),
                Quota('gigabytes', Allowance(9, -1), 1),
            ),
            needs_agent=True,
            has_agent=True,
        )
        self.assertEqual({Result.OK}, {one.result for one in found})

    def test_a_snapshot_that_vanished(self):
        cure = 'openstack server snapshot create --wait s'
        before = snapshot(OURS)  # of 10:00
        for error, cause in (('', 'Nova says nothing'), ('boom', 'boom')):
            found = self.found(
                snapshots=(before,), requests=(Request(NOW, error),)
            )
            self.assertIn(cause, self.assertProblem(cure, found))

    def test_what_was_quiesced_is_quiesced_again(self):
        again = 'openstack server snapshot'
        for quiesced, cure in (
            (('mysql', 'sync'), 'consistent --wait --quiesce mysql --quiesce'),
            (('pair,file=/my hook,pre=in',), "--quiesce 'pair,file=/my hook,"),
            ((), 'create --wait s'),
        ):
            runs = (DeadRun('r', quiesced), DeadRun('killed early', None))
            found = self.found(requests=(Request(NOW),), dead_runs=runs)
            self.assertIn(cure, found[1].advice)
        for recorded, cure in (
            ('mysql,sync', 'consistent --wait --quiesce mysql --quiesce sync'),
            ('pair,sync', 'consistent --wait --quiesce auto'),
            ('', 'create --wait'),
        ):
            before = snapshot(OURS, {'xloud_quiesced': recorded})
            found = self.found(snapshots=(before,), requests=(Request(NOW),))
            self.assertProblem(f'{again} {cure} s', found)

    def test_names_that_say_all_are_enough_for_quiesce(self):
        for name in of_server.NEED_NO_OPTION:
            self.assertIsNone(quiescers.check(name, ()))

    def test_a_snapshot_under_way_has_not_vanished(self):
        found = self.found(AT_IT, requests=(Request(NOW),))
        self.assertNotIn(Result.PROBLEM, [one.result for one in found])

    def test_a_task_that_does_not_end(self):
        stuck = dataclasses.replace(AT_IT, since=NOW - HOUR)
        self.assertProblem(
            'openstack server set --state active s', self.found(stuck)
        )

    def test_a_task(self):
        self.assertIs(Result.WARNING, self.found(AT_IT)[0].result)

    def test_a_state_that_allows_none(self):
        broken = dataclasses.replace(IDLE, status='ERROR')
        self.assertProblem('openstack server show s', self.found(broken))

    def test_an_agent_that_is_needed_and_not_there(self):
        self.assertProblem(
            'openstack server stop s', self.found(needs_agent=True)
        )

    def test_a_stopped_server_needs_no_agent(self):
        stopped = dataclasses.replace(IDLE, status='SHUTOFF')
        found = self.found(stopped, needs_agent=True)
        self.assertEqual({Result.OK}, {one.result for one in found})

    def test_a_quota(self):
        for quota, cure in (
            (
                Quota('snapshots', Allowance(9, 10), 2),
                'quota set --snapshots 11 p',
            ),
            (
                Quota('gigabytes', Allowance(0, 0), 1),
                'quota set --gigabytes 1 p',
            ),
            (
                Quota('gigabytes_fast disks', Allowance(5, 5), 2),
                "quota set --gigabytes 7 --volume-type 'fast disks' p",
            ),
            (
                Quota('image_size_total', Allowance(10, 9), 0),
                'limit list --service glance --project p',
            ),
        ):
            self.assertProblem(
                f'openstack {cure}', self.found(quotas=(quota,))
            )

    def test_volume_snapshots_that_were_left_behind(self):
        self.assertProblem(
            'openstack volume snapshot delete x y',
            self.found(orphans=('x', 'y')),
        )

    def test_an_interrupted_run(self):
        for run, cause in (
            (DeadRun('r', ()), 'run r ended without cleaning up'),
            (
                DeadRun('r', None),
                'run r ended without cleaning up, before it asked for a '
                'snapshot',
            ),
        ):
            found = self.found(dead_runs=(run,))
            cure = 'openstack server snapshot recover r'
            self.assertEqual(cause, self.assertProblem(cure, found))
