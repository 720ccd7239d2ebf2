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
# Loads the client without us as its shell does, then us; prints the CPU time
# (ms) that the plugin took, and the commands after it.
LOADING = r"""
import importlib.metadata, json, sys, time
import stevedore.extension

def is_ours(entry_point):
    return entry_point.value.split('.')[0] == 'xloudclient'

load = stevedore.extension.ExtensionManager._load_one_plugin
def skip_ours(self, ep, *args, **kwargs):
    return None if is_ours(ep) else load(self, ep, *args, **kwargs)
stevedore.extension.ExtensionManager._load_one_plugin = skip_ours

from openstackclient import shell
from cliff import commandmanager
for group in ('openstack.cli', 'openstack.common', 'openstack.extension',
              'openstack.compute.v2', 'openstack.identity.v3',
              'openstack.image.v2', 'openstack.network.v2',
              'openstack.object_store.v1', 'openstack.volume.v3'):
    commandmanager.CommandManager(group)

def cost(group):
    found = importlib.metadata.entry_points(group=group)
    began = time.process_time()
    for entry_point in filter(is_ours, found):
        entry_point.load()
    return (time.process_time() - began) * 1000

groups = 'openstack.cli.extension', 'openstack.xloud.v1'
print(json.dumps([cost(group) for group in groups]))
"""


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
    argv = [sys.executable, '-S', '-c', LOADING]
    user = measure.environ({'PYTHONPATH': path})
    steps = [
        json.loads(subprocess.check_output(argv, env=user))
        for _ in range(runs)
    ]
    plugin = [one for one, _ in steps]
    # a native command loads all commands; --version only the plugin
    for command, costs in zip(COMMANDS, (plugin, map(sum, steps))):
        yield {'loading': command, 'milliseconds': list(costs)}


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
