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

"""The first process of a guest: run as a script, standard library only.

``init.py UID GID PIDFILE ADDRESS PORT SSHD...``: start the sshd under these
ids, return once it answers at the address; meanwhile, in the background,
adopt all processes of the guest, so that they can be found below this one.
"""

import os
import socket
import subprocess
import sys
import time
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))
import process  # type: ignore[import-not-found]

SECONDS = 20


def main(
    ids: tuple[int, int],
    pid_file: str,
    command: list[str],
    where: tuple[str, int],
) -> int:
    """Return 0 once the sshd answers, in the parent only."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        return 0 if os.read(reader, 1) else 1
    os.setsid()
    process.adopt_orphans()
    with open(pid_file, 'w') as file:
        file.write(str(os.getpid()))
    child = _start(command, *ids)
    if _answers(child, where):
        os.write(writer, b'+')
    os.close(writer)
    _close_standard_files()
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return 0


def _start(argv: list[str], uid: int, gid: int) -> 'subprocess.Popen[bytes]':
    how: dict[str, Any] = (
        {} if os.geteuid() else {'user': uid, 'group': gid, 'extra_groups': []}
    )
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd='/',
        **how,
    )


def _answers(child: 'subprocess.Popen[bytes]', where: tuple[str, int]) -> bool:
    end = time.monotonic() + SECONDS
    while child.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(where, 1).close()
            return True
        except OSError:
            time.sleep(0.01)
    return False


def _close_standard_files() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)


if __name__ == '__main__':
    _uid, _gid, _pid_file, _address, _port, *_command = sys.argv[1:]
    sys.exit(
        main(
            (int(_uid), int(_gid)), _pid_file, _command, (_address, int(_port))
        )
    )
