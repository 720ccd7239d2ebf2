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

"""snapshot launch, as plain members of two projects."""

import re
import shlex
import signal
from typing import Any

from xloudclient.tests.functional import base


class LaunchTestCase(base.FunctionalTestCase):
    def setUp(self) -> None:
        super().setUp()
        # a volume can't go before its snapshots, nor a server's before it
        self.addCleanup(self.cloud.delete_snapshots)

    def conn(self) -> Any:
        return self.cloud.connection(self.user)

    def launch(self, *words: str, expect: int = 0) -> dict[str, Any]:
        """Run snapshot launch; the server goes with the test."""
        self.addCleanup(self.remove, words[1], self.user)
        self.last = self.openstack('snapshot', 'launch', *words, '-f', 'json')
        self.assertEqual(expect, self.last.code, self.last.stderr)
        return self.last.rows if self.last.stdout else {}

    def refuse(self, *words: str, code: int = 1) -> str:
        """Be refused before anything is asked for; return the reasons."""
        self.assertEqual({}, self.launch(*words, expect=code))
        found = self.conn().compute.servers(name=f'^{words[1]}$')
        self.assertEqual([], list(found))
        return self.last.stderr

    def remove(self, name: str, user: str) -> None:
        compute = self.cloud.connection(user).compute
        for server in compute.servers(name=f'^{name}$'):
            self.cloud.delete(server, user)

    def paste(self, text: str) -> base.Result:
        """Run a command that was suggested."""
        [words] = re.findall(r'openstack ((?:[^&]|&&)*?)\.(?:\s|$)', text)
        for command in words.replace('openstack ', '').split(' && '):
            result = self.openstack(*shlex.split(command))
            self.assertEqual(0, result.code, result.stderr)
        return result

    def snap(self, server: Any, *words: str) -> str:
        """Take a snapshot; return its ID."""
        [row] = self.snapshot('create', server.id, '--wait', *words)
        return str(row['Snapshot ID'])

    def volumes(self, server_id: str) -> dict[str, Any]:
        """The volumes of a server, by device."""
        compute = self.conn().compute
        return {
            one.device: one for one in compute.volume_attachments(server_id)
        }

    def write(self, server: Any, text: bytes) -> None:
        """Mark each disk of a server with where it is."""
        found = self.volumes(server.id)
        for device, one in found.items():
            with self.cloud.volume_file(one.volume_id).open('r+b') as file:
                file.write(text + device.encode())
        if '/dev/vda' not in found:
            with self.cloud.disk(server).open('r+b') as file:
                file.write(text)

    def read(self, server_id: str) -> dict[str, bytes]:
        """The first bytes of each of its disks."""
        found = {
            device: self.cloud.volume_file(one.volume_id)
            for device, one in self.volumes(server_id).items()
        }
        found.setdefault('/dev/vda', self.cloud.disk(server_id))
        heads = {}
        for device, path in found.items():
            with path.open('rb') as file:
                heads[device] = file.read(20).rstrip(b'\0')
        return heads


class TestLaunch(LaunchTestCase):
    def test_a_server_of_which_nothing_is_shown_is_named(self):
        self.snap(self.place.server(), '--name', 'plain')
        self.assertEqual(
            {}, self.launch('plain', 'ghost', '-c', 'Nope', expect=1)
        )
        [made] = self.conn().compute.servers(name='^ghost$')
        self.assertIn(f"server 'ghost' ({made.id})", self.last.stderr)

    def test_an_image_with_its_data_volumes(self):
        compute = self.conn().compute
        key = compute.create_keypair(name='k')
        self.addCleanup(compute.delete_keypair, key)
        server = self.place.server(data_volumes=2, key_name='k')
        self.write(server, b'before')
        before = self.read(server.id)
        snapshot = self.snap(server, '--data-volumes', '--name', 'whole')
        self.write(server, b'later!')

        made = self.launch('whole', 'copy', '--wait')
        self.assertEqual('ACTIVE', made['status'])
        self.assertIn(snapshot, made['image'])
        self.assertEqual(before, self.read(made['id']))
        self.assertEqual(3, len(before))
        self.assertEqual('k', made['key_name'])
        self.assertEqual(['net'], list(made['addresses']))
        self.assertEqual('m1.tiny', made['flavor']['original_name'])
        self.assertIn('adminPass', made)
        self.assertIn(
            'as its server had: flavor m1.tiny, network net, '
            'security group default, key pair k\n',
            self.last.stderr,
        )
        self.assertRegex(self.last.stderr, r'copy  \+\d.*active\n')
        for one in self.volumes(made['id']).values():
            self.assertFalse(one.delete_on_termination)

        alone = self.launch('whole', 'alone', '--no-data-volumes', '--wait')
        self.assertEqual({'/dev/vda': b'before'}, _cut(self.read(alone['id'])))

        # a volume in the place of the root disk
        big = self.launch(
            'whole', 'big', '--wait', '--boot-from-volume', '2',
            '--delete-on-termination', '--key-name', '',
        )  # fmt: skip
        self.assertEqual(before, self.read(big['id']))
        self.assertEqual(3, len(self.volumes(big['id'])))
        self.assertIsNone(big['key_name'])
        self.assertGone(big['id'])

    def assertGone(self, server_id: str) -> None:
        """Assert that its volumes go with a server."""
        ids = {one.volume_id for one in self.volumes(server_id).values()}
        self.conn().compute.delete_server(server_id)
        storage = self.conn().block_storage
        self.cloud.wait(
            lambda: not ids & {one.id for one in storage.volumes()},
            what='no volumes',
        )

    def test_a_volume_backed_one(self):
        server = self.place.server(
            volume_backed=True, data_volumes=2, flavor='2'
        )
        self.write(server, b'before')
        before = self.read(server.id)
        snapshot = self.snap(server)
        self.write(server, b'later!')

        made = self.launch(snapshot, 'copy', '--wait')
        self.assertEqual(before, self.read(made['id']))
        kept = {
            device: one.delete_on_termination
            for device, one in self.volumes(made['id']).items()
        }
        # as it was with the source
        self.assertEqual(
            {'/dev/vda': True, '/dev/vdb': False, '/dev/vdc': False}, kept
        )
        made = self.launch(
            snapshot, 'all', '--wait', '--delete-on-termination'
        )
        self.assertEqual(before, self.read(made['id']))
        self.assertGone(made['id'])
        made = self.launch(snapshot, 'alone', '--wait', '--no-data-volumes')
        self.assertEqual(['/dev/vda'], list(self.volumes(made['id'])))
        self.assertIn(
            'is volume-backed',
            self.refuse(snapshot, 'x', '--boot-from-volume', '5', code=2),
        )

    def test_a_foreign_one_has_no_defaults(self):
        server = self.place.server()
        conn = self.conn()
        image = conn.compute.create_server_image(server.id, 'theirs')
        self.addCleanup(conn.image.delete_image, image.id)
        self.cloud.wait(
            lambda: self.image(image.id)['status'] == 'active', what='active'
        )
        self.assertIn(
            'nothing is recorded', self.refuse('theirs', 'copy', code=2)
        )
        words = ('--flavor', 'm1.tiny', '--network', 'net', '--wait')
        made = self.launch('theirs', 'copy', *words)
        self.assertEqual('ACTIVE', made['status'])


class TestRefusals(LaunchTestCase):
    def test_the_disk_of_the_flavor_that_nova_wrote_is_not(self):
        """Its server's flavor has more disk than its root volume."""
        server = self.place.server(flavor='2', volume_backed=True)
        native = self.conn().compute.create_server_image(server.id, 'native')
        self.cloud.wait(
            lambda: (
                self.conn().compute.get_server(server.id).task_state is None
            ),
            what='no task',
        )
        text = self.refuse(native.id, 'x', '--flavor', 'm1.small')
        self.assertIn(f'image set --min-disk 1 {native.id}', text)
        snapshot = self.snap(server)
        self.assertEqual(1, self.image(snapshot)['min_disk'])
        self.launch(snapshot, 'copy')

    def test_all_that_is_in_the_way_each_with_what_helps(self):
        server = self.place.server(flavor='2', data_volumes=1)
        snapshot = self.snap(server, '--data-volumes')
        part = self.image(snapshot)['xloud_volumes']
        self.conn().image.update_image(
            snapshot,
            min_ram=4096,
            xloud_networks='lan',
            xloud_key_name='hers',
            xloud_security_groups='web',
        )
        storage = self.cloud.connection('admin').block_storage
        storage.reset_snapshot_status(part, 'error')
        servers, volumes = self.fill_quotas()

        text = self.refuse(snapshot, 'x', '--flavor', 'm1.tiny')
        for reason, advice in (
            (f'{part} (/dev/vdb) is error', '--no-data-volumes'),
            ('no network lan', '--network'),
            ('no key pair hers', '--key-name'),
            ('no security group web', '--security-group'),
            ('and the snapshot needs 4096', '--flavor'),
            ('1 GiB, and the snapshot needs 2', '--boot-from-volume 2'),
            (f'{servers} of {servers} servers', 'quota'),
            (f'{volumes} of {volumes} volumes, and', 'quota'),
            (f'volumes of type {self.volume_type}, and', 'quota'),
        ):
            [line] = [one for one in text.splitlines() if reason in one]
            self.assertIn(advice, line)
        self.assertEqual(9, len(text.splitlines()))

        self.conn().image.update_image(snapshot, xloud_flavor='m0')
        text = self.refuse(snapshot, 'x', '--no-data-volumes')
        self.assertIn('no flavor m0, which its server had', text)

    def fill_quotas(self) -> tuple[int, int]:
        """Lower quotas to what is used; return servers and volumes."""
        admin = self.cloud.connection('admin')
        project = self.conn().current_project_id
        servers = len(list(self.conn().compute.servers()))
        volumes = list(self.conn().block_storage.volumes())
        self.volume_type = volumes[0].volume_type
        for service, quota in (
            (admin.compute, {'instances': servers}),
            (
                admin.block_storage,
                dict.fromkeys(
                    ('volumes', f'volumes_{self.volume_type}'), len(volumes)
                ),
            ),
        ):
            self.addCleanup(service.revert_quota_set, project)
            # the SDK's own call knows of no quota of a type
            service.put(f'/os-quota-sets/{project}', json={'quota_set': quota})
        return servers, len(volumes)

    def test_an_image_that_is_being_uploaded(self):
        server = self.place.server()
        self.cloud.control(server.id, upload=60)
        [row] = self.snapshot('create', server.id)
        self.cloud.wait(
            lambda: self.image(row['Snapshot ID'])['status'] == 'saving',
            what='saving',
        )
        text = self.refuse(row['Snapshot ID'], 'x')
        self.assertIn('is saving, not active', text)
        self.kill_recorders()


class TestOtherProject(LaunchTestCase):
    def test_a_shared_image_and_its_volumes(self):
        server = self.place.server(data_volumes=1)
        self.write(server, b'before')
        before = self.read(server.id)
        snapshot = self.snap(server, '--data-volumes')
        other = self.cloud.connection('other')
        images = self.conn().image
        images.update_image(snapshot, visibility='shared')
        images.add_member(snapshot, member_id=other.current_project_id)
        self.user = 'other'
        self.assertIn(
            '--source-defaults', self.refuse(snapshot, 'theirs', code=2)
        )
        text = self.refuse(snapshot, 'theirs', '--source-defaults')
        self.assertIn('shared without its volume snapshots', text)
        self.assertIn(f'share --convert {snapshot}', text)
        words = ('--source-defaults', '--no-data-volumes', '--wait')
        made = self.launch(snapshot, 'theirs', *words)
        self.assertEqual('ACTIVE', made['status'])
        self.assertEqual(other.current_project_id, made['project_id'])

        # what the refusal says that its owner can do
        self.user = 'demo'
        self.addCleanup(self.remove_copies)
        result = self.openstack(
            'snapshot', 'share', '--convert', snapshot,
            other.current_project_id,
        )  # fmt: skip
        self.assertEqual(0, result.code, result.stderr)
        [copy] = re.findall(r'snapshot accept (\S+)', result.stderr)
        self.user = 'other'
        words = ('--flavor', 'm1.tiny', '--network', 'net', '--wait')
        made = self.launch(copy, 'whole', *words, '--delete-on-termination')
        self.assertEqual(before, self.read(made['id']))
        [volume] = self.volumes(made['id']).values()
        self.assertTrue(volume.delete_on_termination)
        made = self.launch(copy, 'alone', *words, '--no-data-volumes')
        self.assertEqual({}, self.volumes(made['id']))

    def remove_copies(self) -> None:
        """Delete the images that were made by --convert."""
        images = self.cloud.connection('demo').image
        for one in images.get('/images').json()['images']:
            if one.get('xloud_converted_from'):
                images.delete_image(one['id'])


class TestWaiting(LaunchTestCase):
    def test_a_server_in_error_says_why_and_what_removes_it(self):
        snapshot = self.snap(
            self.place.server(data_volumes=1), '--data-volumes'
        )
        storage = self.conn().block_storage
        before = {one.id for one in storage.volumes()}
        self.cloud.control('all', fail='spawn')
        self.launch(snapshot, 'bad', '--wait', expect=1)
        self.assertEqual('', self.last.stdout)
        text = self.last.stderr
        self.assertRegex(text, r'server bad \(.*\) is in ERROR: .*retries')
        self.assertEqual(1, len({v.id for v in storage.volumes()} - before))
        self.paste(text[text.index('This removes it') :])
        self.cloud.wait(
            lambda: {one.id for one in storage.volumes()} == before,
            what='removed',
        )
        self.assertEqual([], list(self.conn().compute.servers(name='^bad$')))

    def test_a_signal_ends_the_waiting_only(self):
        snapshot = self.snap(self.place.server())
        self.cloud.control('all', spawn=60)
        self.addCleanup(self.remove, 'slow', 'demo')
        process = self.start(
            'snapshot', 'launch', '--wait', snapshot, 'slow', '-f', 'json'
        )
        while 'spawning' not in (line := process.stderr.readline()):
            self.assertNotEqual('', line)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=base.PATIENCE_SECONDS)
        self.assertEqual(130, process.returncode)
        self.assertEqual('', stdout)
        self.assertIn('goes on being built', stderr)
        [server] = self.conn().compute.servers(name='^slow$')
        self.assertEqual('BUILD', server.status)
        self.assertIn(f'openstack server show {server.id}', stderr)

    def test_what_nova_refuses_and_what_it_does_not_answer(self):
        snapshot = self.snap(self.place.server())
        text = self.refuse(snapshot, 'x', '--key-name', 'nobodys')
        self.assertIn('Invalid key_name provided', text)
        self.cloud.fault(
            'nova', method='POST', path=r'/servers$', drop='reply'
        )
        self.launch(snapshot, 'maybe', expect=1)
        self.assertIn('may be there all the same', self.last.stderr)
        [server] = self.conn().compute.servers(name='^maybe$')
        self.assertIn(server.name, self.paste(self.last.stderr).stdout)


def _cut(heads: dict[str, bytes]) -> dict[str, bytes]:
    return {device: head[:6] for device, head in heads.items()}
