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

"""Hashes over many bytes."""

import hashlib
import os
import pathlib
import queue
import threading
from collections.abc import Callable, Iterator

#: Bytes that are read at a time.
PIECE = 1 << 18
#: Pieces that may wait to be hashed.
MOST_PIECES = 16


class Digest:
    """Hashes in a thread of its own, while the next bytes come.

    :param algorithm: as :mod:`hashlib` calls it
    """

    def __init__(self, algorithm: str) -> None:
        # md5 finds accidents here, and must do so under FIPS, too
        self._hash = hashlib.new(algorithm, usedforsecurity=False)
        self._pieces: queue.Queue[bytes] = queue.Queue(MOST_PIECES)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while piece := self._pieces.get():
            self._hash.update(piece)

    def update(self, piece: bytes) -> None:
        """Take further bytes, one at least."""
        self._pieces.put(piece)

    def hexdigest(self) -> str:
        """Return the hash of all that was taken; it takes no more."""
        self.close()
        return self._hash.hexdigest()

    def close(self) -> None:
        """End the thread."""
        if self._thread.is_alive():
            self._pieces.put(b'')
            self._thread.join()


def read(descriptor: int) -> Iterator[bytes]:
    """Yield all bytes of an open file, from the first one on."""
    position = 0
    while piece := os.pread(descriptor, PIECE, position):
        yield piece
        position += len(piece)


def hexdigest(
    path: pathlib.Path, algorithm: str, tell: Callable[[int], None]
) -> str:
    """Return the hash of a file.

    :param tell: called with the position, again and again
    """
    digest, position = Digest(algorithm), 0
    try:
        with path.open('rb') as file:
            for piece in read(file.fileno()):
                digest.update(piece)
                position += len(piece)
                tell(position)
        return digest.hexdigest()
    finally:
        digest.close()
