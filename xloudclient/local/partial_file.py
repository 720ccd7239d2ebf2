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

"""A file in the making: it has its name only when it is whole.

Until then it lies beside, under a name of its own that says what it is a part
of. All that is in it was received in order, so its length says where to go
on, whatever ended the process that wrote it.
"""

import contextlib
import fcntl
import io
import os
import pathlib
import stat
from collections.abc import Callable, Iterator

from xloudclient.consistency.errors import Busy, Failure, Misuse
from xloudclient.local.digest import Digest, read

SUFFIX = '.part'
#: Bytes that, if they are all zero, are left out at a time.
BLOCK = 1 << 16
ZEROES = bytes(BLOCK)
#: The longest name in a folder, in bytes (NAME_MAX of Linux).
NAME_LENGTH = 255


class PartialFile:
    """The part, locked against others, for as long as it is open.

    :param final: the file that it becomes
    :param tag: what it is a part of; another tag is another part
    :param algorithm: of the hash over all its bytes
    :raises Busy: another process is at it
    :raises Misuse: there can be no such file
    """

    def __init__(self, final: pathlib.Path, tag: str, algorithm: str) -> None:
        self.final = _usable(final)
        self.path = _beside(self.final, tag)
        with _understood(self.final):
            self._file = io.FileIO(_locked(self.path), 'r+')
        self._algorithm = algorithm
        self._digest = Digest(algorithm)
        self.position = 0

    @property
    def length(self) -> int:
        """How many bytes are there, also when it is closed."""
        return self.path.stat().st_size if self.path.exists() else 0

    def recall(self, tell: Callable[[int], None]) -> None:
        """Take up what is there already.

        :param tell: called with the position, again and again
        """
        for piece in read(self._file.fileno()):
            self._digest.update(piece)
            self.position += len(piece)
            tell(self.position)

    def write(self, piece: bytes) -> None:
        """Append; blocks of zeroes become holes.

        :raises OSError: it can't be written, the disk is full
        """
        for start in range(0, len(piece), BLOCK):
            block = piece[start : start + BLOCK]
            if block != ZEROES[: len(block)]:
                _write(self._file.fileno(), block, self.position + start)
        self.position += len(piece)
        # its length says what was received, also where it ends in a hole
        self._file.truncate(self.position)
        self._digest.update(piece)

    def start_over(self) -> None:
        """Forget what is there."""
        self._file.truncate(0)
        self.position = 0
        self._digest.close()
        self._digest = Digest(self._algorithm)

    def hexdigest(self) -> str:
        """Return the hash of all that is there."""
        return self._digest.hexdigest()

    def lacking_room(self, size: int) -> int:
        """Return how many bytes the disk has too few for ``size`` of them."""
        disk = os.fstatvfs(self._file.fileno())
        taken = os.fstat(self._file.fileno()).st_blocks * 512
        return max(0, size - taken - disk.f_bavail * disk.f_frsize)

    def finish(self) -> None:
        """Give it its name, in place of what has that name; it is on disk.

        A file of one's own that it replaces hands its mode on; else it stays
        private.
        """
        with contextlib.suppress(FileNotFoundError):
            replaced = self.final.lstat()
            if _is_own_file(replaced):
                mode = stat.S_IMODE(replaced.st_mode)
                os.fchmod(self._file.fileno(), mode)
        os.fsync(self._file.fileno())
        os.replace(self.path, self.final)
        _sync_folder(self.final.parent)

    def discard(self) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let others have it; one that holds nothing is removed."""
        if not self._file.closed:
            if self.path.exists() and not self.length:
                self.discard()
            self._digest.close()
            self._file.close()


def _usable(final: pathlib.Path) -> pathlib.Path:
    """Return the real path of a file that is there, or can be."""
    with _understood(final):
        if final.is_symlink() and final.lstat().st_uid != os.geteuid():
            raise Misuse(
                f'--file: {final} is a link that somebody else made',
                f'Name the file itself: {final.resolve()}',
            )
        resolved = final.resolve()
        if resolved.is_dir():
            raise Misuse(f'--file: {final} is a folder')
        if resolved.exists() and not resolved.is_file():
            raise Misuse(
                f'--file: {final} is no ordinary file',
                'Without --file the snapshot goes to standard output: '
                f'redirect that to {final}.',
            )
    return resolved


@contextlib.contextmanager
def _understood(final: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Misuse(
            f"--file: can't write {final}: {error.strerror}"
        ) from error


def _beside(final: pathlib.Path, tag: str) -> pathlib.Path:
    ending = f'.{tag}{SUFFIX}'
    start = os.fsencode(f'.{final.name}')[: NAME_LENGTH - len(ending)]
    return final.parent / (os.fsdecode(start) + ending)


def _locked(path: pathlib.Path) -> int:
    """Open and lock it; who had it may have moved it away meanwhile."""
    while True:
        descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600
        )
        try:
            _lock(descriptor, path)
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, path: pathlib.Path) -> None:
    if not _is_own_file(os.fstat(descriptor)):
        raise Failure(f'{path} is in the way, and not yours; remove it')
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Busy(
            f'another process is saving to it: {path} is locked'
        ) from error


def _is_own_file(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and stat.S_ISREG(found.st_mode)


def _is_at(descriptor: int, path: pathlib.Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _write(descriptor: int, block: bytes, position: int) -> None:
    written = 0
    while written < len(block):
        written += os.pwrite(descriptor, block[written:], position + written)


def _sync_folder(folder: pathlib.Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # some network file systems know no such thing
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
