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

"""What Glance is asked for, and what is left to us."""

import datetime

import testtools

from xloudclient.catalog.query import Query
from xloudclient.catalog.snapshot import Kind
from xloudclient.consistency.plan import Consistency
from xloudclient.tests.unit.catalog.test_snapshot import (
    FROM_VOLUMES,
    OURS,
    snapshot,
)

NOON = datetime.datetime(2026, 3, 18, 12, tzinfo=datetime.UTC)


def query(**wanted) -> Query:
    return Query(owner='p', reader='p', **wanted)


class TestRequests(testtools.TestCase):
    def test_one_per_kind(self):
        self.assertEqual(
            [
                {'owner': 'p', 'image_type': 'snapshot'},
                {'owner': 'p', 'bdm_v2': 'True'},
                {'owner': 'p', 'image_type': 'backup'},
            ],
            list(query().requests()),
        )

    def test_all_that_can_be_asked_is_asked(self):
        [asked] = query(
            kind=Kind.BACKUP,
            server_id='s',
            status='active',
            name='in:a,b',
            tags=('x', 'y'),
            run_id='r',
            group_id='g',
            consistency=Consistency.APPLICATION,
            before=NOON,
            hidden=True,
        ).requests()
        self.assertEqual(
            {
                'owner': 'p',
                'image_type': 'backup',
                'instance_uuid': 's',
                'status': 'active',
                'name': 'eq:in:a,b',
                'tag': ['x', 'y'],
                'xloud_run': 'r',
                'xloud_group': 'g',
                'xloud_consistency': 'application',
                'created_at': 'lt:2026-03-18T12:00:00Z',
                'os_hidden': 'true',
            },
            asked,
        )

    def test_what_others_offer(self):
        asked = list(query(kind=Kind.IMAGE, shared=True).requests())
        self.assertEqual(
            ['accepted', 'pending'], [one['member_status'] for one in asked]
        )
        self.assertNotIn('owner', asked[0])

    def test_a_time_is_asked_for_in_utc(self):
        zone = datetime.timezone(datetime.timedelta(hours=2))
        [asked] = query(
            kind=Kind.IMAGE, since=NOON.astimezone(zone)
        ).requests()
        self.assertEqual('gte:2026-03-18T12:00:00Z', asked['created_at'])


class TestMatches(testtools.TestCase):
    def test_a_kind_is_what_it_is_not_what_it_is_marked_as(self):
        marked = snapshot(OURS, FROM_VOLUMES)
        self.assertFalse(query(kind=Kind.IMAGE).matches(marked))
        self.assertTrue(query(kind=Kind.VOLUME).matches(marked))

    def test_what_is_no_snapshot_is_never_wanted(self):
        self.assertFalse(query().matches(snapshot({'bdm_v2': 'True'})))

    def test_a_class_or_a_higher_one(self):
        for wanted, is_match in (
            (Consistency.NONE, True),
            (Consistency.CRASH, True),
            (Consistency.FILESYSTEM, False),
            (Consistency.APPLICATION, False),
        ):
            crash = snapshot(OURS, {'xloud_consistency': 'crash'})
            self.assertIs(
                is_match, query(consistency=wanted).matches(crash), wanted
            )

    def test_an_unknown_class_is_not_even_none(self):
        foreign = snapshot({'image_type': 'snapshot'})
        self.assertFalse(query(consistency=Consistency.NONE).matches(foreign))

    def test_a_copy_is_not_of_the_run_it_was_copied_from(self):
        copy = snapshot(OURS, {'id': 'copy'})
        self.assertFalse(query(run_id='r').matches(copy))

    def test_ones_own_was_offered_by_nobody(self):
        own = snapshot(OURS, {'visibility': 'shared'})
        self.assertFalse(query(shared=True).matches(own))

    def test_older_ones_end_the_list(self):
        old = snapshot(OURS)
        self.assertTrue(query(since=NOON).is_past(old))
        self.assertFalse(query().is_past(old))
