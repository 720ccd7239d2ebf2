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

"""Journals as files: made, taken over and appended to, all or nothing.

What a journal says is done as its user, hooks included. So only what nobody
else can have written is obeyed. That is seen of what has been opened, not of
its path: whoever may change a folder on the way can put another file in its
place, but nobody can make one that belongs to somebody else.
"""

import errno
import fcntl
import os
import pathlib
import stat
import time

from xloudclient.consistency.errors import Failure
from xloudclient.local.trust import WRITABLE_BY_OTHERS, user_name

#: A reader holds the lock for a moment, to see whether it is free.
LOCK_SECONDS = 1.0


def create(path: pathlib.Path, line: bytes) -> int:
    """Make a journal with its first line, and return its descriptor, locked.

    It gets its name when all that is done, lest it pass for a dead run's.

    :raises OSError: it can't be made; nothing is left of it
    :raises Failure: its folder is refused
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_folder(path.parent)
    path.parent.chmod(0o700)
    if path.exists():
        raise FileExistsError(f'there is a run {path.stem} already')
    unnamed = path.with_suffix('.new')
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC
    descriptor = os.open(unnamed, flags, 0o600)
    try:
        lock(descriptor)
        append(descriptor, line)
        unnamed.rename(path)
        _sync_folder(path.parent)
    except OSError:
        os.close(descriptor)
        for leftover in (unnamed, path):
            leftover.unlink(missing_ok=True)
        raise
    return descriptor


def open_own(path: pathlib.Path, flags: int) -> int:
    """Return a descriptor of a file that nobody else can have written.

    :raises PermissionError: somebody else can; OSError: it can't be opened
    """
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PermissionError(errno.EPERM, 'it is not a file')
        _check_own(descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def check_folder(folder: pathlib.Path) -> None:
    """See that nobody else can put journals into their folder.

    :raises Failure: somebody else can; OSError: it can't be opened
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _check_own(descriptor)
    except PermissionError as error:
        raise Failure(
            f'the folder of the journals {folder} is refused: '
            f'{error.strerror}',
            f'Set XDG_STATE_HOME; or if it is yours, run: chmod go-w {folder}',
        ) from error
    finally:
        os.close(descriptor)


def _check_own(descriptor: int) -> None:
    status = os.fstat(descriptor)
    if status.st_uid != os.geteuid():
        owner = user_name(status.st_uid)
        raise PermissionError(errno.EPERM, f'it belongs to {owner}')
    if status.st_mode & WRITABLE_BY_OTHERS:
        raise PermissionError(errno.EPERM, 'its group or others can write it')


def room(folder: pathlib.Path) -> tuple[bool, int]:
    """Say whether journals can be made in a folder, and how many bytes are
    free there; nothing is made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    return os.access(folder, os.W_OK | os.X_OK), free


def touch(path: pathlib.Path) -> None:
    """Make an empty file that is there for good; raises OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    _sync_folder(path.parent)


def reopen(path: pathlib.Path) -> int:
    """Return a descriptor of a dead run's journal, locked.

    :raises BlockingIOError: somebody else has it, or has removed it
    :raises OSError: it can't be opened or written, or is refused
    """
    descriptor = open_own(path, os.O_RDWR | os.O_APPEND)
    try:
        lock(descriptor)
        if not os.fstat(descriptor).st_nlink:
            raise BlockingIOError('it was recovered meanwhile')
        # its last line may have been cut short
        append(descriptor, b'\n')
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read(descriptor: int) -> bytes:
    """Return all that is in an open file; raises OSError."""
    with open(descriptor, 'rb', closefd=False) as file:
        file.seek(0)
        return file.read()


def lock(descriptor: int) -> None:
    """Take the lock that says that the run lives.

    :raises BlockingIOError: somebody holds it
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def append(descriptor: int, text: bytes) -> None:
    """Write all of it and sync it.

    :raises OSError: it may be there in part, or not be synced
    """
    while text:
        text = text[os.write(descriptor, text) :]
    os.fsync(descriptor)


def _sync_folder(folder: pathlib.Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
