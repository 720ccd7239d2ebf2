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

"""A snapshot's bytes, verified, in a file or on standard output.

What was fetched stays in a partial file, so that whatever ends a run, the
next one goes on from there; the file has its name only once the hash over all
of it is the one that Glance recorded.
"""

import contextlib
import dataclasses
import logging
import pathlib
import shlex
from collections.abc import Callable, Iterator
from typing import Any

from xloudclient.catalog import recreation
from xloudclient.catalog.download import Content
from xloudclient.catalog.snapshot import Snapshot
from xloudclient.cloud.image_data import ImageData
from xloudclient.consistency.errors import Failure
from xloudclient.consistency.text import byte_size
from xloudclient.local import digest
from xloudclient.local.clock import stoppable
from xloudclient.local.partial_file import PartialFile
from xloudclient.local.standard_output import StandardOutput
from xloudclient.local.transfer import Transfer
from xloudclient.upkeep import finding
from xloudclient.upkeep.fetching import Fetching, Progress, Source
from xloudclient.upkeep.finding import Finder

LOG = logging.getLogger(__name__)
VOID = 'What was written is not the snapshot.'


@dataclasses.dataclass(frozen=True, slots=True)
class Saving:
    """Saves snapshots.

    :param verbosity: the shell's: 0 with ``-q``
    """

    finder: Finder
    source: Source
    verbosity: int

    def to_standard_output(self, name_or_id: str) -> None:
        """Write a snapshot's bytes, and check them at the end.

        :raises Failure: what was written is not, or not all of, the snapshot
        """
        snapshot, content = self._find(name_or_id)
        output = StandardOutput(content.algorithm)
        with (
            Transfer(self.verbosity, content.size) as progress,
            _explained('standard output', lambda: VOID),
        ):
            stoppable(Fetching(content, self.source, output, progress).run)
            found = output.hexdigest()
            if not content.is_right(found):
                raise _damaged(snapshot, VOID)
            progress.say(f'written: {_checked(content, found)}')

    def to_file(self, name_or_id: str, path: str) -> None:
        """Save a snapshot, and say how it becomes an image again.

        A file of that name is replaced at the end, unless it is the snapshot
        already.

        :raises Failure: it is not saved; a file of that name is as it was
        """
        snapshot, content = self._find(name_or_id)
        part = PartialFile(pathlib.Path(path), content.tag, content.algorithm)
        with (
            Transfer(self.verbosity, content.size) as progress,
            _explained(path, lambda: _left(part, content)),
        ):
            found = stoppable(
                _Copy(snapshot, content, self.source, part, progress).make
            )
            told = f'saved to {path}: {_checked(content, found)}'
            if content.digest:
                progress.say(told)
            else:
                LOG.warning('%s', told)
            words = shlex.join(recreation.words(snapshot, path))
            progress.say(f'to make it an image again: {words}')

    def _find(self, name_or_id: str) -> tuple[Snapshot, Content]:
        snapshot = self.finder.find(name_or_id)
        content = Content.of(snapshot)
        if snapshot.data_volumes:
            LOG.warning(
                'not in it: the snapshots of the attached volumes: %s',
                ', '.join(snapshot.data_volumes),
            )
        return snapshot, content


@dataclasses.dataclass(frozen=True, slots=True)
class _Copy:
    """A snapshot that is being saved to a file."""

    snapshot: Snapshot
    content: Content
    source: Source
    part: PartialFile
    progress: Progress

    def make(self) -> str:
        """The file is whole and right afterwards; return its hash."""
        with contextlib.closing(self.part):
            found = self._hash_of_same()
            if found is None:
                self._check_room()
                found = self._fetch()
                self.part.finish()
        return found

    def _hash_of_same(self) -> str | None:
        """Return the hash of a file that is this already, else None."""
        path, content = self.part.final, self.content
        if not path.is_file() or path.stat().st_size != content.size:
            return None
        self.progress.begin('checking the file')
        found = digest.hexdigest(path, content.algorithm, self.progress.at)
        return found if found == content.digest else None

    def _check_room(self) -> None:
        lacking = self.part.lacking_room(self.content.size)
        if not lacking:
            return
        text = f'{self.part.final.parent} lacks {byte_size(lacking)} of room'
        if self.snapshot.image.get('disk_format') != 'raw':
            raise Failure(text, 'Make room, or save to another disk.')
        self.progress.say(f'{text}, if there are no zeroes to be left out')

    def _fetch(self) -> str:
        """Fetch what is missing; return the hash of all, which is right.

        A wrong one may come of bytes that don't fit together, when not all
        came in one answer; then they are fetched once more.

        :raises Failure: it is not right; nothing is kept
        """
        if self.part.length > self.content.size:
            self.part.start_over()
        self.progress.begin('checking what is there')
        self.part.recall(self.progress.at)
        fetching = Fetching(
            self.content, self.source, self.part, self.progress
        )
        fetching.run()
        found = self.part.hexdigest()
        if fetching.began_at != 0 and not self.content.is_right(found):
            self.progress.say('the parts do not fit: starting over')
            self.part.start_over()
            fetching.run()
            found = self.part.hexdigest()
        if not self.content.is_right(found):
            self.part.discard()
            raise _damaged(self.snapshot, 'Nothing of it was kept.')
        return found


def _damaged(snapshot: Snapshot, advice: str) -> Failure:
    return Failure(
        f'the data of snapshot {snapshot.label} is damaged: its hash is not '
        'the one that Glance recorded',
        advice,
    )


def _checked(content: Content, found: str) -> str:
    size = byte_size(content.size)
    if content.digest:
        return f'{size}, {content.algorithm} verified'
    return (
        f'{size}, NOT verified: Glance has no hash of it; its '
        f'{content.algorithm} is {found}'
    )


def _left(part: PartialFile, content: Content) -> str:
    if not part.length:
        return ''
    return (
        f'{byte_size(part.length)} of {byte_size(content.size)} are in '
        f'{part.path}: the same command goes on from there.'
    )


@contextlib.contextmanager
def _explained(place: str, advice: Callable[[], str]) -> Iterator[None]:
    """Say with each failure what is left."""
    try:
        yield
    except OSError as error:
        raise Failure(
            f"can't write {place}: {error.strerror}", advice()
        ) from error
    except Failure as failure:
        failure.advice = failure.advice or advice()
        raise


def of(conn: Any, verbosity: int) -> Saving:
    """Make one for what a connection can see."""
    return Saving(finding.of(conn), ImageData(conn), verbosity)
