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

"""The runs that left a journal, live and dead.

A journal that somebody holds a lock on (flock(2)) is a live run's. One that
nobody holds is a dead run's: the kernel drops the lock, whatever ended the
process. But locks of other machines may not be seen where a home is shared
(nfs(5), ``local_lock``). Journals are read here and written in ``journal``.
"""

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from xloudclient.consistency.errors import Failure
from xloudclient.local import journal_files, machine

SUFFIX = '.jsonl'
#: Of the file that says that a group is whole, after the group's ID.
AGREED = '.agreed'


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """What the journal of a run says.

    :param events: each with ``event``, ``time`` (ISO 8601, UTC) and its
        fields, in the order of writing
    """

    run_id: str
    server_id: str
    events: tuple[Mapping[str, Any], ...] = ()

    @property
    def group_id(self) -> str:
        """The group that it was a member of; '' if it was alone."""
        return str(self.events[0].get('group', '')) if self.events else ''

    @property
    def is_of_here(self) -> bool:
        """Whether it was on this machine."""
        here = machine.identity()
        return not self.events or self.events[0].get('machine', here) == here

    @property
    def host(self) -> str:
        """The name of the machine that it was on."""
        return str(self.events[0].get('host', '')) if self.events else ''


def agreement(folder: pathlib.Path, group_id: str) -> pathlib.Path:
    """The file that is there if a group is whole: what its members have
    written down as proven counts then, and not otherwise."""
    return folder / f'{group_id}{AGREED}'


def forget_groups(folder: pathlib.Path) -> None:
    """Remove the agreements that no journal needs any more; never raises."""
    with contextlib.suppress(OSError, Failure):
        needed = {record.group_id for record, _ in _runs(folder)}
        for path in folder.glob(f'*{AGREED}'):
            if path.name.removesuffix(AGREED) not in needed:
                path.unlink(missing_ok=True)


def live_run(
    folder: pathlib.Path, server_id: str, other_than: str = ''
) -> Record | None:
    """Return a run that is at work on a server now; None if there is none.

    :param other_than: ID of a run to leave out: one's own
    """
    for record, is_live in _runs(folder):
        is_other = record.run_id != other_than
        if is_live and is_other and record.server_id == server_id:
            return record
    return None


def is_live(folder: pathlib.Path, run_id: str) -> bool:
    """Whether a run is at work on this machine now."""
    return any(
        is_live and record.run_id == run_id
        for record, is_live in _runs(folder)
    )


def dead_runs(folder: pathlib.Path) -> tuple[Record, ...]:
    """Return the runs on this machine that ended without cleaning up, the
    oldest first.

    :raises Failure: the folder is refused
    """
    dead = [one for one, is_live in _runs(folder) if not is_live]
    here = [one for one in dead if one.is_of_here]
    return tuple(sorted(here, key=_first_time))


def runs_elsewhere(folder: pathlib.Path) -> tuple[Record, ...]:
    """Return the runs on other machines that are not seen to live.

    :raises Failure: the folder is refused
    """
    found = [one for one, is_live in _runs(folder) if not is_live]
    return tuple(one for one in found if not one.is_of_here)


def refused(folder: pathlib.Path) -> Iterator[tuple[pathlib.Path, str]]:
    """Yield the journals that are not obeyed, and why.

    :raises Failure: the folder is refused
    """
    for path in _paths(folder):
        try:
            _read(path)
        except FileNotFoundError:
            # gone meanwhile
            continue
        except OSError as error:
            yield path, error.strerror or str(error)


def _first_time(record: Record) -> str:
    return str(record.events[0].get('time', '')) if record.events else ''


def _runs(folder: pathlib.Path) -> Iterator[tuple[Record, bool]]:
    """Yield each run, and whether it lives."""
    for path in _paths(folder):
        with contextlib.suppress(OSError):
            yield _read(path)


def _paths(folder: pathlib.Path) -> list[pathlib.Path]:
    with contextlib.suppress(OSError):
        journal_files.check_folder(folder)
        return sorted(folder.glob(f'*{SUFFIX}'))
    return []


def _read(path: pathlib.Path) -> tuple[Record, bool]:
    """Return a run, and whether it lives.

    :raises OSError: it is gone, can't be read, or is refused
    """
    descriptor = journal_files.open_own(path, os.O_RDONLY)
    try:
        is_live = _is_locked(descriptor)
        if not os.fstat(descriptor).st_nlink:
            raise FileNotFoundError(errno.ENOENT, 'it was removed')
        return parse(path.stem, journal_files.read(descriptor)), is_live
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def parse(run_id: str, text: bytes) -> Record:
    """Return what a journal says, however its last line was cut short.

    What can't be parsed is left out: an act is begun after its line was
    synced, so a line that is not whole tells of nothing.
    """
    events = tuple(
        event for line in text.splitlines() for event in _event(line)
    )
    server_id = str(events[0].get('server', '')) if events else ''
    return Record(run_id, server_id, events)


def _event(line: bytes) -> Iterator[Mapping[str, Any]]:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return
    if isinstance(event, dict):
        yield event
