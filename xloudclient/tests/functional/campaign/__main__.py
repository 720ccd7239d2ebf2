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

"""``tools/campaign``: run the table, or a part of it."""

import argparse
import pathlib
import sys
from collections.abc import Iterator

from xloudclient.tests import kept
from xloudclient.tests.functional.campaign import (
    faults,
    judge,
    phases,
    table,
)
from xloudclient.tests.functional.campaign.fast import FAST
from xloudclient.tests.functional.campaign.observation import Observation
from xloudclient.tests.functional.campaign.runner import Cell
from xloudclient.tests.functional.campaign.stage import Stage

TABLE = pathlib.Path('doc', 'source', 'user', 'faults.rst')
Key = tuple[str, str]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='tools/campaign')
    parser.add_argument('--phase', choices=[*phases.BY_NAME], action='append')
    parser.add_argument('--fault', choices=[*faults.BY_NAME], action='append')
    parser.add_argument(
        '--fast', action='store_true', help='only the telling cells'
    )
    parser.add_argument(
        '--again', action='store_true', help='also those that have a result'
    )
    kept.add_option(parser, 'campaign', 'cell')
    parser.add_argument(
        '--table', type=pathlib.Path, default=TABLE,
        help='where the table is written',
    )  # fmt: skip
    return parser.parse_args()


def wanted(options: argparse.Namespace, known: set[Key]) -> Iterator[Key]:
    """Yield the cells to be run."""
    for fault in faults.FAULTS:
        for phase in fault.phases:
            key = (phase, fault.name)
            if (
                phase in (options.phase or phases.BY_NAME)
                and fault.name in (options.fault or faults.BY_NAME)
                and (not options.fast or key in FAST)
                and (options.again or key not in known)
            ):
                yield key


def _length(key: Key) -> float:
    """Those that wait for a lease are the last."""
    is_holding = phases.BY_NAME[key[0]].is_holding
    return faults.BY_NAME[key[1]].seconds(is_holding)


def run(stage: Stage, key: Key, commit: str) -> Observation:
    """Run one cell and say how it went."""
    phase, fault = phases.BY_NAME[key[0]], faults.BY_NAME[key[1]]
    seen = Cell(stage, phase, fault).run()
    seen.commit = commit
    bad = judge.problems(seen, fault)
    print(
        f'{"BAD " if bad else "ok  "} {phase.name:11} {fault.name:30} '
        f'{judge.text(seen, fault)} [{seen.seconds} s]',
        flush=True,
    )
    return seen


def main() -> int:
    """Run what is wanted; 1 if anything is not as promised."""
    options = _options()
    tries = kept.read(options.results, Observation.of)
    results = {(one.phase, one.fault): one for one in tries}
    todo = sorted(wanted(options, set(results)), key=_length)
    commit = kept.commit()
    if todo:
        with Stage() as stage:
            for number, key in enumerate(todo, 1):
                print(f'{number}/{len(todo)}', end=' ')
                results[key] = run(stage, key, commit)
                tries.append(results[key])
                kept.keep(options.results, results[key])
    options.table.parent.mkdir(parents=True, exist_ok=True)
    options.table.write_text(table.render(tries), encoding='utf-8')
    return int(
        any(
            judge.problems(seen, faults.BY_NAME[seen.fault])
            for seen in results.values()
            if seen.fault in faults.BY_NAME
        )
    )


if __name__ == '__main__':
    sys.exit(main())
