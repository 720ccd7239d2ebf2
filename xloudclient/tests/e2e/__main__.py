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

"""``tools/e2e``: the tests, or another command."""

import os
import pathlib
import runpy
import signal
import sys

from xloudclient.tests.e2e import estate

HERE = pathlib.Path(__file__).parent


def tests(names: list[str]) -> None:
    """Run the tests, or those that are named."""
    package = __package__ or ''
    wanted = [f'{package}.{name}' for name in names] or [
        *('discover', '-s', str(HERE), '-t', str(HERE.parents[2])),
    ]
    os.execv(sys.executable, [sys.executable, '-m', 'testtools.run', *wanted])


def experiment(words: list[str]) -> None:
    """Run the experiment; it has options of its own."""
    sys.argv = ['tools/e2e experiment', *words]
    runpy.run_module(f'{__package__}.experiment', run_name='__main__')


def cloud(_: list[str]) -> None:
    """Keep a cloud with one guest up until Ctrl-C."""
    with estate.Estate() as here:
        machine = here.machine('guest')
        print(
            f'. {here.cloud.state}/demo-openrc.sh\n'
            f'openstack server snapshot consistent guest '
            f'{" ".join(machine.options)}\n'
            f'{" ".join(machine.ssh())}'
        )
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


COMMANDS = {'experiment': experiment, 'cloud': cloud}


def main() -> int:
    """Return the exit status."""
    words = sys.argv[1:]
    if words[:1] in (['-h'], ['--help']):
        print('usage: tools/e2e [experiment ... | cloud | TEST-MODULE ...]')
        return 0
    if reason := estate.missing():
        print(reason, file=sys.stderr)
        return 1
    if words and words[0] in COMMANDS:
        COMMANDS[words[0]](words[1:])
        return 0
    tests(words)
    return 1


if __name__ == '__main__':
    sys.exit(main())
