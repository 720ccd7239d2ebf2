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

"""Whether a hook's file can be trusted not to be somebody else's.

A hook runs with the rights and the cloud password of who calls us. So nobody
but that user and root may be able to decide what runs: not by writing to the
file, nor by putting another one in its place. As every folder on the way to
it is looked at, symbolic links included, there is no race between this check
and the run: who could win it owns the account already. A profile names hooks,
so the same holds for it.
"""

import os
import pathlib
import pwd
import stat
from collections.abc import Iterator

from xloudclient.consistency.errors import HookRefused

#: As many as the kernel follows (path_resolution(7)).
MOST_LINKS = 40

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def check(path: str, kind: str = 'hook', is_run: bool = True) -> str:
    """Return the absolute path of a hook that may be run.

    :param path: of the hook's file; links are followed
    :param kind: what messages call it: a profile can be checked as well
    :param is_run: it has to be executable
    :raises HookRefused: it is missing, not an executable file, or it or a
        folder on the way to it can be written, or is owned, by somebody
        other than the user and root. Nothing was run
    """
    absolute = pathlib.Path(os.path.abspath(path))
    what = f'{kind} {path}'
    try:
        steps = list(dict.fromkeys(_walk(absolute)))
        _check_file(what, steps[-1], is_run)
        _check_folder(what, steps[-2])
        for folder in steps[:-2]:
            _check_ancestor(what, folder)
    except OSError as error:
        why = error.strerror or str(error)
        raise HookRefused(f"can't use the {what}: {why}") from error
    return str(absolute)


def _walk(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield each folder that has a say in what ``path`` is; at last the file.

    :raises OSError: something is missing, or links go round in circles
    """
    current, links = pathlib.Path('/'), 0
    pending = list(path.parts[1:])
    while pending:
        yield current
        part = pending.pop(0)
        step = current.parent if part == '..' else current / part
        if not step.is_symlink():
            step.lstat()
            current = step
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(f'too many links at {step}')
        target = step.readlink()
        if target.is_absolute():
            current, target = pathlib.Path('/'), target.relative_to('/')
        pending = [*target.parts, *pending]
    yield current.parent
    yield current


def _check_file(what: str, file: pathlib.Path, is_run: bool) -> None:
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise HookRefused(f'the {what} is not a file')
    if is_run and not os.access(file, os.X_OK):
        raise HookRefused(
            f'the {what} is not executable', f'Run: chmod u+x {file}'
        )
    _check_owner(what, file, status)
    _check_mode(what, file, status)


def _check_folder(what: str, folder: pathlib.Path) -> None:
    status = folder.stat()
    _check_owner(what, folder, status)
    _check_mode(what, folder, status)


def _check_ancestor(what: str, folder: pathlib.Path) -> None:
    """In a sticky folder nobody can replace what others own (``/tmp``)."""
    status = folder.stat()
    _check_owner(what, folder, status)
    if not status.st_mode & stat.S_ISVTX:
        _check_mode(what, folder, status)


def _check_owner(what: str, one: pathlib.Path, status: os.stat_result) -> None:
    if status.st_uid in (0, os.geteuid()):
        return
    raise HookRefused(
        f'the {what} is refused: {one} belongs to {user_name(status.st_uid)}',
        'Use a copy that belongs to you, in a folder of yours.',
    )


def _check_mode(what: str, one: pathlib.Path, status: os.stat_result) -> None:
    if not status.st_mode & WRITABLE_BY_OTHERS:
        return
    raise HookRefused(
        f'the {what} is refused: its group or others can write {one}',
        f'Run: chmod go-w {one}',
    )


def user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f'user {number}'
