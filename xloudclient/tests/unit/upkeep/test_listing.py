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

"""Lists of several kinds become one, whatever order they come in."""

import testtools

from xloudclient.catalog.query import Query
from xloudclient.consistency.errors import Failure
from xloudclient.tests.unit.catalog.test_snapshot import (
    FROM_VOLUMES,
    IMAGE,
    OURS,
)
from xloudclient.upkeep.finding import Finder
from xloudclient.upkeep.listing import Listing


def image(image_id: str, second: int, *marks: dict) -> dict:
    made = {**IMAGE, **OURS, 'id': image_id, 'xloud_image': image_id}
    for one in marks:
        made.update(one)
    return {**made, 'created_at': f'2026-03-18T10:00:{second:02}Z'}


class Glance:
    """Has images in an order of its own within a second."""

    def __init__(self, *images: dict) -> None:
        self.images = images
        self.asked: list[dict] = []

    def get(self, image_id):
        return {one['id']: one for one in self.images}.get(image_id)

    def pages(self, filters):
        self.asked.append(filters)
        before = filters.get('created_at', 'lt:9').removeprefix('lt:')
        for one in self.images:
            is_wanted = all(
                one.get(key) == filters[key]
                for key in ('image_type', 'bdm_v2')
                if key in filters
            )
            if is_wanted and one['created_at'] < before:
                yield one


class TestListing(testtools.TestCase):
    # in Glance's order: newest first, by parts of a second that it hides
    GLANCE = (
        image('d', 5),
        image('b', 4, FROM_VOLUMES),
        image('c', 4),
        image('a', 4, FROM_VOLUMES),
        image('e', 3, FROM_VOLUMES),
    )

    def listed(self, **how) -> list[str]:
        self.glance = Glance(*self.GLANCE)
        listing = Listing(None, None, Finder(self.glance, 'p'))
        query = Query(owner='p', reader='p')
        return [one.id for one in listing.snapshots(query, **how)]

    def test_each_is_listed_once(self):
        found = self.listed()
        self.assertEqual(['d', 'e'], [found[0], found[-1]])
        self.assertEqual(sorted('abcde'), sorted(found))

    def test_pages_leave_out_nothing_and_repeat_nothing(self):
        whole, walked = self.listed(), self.listed(limit=1)
        while len(walked) < len(whole):
            walked += self.listed(limit=1, marker=walked[-1])
        self.assertEqual(whole, walked)
        self.assertEqual([], self.listed(marker=whole[-1]))

    def test_one_request_per_kind(self):
        self.listed(limit=2)
        self.assertEqual(3, len(self.glance.asked))

    def test_a_marker_that_is_not_there(self):
        self.assertRaises(Failure, self.listed, marker='x')
