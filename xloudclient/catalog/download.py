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

"""What bytes a snapshot has, and what an answer to a request for them means.

Glance gives ranges from the ``filesystem`` and ``cinder`` stores alone; with
the others (rbd, swift, s3, http, vmware) it answers 400 to any ``Range``
header, and a proxy in front of it may ignore that header and answer 200.
Sources: ``glance/api/v2/image_data.py`` ``ResponseSerializer.download``
(glance 33), ``_CAPABILITIES`` in ``glance_store/_drivers`` (5.5).
"""

import dataclasses
import enum
import hashlib

from xloudclient.catalog.snapshot import Kind, Snapshot
from xloudclient.consistency.errors import Failure
from xloudclient.consistency.text import printable

#: Computed where Glance has no hash to compare with.
ALGORITHM = 'sha512'


@dataclasses.dataclass(frozen=True, slots=True)
class Content:
    """What a snapshot's bytes must be.

    :param size: how many, one at least
    :param algorithm: of the hash over all of them, as :mod:`hashlib` calls it
    :param digest: hexadecimal; '' if Glance knows none, as of an image that
        the storage made itself
    """

    image_id: str
    size: int
    algorithm: str
    digest: str

    @classmethod
    def of(cls, snapshot: Snapshot) -> 'Content':
        """Return it, with the best hash there is.

        :raises Failure: it has no bytes, or not yet
        """
        image = snapshot.image
        if snapshot.kind is Kind.VOLUME:
            raise _volume_backed(snapshot)
        if snapshot.status != 'active':
            raise Failure(
                f'snapshot {snapshot.label} is {printable(snapshot.status)}: '
                'only an active one can be saved'
            )
        if not snapshot.size:
            raise Failure(f'snapshot {snapshot.label} has no bytes')
        algorithm, key = str(image.get('os_hash_algo')), 'os_hash_value'
        if algorithm not in hashlib.algorithms_available:
            algorithm, key = 'md5', 'checksum'
        digest = str(image.get(key) or '').lower()
        return cls(
            snapshot.id, snapshot.size, algorithm if digest else ALGORITHM,
            digest,
        )  # fmt: skip

    @property
    def tag(self) -> str:
        """What tells it from any other's, fit for a file's name."""
        return f'{self.image_id}.{self.digest[:8] or "unhashed"}'

    def is_right(self, digest: str) -> bool:
        """Whether bytes of that hash are these, as far as can be known."""
        return self.digest in ('', digest)


def _volume_backed(snapshot: Snapshot) -> Failure:
    roots = [one.snapshot_id for one in snapshot.devices if one.is_root]
    return Failure(
        f'snapshot {snapshot.label} is volume-backed: its data is in volume '
        'snapshots, and the image has no bytes',
        'Make a volume of one, and an image of that, which "openstack image '
        'save" saves: openstack volume create --snapshot '
        f'{printable((roots or snapshot.mapped_volumes)[0])} copy; when it is '
        'available: openstack image create --volume copy copy',
    )


class Meaning(enum.Enum):
    """What an answer means for the bytes that are there."""

    CONTINUES = 'its bytes follow on those that are there'
    STARTS_OVER = 'its bytes are the whole image, from the first on'
    NO_RANGES = 'the whole image is to be asked for'
    NO_DATA = 'the image has lost its data'
    OTHER_SIZE = 'it is not as long as the image is'


def meaning(
    content: Content, offset: int, status: int, start: int | None, length: int
) -> Meaning:
    """Say what an answer to a request for the bytes from ``offset`` means.

    :param offset: 0 if the request had no ``Range`` header
    :param status: 200, 204 or 206; with a range, also 400 and 416
    :param start: of ``Content-Range``; None without it
    :param length: of ``Content-Length``; -1 without it
    """
    if status == 204:
        return Meaning.NO_DATA
    if status == 200:
        if length not in (-1, content.size):
            return Meaning.OTHER_SIZE
        return Meaning.STARTS_OVER if offset else Meaning.CONTINUES
    is_rest = length in (-1, content.size - offset)
    if status == 206 and start == offset and is_rest:
        return Meaning.CONTINUES
    return Meaning.NO_RANGES if offset else Meaning.OTHER_SIZE
