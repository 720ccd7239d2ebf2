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


"""snapshot prune: what is deleted, and what never is."""

import datetime
import io
import json
import os
import pty
import uuid

import fixtures

from xloudclient.tests.functional import base, records, test_delete

tearDownModule = test_delete.tearDownModule
NOON = datetime.datetime(2026, 3, 18, 12, tzinfo=datetime.UTC)


class PruneTestCase(test_delete.RemovalTestCase):
    def setUp(self):
        super().setUp()
        self.server_id = str(uuid.uuid4())
        # a terminal of whoever runs the tests is not asked
        self.useFixture(fixtures.MonkeyPatch('sys.stdin', io.StringIO()))

    def record(self, days, server_id=None, **properties):
        """A snapshot that is so many days old."""
        created = NOON - datetime.timedelta(days=days)
        return super().record(
            server_id or self.server_id, created, **properties
        )

    def prune(self, *words, expect=0):
        """Run the command; return action and reason by ID."""
        self.last = self.openstack('snapshot', 'prune', *words, '-f', 'json')
        self.assertEqual(expect, self.last.code, self.last.stderr)
        self.assertNotIn('Traceback', self.last.stderr)
        if not self.last.stdout:
            return {}
        return {
            row['ID']: (row['Action'], row['Reason']) for row in self.last.rows
        }

    def assertDeleted(self, expected, *ids):
        gone = {one for one in ids if self.image(one) is None}
        self.assertEqual(set(expected), gone)


class TestRules(PruneTestCase):
    def test_each_rule(self):
        ids = [self.record(days) for days in (0, 1, 2, 8, 40, 400)]
        for words, reasons in (
            (('--keep-last', '2'), {0: 'last snapshot', 1: 'last snapshot'}),
            (
                ('--keep-daily', '1', '--keep-yearly', 'unlimited'),
                {
                    0: 'daily snapshot, yearly snapshot',
                    5: 'yearly snapshot',
                },
            ),
            (('--keep-weekly', '1'), {0: 'weekly snapshot'}),
            (
                ('--keep-monthly', '9'),
                dict.fromkeys((0, 4, 5), 'monthly snapshot'),
            ),
            (('--keep-hourly', '1'), {0: 'hourly snapshot'}),
            (('--keep-within', '7d'), dict.fromkeys((0, 1, 2), 'within 7d')),
        ):
            expected = {
                one: ('keep', reasons[n])
                if n in reasons
                else ('delete', 'no rule keeps it')
                for n, one in enumerate(ids)
            }
            told = self.prune('--dry-run', *words, self.server_id)
            self.assertEqual(expected, told, words)
        self.assertDeleted([], *ids)

    def test_each_server_by_its_id(self):
        other = str(uuid.uuid4())
        ids = [
            self.record(days, server, xloud_server_name='same', name='same')
            for server in (self.server_id, other)
            for days in (0, 1)
        ]
        table = self.openstack(
            'snapshot', 'prune', '--keep-last', '1', '--auto-approve',
            self.server_id, other,
        )  # fmt: skip
        self.assertEqual(0, table.code, table.stderr)
        self.assertDeleted([ids[1], ids[3]], *ids)
        self.assertIn(f'| {ids[1]} | same | same   | 2026-03-17', table.stdout)

    def test_all_servers(self):
        ids = [self.record(days) for days in (0, 1)]
        told = self.prune('--keep-last', '1', '--dry-run')
        self.assertEqual('keep', told[ids[0]][0])
        self.assertEqual('delete', told[ids[1]][0])

    def test_what_neither_counts_nor_is_deleted(self):
        newest = self.record(1)
        told = {
            self.record(-4000): 'in the future',
            self.record(0, xloud_consistency='crash'): (
                'its class is crash, not filesystem or higher'
            ),
            self.record(0, xloud_volumes=self.server_id): (
                f'volume snapshot {self.server_id} is gone'
            ),
            self.record(0, xloud_image=newest): (
                'what is recorded on it is about another image'
            ),
            self.record(0, xloud_image='', xloud_schema=''): 'others made it',
            self.record(0, xloud_image='', name='x-shelved'): (
                'it is the disk of a shelved server'
            ),
            self.uploading(): 'uploading (queued)',
        }
        expected = {one: ('keep', why) for one, why in told.items()}
        expected[newest] = ('keep', 'last snapshot')
        old = self.record(2)
        expected[old] = ('delete', 'no rule keeps it')
        words = ('--keep-last', '1', '--consistency', 'filesystem')
        self.assertEqual(
            expected, self.prune(*words, '--auto-approve', self.server_id)
        )
        self.assertDeleted([old], *expected)

    def uploading(self):
        made = records.post_image(self.cloud, instance_uuid=self.server_id)
        self.addCleanup(self.end, made)
        return made

    def test_what_counts_and_is_never_deleted(self):
        ids = [self.record(days) for days in (0, 1)]
        shared = self.record(2, visibility='shared')
        project = self.cloud.connection('other').current_project_id
        self.conn.image.add_member(shared, member_id=project)
        offered = self.record(3, visibility='shared')
        protected = self.record(4, protected=True)
        community = self.record(5, visibility='community')
        self.assertEqual(
            {
                ids[0]: ('keep', 'last snapshot'),
                ids[1]: ('delete', 'no rule keeps it'),
                shared: ('keep', 'shared (1)'),
                offered: ('delete', 'no rule keeps it'),
                protected: ('keep', 'protected'),
                community: ('keep', 'community'),
            },
            self.prune(
                '--keep-last', '1', '--auto-approve', self.server_id
            ),
        )  # fmt: skip
        self.assertDeleted([ids[1], offered], *ids, shared, offered, protected)


class TestConsent(PruneTestCase):
    """Whether anything is deleted at all."""

    def test_usage(self):
        kept = self.record(0), self.record(1)
        for words, sentence in (
            ((), 'nothing says what to keep'),
            (('--keep-last', '0'), 'nothing says what to keep'),
            (('--keep-within', '0h'), 'nothing says what to keep'),
            (('--keep-daily', '-1'), "--keep-daily: '-1' is neither"),
            (('--keep-within', '30s'), "--keep-within: '30s' is not"),
            (('--keep-last', '1'), '--auto-approve'),
            (('--keep-last', '1', '-c', 'x', '--dry-run'), 'no such column'),
        ):
            self.prune(*words, self.server_id, expect=2)
            self.assertIn(sentence, self.last.stderr)
        self.prune('--keep-last', '1', '--include-foreign', expect=2)
        self.assertDeleted([], *kept)

    def test_servers_that_nothing_is_known_of(self):
        for server in ('nobody', str(uuid.uuid4())):
            self.prune('--keep-last', '1', '--dry-run', server, expect=1)
            self.assertIn(f"there is no server '{server}'", self.last.stderr)

    def ask(self, answer, meanwhile=lambda: None):
        """Run it on a terminal; return its exit code and both streams."""
        ours, terminal = pty.openpty()
        self.addCleanup(os.close, ours)
        process = self.start(
            'snapshot', 'prune', '--keep-last', '1', self.server_id,
            stdin=terminal,
        )  # fmt: skip
        os.close(terminal)
        asked = ''
        while not asked.endswith('[y/N] '):
            letter = process.stderr.read(1)
            self.assertTrue(letter, asked)
            asked += letter
        meanwhile()
        os.write(ours, answer)
        stdout, stderr = process.communicate(timeout=base.PATIENCE_SECONDS)
        return process.returncode, stdout, asked + stderr

    def test_it_asks_on_a_terminal(self):
        ids = [self.record(days) for days in (0, 1)]
        for answer in (b'\n', b'n\n'):
            code, stdout, asked = self.ask(answer)
            self.assertEqual(1, code)
            self.assertEqual('', stdout)
            self.assertIn('| delete | no rule keeps it |', asked)
            self.assertIn('Delete 1 of these snapshots? [y/N]', asked)
            self.assertIn('nothing was deleted', asked)
        self.assertDeleted([], *ids)
        code, stdout, _ = self.ask(b'y\n')
        self.assertEqual(0, code)
        self.assertIn(ids[1], stdout)
        self.assertDeleted([ids[1]], *ids)

    def test_what_changes_before_the_answer(self):
        ids = [self.record(days) for days in range(5)]
        project = self.cloud.connection('other').current_project_id

        def change():
            glance = self.conn.image
            glance.delete_image(ids[0])
            glance.update_image(ids[2], is_protected=True)
            glance.update_image(ids[3], visibility='shared')
            glance.add_member(ids[3], member_id=project)

        code, stdout, _ = self.ask(b'y\n', change)
        self.assertEqual(0, code)
        for told in ('keep   | last', 'protected', 'shared (1)', 'delete | '):
            self.assertIn(told, stdout)
        self.assertDeleted([ids[0], ids[4]], *ids)

    def test_what_changes_after_the_list(self):
        ids = [self.record(days) for days in range(4)]
        part = self.conn.block_storage.create_snapshot(
            volume_id=self.place.volume(), metadata={'xloud_image': ids[1]}
        )
        self.cloud.control_volume(hang='delete')
        process = self.start(
            'snapshot', 'prune', '--keep-last', '1', '--auto-approve',
            self.server_id, '-f', 'json',
        )  # fmt: skip
        self.cloud.wait(lambda: self.image(ids[1]) is None)
        self.conn.image.update_image(ids[2], is_protected=True)
        self.conn.image.delete_image(ids[3])
        self.cloud.control_volume(hang=None)
        stdout, stderr = process.communicate(timeout=base.PATIENCE_SECONDS)
        self.assertEqual(0, process.returncode, stderr)
        told = {row['ID']: row['Reason'] for row in json.loads(stdout)}
        self.assertIn('changed meanwhile: protected', told[ids[2]])
        self.assertEqual('it was gone already', told[ids[3]])
        self.assertDeleted([ids[1], ids[3]], *ids)
        self.assertNotIn(part.id, self.parts())


class TestDeleting(PruneTestCase):
    """With real snapshots of real servers."""

    def test_volume_snapshots_go_too(self):
        server = self.server(volume_backed=True)
        (old, _), (new, parts) = self.take(server), self.take(server)
        self.assertEqual(
            {
                new: ('keep', 'daily snapshot'),
                old: ('delete', 'no rule keeps it'),
            },
            self.prune('--keep-daily', '1', '--auto-approve', server.name),
        )
        self.assertIsNone(self.image(old))
        self.assertEqual(parts, self.parts())

    def test_what_others_made_when_asked_for(self):
        for what in ({}, {'volume_backed': True}):
            server = self.server(**what)
            first, second = self.others(server), self.others(server)
            words = ('--keep-last', '1', '--auto-approve', server.id)
            told = self.prune(*words)
            self.assertNotIn('delete', [action for action, _ in told.values()])
            self.assertEqual(
                {
                    first: ('delete', 'no rule keeps it'),
                    second: ('keep', 'last snapshot'),
                },
                self.prune(*words, '--include-foreign'),
            )
            self.assertIsNone(self.image(first))
        self.assertEqual(2, len(self.parts()))

    def others(self, server):
        """A snapshot that Nova made for somebody, and is done with."""
        image_id = self.native(server, 'made-by-nova')

        def is_done():
            task = self.conn.compute.get_server(server.id).task_state
            is_active = self.image(image_id)['status'] == 'active'
            parts = self.conn.block_storage.snapshots()
            states = {one.status for one in parts}
            return is_active and task is None and states <= {'available'}

        self.cloud.wait(is_done)
        return image_id

    def test_what_is_in_use_is_kept(self):
        server = self.server(volume_backed=True)
        old, _ = self.take(server)
        self.take(server)
        parts = self.parts()
        self.cloud.control_volume(fail='busy')
        words = ('--keep-last', '1', '--auto-approve', server.id)
        action, reason = self.prune(*words)[old]
        self.assertEqual('keep', action)
        self.assertIn('it is in use', reason)
        self.assertEqual(parts, self.parts())
        self.cloud.control_volume(fail=None)
        self.cloud.fault(
            'glance', method='DELETE', path=old, status=409, times=1
        )
        action, reason = self.prune(*words, expect=1)[old]
        self.assertEqual('delete', action)
        self.assertIn(f'openstack snapshot delete {old}', self.last.stderr)
        told = self.prune(*words)[old]
        self.assertEqual('keep', told[0])
        self.assertIn('is gone', told[1])

    def test_two_at_once(self):
        ids = [self.record(days) for days in range(5)]
        both = [
            self.start(
                'snapshot', 'prune', '--keep-last', '1', '--auto-approve',
                self.server_id,
            )
            for _ in range(2)
        ]  # fmt: skip
        for process in both:
            _, stderr = process.communicate(timeout=base.PATIENCE_SECONDS)
            self.assertEqual(0, process.returncode, stderr)
        self.assertDeleted(ids[1:], *ids)
