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

"""The process a cloud lives and dies with; run as a module.

Two processes: the *warden* and, forked from it, the *keeper*, from which the
services are forked in turn.  Both adopt orphans, so that whatever is started
below (an sshd, a MariaDB which made itself a daemon) stays below them.

* The owner's end closes the pipe on the warden's standard input, or the
  owner is no longer its parent: the warden kills everything below itself.
* The keeper dies: the warden notices and does the same.
* The warden is killed: the keeper gets SIGTERM and kills all below itself.

So no process is left unless both are killed at the same instant.
"""

import argparse
import contextlib
import fcntl
import os
import select
import shutil
import signal
import sys
import time
import traceback
from typing import Any

from xloudclient.tests.cloud import layout, process

TICK = 0.1
LOCK = 'run/warden'
READY = 'ready'
TOLD = '> '


class Ended(Exception):
    """This process shall end."""


def main() -> None:
    """Start a cloud and keep it."""
    options = _options()
    where = layout.Layout.of(options.state)
    where.make_folders()
    with _locked(where):
        signal.signal(signal.SIGTERM, _raise_ended)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        process.adopt_orphans()
        warden = os.getpid()
        keeper = os.fork()
        if not keeper:
            _keep(where, options, warden)
        with contextlib.suppress(Ended):
            _close_output(where)
            _watch(options.owner, keeper)
        _end(where, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument('state')
    parser.add_argument(
        '--owner', type=int, help='end with this process, the parent'
    )
    parser.add_argument(
        '--delete', action='store_true', help='remove the folder at the end'
    )
    parser.add_argument('--no-guests', action='store_true')
    parser.add_argument(
        '--driver', choices=layout.DRIVERS, default=layout.DRIVERS[0]
    )
    return parser.parse_args()


@contextlib.contextmanager
def _locked(where: layout.Layout) -> Any:
    with open(where.path(LOCK), 'a+') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f'A cloud is already up in {where.state}')
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def warden_of(where: layout.Layout) -> int | None:
    """Return the warden's process id, or None if no cloud is up there.

    The lock tells, which ends with the last process that inherited it.
    """
    try:
        file = where.path(LOCK).open()
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read() or 0)
    return None


def _watch(owner: int | None, keeper: int) -> None:
    """Return when owner or keeper are gone."""
    inputs = [sys.stdin] if owner else []
    while process.is_alive(keeper):
        if owner and os.getppid() != owner:
            return
        if (
            inputs
            and select.select(inputs, [], [], TICK)[0]
            and not sys.stdin.read(1)
        ):
            return
        if not inputs:
            time.sleep(TICK)
        process.reap()


def _keep(
    where: layout.Layout, options: argparse.Namespace, warden: int
) -> None:
    """Be the keeper: start all, then wait for the end; never return."""
    process.die_with_parent(signal.SIGTERM)
    process.adopt_orphans()
    status = 1
    try:
        _launch(where, options)
        _say(READY)
        _close_output(where)
        while os.getppid() == warden:
            time.sleep(TICK)
            process.reap()
    except Ended:
        status = 0
    except BaseException as error:
        with open(where.log / 'keeper.out', 'a') as log:
            traceback.print_exc(file=log)
        _say(f'failed: {error}')
    _end(where, options)
    os._exit(status)


def _launch(where: layout.Layout, options: argparse.Namespace) -> None:
    from xloudclient.tests.cloud import launch
    from xloudclient.tests.cloud.guests import account

    where.write_driver(options.driver)
    account.prepare(where, is_wanted=not options.no_guests, say=_tell)
    launch.Launcher(where, _tell).launch()


def _end(where: layout.Layout, options: argparse.Namespace) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if process.kill_below(os.getpid()):
        # else who adopts them has them as zombies
        process.reap_all()
    from xloudclient.tests.cloud.guests import machine

    for guest in where.path('guests').glob('*/.machine'):
        machine.Machine(where, guest.parent.name).forget()
    if options.delete:
        shutil.rmtree(where.state, ignore_errors=True)


def _say(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(text, flush=True)


def _tell(text: str) -> None:
    """Have the owner tell its user what takes long."""
    _say(TOLD + text)


def _close_output(where: layout.Layout) -> None:
    """Let go of the starter's pipe, whose end it waits for."""
    with open(where.log / 'keeper.out', 'a') as log:
        for standard in (1, 2):
            os.dup2(log.fileno(), standard)


def _raise_ended(*_: Any) -> None:
    raise Ended


if __name__ == '__main__':
    main()
