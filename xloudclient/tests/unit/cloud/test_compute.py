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

import contextlib
import http.server
import json
import threading
from unittest import mock

import openstack
import testtools

from xloudclient.cloud.compute import Servers
from xloudclient.cloud.copies import TemporaryVolumes
from xloudclient.cloud.volumes import VolumeSnapshots
from xloudclient.consistency.errors import ReplyLost
from xloudclient.tests.fakes import world as fakes

PLANNED = '2026-03-18T10:00:00Z'
BEFORE = '2026-03-18T09:59:59.000000'
AFTER = '2026-03-18T10:00:00.000000'
LATER = '2026-03-18T10:00:01.000000'


def servers(body):
    """Servers of a Nova that answers everything with the same."""
    found = Servers(mock.Mock())
    found._get = mock.Mock(return_value=body)
    return found


class TestServers(testtools.TestCase):
    def test_what_is_no_id_is_not_asked_for(self):
        found = servers({'server': {'id': fakes.SERVER}})
        for text in ('', '../flavors', f'{fakes.SERVER}/../x', 'db\x1b'):
            self.assertIsNone(found.get(text))
        found._get.assert_not_called()
        self.assertEqual({'id': fakes.SERVER}, found.get(fakes.SERVER))

    def was_started(self, *actions):
        found = servers(
            {
                'instanceActions': [
                    {'action': action, 'start_time': time}
                    for action, time in actions
                ]
            }
        )
        target = fakes.plan(updated=PLANNED).target
        return found.was_started(target)

    def test_a_guest_that_was_started_is_not_idle(self):
        for action in ('start', 'reboot', 'resume', 'unpause', 'evacuate'):
            self.assertTrue(
                self.was_started(
                    ('createImage', AFTER), (action, AFTER), ('stop', BEFORE)
                )
            )

    def test_one_that_was_stopped_again_was_started(self):
        self.assertTrue(self.was_started(('stop', LATER), ('start', LATER)))

    def test_what_was_over_within_the_second_does_not_count(self):
        self.assertFalse(self.was_started(('pause', AFTER), ('start', AFTER)))
        self.assertTrue(self.was_started(('start', AFTER), ('pause', AFTER)))

    def test_what_was_over_before_does_not_count(self):
        self.assertFalse(
            self.was_started(
                ('createImage', AFTER),
                ('attach_volume', AFTER),
                ('stop', LATER),
                ('start', BEFORE),
            )
        )


class Deaf(http.server.BaseHTTPRequestHandler):
    """Takes what is sent and never replies to it."""

    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        host = f'http://127.0.0.1:{self.server.server_port}'
        version = {
            'id': 'v2.1',
            'status': 'CURRENT',
            'version': '2.96',
            'min_version': '2.1',
            'links': [{'rel': 'self', 'href': host}],
        }
        body = json.dumps({'version': version}).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.server.posts.append(self.path)
        self.close_connection = True

    def log_message(self, *arguments):
        pass


class TestCreating(testtools.TestCase):
    def connection(self):
        """Connect as clouds.yaml may tell: with everything sent again."""
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Deaf)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.server.posts = []
        threading.Thread(target=self.server.serve_forever).start()
        url = f'http://127.0.0.1:{self.server.server_port}'
        return openstack.connect(
            load_yaml_config=False,
            load_envvars=False,
            region_name='r',
            auth_type='none',
            auth={'endpoint': url},
            compute_endpoint_override=url,
            block_storage_endpoint_override=url,
            connect_retries=2,
            status_code_retries=2,
        )

    def test_a_request_whose_reply_is_lost_is_not_sent_again(self):
        conn = self.connection()
        with contextlib.ExitStack() as stack:
            stack.callback(conn.close)
            make = Servers(conn).create_image
            self.assertRaises(ReplyLost, make, fakes.SERVER, 'n', {})
            volumes = VolumeSnapshots(conn)
            volumes.matching = mock.Mock(return_value=[])
            self.assertRaises(ReplyLost, volumes.create, 'v', 'n', {})
            copies = TemporaryVolumes(conn)
            self.assertRaises(ReplyLost, copies.make, 's', 1, False)
        self.assertEqual(
            [f'/servers/{fakes.SERVER}/action', '/snapshots', '/volumes'],
            self.server.posts,
        )
