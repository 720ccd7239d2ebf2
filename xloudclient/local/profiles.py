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

"""Profiles: options of a command in a file, checked before they are used.

What a profile may hold is in ``profile-schema.json``, which the documents
show; what is wrong is told with file, line, column and what was expected. It
names programs to be run, so its file is trusted as theirs are.
"""

import dataclasses
import difflib
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from xloudclient.consistency.errors import Misuse
from xloudclient.consistency.text import printable
from xloudclient.local import trust
from xloudclient.local.profile_text import Document, Mistake, Way, read

SUFFIXES = ('.yaml', '.yml')
NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]*')
#: Bytes; the longest one that makes sense is a few kilobytes.
LONGEST = 64 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """A profile that the schema accepts.

    :param path: of its file
    :param document: what it says, and where
    """

    path: pathlib.Path
    document: Document

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Yield its options in the order of the file."""
        yield from self.document.content.items()

    def line(self, *way: str | int) -> int:
        return self.document.keys[way][0]

    def mistake(self, message: str, *way: str | int) -> Misuse:
        """Say what is wrong with a value, and where it is."""
        return _misuse(self.path, Mistake(message, *self.document.values[way]))

    def file(self, path: str) -> str:
        """Where a path in it leads: it starts at the profile's folder."""
        return os.path.join(self.path.parent, os.path.expanduser(path))


def folder(environ: Mapping[str, str]) -> pathlib.Path:
    """Return where profiles are that have no path (XDG Base Directories)."""
    config = pathlib.Path(environ.get('XDG_CONFIG_HOME', ''))
    if not config.is_absolute():
        home = environ.get('HOME') or pathlib.Path.home()
        config = pathlib.Path(home, '.config')
    return config / 'xloudclient' / 'profiles'


def load(name: str, environ: Mapping[str, str]) -> Profile:
    """Read a profile.

    :param name: a path if it has a / or ends in ``.yaml`` or ``.yml``, else a
        name
    :raises Misuse: there is none, or something in it is wrong
    :raises HookRefused: somebody else could have written it
    """
    path = _path(name, environ)
    trust.check(str(path), 'profile', is_run=False)
    try:
        with open(path, 'rb') as file:
            raw = file.read(LONGEST + 1)
    except OSError as error:
        raise Misuse(f"the profile {path} can't be read: {error}") from error
    if len(raw) > LONGEST:
        raise Misuse(f'the profile {path} is longer than {LONGEST} bytes')
    try:
        document = read(raw)
        _check(document)
    except Mistake as mistake:
        raise _misuse(path, mistake) from mistake
    return Profile(path, document)


def _path(name: str, environ: Mapping[str, str]) -> pathlib.Path:
    if '/' in name or name.endswith(SUFFIXES):
        path = pathlib.Path(os.path.abspath(name))
    elif NAME.fullmatch(name):
        path = folder(environ) / f'{name}.yaml'
    else:
        raise Misuse(
            f'--profile: {name!r} is no name of a profile (letters, digits, '
            '_.-); a file has a / or ends in .yaml'
        )
    if not path.exists():
        there = sorted(one.stem for one in path.parent.glob('*.yaml'))
        what = f' (there are {", ".join(there)})' if there else ''
        raise Misuse(f'--profile: there is no {path}{what}')
    return path


def _misuse(path: pathlib.Path, mistake: Mistake) -> Misuse:
    text = printable(str(mistake))
    return Misuse(f'{path}:{mistake.line}:{mistake.column}: {text}')


def schema() -> dict[str, Any]:
    """Return what a profile may hold, as a JSON Schema."""
    file = resources.files(__package__) / 'profile-schema.json'
    return dict(json.loads(file.read_text('utf-8')))


def _check(document: Document) -> None:
    """Hold a document against the schema.

    :raises Mistake: the first thing in the text that is wrong
    """
    # here, as only a command with --profile needs it
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema())
    mistakes = [
        _mistake(document, error)
        for error in validator.iter_errors(document.content)
    ]
    if mistakes:
        raise min(mistakes, key=lambda one: (one.line, one.column))


def _mistake(document: Document, error: Any) -> Mistake:
    """Turn the validator's error into a sentence at a place."""
    way: Way = tuple(error.absolute_path)
    if error.validator == 'additionalProperties':
        known = error.schema['properties']
        key = next(one for one in error.instance if one not in known)
        return Mistake(_no_such_option(key, known), *document.keys[*way, key])
    if 'propertyNames' in error.absolute_schema_path:
        place = document.keys[*way, error.instance]
    else:
        place = document.values[way]
    where = '.'.join(step for step in way if isinstance(step, str))
    said = f'expected {_expected(error)}, not {_shown(error.instance)}'
    return Mistake(f'{where}: {said}' if where else said, *place)


def _expected(error: Any) -> str:
    if error.validator == 'enum':
        return f'one of {", ".join(error.validator_value)}'
    return str(error.schema['errorMessage'])


def _no_such_option(key: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key.lstrip('-'), known, 1)
    hint = f'there are {", ".join(known)}'
    if close:
        hint = f'did you mean {close[0]}'
    return f'there is no option {key!r} here ({hint})'


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return 'a mapping'
    if isinstance(value, list):
        return 'a list'
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if value else 'nothing'
