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


"""Whether a snapshot fits into the project's quotas."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

from xloudclient.consistency.checks.cloud import VolumeDetails
from xloudclient.consistency.checks.finding import Finding, ok, problem
from xloudclient.consistency.errors import NotQuiesced
from xloudclient.consistency.plan import Kind, Plan


@dataclasses.dataclass(frozen=True, slots=True)
class Allowance:
    """How much of something a project has, and may have.

    :param limit: -1 for none
    """

    used: int
    limit: int

    def has_room_for(self, more: int) -> bool:
        return self.limit < 0 or self.used + more <= self.limit

    def __str__(self) -> str:
        if self.limit < 0:
            return f'{self.used}, without a limit'
        return f'{self.used} of {self.limit}'


#: What Glance looks at when an upload begins, and then only at what is used
#: already (``glance/quota/keystone.py``).
_AT_UPLOAD = {
    'image_size_total': 'MiB of images',
    'image_count_uploading': 'uploads under way',
}
#: How much of Glance's limits an image-backed snapshot needs.
OF_IMAGES = {'image_count_total': 1, **dict.fromkeys(_AT_UPLOAD, 0)}


def images(plan: Plan, allowances: Mapping[str, Allowance]) -> Finding:
    """Judge Glance's quotas.

    :param allowances: by the names of Glance's unified limits; none where a
        cloud has no such limits
    """
    check = 'image quota'
    count = allowances.get('image_count_total')
    if count and not count.has_room_for(1):
        return problem(check, _used_up('images', count))
    is_uploaded = plan.target.kind is Kind.IMAGE
    for key, what in _AT_UPLOAD.items() if is_uploaded else ():
        one = allowances.get(key)
        if one and not one.has_room_for(0):
            return problem(check, _used_up(what, one, 0))
    return ok(
        check, f'{count} images' if count else 'this cloud tells of none'
    )


def volume_snapshots(
    allowances: Mapping[str, Allowance], details: Sequence[VolumeDetails]
) -> Finding:
    """Judge Cinder's quotas, by number and size, in all and by type.

    :param allowances: by the names of Cinder's quotas, ``snapshots``,
        ``gigabytes``, and both with ``_<type>`` behind
    :param details: of the volumes that are to be captured
    """
    check = 'volume quota'
    if not details:
        return ok(check, 'no volume is captured')
    needs = needs_of(details)
    for key, more in needs.items():
        one = allowances.get(key)
        if one and not one.has_room_for(more):
            what, _, type_name = key.partition('_')
            of_type = f' of type {type_name}' if type_name else ''
            return problem(
                check, _used_up(f'{_WORDS[what]}{of_type}', one, more)
            )
    return ok(check, '; '.join(_told(allowances, needs)))


def _used_up(what: str, one: Allowance, more: int = 1) -> NotQuiesced:
    missing = f', and {more} more' if more else ''
    return NotQuiesced(
        f'the quota of {what} is used up: {one}{missing}',
        'Delete what is not needed, or ask for a higher quota.',
    )


_WORDS = {'snapshots': 'volume snapshots', 'gigabytes': 'gigabytes'}


def needs_of(details: Iterable[VolumeDetails]) -> dict[str, int]:
    """Tell how much of each quota is needed."""
    needs: collections.Counter[str] = collections.Counter()
    for one in details:
        for suffix in ('', f'_{one.type_name}') if one.type_name else ('',):
            needs[f'snapshots{suffix}'] += 1
            needs[f'gigabytes{suffix}'] += one.gigabytes
    return dict(needs)


def _told(
    allowances: Mapping[str, Allowance], needs: Mapping[str, int]
) -> Iterator[str]:
    for key, what in _WORDS.items():
        if key in allowances:
            yield f'{what}: {allowances[key]}, and {needs[key]} more'
