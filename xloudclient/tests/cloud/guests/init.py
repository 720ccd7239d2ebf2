"""The first process of a guest: run as a script, standard library only.

``init.py UID GID PIDFILE SSHD CONFIG LOG ADDRESS PORT``: start the sshd under
these ids, return once it answers; meanwhile, in the background, adopt all
processes of the guest, so that they can be found below this one.
"""
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))
import process  # noqa: E402  # type: ignore[import-not-found]

SECONDS = 20


def main(uid: int, gid: int, pid_file: str, sshd: str, config: str,
         log: str, address: str, port: int) -> int:
    """Return 0 once the sshd answers, in the parent only."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        return 0 if os.read(reader, 1) else 1
    os.setsid()
    process.adopt_orphans()
    with open(pid_file, 'w') as file:
        file.write(str(os.getpid()))
    child = _start([sshd, '-D', '-f', config, '-E', log], uid, gid)
    if _answers(child, address, port):
        os.write(writer, b'+')
    os.close(writer)
    _close_standard_files()
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return 0


def _start(argv: list[str], uid: int,
           gid: int) -> 'subprocess.Popen[bytes]':
    ids = {} if os.geteuid() else {
        'user': uid, 'group': gid, 'extra_groups': []}
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, cwd='/', **ids)


def _answers(child: 'subprocess.Popen[bytes]', address: str,
             port: int) -> bool:
    end = time.monotonic() + SECONDS
    while child.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection((address, port), 1).close()
            return True
        except OSError:
            time.sleep(0.01)
    return False


def _close_standard_files() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)


if __name__ == '__main__':
    _uid, _gid, *_files, _address, _port = sys.argv[1:]
    sys.exit(main(int(_uid), int(_gid), *_files, _address, int(_port)))
