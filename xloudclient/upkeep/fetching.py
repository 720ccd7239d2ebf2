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

"""The bytes of an image, fetched into a sink however often it is cut off."""

import contextlib
import time
from collections.abc import Callable
from typing import Protocol

from xloudclient.catalog.download import Content, Meaning, meaning
from xloudclient.cloud.image_data import Answer
from xloudclient.consistency.errors import Failure, Refused, ReplyLost

#: Seconds to wait before each further try that brings nothing new.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
#: What can't be put right by asking again.
HOPELESS = {
    Meaning.NO_DATA: 'its store has lost the data',
    Meaning.OTHER_SIZE: 'what Glance sends is not as long as the image is',
}


class Source(Protocol):
    """Where the bytes come from: :class:`~xloudclient.cloud.image_data`."""

    def ask(
        self, image_id: str, offset: int
    ) -> contextlib.AbstractContextManager[Answer]: ...


class Sink(Protocol):
    """Where they go to: a partial file, or standard output.

    ``position`` is how many of them are there.
    """

    position: int

    def write(self, piece: bytes) -> None: ...

    def start_over(self) -> None: ...


class Progress(Protocol):
    """What is told of it."""

    def begin(self, what: str, position: int = 0) -> None: ...

    def at(self, position: int) -> None: ...

    def say(self, text: str) -> None: ...


class Fetching:
    """Fetches what a sink has not got yet.

    :ivar began_at: where the bytes of the last answer began; 0 if all came
        in one, None if there was none
    """

    def __init__(
        self,
        content: Content,
        source: Source,
        sink: Sink,
        progress: Progress,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._content = content
        self._source = source
        self._sink = sink
        self._progress = progress
        self._pause = pause
        self.began_at: int | None = None

    def run(self) -> None:
        """Fetch it; all bytes are there then.

        As long as tries bring something new there are further ones.

        :raises Failure: it can't be had, or not now
        :raises OSError: the sink can't take it
        """
        self._progress.begin('saving', self._sink.position)
        farthest, tries = self._sink.position, 0
        while lost := self._try():
            if self._sink.position > farthest:
                farthest, tries = self._sink.position, 0
            if tries == len(PAUSES):
                raise Failure(lost)
            self._progress.say(f'{lost}; again in {PAUSES[tries]:g} s')
            self._pause(PAUSES[tries])
            tries += 1

    def _try(self) -> str:
        """Ask for what is missing; return why it did not come, '' if it did.

        :raises Failure: asking again is of no use
        """
        try:
            if not self._missing or self._receive():
                return ''
        except ReplyLost as error:
            return f'connection lost: {error}'
        except Refused as error:
            raise Failure(f'Glance does not give it: {error}') from error
        return f'the data ended {self._missing} bytes early'

    @property
    def _missing(self) -> int:
        return self._content.size - self._sink.position

    def _receive(self) -> bool:
        """Take what comes; return whether it was all."""
        offset = self._sink.position
        with self._source.ask(self._content.image_id, offset) as answer:
            means = meaning(
                self._content,
                offset,
                answer.status,
                answer.start,
                answer.length,
            )
            if means in HOPELESS:
                raise Failure(HOPELESS[means])
            if means is not Meaning.CONTINUES:
                self._progress.say('ranges are not supported: starting over')
                self._sink.start_over()
            if means is not Meaning.NO_RANGES:
                self._take(answer)
        if means is Meaning.NO_RANGES:
            return self._receive()
        return not self._missing

    def _take(self, answer: Answer) -> None:
        self.began_at = self._sink.position
        for piece in answer.chunks():
            # a proxy's surplus would also come after the right bytes
            self._sink.write(piece[: self._missing])
            self._progress.at(self._sink.position)
