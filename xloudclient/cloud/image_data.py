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

"""The bytes of images, as Glance sends them."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator

import requests
from openstack import connection
from openstack import exceptions as sdk_exceptions

from xloudclient.cloud.errors import translated

#: Bytes that are read at a time. Larger ones are no faster, and on a slow
#: line what is read of one is lost with the connection.
CHUNK = 1 << 18
#: Seconds without a byte after which a connection counts as lost.
SILENCE_SECONDS = 60.0
#: What Glance answers where the store gives no ranges, or not this one.
NO_RANGES = (400, 416)


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request for an image's bytes.

    :param start: the first byte's position, of ``Content-Range``
    :param length: of ``Content-Length``, in bytes; -1 without it
    """

    status: int
    start: int | None
    length: int
    response: requests.Response

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes; they may end early without an error.

        :raises ReplyLost: the connection did
        """
        with translated():
            yield from self.response.iter_content(CHUNK)


class ImageData:
    """Asks Glance for the bytes of images."""

    def __init__(self, conn: connection.Connection) -> None:
        self._conn = conn

    @contextlib.contextmanager
    def ask(self, image_id: str, offset: int = 0) -> Iterator[Answer]:
        """Ask for all bytes from ``offset`` on, for as long as the block.

        The status is 200, 204 or 206; with an offset, 400 and 416, too.

        :raises Refused: any other 4xx
        :raises ReplyLost: a 5xx, or no answer
        """
        # an encoded answer would have other bytes, and other positions
        headers = {
            'Accept': 'application/octet-stream',
            'Accept-Encoding': 'identity',
        }
        if offset:
            headers['Range'] = f'bytes={offset}-'
        with translated():
            response = self._conn.image.get(
                f'/images/{image_id}/file',
                headers=headers,
                stream=True,
                timeout=SILENCE_SECONDS,
                skip_cache=True,
            )
        with contextlib.closing(response):
            if not (offset and response.status_code in NO_RANGES):
                with translated():
                    sdk_exceptions.raise_from_response(response)
            yield _answer(response)


def _answer(response: requests.Response) -> Answer:
    content_range = response.headers.get('Content-Range', '')
    match = re.match(r'bytes (\d+)-', content_range)
    length = response.headers.get('Content-Length', '')
    return Answer(
        response.status_code,
        int(match[1]) if match else None,
        int(length) if length.isdecimal() else -1,
        response,
    )
