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

"""Trees of processes: how nothing is left behind.

A subreaper is given every orphan below it, so that all which was ever
started in a cloud, daemons included, stays below its keeper and can be found
by walking /proc.  Linux only, standard library only.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable

# <linux/prctl.h>
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number: int) -> None:
    """Get this signal when the thread which forked this process ends."""
    _libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of all orphans below this process."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def is_alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    return _stat(pid)[0] not in 'ZX'


def descendants(root: int) -> list[int]:
    """Return the processes below one, parents before children."""
    children: dict[int, list[int]] = {}
    for name in os.listdir('/proc'):
        if name.isdigit():
            state, parent = _stat(int(name))
            if state not in 'ZX':
                children.setdefault(parent, []).append(int(name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found[1:]


def signal_all(pids: list[int], number: int) -> None:
    """Send a signal to those of the processes that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_below(root: int, seconds: float = 10) -> bool:
    """Kill everything below a process; whether all went in time.

    In rounds, because what is killed may have just forked.
    """
    return _in_rounds(lambda: descendants(root), signal.SIGKILL, seconds)


def kill_tree(root: int, seconds: float = 10) -> bool:
    """Kill a process and everything below it."""
    if not is_alive(root):
        return True
    # stopped first, a reaper cannot end between the rounds and let its
    # orphans go to the next one
    signal_all([root], signal.SIGSTOP)
    done = kill_below(root, seconds)
    signal_all([root], signal.SIGKILL)
    return done


def reap_all() -> None:
    """Collect the children of this process, all of which are dead."""
    with contextlib.suppress(ChildProcessError):
        while os.wait():
            pass


def reap() -> None:
    """Collect the dead children of this process."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _in_rounds(
    find: Callable[[], list[int]], number: int, seconds: float
) -> bool:
    end = time.monotonic() + seconds
    while found := find():
        signal_all(found, number)
        reap()
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def _stat(pid: int) -> tuple[str, int]:
    """Return the state letter and the parent's id; ``X`` if it is gone."""
    try:
        with open(f'/proc/{pid}/stat', 'rb') as file:
            fields = file.read().rsplit(b')', 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return 'X', 0
    return fields[0].decode(), int(fields[1])
