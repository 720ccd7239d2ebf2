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


import datetime

import testtools
from hypothesis import given, settings
from hypothesis import strategies as st

from xloudclient.catalog import pruning
from xloudclient.catalog.pruning import Candidate, Rules
from xloudclient.catalog.retention import Policy
from xloudclient.catalog.snapshot import Snapshot
from xloudclient.consistency.plan import Consistency

NOW = datetime.datetime(2026, 3, 18, 12, tzinfo=datetime.UTC)


def candidate(number, server='a', flaw='', hours=0, **image):
    """A snapshot of ours that so many hours before now was taken."""
    created = NOW - datetime.timedelta(hours=hours)
    told = {
        'id': f'image-{number}',
        'owner': 'us',
        'status': 'active',
        'visibility': 'private',
        'image_type': 'snapshot',
        'instance_uuid': server,
        'xloud_image': f'image-{number}',
        'xloud_consistency': 'filesystem',
        'created_at': f'{created:%Y-%m-%dT%H:%M:%SZ}',
        **image,
    }
    return Candidate(Snapshot(told, 'us'), server, flaw)


def decide(*candidates, **rules):
    """What becomes of each, in words."""
    wanted = Rules(rules.pop('policy', Policy(last=1)), **rules)
    found = pruning.verdicts(candidates, wanted, NOW)
    return [(str(one.action), one.reason) for one in found]


def kept(reason):
    return ('keep', reason)


LAST = kept('last snapshot')
DELETED = ('delete', 'no rule keeps it')


class TestVerdicts(testtools.TestCase):
    def test_each_server_has_its_own_last(self):
        self.assertEqual(
            [LAST, LAST, DELETED],
            decide(
                candidate(1, 'a', hours=1),
                candidate(2, 'b', hours=2),
                candidate(3, 'a', hours=2),
            ),
        )

    def test_of_one_moment_every_run_keeps_the_same(self):
        one, two = candidate(1), candidate(2)
        self.assertEqual([LAST, DELETED], decide(one, two))
        self.assertEqual([DELETED, LAST], decide(two, one))

    def test_what_is_set_aside_does_not_count(self):
        for aside, reason in (
            ({'status': 'saving'}, 'uploading (saving)'),
            ({'status': 'deactivated'}, 'its status is deactivated'),
            ({'flaw': 'a part is gone'}, 'a part is gone'),
            ({'xloud_image': ''}, 'others made it'),
            (
                {'xloud_image': 'other'},
                'what is recorded on it is about another image',
            ),
            ({'server': ''}, 'its server is not known'),
            ({'hours': -1}, 'in the future'),
            (
                {'xloud_converted_from': 'another'},
                'a copy that was made to be shared',
            ),
            (
                {'xloud_consistency': 'crash'},
                'its class is crash, not filesystem or higher',
            ),
        ):
            self.assertEqual(
                [kept(reason), LAST, DELETED],
                decide(
                    candidate(1, **aside),
                    candidate(2, hours=2),
                    candidate(3, hours=3),
                    lowest=Consistency.FILESYSTEM,
                ),
            )

    def test_what_may_not_be_deleted_counts(self):
        for image, reason in (
            ({'protected': True}, 'protected'),
            ({'visibility': 'public'}, 'public'),
            ({'visibility': 'community'}, 'community'),
        ):
            self.assertEqual(
                [kept(reason), LAST, DELETED],
                decide(
                    candidate(1, hours=2, **image),
                    candidate(2, hours=1),
                    candidate(3, hours=3),
                ),
            )
            self.assertEqual(
                [LAST, DELETED],
                decide(candidate(1, **image), candidate(2, hours=1)),
            )

    def test_what_others_made_counts_if_it_is_asked_for(self):
        foreign = candidate(1, xloud_image='')
        backup = candidate(2, xloud_image='', image_type='backup')
        shelved = candidate(3, xloud_image='', name='x-shelved')
        self.assertEqual(
            [
                LAST,
                kept('a backup, which Nova rotates'),
                kept('it is the disk of a shelved server'),
                DELETED,
            ],
            decide(
                foreign,
                backup,
                shelved,
                candidate(4, hours=1),
                has_foreign=True,
            ),
        )

    def test_what_others_made_has_no_class(self):
        for lowest in Consistency:
            self.assertEqual(
                [kept(f'its class is unknown, not {lowest} or higher')],
                decide(
                    candidate(1, xloud_image=''),
                    has_foreign=True,
                    lowest=lowest,
                ),
            )


CANDIDATES = st.lists(
    st.fixed_dictionaries(
        {
            'server': st.sampled_from('ab'),
            'hours': st.integers(-2, 60),
            'flaw': st.sampled_from(['', '', 'flawed']),
            'protected': st.booleans(),
            'visibility': st.sampled_from(['private', 'shared', 'public']),
            'status': st.sampled_from(['active', 'active', 'queued']),
            'xloud_consistency': st.sampled_from(['none', 'application']),
        }
    ),
    max_size=8,
)
POLICIES = st.builds(Policy, st.integers(0, 2), daily=st.integers(1, 3))


class TestProperties(testtools.TestCase):
    @settings(max_examples=40, deadline=None)
    @given(CANDIDATES, POLICIES, st.sampled_from([None, *Consistency]))
    def test_what_is_deleted_has_a_better_one_that_stays(
        self, made, policy, lowest
    ):
        found = [candidate(number, **one) for number, one in enumerate(made)]
        decided = pruning.verdicts(found, Rules(policy, lowest), NOW)
        self.assertEqual(found, [one.candidate for one in decided])
        for one in (one for one in decided if one.is_deletion):
            newer = [
                other
                for other in decided
                if other.candidate.server_id == one.candidate.server_id
                and other.reason.endswith('snapshot')
                and other.snapshot.created_at >= one.snapshot.created_at
            ]
            self.assertTrue(newer)
            gone = one.snapshot
            self.assertEqual('active', gone.status)
            self.assertNotEqual('public', gone.visibility)
            self.assertFalse(gone.is_protected or one.candidate.flaw)
            self.assertGreaterEqual(gone.consistency, lowest or 0)
