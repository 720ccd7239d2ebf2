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

"""Results of what takes hours, kept as JSON lines: it goes on where it was."""

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar('T')


def add_option(parser: argparse.ArgumentParser, name: str, what: str) -> None:
    """Add --results.

    :param name: of the file
    :param what: one result is
    """
    cache = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
    parser.add_argument(
        '--results',
        type=pathlib.Path,
        default=pathlib.Path(cache, 'xloudclient', f'{name}.jsonl'),
        help=f'JSON lines; a {what} that has a result is not run again',
    )


def commit() -> str:
    """Return the commit that is checked out, and a + if files differ from it;
    empty where there is no history.
    """
    done = subprocess.run(
        ['git', 'describe', '--always', '--exclude=*', '--dirty=+'],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def read(path: pathlib.Path, of: Callable[[dict[str, Any]], T]) -> list[T]:
    """Return all results, in the order in which they were had."""
    if not path.exists():
        return []
    return [of(json.loads(line)) for line in path.read_text().splitlines()]


def keep(path: pathlib.Path, result: Any) -> None:
    """Append a result, a dataclass."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('a', encoding='utf-8') as file:
        file.write(json.dumps(dataclasses.asdict(result)) + '\n')
