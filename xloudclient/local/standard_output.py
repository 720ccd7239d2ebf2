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

"""Standard output as the place that a snapshot's bytes go to."""

import os
import sys

from xloudclient.consistency.errors import Failure, Misuse
from xloudclient.local.digest import Digest


class StandardOutput:
    """What was written can't be taken back.

    So to start over is to leave out as many bytes as were written already.

    :raises Misuse: it is a terminal, or closed
    """

    def __init__(self, algorithm: str) -> None:
        if sys.stdout is None:
            raise Misuse('standard output is closed', 'Use --file.')
        self._descriptor = sys.stdout.fileno()
        if os.isatty(self._descriptor):
            raise Misuse(
                'a snapshot is no text for a terminal',
                'Use --file, or redirect standard output.',
            )
        self._digest = Digest(algorithm)
        self._written = 0
        self.position = 0

    def write(self, piece: bytes) -> None:
        """Append.

        :raises Failure: nobody reads it any more
        :raises OSError: it can't be written
        """
        new = piece[max(0, self._written - self.position) :]
        self.position += len(piece)
        if new:
            self._digest.update(new)
            self._write(new)

    def _write(self, piece: bytes) -> None:
        view = memoryview(piece)
        try:
            while view:
                count = os.write(self._descriptor, view)
                self._written += count
                view = view[count:]
        except BrokenPipeError as error:
            raise Failure(
                f'the reader of standard output went away after '
                f'{self._written} bytes'
            ) from error

    def start_over(self) -> None:
        """Have the bytes come again from the first one on."""
        self.position = 0

    def hexdigest(self) -> str:
        """Return the hash of all that was written."""
        return self._digest.hexdigest()
