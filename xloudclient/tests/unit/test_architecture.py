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

"""The arrows between the rooms, checked on the source as it is written.

``commands -> {wiring -> planning, upkeep} -> {cloud, guest, local} -> catalog
-> consistency -> standard library``; doc/source/contributor describes the
rooms.
"""

import ast
import dataclasses
import pathlib
import sys
from collections.abc import Iterator

import fixtures
import testtools

import xloudclient

PACKAGE = 'xloudclient'

#: Which rooms each room may import; itself and ``i18n`` always.
ALLOWED: dict[str, set[str]] = {
    '__init__': set(),
    'catalog': {'consistency'},
    'cloud': {'catalog', 'consistency'},
    'commands': {'upkeep', 'wiring'},
    'consistency': set(),
    'guest': {'catalog', 'consistency'},
    'i18n': set(),
    'local': {'catalog', 'consistency'},
    'planning': {'cloud', 'consistency', 'guest', 'local'},
    'plugin': set(),
    'recording': {'cloud', 'consistency', 'local', 'recovery'},
    'recovery': {'cloud', 'consistency', 'local'},
    'upkeep': {'catalog', 'cloud', 'consistency', 'local'},
    'wiring': {
        'catalog',
        'cloud',
        'consistency',
        'guest',
        'local',
        'planning',
        'recording',
        'recovery',
    },
}

#: Rooms that know the standard library and themselves, and nothing else.
PURE = {'catalog', 'consistency'}

#: Rooms that commands enter late: what they load is paid for by all.
LATE = {'consistency', 'upkeep', 'wiring'}

#: What every room may say: why it failed, and how to show what others wrote.
LANGUAGE = ('consistency.errors', 'consistency.text')

#: Libraries that have one room each.
ROOM_OF_LIBRARY = {
    'openstack': {'cloud'},
    'keystoneauth1': {'cloud', 'recording'},
    'requests': {'cloud'},
    'argparse': {'commands', 'plugin'},
    'osc_lib': {'commands'},
    'openstackclient': {'commands'},
    'cliff': {'commands'},
    'subprocess': {'guest', 'local', 'recording'},
}


@dataclasses.dataclass(frozen=True)
class Import:
    """One imported module, and where: ``room`` is a folder or a module."""

    path: str
    line: int
    room: str
    target: str
    is_in_function: bool

    def __str__(self) -> str:
        return f'{self.path}:{self.line} imports {self.target}'

    @property
    def library(self) -> str:
        return self.target.split('.')[0]

    @property
    def target_room(self) -> str:
        """The room that is imported; '' if it is not one of ours."""
        parts = self.target.split('.')
        if parts[0] != PACKAGE:
            return ''
        return parts[1] if len(parts) > 1 else '__init__'


def imported_names(node: ast.AST, package: str) -> list[str]:
    """Return the dotted names that an import statement loads."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ''
    if node.level:
        parents = package.split('.')
        base = '.'.join(
            [*parents[: len(parents) - node.level + 1], *filter(None, [base])]
        )
    if base == PACKAGE:
        return [f'{base}.{alias.name}' for alias in node.names]
    return [base]


def walk(
    node: ast.AST, is_in_function: bool = False
) -> Iterator[tuple[ast.AST, bool]]:
    """Yield each node below, and whether it is inside a function."""
    for child in ast.iter_child_nodes(node):
        yield child, is_in_function
        is_function = isinstance(
            child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        )
        yield from walk(child, is_in_function or is_function)


def imports_of(path: pathlib.Path, root: pathlib.Path) -> Iterator[Import]:
    """Yield what a file below the package's folder ``root`` imports."""
    relative = path.relative_to(root)
    room = relative.parts[0].removesuffix('.py')
    package = '.'.join([PACKAGE, *relative.parent.parts])
    tree = ast.parse(path.read_text(encoding='utf-8'))
    for node, is_in_function in walk(tree):
        for target in imported_names(node, package):
            line = getattr(node, 'lineno', 0)
            yield Import(str(relative), line, room, target, is_in_function)


def fault_between_rooms(item: Import) -> str:
    """Say what is wrong with importing one of our rooms; '' if nothing."""
    if item.target_room in {item.room, 'i18n', '__init__'}:
        return ''
    is_language = item.target.removeprefix(f'{PACKAGE}.') in LANGUAGE
    if not is_language and item.target_room not in ALLOWED[item.room]:
        return f'{item}: not an arrow of the architecture'
    is_late = item.room == 'commands' and item.target_room in LATE
    if is_late and not item.is_in_function:
        return f'{item}: only inside a function (start-up cost)'
    return ''


def fault_with_library(item: Import) -> str:
    """Say what is wrong with importing a library; '' if nothing."""
    if item.room in PURE and item.library not in sys.stdlib_module_names:
        return f'{item}: this room is pure'
    if item.room not in ROOM_OF_LIBRARY.get(item.library, {item.room}):
        return f'{item}: that library has a room of its own'
    return ''


def fault(item: Import) -> str:
    if item.room not in ALLOWED:
        return f'{item.path}: an unknown room; give it arrows here'
    if item.library == PACKAGE:
        if item.room in PURE and item.target_room in {'i18n', '__init__'}:
            return f'{item}: this room is pure'
        return fault_between_rooms(item)
    return fault_with_library(item)


def faults(root: pathlib.Path) -> list[str]:
    """Return what is wrong in the package at ``root``, tests left out."""
    return [
        message
        for path in sorted(root.rglob('*.py'))
        if path.relative_to(root).parts[0] != 'tests'
        for item in imports_of(path, root)
        if (message := fault(item))
    ]


class TestArchitecture(testtools.TestCase):
    def test_every_import_follows_an_arrow(self):
        root = pathlib.Path(xloudclient.__file__).parent
        self.assertEqual([], faults(root))


class TestChecker(testtools.TestCase):
    """The checker on a made-up tree: it must fail when an arrow is broken."""

    def faults_of(self, path: str, source: str) -> list[str]:
        root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
        return faults(root)

    def assertRefused(self, path: str, source: str) -> None:
        self.assertEqual(1, len(self.faults_of(path, source)), source)

    def assertAllowed(self, path: str, source: str) -> None:
        self.assertEqual([], self.faults_of(path, source))

    def test_pure_rooms_know_no_other_room(self):
        source = 'from xloudclient.cloud import compute'
        self.assertRefused('consistency/run.py', source)
        self.assertRefused('catalog/query.py', source)

    def test_runs_do_not_know_what_became_of_them(self):
        source = 'import xloudclient.catalog.query'
        self.assertRefused('consistency/run.py', source)

    def test_the_catalog_reads_what_runs_recorded(self):
        source = 'from xloudclient.consistency import evidence'
        self.assertAllowed('catalog/query.py', source)

    def test_pure_rooms_know_no_library(self):
        self.assertRefused('consistency/run.py', 'import openstack')
        self.assertRefused('catalog/query.py', 'from oslo_utils import units')

    def test_pure_rooms_do_not_even_translate(self):
        source = 'from xloudclient.i18n import _'
        self.assertRefused('consistency/run.py', source)

    def test_pure_rooms_know_the_standard_library_and_themselves(self):
        source = 'import enum\nfrom xloudclient.consistency import plan'
        self.assertAllowed('consistency/run.py', source)

    def test_pure_rooms_start_no_process_and_parse_no_options(self):
        self.assertRefused('consistency/run.py', 'import subprocess')
        self.assertRefused('consistency/run.py', 'import argparse')

    def test_an_import_inside_a_function_counts(self):
        source = 'def late():\n    import openstack'
        self.assertRefused('consistency/run.py', source)

    def test_relative_imports_count(self):
        self.assertRefused('consistency/run.py', 'from ..cloud import images')
        self.assertRefused('consistency/run.py', 'from .. import wiring')
        self.assertAllowed('consistency/run.py', 'from . import plan')

    def test_commands_reach_rooms_through_wiring_alone(self):
        source = 'def take():\n    from xloudclient.consistency import run'
        self.assertRefused('commands/snapshot.py', source)

    def test_commands_import_wiring_inside_functions_only(self):
        source = 'from xloudclient import wiring'
        self.assertRefused('commands/snapshot.py', source)
        late = f'class A:\n    def take(self):\n        {source}'
        self.assertAllowed('commands/snapshot.py', late)

    def test_an_import_in_the_body_of_a_class_is_not_late(self):
        source = 'class A:\n    from xloudclient import wiring'
        self.assertRefused('commands/snapshot.py', source)

    def test_adapters_do_not_know_each_other(self):
        source = 'from xloudclient.local import clock'
        self.assertRefused('guest/ssh.py', source)
        self.assertRefused('local/x.py', 'import xloudclient.guest.ssh')

    def test_adapters_know_the_pure_rooms(self):
        source = 'from xloudclient.consistency import ports'
        for room in ('cloud', 'guest', 'local'):
            self.assertAllowed(f'{room}/x.py', source)

    def test_only_the_cloud_room_talks_to_openstack(self):
        self.assertRefused('guest/ssh.py', 'from openstack import connection')
        self.assertAllowed('cloud/images.py', 'from openstack import resource')

    def test_only_commands_know_the_shell(self):
        self.assertRefused('wiring.py', 'from osc_lib import exceptions')

    def test_an_unknown_room_is_refused(self):
        self.assertRefused('utils.py', 'import os')

    def test_the_package_itself_imports_nothing(self):
        self.assertRefused('__init__.py', 'from xloudclient import wiring')

    def test_tests_may_import_anything(self):
        self.assertAllowed('tests/x.py', 'import xloudclient.wiring')
