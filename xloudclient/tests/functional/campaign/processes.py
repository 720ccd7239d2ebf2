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

"""Who is who among the processes: here and in the guest."""

import contextlib
import os
import pathlib

from xloudclient.tests.cloud import process

#: What the arguments or the environment of a process of ours contain.
ARGUMENTS = ('xloud-supervisor', 'xloud-timer', 'xloud-log', '/file hold')
VARIABLE = ' XLOUD_RUN_ID='


def _read(pid: int, name: str) -> str:
    try:
        data = pathlib.Path(f'/proc/{pid}/{name}').read_bytes()
    except OSError:
        return ''
    return ' ' + data.replace(b'\0', b' ').decode(errors='replace')


def arguments(pid: int) -> str:
    """Return a process's arguments; empty if it is gone."""
    return _read(pid, 'cmdline')


def environment(pid: int) -> str:
    """Return a process's environment; empty if it is gone."""
    return _read(pid, 'environ')


def parent(pid: int) -> int:
    """Return a process's parent; 0 if it is gone."""
    status = _read(pid, 'stat').rpartition(')')[2].split()
    return int(status[1]) if status else 0


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def below(root: int, program: str) -> list[int]:
    """Return the processes below one that run a program."""
    return [
        pid
        for pid in process.descendants(root)
        if _name(arguments(pid)) == program
    ]


def _name(words: str) -> str:
    return os.path.basename((words.split() or [''])[0])


def ours(root: int) -> list[int]:
    """Return what runs in a guest on our behalf; ``root`` is its first."""
    return [pid for pid in process.descendants(root) if _is_ours(pid)]


def _is_ours(pid: int) -> bool:
    words = arguments(pid)
    if 'sshd' in words.split(' ', 2)[:2]:
        return False
    return any(one in words for one in ARGUMENTS) or (
        VARIABLE in environment(pid)
    )


def supervisor(root: int) -> int:
    """Return the supervisor's main process; 0 if there is none."""
    found = [
        pid
        for pid in process.descendants(root)
        if 'xloud-supervisor' in arguments(pid)
        and 'sshd' in arguments(parent(pid))
    ]
    return found[0] if found else 0


def timer(root: int) -> int:
    """Return the supervisor's timer; 0 if there is none."""
    found = [
        pid
        for pid in process.descendants(root)
        if 'xloud-timer' in arguments(pid)
    ]
    return found[0] if found else 0


def database_client(root: int, program: str = 'mariadb') -> int:
    """Return the client that has the lock's session; 0 if there is none."""
    found = [
        pid for pid in below(root, program) if VARIABLE in environment(pid)
    ]
    return found[0] if found else 0


def here(*marks: str) -> list[int]:
    """Return processes of this machine whose environment has a mark."""
    found = []
    for name in filter(str.isdecimal, os.listdir('/proc')):
        text = environment(int(name))
        if any(f' {mark} ' in text for mark in marks):
            found.append(int(name))
    return found
