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


"""snapshot share | unshare | accept | reject, as members of two projects."""

import contextlib
import json
import signal
import time
import uuid
from typing import Any

from xloudclient.tests.functional import base

NOBODY = '0' * 32
MARK = b'the bytes of '


class Sharing(base.FunctionalTestCase):
    """Two users, each a plain member of a project of their own."""

    def setUp(self) -> None:
        super().setUp()
        self.ours = self.cloud.connection('demo')
        self.theirs = self.cloud.connection('other')
        self.other = self.theirs.current_project_id

    @contextlib.contextmanager
    def being(self, user: str):
        self.user, previous = user, self.user
        yield
        self.user = previous

    def tell(self, *words: str, user: str = 'demo', code: int = 0) -> str:
        """Run a snapshot command; return what it said on stderr."""
        with self.being(user):
            result = self.openstack('snapshot', *words)
        self.assertEqual(code, result.code, result.stderr)
        self.assertEqual('', result.stdout)
        return result.stderr

    def offered(self, name: str, user: str = 'demo', **more: Any) -> str:
        """The ID of an image that is a snapshot, and private as Nova's."""
        return self.place.image(
            name=name,
            user=user,
            image_type='snapshot',
            visibility='private',
            **more,
        )

    def members(self, image_id: str) -> dict[str, str]:
        """Each member of an image of demo's, and its answer."""
        reply = self.ours.image.get(f'/images/{image_id}/members')
        return {
            one['member_id']: one['status'] for one in reply.json()['members']
        }

    def listed(self, user: str = 'other') -> list[str]:
        """The IDs of the shared images in a user's default list."""
        images = self.cloud.connection(user).image
        return [one.id for one in images.images(visibility='shared')]

    def copies(self) -> list[dict[str, Any]]:
        """The images of demo that a conversion made or is making."""
        own = self.ours.current_project_id
        reply = self.ours.image.get('/images', params={'owner': own})
        return [
            one
            for one in reply.json()['images']
            if one.get('xloud_converted_from')
        ]

    def temporary(self) -> list[Any]:
        found = self.ours.block_storage.volumes()
        return [one for one in found if (one.name or '').startswith('xloud-')]


class TestShare(Sharing):
    def test_from_the_offer_to_the_answer_and_back(self):
        image = self.offered('plain', xloud_image='stale', xloud_key_name='k')
        self.assertEqual('private', self.image(image)['visibility'])
        said = self.tell('share', 'plain', self.other)
        self.assertIn(f'openstack snapshot accept {image}', said)
        self.assertIn('xloud_key_name=k', said)
        self.assertEqual({self.other: 'pending'}, self.members(image))
        self.assertNotIn(image, self.listed())

        said = self.tell('accept', 'plain', user='other')
        self.assertIn(
            f'openstack snapshot launch --flavor FLAVOR {image} NAME', said
        )
        self.assertIn(image, self.listed())
        self.tell('accept', 'plain', user='other')
        said = self.tell('share', 'plain', self.other)
        self.assertIn('already (accepted)', said)

        self.tell('reject', 'plain', user='other')
        self.assertEqual({self.other: 'rejected'}, self.members(image))
        self.assertNotIn(image, self.listed())
        self.tell('accept', image, user='other')

        # Glance takes anything for a member: that goes, too
        self.ours.image.add_member(image, member_id='a typo')
        said = self.tell('unshare', 'plain', self.other, 'a typo')
        self.assertIn('private again', said)
        self.assertEqual('private', self.image(image)['visibility'])
        self.assertIsNone(self.theirs.image.find_image(image))
        said = self.tell('unshare', 'plain', self.other)
        self.assertIn('is not shared', said)
        self.tell('accept', image, user='other', code=1)

    def test_nothing_is_changed_unless_all_projects_are_known(self):
        image = self.offered('careful')
        for text, reason in (
            ('othr', "Give the project's ID"),
            ('demo', 'its own project'),
            (self.ours.current_project_id, 'its own project'),
        ):
            said = self.tell('share', 'careful', self.other, text, code=1)
            self.assertIn(reason, said)
        self.assertEqual('private', self.image(image)['visibility'])

    def test_a_project_by_name_where_the_user_has_a_role(self):
        image = self.offered('by-name')
        identity = self.cloud.connection('admin').identity
        role = identity.find_role('member')
        team = identity.create_project(name='team')
        self.addCleanup(identity.delete_project, team)
        user = identity.find_user('demo')
        identity.assign_project_role_to_user(team, user, role)
        self.tell('share', image, 'team')
        self.assertEqual({team.id: 'pending'}, self.members(image))
        self.tell('unshare', image, 'team', '--project-domain', 'Default')
        self.assertEqual('private', self.image(image)['visibility'])

    def test_an_administrator_may_look_projects_up(self):
        self.offered('of-admin', user='admin')
        said = self.tell('share', 'of-admin', 'othr', user='admin', code=1)
        self.assertIn("there is no project 'othr'", said)
        said = self.tell('share', 'of-admin', NOBODY, user='admin', code=1)
        self.assertIn('there is no project', said)
        said = self.tell('share', 'of-admin', 'other', user='admin')
        self.assertIn(f'other ({self.other})', said)

    def test_what_belongs_to_others_or_to_all_is_not_shared(self):
        image = self.offered('owned')
        self.tell('share', image, self.other)
        for command in ('share', 'unshare'):
            said = self.tell(command, image, NOBODY, user='other', code=1)
            self.assertIn('only that one can share it', said)
        said = self.tell('accept', image, code=1)
        self.assertIn('belongs to this project', said)
        self.ours.image.update_image(image, visibility='community')
        said = self.tell('share', image, self.other)
        self.assertIn('needs no sharing', said)
        self.tell('unshare', image, self.other, code=1)
        said = self.tell('accept', image, user='other', code=1)
        self.assertIn('nothing to answer', said)

    def test_what_has_no_bytes_yet_is_not_shared(self):
        made = self.ours.image.create_image(
            'unfinished',
            allow_duplicates=True,
            disk_format='raw',
            container_format='bare',
            image_type='snapshot',
        )
        self.addCleanup(self.ours.image.delete_image, made)
        said = self.tell('share', 'unfinished', self.other, code=1)
        self.assertIn('is queued', said)

    def test_one_project_that_fails_stops_no_other(self):
        image = self.offered('several')
        self.cloud.fault(
            'glance', method='POST', path='/members$', status=413, times=1
        )
        said = self.tell('share', image, NOBODY, self.other, code=1)
        self.assertIn(f'could not be shared with {NOBODY}', said)
        self.assertIn(f'is shared with project {self.other}', said)
        self.assertEqual({self.other: 'pending'}, self.members(image))

    def test_what_could_not_be_shared_at_all_stays_private(self):
        image = self.offered('none')
        self.cloud.fault('glance', method='POST', path='/members$', status=413)
        self.tell('share', image, self.other, code=1)
        self.assertEqual('private', self.image(image)['visibility'])

    def test_a_name_that_two_projects_offer(self):
        ours = self.offered('common')
        admins = self.offered('common', user='admin')
        self.tell('share', ours, self.other)
        self.tell('share', admins, self.other, user='admin')
        said = self.tell('accept', 'common', user='other', code=1)
        self.assertIn(ours, said)
        self.assertIn(admins, said)
        self.assertIn(f'of project {self.ours.current_project_id}', said)
        # the one that still waits is meant
        self.tell('reject', admins, user='other')
        self.tell('accept', 'common', user='other')
        self.assertEqual({self.other: 'accepted'}, self.members(ours))
        self.tell('accept', 'unheard-of', user='other', code=1)


class TestConvert(Sharing):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self._clean)

    def _clean(self) -> None:
        self.cloud.reset()
        for one in self.copies():
            self.ours.image.delete_image(one['id'])
        for one in self.temporary():
            self.cloud.wait(
                lambda id=one.id: (
                    self.ours.block_storage.get_volume(id).status
                    != 'uploading'
                )
            )
            self.ours.block_storage.delete_volume(one)

    def write(self, path: Any, text: str) -> bytes:
        """Write a mark on a disk, past its first sectors."""
        mark = MARK + text.encode()
        with open(path, 'r+b') as disk:
            disk.seek(4096)
            disk.write(mark)
        return mark

    def read(self, path: Any, mark: bytes) -> bytes:
        with open(path, 'rb') as disk:
            disk.seek(4096)
            return disk.read(len(mark))

    def volumes_of(self, conn: Any, server: Any) -> dict[str, str]:
        """The ID of the volume at each device of a server."""
        found = conn.compute.volume_attachments(server)
        return {one.device: one.volume_id for one in found}

    def volume_backed(self, name: str = 'converted') -> str:
        """A snapshot of a volume as Nova would make it; the image's ID."""
        volume = self.place.volume()
        snapshot = self.ours.block_storage.create_snapshot(volume_id=volume)
        self.ours.block_storage.wait_for_status(
            snapshot, 'available', interval=0.1
        )
        root = {
            'snapshot_id': snapshot.id,
            'device_name': '/dev/vda',
            'boot_index': 0,
            'volume_size': 1,
            'source_type': 'snapshot',
            'destination_type': 'volume',
        }
        return self.place.image(
            name=name,
            visibility='private',
            bdm_v2='True',
            block_device_mapping=json.dumps([root]),
        )

    def test_the_other_project_launches_all_disks(self):
        server = self.place.server(volume_backed=True, data_volumes=1)
        disks = self.volumes_of(self.ours, server)
        marks = {
            device: self.write(self.cloud.volume_file(volume), device)
            for device, volume in disks.items()
        }
        [row] = self.snapshot('create', server.id, '--wait', '--name', 'vol')
        said = self.tell('share', 'vol', self.other, code=1)
        self.assertIn('--convert', said)
        self.tell('share', '--convert', 'vol', self.other)
        self.assertEqual([], self.temporary())
        self.assertEqual(2, len(self.copies()))

        self.tell('accept', 'vol-converted', user='other')
        made = self.launch('vol-converted')
        root = self.read(self.cloud.disk(made), marks['/dev/vda'])
        self.assertEqual(marks['/dev/vda'], root)
        data = self.volumes_of(self.theirs, made)
        self.assertEqual(['/dev/vdb'], list(data))
        self.assertEqual(
            marks['/dev/vdb'],
            self.read(
                self.cloud.volume_file(data['/dev/vdb']), marks['/dev/vdb']
            ),
        )

        [copy] = [one for one in self.copies() if 'image_type' in one]
        self.assertEqual(row['Snapshot ID'], copy['xloud_converted_from'])
        self.assertEqual(row['Consistency'], copy['xloud_consistency'])
        self.assertEqual(copy['id'], copy['xloud_image'])
        self.tell('share', '--convert', 'vol', NOBODY)
        self.assertEqual(2, len(self.copies()))
        said = self.tell('unshare', 'vol', NOBODY, self.other)
        for one in self.copies():
            self.assertEqual('private', one['visibility'])
        self.assertIn(f'openstack snapshot delete {copy["id"]}', said)
        self.tell('delete', copy['id'])
        self.assertEqual([], self.copies())

    def launch(self, image: str) -> Any:
        """A server of the other project, from an image, as its user would."""
        name = f'launched-{uuid.uuid4().hex[:8]}'
        with self.being('other'):
            result = self.openstack(
                'server', 'create', '--wait', '--flavor', 'm1.tiny',
                '--network', 'net', '--image', image, name,
            )  # fmt: skip
        self.assertEqual(0, result.code, result.stderr)
        server = self.theirs.compute.find_server(name)
        self.addCleanup(self.cloud.delete, server, 'other')
        return server

    def test_an_image_and_its_data_volumes(self):
        server = self.place.server(data_volumes=1)
        root = self.write(self.cloud.disk(server), 'root')
        [volume] = self.volumes_of(self.ours, server).values()
        data = self.write(self.cloud.volume_file(volume), 'data')
        self.snapshot(
            'create', server.id, '--wait', '--name', 'img', '--data-volumes'
        )
        said = self.tell('share', 'img', self.other, code=1)
        self.assertIn('has data volumes', said)
        self.tell('share', '--convert', 'img', self.other)
        by_device = {
            'vdb' if one['name'].endswith('-vdb') else 'root': one
            for one in self.copies()
        }
        for device, mark in (('root', root), ('vdb', data)):
            image = by_device[device]['id']
            self.assertIn(self.other, self.members(image))
            content = self.theirs.image.get(f'/images/{image}/file').content
            self.assertEqual(mark, content[4096 : 4096 + len(mark)])
        mapping = json.loads(by_device['root']['block_device_mapping'])
        self.assertEqual(
            [(by_device['vdb']['id'], '/dev/vdb')],
            [(one['image_id'], one['device_name']) for one in mapping],
        )

    def test_a_killed_conversion_is_gone_on_with(self):
        self.volume_backed()
        self.cloud.control_volume(hang='upload')
        words = ('snapshot', 'share', '--convert', 'converted', self.other)
        killed = self.start(*words)
        self.cloud.wait(self.copies, what='the upload')
        killed.kill()
        [begun] = self.copies()
        # as long as it is under way, a signal only names it
        since = time.time()
        stopped = self.start(*words)
        self.cloud.wait(
            lambda: self._has_looked(begun['xloud_image'], since),
            what='a look at it',
        )
        stopped.send_signal(signal.SIGINT)
        _stdout, stderr = stopped.communicate(timeout=base.PATIENCE_SECONDS)
        self.assertEqual(130, stopped.returncode, stderr)
        self.assertIn(f'openstack image delete {begun["id"]}', stderr)
        self.assertIn('openstack volume delete', stderr)

        self.cloud.reset()
        self.tell('share', '--convert', 'converted', self.other)
        [copy] = self.copies()
        self.assertEqual(
            (begun['id'], begun['id']), (copy['id'], copy['xloud_image'])
        )
        self.assertEqual([], self.temporary())
        self.assertEqual({self.other: 'pending'}, self.members(copy['id']))

    def _has_looked(self, volume_id: str, since: float) -> bool:
        """Whether a client has asked for the image of a volume."""
        return any(
            f'xloud_image={volume_id}' in one.query
            for one in self.cloud.requests(since, service='glance')
        )

    def test_a_failed_upload_leaves_nothing(self):
        image = self.volume_backed()
        self.cloud.control_volume(fail='upload')
        said = self.tell('share', '--convert', 'converted', self.other, code=1)
        self.assertIn('the upload failed (Cinder: ', said)
        self.assertEqual(([], []), (self.copies(), self.temporary()))
        self.assertEqual('private', self.image(image)['visibility'])

    def test_a_volume_that_can_not_be_made_leaves_nothing(self):
        self.volume_backed()
        self.cloud.control_volume(fail='create')
        said = self.tell('share', '--convert', 'converted', self.other, code=1)
        self.assertIn('the volume is error', said)
        self.assertEqual(([], []), (self.copies(), self.temporary()))

    def test_a_quota_is_said_as_cinder_says_it(self):
        self.volume_backed()
        storage = self.cloud.connection('admin').block_storage
        path = f'/os-quota-sets/{self.ours.current_project_id}'
        for volumes in (0, -1):
            self.addCleanup(
                storage.put, path, json={'quota_set': {'volumes': -1}}
            )
            storage.put(path, json={'quota_set': {'volumes': volumes}})
            if volumes == 0:
                said = self.tell(
                    'share', '--convert', 'converted', self.other, code=1
                )
                self.assertIn('Maximum number of volumes allowed', said)

    def test_lost_replies_make_nothing_twice(self):
        self.volume_backed()
        for path in ('/volumes$', '/action$'):
            self.cloud.fault(
                'cinder', method='POST', path=path, drop='reply', times=1
            )
        self.cloud.fault('glance', method='PATCH', drop='reply', times=1)
        self.tell('share', '--convert', 'converted', self.other)
        self.assertEqual(1, len(self.copies()))
        self.assertEqual([], self.temporary())

    def test_what_others_shared_unlaunchable_is_said_to_be_so(self):
        image = self.volume_backed()
        self.ours.image.update_image(image, visibility='shared')
        self.ours.image.add_member(image, member_id=self.other)
        said = self.tell('accept', 'converted', user='other')
        self.assertIn("can't be launched", said)
        self.assertIn(f'share --convert {image} {self.other}', said)
