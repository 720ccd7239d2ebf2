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


"""server snapshot create, and what both commands share."""

import shlex
import time

from xloudclient.consistency import evidence
from xloudclient.tests.functional import base


class TestCreate(base.FunctionalTestCase):
    def test_an_image_backed_server(self):
        server = self.place.server(name='web')
        [row] = self.snapshot('create', '--wait', 'web', '--tag', 'nightly')
        self.assertEqual('active', row['Status'])
        self.assertEqual('crash', row['Consistency'])
        self.assertIsNone(row['Frozen For'])
        self.assertEqual(server.id, row['Server ID'])
        self.assertEqual('image', row['Kind'])
        image = self.image(row['Snapshot ID'])
        self.assertEqual(['nightly'], image['tags'])
        self.assertEqual(row['Snapshot ID'], image['xloud_image'])
        self.assertEqual('crash', image['xloud_consistency'])
        self.assertEqual(server.id, image['instance_uuid'])
        self.assertEqual('m1.tiny', image['xloud_flavor'])
        self.assertRegex(image['name'], r'^web-\d{4}-\d\d-\d\d$')

    def test_a_taken_name_gets_the_time(self):
        self.place.server(name='twice')
        [one] = self.snapshot('create', 'twice')
        [two] = self.snapshot('create', 'twice', '--wait')
        self.assertRegex(
            two['Snapshot Name'], rf'^{one["Snapshot Name"]}-\d{{6}}$'
        )

    def test_a_volume_backed_server(self):
        server = self.place.server(volume_backed=True)
        self.cloud.control_volume(snapshot=0.2, finish=1.5)
        [row] = self.snapshot('create', server.id)
        [captured] = self.cloud.events(event='volume-captured')[-1:]
        self.assertEqual('active', row['Status'])
        self.assertEqual('volume', row['Kind'])
        self.assertEqual([captured.details['snapshot']], row['Volumes'])
        conn = self.cloud.connection()
        snapshot = conn.block_storage.get_snapshot(row['Volumes'][0])
        self.assertEqual('available', snapshot.status)
        self.assertEqual(row['Snapshot ID'], snapshot.metadata['xloud_image'])
        image = self.image(row['Snapshot ID'])
        self.assertEqual('snapshot', image['image_type'])
        self.assertEqual(server.id, image['instance_uuid'])

    def test_attached_volumes_when_asked_for(self):
        server = self.place.server(data_volumes=2)
        [row] = self.snapshot('create', server.id, '--data-volumes')
        self.assertEqual(2, len(row['Volumes']))
        self.assertEqual('none', row['Consistency'])
        image = self.image(row['Snapshot ID'])
        self.assertEqual(
            tuple(row['Volumes']), evidence.volume_snapshots(image)
        )
        [row] = self.snapshot('create', server.id)
        self.assertEqual([], row['Volumes'])
        self.assertEqual('crash', row['Consistency'])

    def test_stopped_and_paused_servers(self):
        conn = self.cloud.connection()
        for stop, start, status, reason in (
            ('stop_server', 'start_server', 'SHUTOFF', 'stopped'),
            ('pause_server', 'unpause_server', 'PAUSED', 'paused'),
        ):
            server = self.place.server()
            getattr(conn.compute, stop)(server)
            conn.compute.wait_for_server(server, status, interval=0.2)
            [row] = self.snapshot('consistent', server.id)
            self.assertEqual('crash', row['Consistency'])
            self.assertIn(reason, row['Reason'])
            getattr(conn.compute, start)(server)

    def client_hook(self, *commands):
        """A hook that calls the client; its password is not handed on."""
        lines = ['#!/bin/sh', 'set -e']
        for key, value in self.cloud.environ(self.user).items():
            lines.append(f'export {key}={shlex.quote(value)}')
        return self.script('hook', '\n'.join([*lines, *commands]))

    def test_a_guest_that_was_started_and_stopped_again_was_not_idle(self):
        conn = self.cloud.connection()
        server = self.place.server(name='db')
        conn.compute.stop_server(server)
        conn.compute.wait_for_server(server, 'SHUTOFF', interval=0.2)
        hook = self.client_hook(
            'openstack server start db',
            'until openstack server stop db; do :; done',
            'status="openstack server show -f value -c status db"',
            'until [ "$($status)" = SHUTOFF ]; do :; done',
        )
        [row] = self.snapshot(
            'consistent', 'db', '--quiesce', 'none', '--pre-hook', hook
        )
        self.assertEqual('none', row['Consistency'])
        self.assertIn('it was started', row['Reason'])

    def test_a_volume_that_was_attached_after_the_plan(self):
        server = self.place.server(name='db', volume_backed=True)
        volume = self.place.volume()
        self.addCleanup(self.cloud.detach, server, volume)
        hook = self.client_hook(f'openstack server add volume db {volume}')
        [row] = self.snapshot(
            'consistent', 'db', '--quiesce', 'none', '--pre-hook', hook
        )
        self.assertEqual('none', row['Consistency'])
        self.assertIn('attached or detached', row['Reason'])

    def test_several_servers_one_of_a_host_at_a_time(self):
        servers = [self.place.server() for _ in range(2)]
        for server in servers:
            self.cloud.control(server.id, capture=1.0)
        rows = self.snapshot('create', *(one.id for one in servers))
        self.assertEqual(
            [s.id for s in servers], [r['Server ID'] for r in rows]
        )
        first, second = (self.cloud.events(one.id) for one in servers)
        if first[0].monotonic > second[0].monotonic:
            first, second = second, first
        ended = [e for e in first if e.event == 'captured']
        self.assertLess(ended[0].monotonic, second[0].monotonic)

    def test_a_dry_run_changes_nothing(self):
        server = self.place.server(name='dry')
        before = self.counts()
        result = self.openstack(
            'server', 'snapshot', 'consistent', 'dry', '--dry-run',
            '--quiesce', 'mysql', '-f', 'json',
        )  # fmt: skip
        self.assertEqual(0, result.code, result.stderr)
        steps = [row['Step'] for row in result.rows]
        self.assertEqual(
            ['quiesce', 'capture', 'verify and release', 'record'], steps
        )
        self.assertEqual(before, self.counts())
        self.assertEqual([], self.cloud.events(server.id))

    def test_every_format(self):
        self.place.server(name='form')
        for form in ('table', 'csv', 'yaml', 'value'):
            result = self.openstack(
                'server', 'snapshot', 'create', 'form', '-f', form
            )
            self.assertEqual(0, result.code, result.stderr)
            self.assertIn('form-', result.stdout)
            self.assertNotIn('requested', result.stdout)

    def test_requests(self):
        """No more than the nine of "server image create", and the polls."""
        self.place.server(name='thrifty')
        since = time.time()
        self.snapshot('create', 'thrifty')
        ours = [
            f'{one.method} {one.service} {one.path}'
            for one in self.cloud.requests(since)
            if one.user_agent.startswith('openstacksdk')
        ]
        polls = [one for one in ours if '/v2/images/' in one and 'GET' in one]
        self.assertIn('POST keystone /v3/auth/tokens', ours)
        self.assertLessEqual(len(ours) - len(polls), 9, ours)


class TestForeign(base.FunctionalTestCase):
    def test_a_native_snapshot_of_a_clone_claims_nothing(self):
        self.place.server(name='origin')
        [row] = self.snapshot('create', 'origin', '--wait')
        clone = self.place.server(image=row['Snapshot ID'])
        conn = self.cloud.connection()
        image_id = conn.compute.create_server_image(
            clone, 'native', wait=True
        ).id
        image = self.image(image_id)
        self.assertEqual(row['Snapshot ID'], image['xloud_image'])
        self.assertFalse(evidence.is_ours(image_id, image))
        self.assertIsNone(evidence.recorded_class(image_id, image))
        [again] = self.snapshot('create', clone.id, '--wait')
        ours = self.image(again['Snapshot ID'])
        self.assertTrue(evidence.is_ours(again['Snapshot ID'], ours))
        self.assertEqual(clone.name, ours['xloud_server_name'])


class TestFailures(base.FunctionalTestCase):
    """The right code, one sentence, nothing left behind."""

    def fail(self, server, code, words=('create',), sentence=''):
        before = self.counts()
        rows = self.snapshot(*words, server.id, expect=code)
        # Cinder deletes in its own time
        self.cloud.wait(lambda: self.counts() == before, what='clean project')
        self.assertIn(sentence, self.last.stderr)
        self.assertNotIn('Traceback', self.last.stderr)
        return rows

    def test_the_capture_fails_in_each_phase(self):
        for phase in ('pending', 'capture'):
            server = self.place.server()
            self.cloud.control(server.id, fail=phase, capture=0.5)
            [row] = self.fail(server, 4, sentence='the capture failed')
            self.assertEqual('failed', row['Status'])

    def test_the_upload_fails_after_the_capture(self):
        server = self.place.server()
        self.cloud.control(server.id, hang='upload')
        process = self.start(
            'server', 'snapshot', 'create', server.id, '--wait', '-f', 'json'
        )
        for line in process.stderr:
            if 'captured' in line:
                break
        self.cloud.control(server.id, hang=None, fail='upload')
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(4, process.returncode, stderr)
        self.assertIn('the upload failed', stderr)

    def test_a_volume_snapshot_fails(self):
        server = self.place.server(volume_backed=True)
        self.cloud.control_volume(fail='snapshot')
        self.fail(server, 4, sentence='a volume snapshot is in status error')

    def test_an_attached_volume_fails(self):
        server = self.place.server(data_volumes=1)
        self.cloud.control_volume(fail='snapshot')
        self.cloud.control(server.id, upload=1)
        self.fail(server, 4, ('create', '--data-volumes'))

    def test_the_server_is_deleted_meanwhile(self):
        server = self.place.server()
        self.cloud.control(server.id, hang='capture')
        since = time.time()
        process = self.start(
            'server', 'snapshot', 'create', server.id, '-f', 'json'
        )
        self.cloud.wait(
            lambda: [
                one
                for one in self.cloud.requests(
                    since, service='nova', method='POST'
                )
                if one.path.endswith(f'{server.id}/action')
            ],
            60,
            'request',
        )
        self.cloud.delete(server)
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(4, process.returncode, stderr)

    def test_a_reply_that_is_lost(self):
        server = self.place.server()
        self.cloud.fault(
            'nova', method='POST', path=r'/action$', drop='reply', times=1
        )
        [row] = self.snapshot('create', server.id)
        self.assertIn(row['Status'], ('captured', 'active'))

    def test_a_request_that_is_lost(self):
        server = self.place.server()
        self.cloud.fault(
            'nova', method='POST', path=r'/action$', drop='request', times=1
        )
        self.fail(server, 4, sentence='got no reply')
        self.assertIn('xloud_run=', self.last.stderr)

    def test_a_request_that_gets_a_504_and_is_done(self):
        server = self.place.server()
        self.cloud.fault(
            'nova', method='POST', path=r'/action$', status=504, times=1
        )
        self.fail(server, 4, sentence='got no reply')

    def test_a_busy_server(self):
        server = self.place.server()
        self.cloud.control(server.id, capture=4)
        conn = self.cloud.connection()
        conn.compute.create_server_image(server, 'other')
        before = self.counts()
        self.snapshot('create', server.id, expect=75)
        self.assertEqual(before, self.counts())
        self.assertIn('another task', self.last.stderr)

    def test_a_quota_of_volume_snapshots(self):
        server = self.place.server(volume_backed=True)
        admin = self.cloud.connection('admin').block_storage
        project = self.cloud.connection().current_project_id
        admin.update_quota_set(project, snapshots=0)
        self.addCleanup(admin.revert_quota_set, project)
        self.fail(server, 3, sentence='a quota is exceeded')

    def test_a_dead_compute_host(self):
        server = self.place.server()
        self.cloud.control_compute(dead=True)
        self.addCleanup(self.cloud.control_compute, dead=False)
        self.fail(
            server, 7, ('create', '--timeout', '4s'), '--timeout ran out'
        )


class TestBadInput(base.FunctionalTestCase):
    """One sentence and the code, before anything is touched."""

    def refuse(self, code, *words, sentence='', **environ):
        before = self.counts()
        result = self.openstack('server', 'snapshot', *words, **environ)
        self.assertEqual(code, result.code, result.stderr)
        self.assertEqual('', result.stdout)
        self.assertIn(sentence, result.stderr)
        self.assertNotIn('Traceback', result.stderr)
        self.assertEqual(before, self.counts())

    def test_no_cloud(self):
        self.refuse(1, 'create', 'x', OS_AUTH_URL='http://127.0.0.1:9/v3')

    def test_a_wrong_password(self):
        self.refuse(1, 'create', 'x', OS_PASSWORD='wrong')

    def test_no_such_server(self):
        self.refuse(1, 'create', 'x', sentence="there is no server 'x'")
        self.refuse(1, 'create', '../../etc', sentence='there is no server')

    def test_an_ambiguous_name(self):
        ids = sorted(self.place.server(name='same').id for _ in range(2))
        self.refuse(1, 'create', 'same', sentence=', '.join(ids))

    def test_unknown_things(self):
        server = self.place.server()
        for words, sentence in (
            (('--quiesce', 'oracle'), "there is no quiescer 'oracle'"),
            (('--quiesce', 'mysql,colour=red'), 'colour'),
            (('--quiesce', 'mysql,colour'), 'is not <key>=<value>'),
            (('--quiesce', 'auto', '--quiesce', 'mysql'), 'stand alone'),
            (('--name', '{host}'), 'unknown field {host}'),
            (('--name', ''), 'the name is empty'),
            (('--events', '/nonexistent/x'), "can't write"),
        ):
            self.refuse(2, 'consistent', server.id, *words, sentence=sentence)

    def test_hooks_that_may_not_run(self):
        server = self.place.server()
        writable = self.script('writable', '#!/bin/sh\n')
        (self.home / 'writable').chmod(0o775)
        plain = self.home / 'plain'
        plain.write_text('no')
        for option in ('--hook', '--guest-hook', '--pre-hook'):
            for path in (writable, str(plain), '/nonexistent'):
                self.refuse(
                    3, 'consistent', server.id, option, path, sentence=path
                )
        self.refuse(
            3, 'consistent', server.id, '--quiesce', writable,
            sentence=writable,
        )  # fmt: skip

    def test_an_unreachable_guest(self):
        server = self.place.server()
        self.refuse_guest(server, '--port', '1')

    def refuse_guest(self, server, *words):
        before = self.counts()
        [row] = self.snapshot(
            'consistent', server.id, '--quiesce', 'sync', *words, expect=3
        )
        self.assertEqual('skipped', row['Status'])
        self.assertEqual(before, self.counts())
