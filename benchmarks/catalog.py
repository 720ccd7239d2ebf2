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

"""Listing snapshots among many images, beside the native way.

``python -m benchmarks.catalog`` starts an embedded cloud, writes images into
Glance's database (1,000, 10,000 and 100,000, one in a hundred a snapshot), and
runs each command on them, in turn. It prints the ratios, and writes the
numbers to ``catalog.json`` in the folder that ``--results`` names.
"""

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Iterator

from benchmarks import measure
from xloudclient.tests.cloud import Cloud, crowd

NATIVE = 'image list --property image_type=snapshot'
OURS = (
    'snapshot list',
    'snapshot list --limit 20',
    'snapshot list --server 00000000-0000-0000-0000-000000000003',
    'snapshot prune --keep-last 3 --dry-run',
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--images',
        type=int,
        nargs='+',
        default=[1_000, 10_000, 100_000],
        help='How many images there are (default: 1000 10000 100000)',
    )
    parser.add_argument(
        '--results', type=pathlib.Path, default=pathlib.Path.cwd()
    )
    arguments = parser.parse_args()
    found = list(results(arguments.images))
    file = arguments.results / 'catalog.json'
    file.write_text(json.dumps(found, indent=1) + '\n')


def results(sizes: list[int]) -> Iterator[dict[str, object]]:
    """Yield what each command took, at each size."""
    with Cloud.start(guests=False) as cloud:
        owner = cloud.connection().current_project_id
        database = cloud.layout.database('glance')
        for images in sizes:
            crowd.clear(database)
            crowd.seed(database, str(owner), images, images // 100)
            costs = {
                words: measure.openstack(
                    cloud.environ('demo'), *words.split(' '), '-f', 'value'
                )
                for words in (*OURS, NATIVE)
            }
            print(f'\n{images} images, {images // 100} snapshots')
            print(measure.table(list(_rows(costs))), flush=True)
            for words, cost in costs.items():
                yield {
                    'images': images,
                    'command': f'openstack {words}',
                    **dataclasses.asdict(cost),
                }


def _rows(costs: dict[str, measure.Cost]) -> Iterator[tuple[str, ...]]:
    native = costs[NATIVE]
    yield ('command', 'seconds', 'times faster', 'CPU s', 'MiB', 'lines')
    for words, cost in costs.items():
        yield (
            words,
            f'{cost.seconds:.2f}',
            f'{native.seconds / cost.seconds:.1f}',
            f'{cost.cpu_seconds:.2f}',
            f'{cost.peak_mib:.0f}',
            str(cost.lines),
        )


if __name__ == '__main__':
    main()
