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

"""snapshot list | show, beside what the services say."""

import time

from xloudclient.tests.cloud import crowd
from xloudclient.tests.functional import base

#: What every command asks first, ours and others.
DISCOVERY = ('/', '/v3', '/v2.1', '/v3/auth/tokens')


class CatalogTestCase(base.FunctionalTestCase):
    def setUp(self) -> None:
        super().setUp()
        # what other tests left would be listed, too
        self.cloud.delete_images()
        self.cloud.delete_snapshots()

    def listed(self, *words: str, expect: int = 0) -> list[dict]:
        """List snapshots; return the rows."""
        self.last = self.openstack('snapshot', 'list', *words, '-f', 'json')
        self.assertEqual(expect, self.last.code, self.last.stderr)
        return self.last.rows if self.last.stdout else []

    def names(self, *words: str) -> list[str]:
        return [row['Name'] for row in self.listed(*words)]

    def show(self, snapshot: str) -> dict:
        self.last = self.openstack('snapshot', 'show', snapshot, '-f', 'json')
        self.assertEqual(0, self.last.code, self.last.stderr)
        return self.last.rows

    def refuse(self, code: int, *words: str) -> str:
        """Run a command that is refused; return what it said."""
        self.last = self.openstack('snapshot', *words)
        self.assertEqual(code, self.last.code, self.last.stderr)
        self.assertEqual('', self.last.stdout)
        return self.last.stderr

    def native(self, server, name: str, **properties: str) -> str:
        """Let Nova make a snapshot as it does for others; return its ID."""
        conn = self.cloud.connection(self.user)
        image = conn.compute.create_server_image(
            server.id, name, metadata=properties
        )
        self.cloud.wait(
            lambda: (
                conn.compute.get_server(server.id).task_state is None
                and self.image(image.id)['status'] == 'active'
            ),
            what='active',
        )
        return image.id

    def await_idle(self, server) -> None:
        """Wait until Nova has ended what it does with a server."""
        conn = self.cloud.connection(self.user)
        self.cloud.wait(
            lambda: conn.compute.get_server(server.id).task_state is None,
            what='no task',
        )

    def asked(self, since: float) -> list[str]:
        """What our commands asked the services for since then."""
        return [
            f'{one.method} {one.service} {one.path}'
            for one in self.cloud.requests(since)
            if one.user_agent.startswith('openstacksdk')
            and one.path not in DISCOVERY
        ]


class TestList(CatalogTestCase):
    def test_all_that_exist_each_marked_for_what_it_is(self):
        web = self.place.server(name='web')
        db = self.place.server(name='db', volume_backed=True, data_volumes=1)
        [ours] = self.snapshot('create', web.id, '--wait', '--tag', 'nightly')
        [volume] = self.snapshot('create', db.id, '--wait')
        theirs = self.native(web, 'theirs')
        conn = self.cloud.connection(self.user)
        conn.compute.backup_server(web.id, 'backup', 'daily', 1)
        self.await_idle(web)
        conn.compute.shelve_server(web.id)
        self.cloud.wait(
            lambda: self.names('--name', 'web-shelved'), what='shelved'
        )
        found = {row['Name']: row for row in self.listed('--long')}

        self.assertEqual(5, len(found))
        for name, kind, known, server in (
            (ours['Snapshot Name'], 'image', 'crash', web.id),
            (volume['Snapshot Name'], 'volume', 'none', db.id),
            ('theirs', 'image', 'unknown', web.id),
            ('backup', 'backup', 'unknown', web.id),
            ('web-shelved', 'shelved', 'unknown', web.id),
        ):
            row = found[name]
            self.assertEqual(kind, row['Kind'], name)
            self.assertEqual(known, row['Consistency'], name)
            self.assertEqual(server, row['Server ID'], name)
        self.assertEqual('web', found['theirs']['Server'])
        self.assertEqual(2 << 30, found[volume['Snapshot Name']]['Size'])
        self.assertEqual(
            volume['Volumes'], found[volume['Snapshot Name']]['Volumes']
        )
        self.assertEqual(self.image(theirs)['size'], found['theirs']['Size'])
        created = [row['Created At'] for row in found.values()]
        self.assertEqual(sorted(created, reverse=True), created)
        self._by_option(web, db, ours, volume)

    def _by_option(self, web, db, ours, volume) -> None:
        web_name, db_name = ours['Snapshot Name'], volume['Snapshot Name']
        for words, names in (
            (('--server', 'web'), {web_name, 'theirs', 'backup'}),
            (('--server', db.id), {db_name}),
            (('--consistency', 'none'), {web_name, db_name}),
            (('--consistency', 'crash'), {web_name}),
            (('--consistency', 'application'), set()),
            (('--kind', 'image'), {web_name, 'theirs'}),
            (('--kind', 'volume'), {db_name}),
            (('--status', 'active', '--name', 'theirs'), {'theirs'}),
            (('--status', 'queued'), set()),
            (('--tag', 'nightly'), {web_name}),
            (('--tag', 'nightly', '--tag', 'other'), set()),
            (('--run', ours['Run ID']), {web_name}),
            (('--run', ours['Run ID'][:-1]), set()),
            (('--group', 'none'), set()),
            (('--since', '1h', '--name', db_name), {db_name}),
            (('--since', '0.01s'), set()),
            (('--before', '2020-01-01'), set()),
            (('--before', '2100-01-01', '--tag', 'nightly'), {web_name}),
            (('--shared',), set()),
            (('--hidden',), set()),
        ):
            found = set(self.names(*words)) - {'web-shelved'}
            self.assertEqual(names, found, words)

    def test_pages_can_be_walked(self):
        server = self.place.server()
        names = [f'page-{n}' for n in range(3)]
        for name in names:
            self.native(server, name)
        newest = self.listed('--limit', '1')
        rest = self.listed('--marker', newest[0]['ID'], '--server', server.id)
        self.assertEqual(names[::-1], [row['Name'] for row in newest + rest])

    def test_others_see_what_they_were_offered(self):
        server = self.place.server()
        offered = self.native(server, 'offered')
        conn = self.cloud.connection(self.user)
        conn.image.update_image(offered, visibility='shared')
        other = self.cloud.connection('other').current_project_id
        conn.image.add_member(offered, member_id=other)
        self.user = 'other'
        self.assertEqual([], self.listed())
        [row] = self.listed('--shared', '--long')
        self.assertEqual(offered, row['ID'])
        self.assertEqual('shared', row['Visibility'])
        self.assertNotEqual(other, row['Project'])

    def test_administrators_see_all_projects(self):
        server = self.place.server()
        self.native(server, 'of-demo')
        self.user = 'admin'
        self.assertEqual([], self.names())
        for words in (['--all-projects'], ['--project', 'demo']):
            [row] = self.listed(*words)
            self.assertEqual('of-demo', row['Name'])
            self.assertEqual(server.name, row['Server'])

    def test_a_snapshot_that_vanished_is_reported(self):
        server = self.place.server(name='lost')
        self.cloud.control(server.id, upload=3)
        [row] = self.snapshot('create', server.id)
        self.kill_recorders()
        self.cloud.connection(self.user).image.delete_image(row['Snapshot ID'])
        self.listed()
        self.assertIn('lost: snapshot ' + row['Snapshot ID'], self.last.stderr)
        self.assertIn('vanished', self.last.stderr)
        self.openstack('server', 'snapshot', 'recover')
        self.listed()
        self.assertEqual('', self.last.stderr)

    def test_a_snapshot_that_its_user_deleted_has_not_vanished(self):
        server = self.place.server()
        self.cloud.control(server.id, upload=2)
        [row] = self.snapshot('create', server.id)
        self.kill_recorders()
        self.await_idle(server)
        self.openstack('snapshot', 'delete', row['Snapshot ID'])
        self.listed()
        self.assertEqual('', self.last.stderr)
        self.openstack('server', 'snapshot', 'recover')
        self.assertEqual('', self.last.stderr)

    def test_what_others_wrote_does_nothing_to_a_terminal(self):
        server = self.place.server()
        evil = '\x1b[2Jevil'
        conn = self.cloud.connection(self.user)
        # Nova refuses such a name, Glance does not
        conn.image.update_image(self.native(server, 'good'), name=evil)
        self.assertEqual([evil], self.names())
        for command in (['list'], ['show', evil]):
            shown = self.openstack('snapshot', *command).stdout
            self.assertNotIn('\x1b', shown)
            self.assertIn('\\x1b[2Jevil', shown)

    def test_wrong_input(self):
        self.assertIn("no server 'x'", self.refuse(1, 'list', '--server', 'x'))
        for words in (
            ('--since', 'yesterday'),
            ('--before', '-1h'),
            ('--kind', 'snapshot'),
            ('--consistency', 'perfect'),
            ('--limit', 'x'),
            ('--shared', '--all-projects'),
            ('-c', 'Nonsense'),
        ):
            self.refuse(2, 'list', *words)
        self.assertIn(
            "no snapshot with ID 'x'", self.refuse(1, 'list', '--marker', 'x')
        )


class TestRequests(CatalogTestCase):
    """No more is asked than what is shown needs."""

    def setUp(self) -> None:
        super().setUp()
        self.database = self.cloud.layout.database('glance')
        owner = self.cloud.connection(self.user).current_project_id
        self.addCleanup(crowd.clear, self.database)
        crowd.seed(self.database, owner, images=3000, snapshots=1500)

    def requests_of(self, *words: str) -> list[str]:
        since = time.time()
        self.rows = self.listed(*words)
        return self.asked(since)

    def test_one_per_page_and_kind(self):
        images = 'GET glance /v2/images'
        self.assertEqual(
            # 1350 image-backed ones are two pages
            [images] * 4,
            self.requests_of(),
        )
        self.assertEqual(1500, len(self.rows))
        asked = self.requests_of('--limit', '20')
        self.assertEqual([images] * 3, asked)
        self.assertEqual(20, len(self.rows))
        queries = [
            one.query for one in self.cloud.requests(path='/v2/images')
        ][-3:]
        for query in queries:
            self.assertIn('limit=20', query)
            self.assertIn('owner=', query)

    def test_one_for_names_that_are_shown_and_not_recorded(self):
        server = self.place.server()
        self.native(server, 'theirs')
        asked = self.requests_of('--limit', '20')
        self.assertEqual(1, asked.count('GET nova /v2.1/servers'))
        self.assertEqual(4, len(asked), asked)


class TestShow(CatalogTestCase):
    def test_an_image_backed_one_with_volumes(self):
        server = self.place.server(name='db', data_volumes=2)
        [row] = self.snapshot('create', 'db', '--data-volumes', '--wait')
        shown = self.show(row['Snapshot Name'])
        self.assertEqual(row['Snapshot ID'], shown['id'])
        self.assertEqual('image', shown['kind'])
        self.assertEqual('none', shown['consistency'])
        self.assertIn('several disks', shown['reason'])
        self.assertEqual(server.id, shown['server_id'])
        self.assertEqual(row['Captured At'], shown['captured_at'])
        self.assertEqual((False, False), (shown['protected'], shown['hidden']))
        for key in ('position', 'group', 'frozen_for'):
            self.assertIsNone(shown[key], key)
        self.assertEqual(
            [('/dev/vdb', 'available', 1), ('/dev/vdc', 'available', 1)],
            [
                (part['device'], part['status'], part['size'])
                for part in shown['volumes']
            ],
        )
        self.assertEqual(5, len(shown['timeline']))
        [gone, _kept] = row['Volumes']
        conn = self.cloud.connection(self.user)
        conn.block_storage.delete_snapshot(gone)
        self.cloud.wait(
            lambda: (
                self.show(row['Snapshot ID'])['volumes'][0]['status'] == 'gone'
            ),
            what='gone',
        )

    def test_why_nothing_is_known(self):
        server = self.place.server()
        self.native(server, 'theirs')
        self.assertEqual('others made it', self.show('theirs')['reason'])

    def test_wrong_input(self):
        self.assertIn("no snapshot 'x'", self.refuse(1, 'show', 'x'))
        self.assertIn(
            'no snapshot of a server', self.refuse(1, 'show', 'tiny')
        )
        server = self.place.server()
        ids = sorted(self.native(server, 'same') for _ in range(2))
        said = self.refuse(1, 'show', 'same')
        for image_id in ids:
            created = self.image(image_id)['created_at']
            self.assertIn(f'{image_id} (of project ', said)
            self.assertIn(f'created at {created})', said)
        self.assertEqual(ids[0], self.show(ids[0])['id'])
