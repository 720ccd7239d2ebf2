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

"""Disks are files; capturing one is copying it, and telling when."""

import contextlib
import hashlib
import os
import pathlib
import tempfile
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

from xloudclient.tests.cloud import control

CHUNK = 1 << 20


def capture(
    orders: control.Control,
    event: str,
    source: pathlib.Path,
    target: pathlib.Path,
    **details: Any,
) -> None:
    """Copy a disk and report the instant: event, ``begin`` and ``end``.

    The point in time lies between the two.  ``sha256`` is that of the
    written extents, so that a test can tell what was captured.
    """
    begin = time.time(), time.monotonic()
    digest = copy_sparse(source, target)
    orders.report(
        event,
        begin=begin[0],
        end=time.time(),
        monotonic_begin=begin[1],
        monotonic_end=time.monotonic(),
        sha256=digest,
        **details,
    )


def copy_sparse(source: pathlib.Path, target: pathlib.Path) -> str:
    """Copy only the written extents; return their SHA-256."""
    digest = hashlib.sha256()
    with open(source, 'rb') as src, open(target, 'wb') as dst:
        dst.truncate(os.path.getsize(source))
        for start, end in _extents(src):
            src.seek(start)
            dst.seek(start)
            while start < end:
                chunk = src.read(min(end - start, CHUNK))
                if not chunk:
                    break
                dst.write(chunk)
                digest.update(chunk)
                start += len(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def without_last_hole(path: pathlib.Path) -> Iterator[BinaryIO]:
    """Open a disk up to its last byte that was written.

    A launch fills it up with zeros again, and a GiB of them keeps Glance busy
    for a minute.
    """
    with open(path, 'rb') as disk, tempfile.TemporaryFile() as file:
        ends = [end for _start, end in _extents(disk)]
        disk.seek(0)
        file.write(disk.read(max(ends, default=CHUNK)))
        file.seek(0)
        yield file


def _extents(file: BinaryIO) -> Iterator[tuple[int, int]]:
    end = 0
    # ENXIO: nothing but a hole from here on
    with contextlib.suppress(OSError):
        while True:
            start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            yield start, end
