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


"""How the copy of a disk ends when Cinder and Glance do not do their part.

Only what the real ones can't be made to do; see the functional tests.
"""

import testtools

from xloudclient.catalog.conversion import Disk
from xloudclient.catalog.snapshot import Snapshot
from xloudclient.consistency.errors import (
    CloudError,
    Failure,
    Refused,
    ReplyLost,
)
from xloudclient.upkeep import copying
from xloudclient.upkeep.copying import DiskCopy
from xloudclient.upkeep.workshop import Workshop

VOLUME = {'id': 'volume', 'status': 'available'}
QUEUED = {'id': 'image', 'status': 'queued', 'xloud_image': 'volume'}


class FakeClock:
    """Time that passes when it is waited for."""

    interrupted = 0

    def __init__(self):
        self.time = 0.0

    def now(self):
        return self.time

    def wait(self, seconds, ignore_signals=False):
        self.time += seconds

    def bounded(self, call, seconds, ignore_signals=False):
        return call()


class FakeCinder:
    def __init__(self, *volumes, stays=False):
        self.volumes = list(volumes)
        self.stays = stays
        self.uploads = self.made = 0

    def of(self, source):
        return self.volumes

    def make(self, source, size, is_image):
        self.made += 1
        raise ReplyLost('500')

    def upload(self, volume_id, name, properties):
        self.uploads += 1

    def delete(self, volume_id):
        if self.stays:
            raise CloudError('it is uploading')
        self.volumes.clear()

    def why(self, volume_id):
        return 'no space'


class FakeGlance:
    """Images found by what they were uploaded from."""

    def __init__(self, *images, lost=0):
        self.images = list(images)
        self.lost = lost

    def matching(self, **filters):
        if self.lost:
            self.lost -= 1
            raise ReplyLost('503')
        return [] if 'xloud_converted_from' in filters else self.images

    def delete(self, image_id):
        self.images.clear()


class TestFailures(testtools.TestCase):
    def copy(self, cinder, glance, others=()):
        said = []
        shop = Workshop(glance, cinder, FakeClock(), 'owner', said.append)
        source = Snapshot({'id': 'snapshot', 'name': 'db'})
        return DiskCopy(shop, source, Disk('source', '/dev/vdb', 1), others)

    def make(self, cinder, glance, others=()):
        copy = self.copy(cinder, glance, others)
        return self.assertRaises(Failure, copy.make)

    def test_an_encrypted_volume_is_not_uploaded(self):
        cinder = FakeCinder({**VOLUME, 'encrypted': True})
        failure = self.make(cinder, FakeGlance())
        self.assertIn('it is encrypted', str(failure))
        self.assertEqual((0, []), (cinder.uploads, cinder.volumes))
        self.assertEqual('', failure.advice)

    def test_an_image_that_stays_unfinished_is_deleted(self):
        """Cinder could not delete it, as when Glance was away."""
        cinder, glance = FakeCinder(VOLUME), FakeGlance(QUEUED)
        failure = self.make(cinder, glance)
        self.assertIn('stays queued (Cinder: no space)', str(failure))
        self.assertEqual(([], []), (cinder.volumes, glance.images))

    def test_what_can_not_be_deleted_is_named(self):
        cinder = FakeCinder(VOLUME, stays=True)
        others = ((Disk('other', '/dev/vdc', 1), 'finished'),)
        failure = self.make(cinder, FakeGlance(QUEUED), others)
        self.assertEqual(
            'This removes what is left: openstack volume delete volume; '
            'openstack image delete finished',
            failure.advice,
        )

    def test_replies_may_be_lost_for_a_while_but_not_for_ever(self):
        cinder = FakeCinder({'id': 'volume', 'status': 'error'})
        few = FakeGlance(lost=copying.MOST_LOST)
        self.assertIn('the volume is error', str(self.make(cinder, few)))
        many = FakeGlance(lost=copying.MOST_LOST + 1)
        self.assertIn('503', str(self.make(cinder, many)))

    def test_a_volume_is_not_asked_for_for_ever(self):
        cinder = FakeCinder()
        failure = self.make(cinder, FakeGlance())
        self.assertIn('500', str(failure))
        self.assertEqual(copying.MOST_REQUESTS, cinder.made)

    def test_nothing_is_deleted_that_is_not_seen_to_be_unfinished(self):
        """A copy that was finished does not go when Cinder falls silent."""

        class Silent(FakeCinder):
            def of(self, source):
                if glance.updated:
                    raise ReplyLost('503')
                return super().of(source)

        class Updated(FakeGlance):
            updated = False

            def get(self, image_id):
                return self.images[0]

            def update(self, image_id, properties, dropped):
                self.updated = True

        glance = Updated({**QUEUED, 'status': 'active'})
        copy = self.copy(Silent(VOLUME), glance)
        self.assertEqual('image', copy.make())
        self.assertEqual(1, len(glance.images))


class Cloud:
    """Cinder and Glance, who take their time, for two commands at once.

    :ivar disturb: called before a request, with its name
    """

    def __init__(self):
        self.volumes, self.images = {}, {}
        self.made = self.uploads = 0
        self.disturb = lambda request: None

    def pass_time(self):
        for one in (*self.volumes.values(), *self.images.values()):
            one['status'] = {
                'creating': 'available',
                'uploading': 'available',
                'queued': 'active',
            }.get(one['status'], one['status'])

    # Cinder

    def of(self, source):
        return [dict(one) for one in reversed(self.volumes.values())]

    def make(self, source, size, is_image):
        self.disturb('make')
        self.made += 1
        self.volumes[f'v{self.made}'] = {
            'id': f'v{self.made}',
            'status': 'creating',
            'created_at': f'{self.made}',
        }

    def upload(self, volume_id, name, marks):
        self.disturb('upload')
        status = self.volumes.get(volume_id, {}).get('status', 'gone')
        if status != 'available':
            raise Refused(f'it is {status}', 400)
        self.uploads += 1
        self.volumes[volume_id]['status'] = 'uploading'
        image = {**marks, 'id': f'i{self.uploads}', 'status': 'queued'}
        self.images[image['id']] = image

    def why(self, volume_id):
        return ''

    # Glance

    def matching(self, **wanted):
        wanted.pop('owner')
        return [
            dict(one)
            for one in self.images.values()
            if all(one.get(key) == value for key, value in wanted.items())
        ]

    def get(self, image_id):
        return self.images.get(image_id)

    def update(self, image_id, values, dropped):
        self.disturb('update')
        self.images[image_id].update(values)

    def delete(self, thing_id):
        self.volumes.pop(thing_id, None)
        self.images.pop(thing_id, None)


class TestTwoAtOnce(testtools.TestCase):
    """The other command comes in at any point, and does what it has to."""

    def setUp(self):
        super().setUp()
        self.cloud = Cloud()

    def copy(self):
        clock = FakeClock()
        wait = clock.wait

        def pass_time(seconds, ignore_signals=False):
            wait(seconds)
            self.cloud.pass_time()
            self.cloud.disturb('wait')

        clock.wait = pass_time
        shop = Workshop(self.cloud, self.cloud, clock, 'owner', lambda _: None)
        source = Snapshot({'id': 'snapshot', 'name': 'db'})
        return DiskCopy(shop, source, Disk('source', '/dev/vdb', 1), ())

    def come_in_at(self, request, act):
        def disturb(name):
            if name == request:
                self.cloud.disturb = lambda request: None
                act()

        self.cloud.disturb = disturb

    def convert_there(self):
        self.theirs = self.copy().make()

    def test_the_other_one_is_faster_from_any_point_on(self):
        for request in ('make', 'wait', 'upload', 'update'):
            self.cloud = Cloud()
            self.theirs = ''
            self.come_in_at(request, self.convert_there)
            ours = self.copy().make()
            self.assertEqual(self.theirs, ours, request)
            self.assertEqual(1, len(self.cloud.images), request)
            self.assertEqual({}, self.cloud.volumes, request)

    def test_the_other_one_asks_for_the_upload_a_moment_before(self):
        self.come_in_at(
            'upload',
            lambda: self.cloud.upload(
                'v1', 'n', {'xloud_converted_from': 's', 'xloud_image': 'v1'}
            ),
        )
        self.assertEqual('i1', self.copy().make())
        self.assertEqual(1, self.cloud.uploads)

    def test_volumes_that_both_made_are_told_apart(self):
        self.come_in_at('make', lambda: self.cloud.make('source', 1, False))
        self.assertEqual('i1', self.copy().make())
        self.assertEqual({}, self.cloud.volumes)
        self.assertEqual(1, self.cloud.uploads)
