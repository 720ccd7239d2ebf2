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

"""What a native command pays for having us installed: the runs."""

import contextlib
import importlib.metadata
import json
import pathlib
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from importlib import resources

import xloudclient
from benchmarks import measure
from benchmarks.report import Row

COMMANDS = ('--version', 'image list')
# Runs the client, and prints the names of the modules that it loaded.
SCRIPT = """
import contextlib, io, json, sys
from openstackclient import shell
with contextlib.redirect_stdout(io.StringIO()):
    try:
        shell.main(sys.argv[1:])
    except SystemExit:
        pass
print(json.dumps(sorted(sys.modules)))
"""
LOADING = resources.files('xloudclient.tests') / 'loading.py'


def paid(user: Mapping[str, str], runs: int) -> Iterator[Row]:
    """Yield a row for each command with and without us, and for loading us.

    :param user: the environment of a user of the cloud
    """
    with _paths() as paths:
        for command in COMMANDS:
            yield from _taxed(user, paths, command, runs)
        yield from _loading(paths['with'], runs)


@contextlib.contextmanager
def _paths() -> Iterator[dict[str, str]]:
    """Two folders of packages: with us, and without."""
    with tempfile.TemporaryDirectory(prefix='benchmark-') as folder:
        yield {
            'with': _linked(pathlib.Path(folder, 'with'), True),
            'without': _linked(pathlib.Path(folder, 'without'), False),
        }


def _linked(folder: pathlib.Path, is_with: bool) -> str:
    folder.mkdir()
    for one in pathlib.Path(sysconfig.get_path('purelib')).iterdir():
        # an editable install's own finder would bring us in again
        if 'xloudclient' not in one.name and one.suffix != '.pth':
            (folder / one.name).symlink_to(one)
    if is_with:
        package = pathlib.Path(xloudclient.__file__).parent
        metadata = importlib.metadata.distribution('xloudclient')
        (folder / package.name).symlink_to(package)
        described = folder / 'xloudclient-0.dist-info'
        described.mkdir()
        for name in ('METADATA', 'entry_points.txt'):
            (described / name).write_text(metadata.read_text(name) or '')
    return str(folder)


def _loading(path: str, runs: int) -> Iterator[Row]:
    argv = [sys.executable, '-S', '-c', LOADING.read_text('utf-8')]
    user = measure.environ({'PYTHONPATH': path})
    steps = [
        json.loads(subprocess.check_output(argv, env=user))
        for _ in range(runs)
    ]
    plugin = [one['milliseconds'] for one, _ in steps]
    both = [sum(one['milliseconds'] for one in two) for two in steps]
    # a native command loads all commands; --version only the plugin
    for command, costs in zip(COMMANDS, (plugin, both), strict=True):
        yield {'loading': command, 'milliseconds': costs}


def _taxed(
    user: Mapping[str, str], paths: dict[str, str], command: str, runs: int
) -> Iterator[Row]:
    costs: dict[str, list[float]] = {name: [] for name in paths}
    # the first ones fill caches
    for number in range(runs + 1):
        for name in sorted(paths, reverse=bool(number % 2)):
            words = [sys.executable, '-S', '-m', 'openstackclient.shell']
            cost = measure.run(
                [*words, *command.split()],
                {**user, 'PYTHONPATH': paths[name]},
            )
            if number:
                costs[name].append(cost.cpu_seconds)
    modules = {
        name: _modules(user, path, command) for name, path in paths.items()
    }
    for name, seconds in costs.items():
        added = set(modules[name]) - set(modules['without'])
        yield {
            'command': command,
            'plugin': name,
            'cpu_seconds': seconds,
            'modules': len(modules[name]),
            'added': sorted(added),
        }


def _modules(user: Mapping[str, str], path: str, command: str) -> list[str]:
    environ = measure.environ({**user, 'PYTHONPATH': path})
    done = subprocess.run(
        [sys.executable, '-S', '-c', SCRIPT, *command.split()],
        env=environ,
        stdout=subprocess.PIPE,
        check=True,
    )
    return list(json.loads(done.stdout))
