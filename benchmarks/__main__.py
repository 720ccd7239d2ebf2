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

"""``tools/benchmark``: measure everything, or some of it; write the page."""

import argparse
import compileall
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import sys
import tempfile
import time
from typing import Any

import xloudclient
from benchmarks import page, picture
from benchmarks.programs import PROGRAMS
from xloudclient.tests.cloud import Cloud

PAGES = pathlib.Path('doc', 'source', 'user')
#: Whose versions matter.
PACKAGES = (
    'python-openstackclient',
    'openstacksdk',
    'keystone',
    'glance',
    'nova',
    'cinder',
    'neutron',
)
Results = dict[str, Any]


def main() -> int:
    """Run what is asked for; the page has all results that there are."""
    options = _options()
    results = _read(options.results)
    if not options.render:
        _measure(options, results)
    if not results['programs']:
        sys.exit(f'no results in {options.results}')
    write(results, options.results)
    print(f'written: {options.results / page.NAME}.rst')
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='tools/benchmark',
        description='Measure what xloudclient costs, on a cloud that this '
        'starts, and write the page. An idle machine is needed.',
        epilog='Example: tools/benchmark --quick blocked save',
    )
    # without "choices", which would refuse "none of them"
    parser.add_argument(
        'programs',
        nargs='*',
        metavar='program',
        help=f'one of {", ".join(PROGRAMS)}; default: all of them',
    )
    parser.add_argument(
        '--quick',
        action='store_true',
        help='less of everything, to try whether it works',
    )
    parser.add_argument(
        '--results',
        type=pathlib.Path,
        help='folder of the numbers, the pictures and the page; default: '
        f'{PAGES}, with --quick a new one',
    )
    parser.add_argument(
        '--render',
        action='store_true',
        help='measure nothing: write page and pictures of the numbers again',
    )
    options = parser.parse_args()
    if unknown := set(options.programs) - set(PROGRAMS):
        parser.error(f'no such program: {", ".join(sorted(unknown))}')
    if options.results is None:
        options.results = PAGES
        if options.quick:
            folder = tempfile.mkdtemp(prefix='benchmark-')
            options.results = pathlib.Path(folder)
    return options


def _measure(options: argparse.Namespace, results: Results) -> None:
    # as pip would have done; else each command would compile them
    compileall.compile_dir(xloudclient.__path__[0], quiet=1)
    results['machine'] = _machine()
    with Cloud.start() as cloud:
        if cloud.guests_off:
            sys.exit(f'no guests here: {cloud.guests_off}')
        for name in options.programs or PROGRAMS:
            print(f'\n== {PROGRAMS[name].TITLE}', flush=True)
            began = time.time()
            rows = PROGRAMS[name].measure_all(cloud, options.quick)
            results['programs'][name] = {
                'began': _written(began),
                'seconds': round(time.time() - began),
                'quick': options.quick,
                'rows': rows,
            }
            _show(name, results)
            # what follows may fail
            _keep(results, options.results)


def _written(moment: float) -> str:
    at = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    return at.strftime('%Y-%m-%d %H:%M UTC')


def _machine() -> dict[str, str]:
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    versions = (f'{one} {importlib.metadata.version(one)}' for one in PACKAGES)
    return {
        'processor': f'{os.cpu_count()} cores, {_model()}',
        'memory': f'{memory / (1 << 30):.0f} GiB',
        'system': f'Linux {platform.release().split("-")[0]}, '
        f'Python {platform.python_version()}',
        'packages': ', '.join(versions),
    }


def _model() -> str:
    for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines():
        if line.startswith('model name'):
            return line.partition(': ')[2]
    return platform.machine()


def _show(name: str, results: Results) -> None:
    report = page.reports_of(results)[name]
    for table in report.tables:
        print(f'\n{table.text}')
    print()
    for goal in report.goals:
        verdict = 'met   ' if goal.is_met else 'MISSED'
        print(f'{verdict} {goal.text}: {goal.measured}', flush=True)


def _read(folder: pathlib.Path) -> Results:
    path = folder / f'{page.NAME}.json'
    if path.exists():
        return dict(json.loads(path.read_text()))
    return {'machine': _machine(), 'programs': {}}


def _keep(results: Results, folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1) + '\n'
    (folder / f'{page.NAME}.json').write_text(text)


def write(results: Results, folder: pathlib.Path) -> None:
    """Write the page and its pictures."""
    (folder / f'{page.NAME}.rst').write_text(page.render(results))
    for name, report in page.reports_of(results).items():
        path = folder / f'{page.NAME}-{name}.svg'
        path.write_text(picture.draw(report.chart))


if __name__ == '__main__':
    sys.exit(main())
