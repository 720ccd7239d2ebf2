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

"""Run a cloud by hand: ``python -m xloudclient.tests.cloud start STATE``."""

import argparse
import sys

from xloudclient.tests.cloud import layout, process
from xloudclient.tests.cloud.cloud import Cloud, CloudError


def main() -> int:
    """Return the exit status."""
    options = _parser().parse_args()
    try:
        options.command(options)
    except (CloudError, FileExistsError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m xloudclient.tests.cloud',
        description='A real, small OpenStack in a folder, for tests.',
    )
    verbs = parser.add_subparsers(required=True, metavar='COMMAND')

    def verb(name: str, command: object, text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.add_argument('state', metavar='STATE', help='its folder')
        sub.set_defaults(command=command)
        return sub

    start = verb('start', _start, 'start a cloud; it stays up')
    start.add_argument(
        '--from-nothing',
        action='store_true',
        help='make the databases anew, without the cache',
    )
    start.add_argument(
        '--no-guests',
        action='store_true',
        help='give the servers no sshd to log in to',
    )
    start.add_argument(
        '--driver',
        choices=layout.DRIVERS,
        default=layout.DRIVERS[0],
        help='libvirt: servers are real guests (needs root)',
    )
    stop = verb('stop', _stop, 'stop a cloud')
    stop.add_argument(
        '--delete', action='store_true', help='remove the folder, too'
    )
    clone = verb('clone', _clone, 'copy a cloud that is down')
    clone.add_argument('source', metavar='SOURCE', help='folder to copy')
    verb('status', _status, 'show processes and addresses')
    return parser


def _start(options: argparse.Namespace) -> None:
    cloud = Cloud(options.state)
    if not cloud.is_up:
        Cloud.start(
            options.state,
            detached=True,
            from_nothing=options.from_nothing,
            guests=not options.no_guests,
            driver=options.driver,
        )
    for user in layout.USERS:
        print(cloud.state / f'{user}-openrc.sh')


def _stop(options: argparse.Namespace) -> None:
    cloud = Cloud(options.state)
    if options.delete:
        cloud.remove()
    else:
        cloud.stop()


def _clone(options: argparse.Namespace) -> None:
    Cloud(options.source).clone(options.state)


def _status(options: argparse.Namespace) -> None:
    cloud = Cloud(options.state)
    if not cloud.is_up:
        print('down')
        return
    addresses = cloud.layout.addresses()
    print(f'network {addresses.network}')
    print(f'guests  {cloud.guests_off or "on"}')
    for name, pid in cloud.pids().items():
        state = 'up' if process.is_alive(pid) else 'dead'
        print(
            f'{name:9} {addresses.url(name):30} pid {pid:<8} {state} '
            f'{_mebibytes(pid)} MiB'
        )


def _mebibytes(pid: int) -> int:
    """Return the process's share of memory (PSS)."""
    try:
        with open(f'/proc/{pid}/smaps_rollup') as lines:
            return (
                next(
                    int(line.split()[1])
                    for line in lines
                    if line.startswith('Pss:')
                )
                // 1024
            )
    except (OSError, StopIteration):
        return 0


if __name__ == '__main__':
    sys.exit(main())
