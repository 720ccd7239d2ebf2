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


"""What stands in the way of a run on this machine."""

from collections.abc import Iterator, Sequence

from xloudclient.consistency.checks.finding import (
    Finding,
    ok,
    problem,
    warning,
)
from xloudclient.consistency.errors import Busy, Failure

#: A journal has a few KiB; a disk with less than this is as good as full.
LEAST_BYTES = 1024 * 1024


def other_runs(live_run: str, dead_runs: Sequence[str]) -> Iterator[Finding]:
    """Judge the runs on the same server that left a journal.

    :param live_run: ID of one that is at work; '' if none is
    :param dead_runs: IDs of those that ended without cleaning up
    """
    if live_run:
        yield problem(
            'run',
            Busy(
                f'run {live_run} is at work on this server',
                'Try again when it is done.',
            ),
        )
    for one in dead_runs:
        yield warning(
            'run',
            f'run {one} is not finished: the next one puts that right first',
            f'openstack server snapshot recover {one}',
        )


def journal(folder: str, is_writable: bool, free_bytes: int) -> Finding:
    """Judge the place of the journal, without which there is no run."""
    if not is_writable or free_bytes < LEAST_BYTES:
        why = 'has no room left' if is_writable else "can't be written"
        return problem(
            'run',
            Failure(
                f'the folder of the journals {why}: {folder}',
                'Make room or set XDG_STATE_HOME.',
            ),
        )
    return ok('run', f'none is at work; journals: {folder}')
