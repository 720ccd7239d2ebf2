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

"""``tools/e2e experiment``: run the trials that have no result yet."""

import argparse
import dataclasses
import pathlib
import subprocess
import sys

from xloudclient.tests import kept
from xloudclient.tests.e2e.estate import Estate
from xloudclient.tests.e2e.experiment import (
    arms,
    kinds,
    page,
    picture,
    trial,
)
from xloudclient.tests.e2e.experiment.result import STORES, Result
from xloudclient.tests.e2e.machine import GuestError, Machine

PAGE = pathlib.Path('doc', 'source', 'user', 'real-machines.rst')
RUNS = 5
Key = tuple[str, int]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='tools/e2e experiment')
    parser.add_argument(
        '--runs', type=int, default=RUNS, help=f'of each arm ({RUNS})'
    )
    parser.add_argument('--arm', choices=[*arms.BY_NAME], action='append')
    kept.add_option(parser, 'experiment', 'trial')
    parser.add_argument(
        '--page', type=pathlib.Path, default=PAGE,
        help='where the page is written, and its picture beside it',
    )  # fmt: skip
    return parser.parse_args()


def wanted(options: argparse.Namespace, kind: kinds.Kind) -> list[Key]:
    """Return the trials to be run on a kind of server."""
    judged = {
        (one.arm, one.run)
        for one in kept.read(options.results, Result.of)
        if not one.note
    }
    return [
        (arm.name, run)
        for run in range(1, options.runs + 1)
        for arm in arms.ARMS
        if arm.kind is kind
        and arm.name in (options.arm or arms.BY_NAME)
        and (arm.name, run) not in judged
    ]


def run(options: argparse.Namespace) -> None:
    """Run what is wanted; one server at a time, and what is launched."""
    if not any(wanted(options, kind) for kind in kinds.KINDS):
        return
    commit = kept.commit()
    with Estate() as estate:
        for kind in kinds.KINDS:
            keys = wanted(options, kind)
            if keys:
                machine = kind.start(estate)
                print(f'a server of kind {kind.name} is up', flush=True)
                for name, number in keys:
                    result = dataclasses.replace(
                        attempt(estate, machine, name, number), commit=commit
                    )
                    kept.keep(options.results, result)
                    say(result)
                estate.delete(machine)


def attempt(
    estate: Estate, machine: Machine, name: str, number: int
) -> Result:
    """Run one trial; one that can't be judged is run again next time."""
    try:
        return trial.run(estate, machine, arms.BY_NAME[name], number)
    except (
        RuntimeError,
        TimeoutError,
        GuestError,
        subprocess.TimeoutExpired,
    ) as error:
        return Result(name, number, note=str(error))


def say(result: Result) -> None:
    """Print how a trial went."""
    if result.note:
        print(f'NOTE  {result.arm} {result.run}: {result.note}', flush=True)
        return
    lost = {one: result.lost(one) for one in STORES if result.lost(one)}
    print(
        f'{"clean" if result.is_clean else "DIRTY"} {result.arm} '
        f'{result.run}: lost {lost or "nothing"}, '
        f'torn {result.torn or "nothing"}, '
        f'replayed {result.replayed or "none"}, '
        f'fsck {result.unclean or "clean"}, '
        f'claimed {result.claimed or "-"} [{result.seconds} s]',
        flush=True,
    )


def main() -> int:
    """Return the exit status: 0 if all were run, and our own were clean."""
    options = _options()
    run(options)
    results = kept.read(options.results, Result.of)
    options.page.parent.mkdir(parents=True, exist_ok=True)
    options.page.write_text(page.render(results), encoding='utf-8')
    options.page.with_name(page.PICTURE).write_text(
        picture.render(page.chosen(results)), encoding='utf-8'
    )
    is_missing = any(wanted(options, kind) for kind in kinds.KINDS)
    is_false = any(one.claimed and not one.is_clean for one in results)
    return int(is_missing or is_false)


if __name__ == '__main__':
    sys.exit(main())
