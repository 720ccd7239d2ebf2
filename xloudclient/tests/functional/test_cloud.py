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

"""The embedded cloud is what its users take it for."""

import functools
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import requests
import testtools

from xloudclient.tests.cloud import fixture, migrate

QUICK = {'pending': 0.3, 'attempt': 0.4, 'capture': 0.6, 'upload': 0.6}
GONE = 'gone'


class CloudTest(testtools.TestCase):
    """A test which uses the process's cloud."""

    def setUp(self) -> None:
        super().setUp()
        if fixture.missing():
            self.fail(fixture.missing())
        self.room = self.useFixture(fixture.CloudFixture())
        self.cloud = self.room.cloud
        self.api = self.cloud.connection('demo')

    def snapshot(self, server: Any) -> str:
        """Ask for a snapshot; return the image's id."""
        answer = self.api.compute.post(
            f'/servers/{server.id}/action',
            microversion='2.45',
            json={'createImage': {'name': 'snapshot'}},
        )
        self.assertEqual(202, answer.status_code, answer.text)
        image = str(answer.json()['image_id'])
        self.addCleanup(self.api.image.delete_image, image)
        return image

    def look(self, server: Any, image: str) -> tuple[str | None, str]:
        """Return the server's task state and the image's status."""
        task = self.api.compute.get(f'/servers/{server.id}').json()
        answer = self.api.image.get(f'/images/{image}')
        status = answer.json()['status'] if answer.ok else GONE
        return task['server']['OS-EXT-STS:task_state'], status

    def watch(self, server: Any, image: str) -> list[tuple[str | None, str]]:
        """Return the views of a snapshot, in turn, until it is over."""
        views: list[tuple[str | None, str]] = []

        def is_over() -> bool:
            view = self.look(server, image)
            if view not in views[-1:]:
                views.append(view)
            return view[0] is None and view[1] in ('active', GONE)

        self.cloud.wait(is_over, 30, f'end of the snapshot; saw {views}')
        return views


@functools.cache
def standing_server() -> Any:
    """Return a server for all tests that do not mind what it went through."""
    return fixture.shared().server(name='standing')


class SnapshotTest(CloudTest):
    """Snapshots of servers that boot from an image."""

    def setUp(self) -> None:
        super().setUp()
        self.server = standing_server()
        # a test that failed may have left a snapshot under way
        self.cloud.wait(self.is_idle)
        self.began = time.time()

    def is_idle(self) -> bool:
        server = self.api.compute.get_server(self.server)
        return server.task_state is None

    def events(self, event: str | None = None) -> list[Any]:
        """Return what happened to the server in this test."""
        return self.cloud.events(self.server.id, event, self.began)

    def test_live_snapshot_shows_a_false_upload_before_the_capture(
        self,
    ) -> None:
        self.cloud.control(self.server.id, **QUICK)
        image = self.snapshot(self.server)
        views = self.watch(self.server, image)
        tasks = [task for task, _ in views]
        false = tasks.index('image_uploading')
        self.assertIn('image_pending_upload', tasks[false:])
        self.assertIn(('image_uploading', 'saving'), views)
        self.assertEqual((None, 'active'), views[-1])

    def test_live_snapshot_has_what_was_written_during_the_capture(
        self,
    ) -> None:
        self.cloud.control(self.server.id, hang='capture')
        image = self.snapshot(self.server)
        self.cloud.wait(lambda: self.events('capture-begin'))
        self.cloud.disk(self.server).write_bytes(b'written late')
        self.cloud.control(self.server.id, hang=None)
        self.watch(self.server, image)
        self.assertEqual(b'written late', self.content(image))
        (begin,) = self.events('capture-begin')
        (upload,) = self.events('upload-begin')
        copy = self.events('captured')[0].details
        self.assertTrue(
            begin.time <= copy['begin'] <= copy['end'] <= upload.time
        )

    def test_cold_snapshot_holds_the_server_and_has_the_beginning(
        self,
    ) -> None:
        self.cloud.control(self.server.id, mode='cold', hang='capture')
        before = self.cloud.disk(self.server).read_bytes()
        image = self.snapshot(self.server)
        self.cloud.wait(lambda: self.events('captured'))
        self.cloud.disk(self.server).write_bytes(b'written late')
        self.cloud.control(self.server.id, hang=None)
        self.watch(self.server, image)
        self.assertEqual(before, self.content(image))
        names = [one.event for one in self.events()]
        self.assertEqual(
            [
                'capture-begin',
                'suspend',
                'captured',
                'resume',
                'upload-begin',
                'upload-end',
            ],
            names,
        )

    def test_direct_snapshot_is_never_saving_and_has_the_beginning(
        self,
    ) -> None:
        self.cloud.control(self.server.id, mode='direct', **QUICK)
        before = self.cloud.disk(self.server).read_bytes()
        image = self.snapshot(self.server)
        self.cloud.wait(lambda: self.events('captured'))
        self.cloud.disk(self.server).write_bytes(b'written late')
        views = self.watch(self.server, image)
        self.assertNotIn('saving', [status for _, status in views])
        self.assertIn(('image_uploading', 'queued'), views)
        self.assertEqual(before, self.content(image))

    def test_failure_in_any_phase_makes_the_image_vanish(self) -> None:
        for phase in ('pending', 'capture', 'upload'):
            self.cloud.control(self.server.id, fail=phase)
            views = self.watch(self.server, self.snapshot(self.server))
            self.assertEqual((None, GONE), views[-1], phase)
        self.assertEqual(
            'ACTIVE', self.api.compute.get_server(self.server).status
        )

    def test_dead_compute_leaves_the_snapshot_pending_until_revived(
        self,
    ) -> None:
        self.cloud.control_compute(dead=True)
        image = self.snapshot(self.server)
        time.sleep(1)
        self.assertEqual(
            ('image_snapshot_pending', 'queued'), self.look(self.server, image)
        )
        self.cloud.control_compute(dead=False)
        self.assertEqual((None, 'active'), self.watch(self.server, image)[-1])

    def test_quiesce_runs_the_hook_in_the_guest(self) -> None:
        if self.cloud.guests_off:
            self.fail(self.cloud.guests_off)
        server = self.room.server(
            image=self.room.image(
                hw_qemu_guest_agent='yes', os_require_quiesce='yes'
            )
        )
        guest = self.cloud.guest(server)
        guest.set_freeze_hook('#!/bin/sh\necho "$1" >>~/hook.log\n')
        self.watch(server, self.snapshot(server))
        self.assertEqual(
            'freeze\nthaw\n', (guest.home / 'hook.log').read_text()
        )
        freeze, copy, thaw = (
            self.cloud.events(server.id, name)[0]
            for name in ('freeze', 'captured', 'thaw')
        )
        self.assertTrue(
            freeze.time
            <= copy.details['begin']
            <= copy.details['end']
            <= thaw.time
        )
        guest.set_freeze_hook('#!/bin/sh\nfalse\n')
        views = self.watch(server, self.snapshot(server))
        self.assertEqual((None, GONE), views[-1])

    def content(self, image: str) -> bytes:
        return bytes(self.api.image.download_image(image).content)


class VolumeTest(CloudTest):
    """Servers with volumes, and snapshots of these."""

    def setUp(self) -> None:
        super().setUp()
        # those that earlier tests in this process left
        self.cloud.delete_snapshots()

    def test_snapshots_of_volumes_take_the_ordered_time(self) -> None:
        server = self.room.server(volume_backed=True, data_volumes=1)
        root, data = (
            one.volume_id
            for one in self.api.compute.volume_attachments(server)
        )
        self.cloud.volume_file(data).write_bytes(b'before')
        self.cloud.control_volume(data, snapshot=0.5, finish=1)
        began = time.time()
        image = self.snapshot(server)
        self.assertEqual('active', self.look(server, image)[1])
        self.cloud.wait(
            lambda: self.snapshot_states() == ['available', 'creating']
        )
        self.cloud.wait(lambda: self.snapshot_states() == ['available'] * 2)
        copies = {
            one.details['volume']: one.details
            for one in self.cloud.events(event='volume-captured')
        }
        self.assertEqual({root, data}, set(copies) & {root, data})
        self.assertGreaterEqual(copies[data]['begin'], began + 0.5)
        self.assertLessEqual(copies[data]['end'], time.time() - 0.9)
        self.cloud.delete_snapshots()

    def test_failed_snapshot_of_a_volume_is_in_error(self) -> None:
        volume = self.room.volume()
        self.cloud.control_volume(volume, fail='snapshot')
        self.api.block_storage.create_snapshot(volume_id=volume)
        self.cloud.wait(lambda: self.snapshot_states() == ['error'])

    def snapshot_states(self) -> list[str]:
        return sorted(one.status for one in self.api.block_storage.snapshots())


class GuestTest(CloudTest):
    """What a server is from inside."""

    def setUp(self) -> None:
        super().setUp()
        if self.cloud.guests_off:
            self.fail(self.cloud.guests_off)

    def test_guest_sees_its_disks(self) -> None:
        server = self.room.server(data_volumes=1)
        (volume,) = (
            one.volume_id
            for one in self.api.compute.volume_attachments(server)
        )
        guest = self.cloud.guest(server)
        mount = str(guest.mount(volume))
        columns = ('findmnt', '-n', '-o', 'SOURCE,FSTYPE,TARGET', '--target')
        self.assertEqual(
            '/dev/vda1 ext4   /\n', guest.run(*columns, '.').stdout
        )
        self.assertEqual(
            f'/dev/vdb ext4   {mount}\n', guest.run(*columns, mount).stdout
        )
        lsblk = ('lsblk', '-s', '-n', '-l', '-o', 'NAME,TYPE,SERIAL')
        self.assertEqual(
            f'vdb  disk {volume[:20]}\n', guest.run(*lsblk, '/dev/vdb').stdout
        )
        self.assertEqual(
            'vda1 part \nvda  disk \n', guest.run(*lsblk, '/dev/vda1').stdout
        )

    def test_mariadb_belongs_to_its_guest_and_ends_with_it(self) -> None:
        if not fixture.has_command('mariadbd'):
            self.fail('mariadbd is not installed')
        server = self.room.server()
        guest = self.cloud.guest(server)
        guest.start_mariadb()
        asked = guest.run('mariadb', '-Ne', 'select @@datadir')
        self.assertEqual(f'{guest.home}/mariadb/\n', asked.stdout)
        pid = int(guest.run('cat', 'mysqld.pid').stdout)
        self.assertIn(
            'mariadbd', guest.run('sh', '-c', 'pgrep -l -u "$(id -u)"').stdout
        )
        self.cloud.delete(server)
        self.assertFalse(pathlib.Path('/proc', str(pid)).exists())

    def test_paused_server_is_silent_and_stopped_one_refuses(self) -> None:
        server = self.room.server()
        guest = self.cloud.guest(server)
        self.change('pause', server, 'PAUSED')
        self.assertRaises(
            subprocess.TimeoutExpired, guest.run, 'true', seconds=1
        )
        self.change('unpause', server, 'ACTIVE')
        self.assertEqual('', guest.run('true', check=True).stderr)
        self.change('stop', server, 'SHUTOFF')
        self.assertIn('refused', guest.run('true').stderr)
        self.change('start', server, 'ACTIVE')
        guest.run('true', check=True)

    def change(self, verb: str, server: Any, status: str) -> None:
        getattr(self.api.compute, f'{verb}_server')(server)
        self.api.compute.wait_for_server(server, status, interval=0.1)


class HttpTest(CloudTest):
    """Faults in front of the APIs, and the log of requests."""

    def setUp(self) -> None:
        super().setUp()
        self.url = self.api.compute.get_endpoint() + '/flavors'
        self.headers = self.api.session.get_auth_headers()

    def ask(self, seconds: float = 10) -> requests.Response:
        return requests.get(self.url, headers=self.headers, timeout=seconds)

    def test_fault_applies_as_often_as_ordered(self) -> None:
        self.cloud.fault('nova', path='/flavors$', status=503, times=2)
        self.assertEqual(
            [503, 503, 200], [self.ask().status_code for _ in range(3)]
        )

    def test_dropped_reply_leaves_the_work_done(self) -> None:
        name = self.id().rsplit('.', 1)[1]
        for drop, done in (('request', 0), ('reply', 1)):
            self.cloud.fault('cinder', method='POST', drop=drop, times=1)
            self.assertRaises(requests.ConnectionError, self.make_volume, name)
            self.assertEqual(
                done, len(list(self.api.block_storage.volumes(name=name)))
            )
        self.api.block_storage.delete_volume(
            self.api.block_storage.find_volume(name)
        )

    def make_volume(self, name: str) -> None:
        endpoint = self.api.block_storage.get_endpoint()
        requests.post(
            f'{endpoint}/volumes',
            timeout=10,
            json={'volume': {'name': name, 'size': 1}},
            headers=self.headers,
        )

    def test_a_slow_line_sends_so_many_bytes_a_second(self) -> None:
        image = self.room.image(name='slow', data=bytes(1 << 20))
        glance = self.cloud.layout.addresses().url('glance')
        self.url = f'{glance}/v2/images/{image}/file'
        self.cloud.fault('glance', path='/file$', rate=2 << 20)
        began = time.monotonic()
        self.assertEqual(bytes(1 << 20), self.ask().content)
        self.assertGreaterEqual(time.monotonic() - began, 0.4)

    def test_request_log_tells_who_asked_for_what(self) -> None:
        began = time.time()
        self.ask()
        (seen,) = self.cloud.requests(began, service='nova', method='GET')
        self.assertEqual(200, seen.status)
        self.assertTrue(seen.path.endswith('/flavors'), seen.path)
        self.assertIn('python-requests', seen.user_agent)

    def test_suspended_service_is_silent_until_resumed(self) -> None:
        self.cloud.suspend('nova')
        self.assertRaises(requests.ReadTimeout, self.ask, seconds=0.5)
        self.cloud.resume('nova')
        self.assertEqual(200, self.ask().status_code)


OWNER = """
import sys, time
from xloudclient.tests.cloud import Cloud
cloud = Cloud.start()
server = cloud.server()
if not cloud.guests_off:
    cloud.guest(server).run('sh', '-c', 'setsid sleep 1000 >&- 2>&- &')
print(cloud.state, flush=True)
time.sleep(1000)
"""


class EndTest(testtools.TestCase):
    """Nothing is left of a cloud, whatever kills its owner."""

    def setUp(self) -> None:
        super().setUp()
        if fixture.missing():
            self.fail(fixture.missing())

    def test_killed_owner_leaves_no_process_and_no_folder(self) -> None:
        owner = subprocess.Popen(
            [sys.executable, '-c', OWNER],
            stdout=subprocess.PIPE,
            text=True,
            env=migrate.environment(),
        )
        with owner:
            assert owner.stdout is not None
            state = owner.stdout.readline().strip()
            self.assertNotEqual([], processes_of(state))
            os.kill(owner.pid, signal.SIGKILL)
        end = time.monotonic() + 10
        while processes_of(state) or os.path.exists(state):
            self.assertLess(time.monotonic(), end, processes_of(state))
            time.sleep(0.1)


def processes_of(state: str) -> list[str]:
    """Return what runs with the folder in its arguments or environment."""
    found = []
    for folder in pathlib.Path('/proc').glob('[0-9]*'):
        try:
            text = (folder / 'cmdline').read_bytes()
            text += (folder / 'environ').read_bytes()
        except OSError:
            continue
        if state.encode() in text:
            found.append(text.decode(errors='replace')[:200])
    return found
