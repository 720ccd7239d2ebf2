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


"""snapshot delete: all of a snapshot, and nothing else."""

import json
import typing

from xloudclient.tests.cloud import fixture
from xloudclient.tests.functional import base, records


class RemovalTestCase(base.FunctionalTestCase):
    """Its servers are made once: what is deleted is their snapshots."""

    servers: typing.ClassVar[dict] = {}

    def setUp(self):
        super().setUp()
        self.conn = self.cloud.connection()
        # what other tests left would be counted
        self.cloud.delete_snapshots()
        self.addCleanup(self.cloud.delete_snapshots)

    def server(self, **what):
        """A server with a data volume; other tests use it, too."""
        key = str(what)
        if key not in self.servers:
            self.servers[key] = self.cloud.server(data_volumes=1, **what)
        return self.servers[key]

    def delete(self, *snapshots, expect=0, sentence=''):
        """Run the command, which has no output of its own."""
        result = self.openstack('snapshot', 'delete', *snapshots)
        self.assertEqual(expect, result.code, result.stderr)
        self.assertEqual('', result.stdout)
        self.assertIn(sentence, result.stderr)
        self.assertNotIn('Traceback', result.stderr)
        return result

    def take(self, server, *words):
        """Snapshot a server; return the image's and the parts' IDs."""
        [row] = self.snapshot('create', '--wait', server.id, *words)
        self.addCleanup(self.end, row['Snapshot ID'])
        return row['Snapshot ID'], set(row['Volumes'])

    def native(self, server, name):
        """Snapshot a server as others do; return the image's ID."""
        made = self.conn.compute.create_server_image(server, name).id
        self.addCleanup(self.end, made)
        return made

    def record(self, *words, **properties):
        made = records.record(self.cloud, *words, **properties)
        self.addCleanup(self.end, made)
        return made

    def end(self, image_id):
        """Remove an image, if it is there."""
        if self.image(image_id):
            self.conn.image.update_image(image_id, is_protected=False)
            self.conn.image.delete_image(image_id)

    def parts(self):
        """The IDs of the volume snapshots that the project has."""
        return {one.id for one in self.conn.block_storage.snapshots()}


def tearDownModule():
    while RemovalTestCase.servers:
        fixture.shared().delete(RemovalTestCase.servers.popitem()[1])


class TestDelete(RemovalTestCase):
    def test_a_volume_backed_snapshot_and_no_other(self):
        server = self.server(volume_backed=True)
        kept, kept_parts = self.take(server)
        gone, _ = self.take(server)
        self.delete(gone)
        self.assertIsNone(self.image(gone))
        self.assertEqual(kept_parts, self.parts())
        self.assertIsNotNone(self.image(kept))

    def test_an_image_backed_snapshot_with_data_volumes(self):
        server = self.server()
        other = self.conn.block_storage.create_snapshot(
            volume_id=server.attached_volumes[0].id, name='mine', force=True
        )
        image_id, parts = self.take(server, '--data-volumes')
        self.assertEqual({other.id, *parts}, self.parts())
        self.delete(image_id)
        self.assertIsNone(self.image(image_id))
        self.assertEqual({other.id}, self.parts())

    def test_what_others_made_as_soon_as_it_is_made(self):
        self.cloud.control_volume(hang='finish')
        server = self.server(volume_backed=True)
        image_id = self.native(server, 'just-made')
        self.delete('just-made', expect=75, sentence='is creating')
        self.assertIsNotNone(self.image(image_id))
        self.cloud.control_volume(hang=None)
        self.cloud.wait(lambda: self.statuses() == {'available'})
        self.delete('just-made')
        self.assertIsNone(self.image(image_id))
        self.assertEqual(set(), self.parts())

    def statuses(self):
        return {one.status for one in self.conn.block_storage.snapshots()}

    def test_what_another_image_is_launched_from_stays(self):
        image_id, parts = self.take(self.server(volume_backed=True))
        image = self.image(image_id)
        copied = ('block_device_mapping', 'bdm_v2', 'xloud_image')
        copy = records.post_image(
            self.cloud,
            os_hidden=True,
            **{key: image[key] for key in copied},
        )
        self.addCleanup(self.end, copy)
        result = self.delete(image_id, sentence=f'image {copy} is launched')
        for part in parts:
            self.assertIn(part, result.stderr)
        self.assertEqual(parts, self.parts())
        self.delete(copy)
        self.assertEqual(set(), self.parts())

    def test_a_volume_snapshot_made_by_hand_stays(self):
        volume = self.place.volume()
        mine = self.conn.block_storage.create_snapshot(
            volume_id=volume, name='by hand'
        ).id
        mapping = [{'boot_index': 0, 'snapshot_id': mine, 'volume_size': 1}]
        image_id = self.record('', block_device_mapping=json.dumps(mapping))
        self.delete(image_id, sentence=f'volume snapshot delete {mine}')
        self.assertIsNone(self.image(image_id))
        self.assertEqual({mine}, self.parts())

    def test_it_goes_on_past_failures(self):
        first, second = self.record('', protected=True), self.record('')
        plain = self.place.image(name='plain')
        result = self.delete('none', first, plain, second, expect=1)
        for sentence in (
            "there is no snapshot 'none'",
            f'openstack image set --unprotected {first}',
            f'image plain ({plain}) is no snapshot',
        ):
            self.assertIn(sentence, result.stderr)
        self.assertIsNotNone(self.image(first))
        self.assertIsNotNone(self.image(plain))
        self.assertIsNone(self.image(second))

    def test_an_ambiguous_name(self):
        for image_id in [self.record('', name='two') for _ in range(2)]:
            self.delete('two', expect=1, sentence=f'{image_id} (of project ')

    def test_a_shelved_servers_disk(self):
        server = self.place.server(name='away')
        self.conn.compute.shelve_server(server)
        image = self.cloud.wait(
            lambda: list(self.conn.image.images(name='away-shelved'))
        )[0]
        self.addCleanup(self.end, image.id)
        self.delete(image.id, expect=1, sentence='of a shelved server')

    def test_another_projects(self):
        image_id = self.record('', visibility='shared')
        project = self.cloud.connection('other').current_project_id
        self.conn.image.add_member(image_id, member_id=project)
        self.user = 'other'
        self.delete(image_id, expect=1, sentence='is of another project')
        self.assertIsNotNone(self.image(image_id))

    def test_one_that_glance_will_not_delete(self):
        image_id, parts = self.take(self.server(), '--data-volumes')
        fault = {'method': 'DELETE', 'path': image_id}
        self.cloud.fault('glance', **fault, status=409, times=1)
        self.delete(image_id, expect=1, sentence='is not deleted')
        self.assertEqual(parts, self.parts())
        self.cloud.fault('glance', **fault, drop='reply', times=1)
        self.delete(image_id)
        self.assertEqual(set(), self.parts())


class TestUnderWay(RemovalTestCase):
    """What is being made, or was left half-way."""

    def test_an_upload(self):
        server = self.server()
        self.cloud.control(server.id, hang='upload')
        image_id = self.native(server, 'slow')
        self.delete('slow', expect=75, sentence='has a task under way')
        self.assertIsNotNone(self.image(image_id))
        self.cloud.control(server.id, hang=None)
        self.conn.compute.wait_for_server(
            self.conn.compute.get_server(server.id)
        )

    def test_a_live_run(self):
        server = self.server(volume_backed=True)
        self.cloud.control_volume(hang='finish')
        run = self.start('server', 'snapshot', 'create', server.id)
        [image_id] = self.cloud.wait(lambda: self.images_of(server))
        self.addCleanup(self.end, image_id)
        self.delete(image_id, expect=75, sentence='is at work on')
        self.cloud.control_volume(hang=None)
        _, stderr = run.communicate(timeout=base.PATIENCE_SECONDS)
        self.assertEqual(0, run.returncode, stderr)

    def images_of(self, server):
        found = self.conn.image.get(f'/images?instance_uuid={server.id}')
        return [one['id'] for one in found.json()['images']]

    def test_an_upload_that_nobody_makes(self):
        image_id = records.post_image(self.cloud, instance_uuid='')
        self.delete(image_id)
        self.assertIsNone(self.image(image_id))

    def test_volumes_depend_on_it(self):
        image_id, parts = self.take(self.server(volume_backed=True))
        self.cloud.control_volume(fail='busy')
        self.delete(image_id, expect=1, sentence='it is in use')
        self.assertEqual(parts, self.parts())
        mapping = json.loads(self.image(image_id)['block_device_mapping'])
        last = self.conn.block_storage.get_snapshot(mapping[-1]['snapshot_id'])
        self.cloud.control_volume(fail=None)
        self.cloud.control_volume(last.volume_id, fail='busy')
        result = self.delete(image_id, expect=1, sentence='deleted in part')
        self.assertIn(f'openstack snapshot delete {image_id}', result.stderr)
        self.assertEqual({last.id}, self.parts())
        self.cloud.control_volume(last.volume_id, fail=None)
        self.delete(image_id)
        self.assertEqual(set(), self.parts())
        self.assertIsNone(self.image(image_id))

    def test_cinder_fails(self):
        image_id, [part] = self.take(self.server(), '--data-volumes')
        self.cloud.control_volume(fail='delete')
        self.delete(image_id, expect=1, sentence='is error_deleting now')
        self.assertIsNone(self.image(image_id))
        self.delete(image_id, expect=1, sentence=f'{part} is not deleted')
        self.cloud.control_volume(fail=None)
        admin = self.cloud.connection('admin').block_storage
        admin.reset_snapshot_status(part, 'error')
        self.delete(image_id)
        self.assertEqual(set(), self.parts())
        self.delete(image_id, sentence=f'there is no snapshot {image_id}')

    def test_a_deletion_that_was_killed(self):
        for server, words, is_image_left in (
            (self.server(), ('--data-volumes',), False),
            (self.server(volume_backed=True), (), True),
        ):
            image_id, _ = self.take(server, *words)
            self.kill_a_deletion(image_id)
            self.assertEqual(is_image_left, bool(self.image(image_id)))
            self.delete(image_id)
            self.assertIsNone(self.image(image_id))
            self.assertEqual(set(), self.parts())

    def kill_a_deletion(self, image_id):
        """Kill it at the first volume snapshot."""
        self.cloud.control_volume(hang='delete')
        process = self.start('snapshot', 'delete', image_id)
        self.cloud.wait(
            lambda: [
                one
                for one in self.conn.block_storage.snapshots()
                if one.status == 'deleting'
            ],
            base.PATIENCE_SECONDS,
        )
        process.kill()
        process.wait()
        self.cloud.control_volume(hang=None)
