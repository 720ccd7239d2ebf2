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

"""The bytes of an image, whatever becomes of the connections."""

import contextlib
import dataclasses

import testtools

from xloudclient.catalog.download import Content
from xloudclient.consistency.errors import Failure, Refused, ReplyLost
from xloudclient.upkeep import fetching

DATA = bytes(range(100))
CONTENT = Content('an-image', len(DATA), 'sha512', '')


@dataclasses.dataclass
class Answer:
    status: int
    start: int | None
    length: int
    pieces: list[bytes]
    error: Exception | None = None

    def chunks(self):
        yield from self.pieces
        if self.error:
            raise self.error


class Source:
    """Answers as it is told, one request after the other."""

    def __init__(self, *replies):
        self.replies = list(replies)
        self.asked = []

    @contextlib.contextmanager
    def ask(self, image_id, offset):
        self.asked.append(offset)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        yield reply


class Sink:
    """Bytes in memory; restarts are counted."""

    def __init__(self, data=b''):
        self.data = data
        self.restarts = 0

    @property
    def position(self):
        return len(self.data)

    def write(self, piece):
        self.data += piece

    def start_over(self):
        self.data = b''
        self.restarts += 1


class Progress:
    def __init__(self):
        self.said = []

    def begin(self, what, position=0):
        pass

    def at(self, position):
        pass

    def say(self, text):
        self.said.append(text)


def whole(end=100, error=None):
    return Answer(200, None, 100, [DATA[:10], DATA[10:end]], error)


def rest(start, end=100, error=None):
    return Answer(206, start, 100 - start, [DATA[start:end]], error)


def no_ranges(status=400):
    return Answer(status, None, 7, [b'no such'])


LOST = ReplyLost('reset')


class TestFetching(testtools.TestCase):
    def fetch(self, source, data=b''):
        self.sink, self.progress, self.pauses = Sink(data), Progress(), []
        fetch = fetching.Fetching(
            CONTENT, source, self.sink, self.progress, self.pauses.append
        )
        fetch.run()
        self.assertEqual(DATA, self.sink.data)
        self.assertEqual([], source.replies)
        return fetch

    def test_in_one_answer(self):
        fetch = self.fetch(Source(whole()))
        self.assertEqual(0, fetch.began_at)
        self.assertEqual([], self.progress.said)

    def test_what_is_there_is_not_asked_for(self):
        source = Source(rest(30))
        fetch = self.fetch(source, DATA[:30])
        self.assertEqual([30], source.asked)
        self.assertEqual(30, fetch.began_at)
        self.assertIsNone(self.fetch(Source(), DATA).began_at)

    def test_a_lost_connection_is_followed_by_another(self):
        source = Source(LOST, whole(50, LOST), rest(50, 60), LOST, rest(60))
        self.fetch(source)
        self.assertEqual([0, 0, 50, 60, 60], source.asked)
        # each time that something new came, the pauses begin anew
        self.assertEqual([1, 1, 1, 2], self.pauses)
        self.assertIn('ended 40 bytes early', self.progress.said[2])

    def test_without_ranges_it_starts_over(self):
        for replies, asked in (
            ([whole()], [30]),
            ([no_ranges(400), whole()], [30, 0]),
            ([no_ranges(416), whole()], [30, 0]),
            ([rest(20), whole()], [30, 0]),
        ):
            source = Source(*replies)
            fetch = self.fetch(source, DATA[:30])
            self.assertEqual(asked, source.asked)
            self.assertEqual(1, self.sink.restarts)
            self.assertEqual(0, fetch.began_at)

    def test_a_surplus_is_left_out(self):
        self.fetch(Source(Answer(200, None, -1, [DATA, b'more'])))

    def refuse(self, words, *replies, data=b''):
        source = Source(*replies)
        failure = self.assertRaises(Failure, self.fetch, source, data)
        self.assertIn(words, str(failure))
        self.assertEqual([], source.replies)

    def test_it_gives_up_when_nothing_new_comes(self):
        self.refuse('reset', *[LOST] * 6)
        self.assertEqual(list(fetching.PAUSES), self.pauses)

    def test_the_same_bytes_again_are_nothing_new(self):
        lost = [whole(50, LOST) for _ in range(6)]
        self.refuse('reset', *lost, data=DATA[:60])
        self.assertEqual(6, self.sink.restarts)

    def test_what_asking_again_does_not_cure(self):
        self.refuse('lost the data', Answer(204, None, 0, []))
        self.refuse('not as long', Answer(200, None, 99, [DATA[:99]]))
        self.refuse('does not give it: gone', Refused('gone', 404))
