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

"""Journals as files: made, taken over and appended to, all or nothing."""

import fcntl
import os
import pathlib
import time

#: A reader holds the lock for a moment, to see whether it is free.
LOCK_SECONDS = 1.0


def create(path: pathlib.Path, line: bytes) -> int:
    """Make a journal with its first line, and return its descriptor, locked.

    It gets its name when all that is done, lest it pass for a dead run's.

    :raises OSError: it can't be made; nothing is left of it
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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
    :raises OSError: it can't be opened or written
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
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
