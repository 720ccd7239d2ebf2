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

"""snapshot diagnose: each failure is produced, named, and cured as told."""

import shlex

from xloudclient.tests.functional import test_catalog


class TestDiagnose(test_catalog.CatalogTestCase):
    def diagnose(self, subject: str, expect: int = 8) -> list[dict]:
        """Diagnose; return the rows that are not ok."""
        self.last = self.openstack(
            'snapshot', 'diagnose', subject, '-f', 'json'
        )
        self.assertEqual(expect, self.last.code, self.last.stderr)
        return [row for row in self.last.rows if row['Result'] != 'ok']

    def cure(self, row: dict, user: str = 'demo') -> None:
        """Paste the command that a row suggests."""
        self.user, was = user, self.user
        done = self.openstack(*shlex.split(row['Next'])[1:])
        self.assertEqual(0, done.code, done.stderr)
        self.user = was

    def assertProblem(self, check: str, subject: str) -> dict:
        """There is one problem; return its row."""
        rows = self.diagnose(subject)
        [row] = [row for row in rows if row['Result'] == 'problem']
        self.assertIn(check, row['Check'])
        return row

    def left_behind(self, subject: str) -> dict:
        """Return the row of what a deletion left, among others."""
        rows = self.diagnose(subject)
        [row] = [row for row in rows if row['Check'] == 'left behind']
        return row

    def test_nothing_is_wrong(self):
        server = self.place.server(volume_backed=True, data_volumes=1)
        [row] = self.snapshot('create', server.id, '--wait')
        for subject in (server.id, row['Snapshot ID']):
            self.assertEqual([], self.diagnose(subject, expect=0))

    def test_a_snapshot_that_vanished(self):
        server = self.place.server()
        self.cloud.control(server.id, fail='upload')
        conn = self.cloud.connection(self.user)
        conn.compute.create_server_image(server.id, 'lost')
        self.await_idle(server)
        row = self.assertProblem('last snapshot', server.id)
        self.assertIn('not there', row['Cause'])
        self.cloud.reset()
        self.cure(row)
        self.diagnose(server.id, expect=0)

    def test_a_snapshot_that_vanished_when_we_had_gone(self):
        server = self.place.server()
        self.cloud.control(server.id, upload=2)
        [taken] = self.snapshot(
            'consistent', server.id, '--quiesce', 'sync', *self.reach(server)
        )
        self.kill_recorders()
        conn = self.cloud.connection(self.user)
        conn.image.delete_image(taken['Snapshot ID'])
        self.await_idle(server)
        [lost] = [
            row
            for row in self.diagnose(server.id)
            if row['Check'] == 'last snapshot'
        ]
        self.assertEqual(
            'openstack server snapshot consistent --wait --quiesce sync '
            + server.id,
            lost['Next'],
        )
        row = self.assertProblem('image', taken['Snapshot ID'])
        self.assertIn(server.id, row['Cause'])
        self.openstack(*shlex.split(row['Next'])[1:])
        self.refuse(1, 'diagnose', taken['Snapshot ID'])

    def test_an_image_that_stays_queued(self):
        server = self.place.server()
        self.cloud.control(server.id, fail='capture')
        self.cloud.fault(
            'glance', method='DELETE', path='/images/', status=403
        )
        conn = self.cloud.connection(self.user)
        image = conn.compute.create_server_image(server.id, 'stuck')
        self.await_idle(server)
        self.cloud.reset()
        for subject in (image.id, server.id):
            row = self.assertProblem('image', subject)
            self.assertIn('queued', row['Cause'])
        self.cure(row)
        self.assertIsNone(self.image(image.id))

    def test_a_task_that_does_not_end(self):
        server = self.place.server()
        self.cloud.control_compute(dead=True)
        self.addCleanup(self.cloud.control_compute, dead=False)
        conn = self.cloud.connection(self.user)
        conn.compute.create_server_image(server.id, 'waits')
        rows = self.diagnose(server.id, expect=0)
        self.assertIn('image_snapshot_pending', rows[0]['Cause'])

    def test_a_volume_snapshot_that_failed(self):
        server = self.place.server(volume_backed=True)
        self.cloud.control_volume(fail='snapshot')
        conn = self.cloud.connection(self.user)
        image = conn.compute.create_server_image(server.id, 'broken')
        self.cloud.wait(
            lambda: any(
                one.status == 'error' for one in conn.block_storage.snapshots()
            ),
            what='error',
        )
        row = self.assertProblem('volume snapshot', image.id)
        self.assertIn('error', row['Cause'])
        self.cloud.reset()
        self.cure(row)
        self.assertIsNone(self.image(image.id))
        self.assertEqual([], list(conn.block_storage.snapshots()))

    def test_a_volume_snapshot_that_is_gone(self):
        server = self.place.server(volume_backed=True)
        [taken] = self.snapshot('create', server.id, '--wait')
        conn = self.cloud.connection(self.user)
        conn.block_storage.delete_snapshot(taken['Volumes'][0])
        self.cloud.wait(
            lambda: not list(conn.block_storage.snapshots()), what='gone'
        )
        row = self.assertProblem('volume snapshot', taken['Snapshot ID'])
        self.assertIn('does not exist', row['Cause'])
        self.cure(row)
        self.assertIsNone(self.image(taken['Snapshot ID']))

    def test_volume_snapshots_that_were_left_behind(self):
        server = self.place.server(volume_backed=True)
        [taken] = self.snapshot('create', server.id, '--wait')
        conn = self.cloud.connection(self.user)
        conn.image.delete_image(taken['Snapshot ID'])
        self.cure(self.left_behind(server.id))
        self.cloud.wait(
            lambda: not list(conn.block_storage.snapshots()), what='gone'
        )
        found = self.diagnose(server.id)
        self.assertNotIn('left behind', [row['Check'] for row in found])

    def test_a_deletion_that_was_interrupted(self):
        server = self.place.server(data_volumes=1)
        [taken] = self.snapshot(
            'create', server.id, '--data-volumes', '--wait'
        )
        conn = self.cloud.connection(self.user)
        conn.image.delete_image(taken['Snapshot ID'])
        mine = self.left_behind(server.id)
        conn.compute.delete_server(server.id)
        self.cloud.wait(
            lambda: conn.compute.find_server(server.id) is None, what='end'
        )
        # the volume says no more whose it was
        self.assertEqual(mine, self.left_behind(server.id))
        self.cure(self.left_behind(taken['Snapshot ID']))
        self.assertEqual([], list(conn.block_storage.snapshots()))
        self.refuse(1, 'diagnose', server.id)
        self.refuse(1, 'diagnose', taken['Snapshot ID'])

    def test_a_quota(self):
        server = self.place.server(volume_backed=True)
        admin = self.cloud.connection('admin')
        project = self.cloud.connection(self.user).current_project_id
        admin.set_volume_quotas(project, snapshots=0)
        self.addCleanup(admin.delete_volume_quotas, project)
        row = self.assertProblem('quota of snapshots', server.id)
        self.cure(row, user='admin')
        self.diagnose(server.id, expect=0)

    def test_a_quota_of_images(self):
        server = self.place.server()
        self.diagnose(server.id, expect=0)
        self.cloud.limit_images(image_count_total=0)
        row = self.assertProblem('quota of image_count_total', server.id)
        self.cure(row, user='admin')
        self.cloud.reset()
        self.diagnose(server.id, expect=0)

    def test_an_agent_that_is_needed_and_not_there(self):
        image = self.place.image(os_require_quiesce='yes')
        server = self.place.server(image=image)
        row = self.assertProblem('guest agent', server.id)
        self.cure(row)
        conn = self.cloud.connection(self.user)
        self.cloud.wait(
            lambda: conn.compute.get_server(server.id).status == 'SHUTOFF',
            what='SHUTOFF',
        )
        self.snapshot('create', server.id, '--wait')

    def test_an_offer_that_can_not_be_launched(self):
        server = self.place.server(volume_backed=True)
        [taken] = self.snapshot('create', server.id, '--wait')
        conn = self.cloud.connection(self.user)
        other = self.cloud.connection('other').current_project_id
        conn.image.update_image(taken['Snapshot ID'], visibility='shared')
        conn.image.add_member(taken['Snapshot ID'], member_id=other)
        mine = self.assertProblem('sharing', taken['Snapshot ID'])
        self.user = 'other'
        rows = self.diagnose(taken['Snapshot ID'])
        self.assertEqual(
            ['problem', 'warning', 'warning'],
            sorted(row['Result'] for row in rows),
        )
        [theirs] = [row for row in rows if row['Result'] == 'problem']
        self.assertEqual(mine['Next'], theirs['Next'])
        [offer] = [row for row in rows if row['Check'] == 'offer']
        self.cure(offer, user='other')

    def test_a_proof_that_was_not_recorded(self):
        server = self.place.server()
        self.cloud.control(server.id, upload=2)
        [taken] = self.snapshot('create', server.id)
        self.kill_recorders()
        self.await_idle(server)
        row = self.assertProblem('evidence', taken['Snapshot ID'])
        self.cure(row)
        self.assertEqual([], self.diagnose(taken['Snapshot ID'], expect=0))

    def test_wrong_input(self):
        self.assertIn('snapshot or server', self.refuse(1, 'diagnose', 'x'))
        self.refuse(1, 'diagnose', 'tiny')
        self.refuse(2, 'diagnose')
