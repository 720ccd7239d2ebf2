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

"""What commands ask the cloud for, beside their native relatives.

``benchmarks/`` measures times; these are counts, and the same each time.
"""

import collections
import time

from benchmarks import measure, replies
from xloudclient.tests.cloud import crowd
from xloudclient.tests.functional import base

TOKEN = ['GET keystone /v3', 'POST keystone /v3/auth/tokens']


class TestRequests(base.FunctionalTestCase):
    def setUp(self):
        super().setUp()
        # what other tests left would be listed, too
        self.cloud.delete_images()

    def asked(self, *words):
        """Run a command; return its requests, without IDs."""
        since = time.time()
        result = self.openstack(*words)
        self.assertEqual(0, result.code, result.stderr)
        return [
            f'{one.method} {one.service} {base.without_ids(one.path)}'
            for one in self.cloud.requests(since)
            if one.user_agent.startswith(measure.CLIENT)
        ]

    def test_a_list_takes_one_request_for_each_kind(self):
        kinds = ['GET glance /', *['GET glance /v2/images'] * 3]
        self.assertEqual(TOKEN + kinds, self.asked('snapshot', 'list'))

    def test_a_list_takes_no_more_than_one_of_a_hundred_images(self):
        database = self.cloud.layout.database('glance')
        owner = self.cloud.connection().current_project_id
        crowd.seed(database, owner, 100, 50)
        self.addCleanup(crowd.clear, database)
        self.assertLessEqual(
            len(self.asked('snapshot', 'list')),
            len(self.asked('image', 'list')),
        )

    def test_a_snapshot_asks_for_nothing_twice(self):
        self.place.server(name='web')
        asked = collections.Counter(
            self.asked('server', 'snapshot', 'create', 'web')
        )
        # looks at the image, until it is captured
        looks = asked.pop('GET glance /v2/images/ID')
        self.assertLessEqual(2, looks)
        self.assertEqual(
            collections.Counter(
                [
                    *TOKEN,
                    'GET nova /v2.1',
                    'GET glance /',
                    # the server, the name, the quota
                    'GET nova /v2.1/servers/detail',
                    'GET glance /v2/images',
                    'GET glance /v2/info/usage',
                    'POST nova /v2.1/servers/ID/action',
                    # the evidence
                    'PATCH glance /v2/images/ID',
                ]
            ),
            asked,
        )

    def test_volumes_are_looked_at_again_before_a_class_is_claimed(self):
        self.place.server(name='db', volume_backed=True)
        asked = collections.Counter(
            self.asked('server', 'snapshot', 'create', 'db')
        )
        for again in (
            'GET nova /v2.1/servers/ID/os-volume_attachments',
            'GET cinder /v3/volumes/ID',
        ):
            self.assertEqual(2, asked[again], asked)

    def test_no_volume_is_looked_at_again_for_the_class_none(self):
        self.place.server(name='db', data_volumes=1)
        asked = collections.Counter(
            self.asked('server', 'snapshot', 'create', '--data-volumes', 'db')
        )
        for once in (
            'GET nova /v2.1/servers/ID/os-volume_attachments',
            'GET cinder /v3/volumes/ID',
        ):
            self.assertEqual(1, asked[once], asked)

    def test_each_of_many_takes_fewer_than_a_native_one(self):
        server = self.place.server(name='web-1')
        conn = self.cloud.connection()
        image = conn.compute.create_server_image(server, 'recorded')
        # Glance is done a little before Nova is
        self.cloud.wait(
            lambda: (
                conn.image.get_image(image.id).status == 'active'
                and conn.compute.get_server(server.id).task_state is None
            ),
            what='active, and no task',
        )
        recorded = replies.record(self.cloud, server, image.id)
        native = ('server', 'image', 'create', '--wait', '--name', 'x')
        ours = ('server', 'snapshot', 'create', '--wait')
        names = [f'web-{number}' for number in range(20)]
        with replies.served(recorded) as (url, count):
            for words, expected in (
                ((*native, 'web-1'), 10),
                # the server, the name, the request, two looks and the
                # evidence of each; token, versions and quota of all
                ((*ours, *names), 6 * len(names) + 5),
            ):
                result = self.openstack(*words, OS_AUTH_URL=url)
                self.assertEqual(0, result.code, result.stderr)
                self.assertEqual(expected, count(), words)
