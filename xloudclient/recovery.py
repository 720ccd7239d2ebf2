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


"""Finishes what earlier runs on a server left behind.

A run that was killed has a journal that nobody holds. Its guest released
itself; what outlives processes is in the journal: hooks here whose post never
ran, a snapshot that was requested and not proven, evidence that was not yet
written. The next run on the server puts that right before it begins.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from xloudclient.cloud.project import OpenStack
from xloudclient.consistency import evidence
from xloudclient.consistency.errors import CloudError, Failure, ReleaseFailed
from xloudclient.consistency.outcome import Result
from xloudclient.consistency.plan import Hook, Place
from xloudclient.consistency.ports import HookRunner, HookState
from xloudclient.local import runs

POST_SECONDS = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Recovery:
    """Recovers the dead runs of one server.

    :param folder: where the journals are
    """

    cloud: OpenStack
    hooks: HookRunner
    folder: pathlib.Path

    def recover(self, server_id: str) -> Iterator[str]:
        """Put right what dead runs left; yield what the user has to know.

        :raises ReleaseFailed: something may still be held
        :raises Failure: something half-made could not be removed
        """
        for record in runs.dead_runs(self.folder):
            if record.server_id != server_id:
                continue
            journal = self.folder / f'{record.run_id}{runs.SUFFIX}'
            try:
                is_done, text = self._recover(record)
            except CloudError as error:
                raise Failure(
                    f'run {record.run_id} could not be recovered: {error}',
                    f'What it had begun is in {journal}.',
                ) from error
            if is_done:
                journal.unlink(missing_ok=True)
            if text:
                yield text

    def _recover(self, record: runs.Record) -> tuple[bool, str]:
        """Recover one run.

        :returns: whether nothing is left to be done, and a sentence
        """
        proven = [one for one in record.events if one['event'] == 'proven']
        if proven:
            return self._finish(proven[-1])
        self._run_posts(record)
        left = self._discard(record)
        return not left, (
            f'run {record.run_id} had ended without cleaning up; '
            + (f'this is left: {"; ".join(left)}' if left else 'it is clean')
        )

    def _finish(self, proven: Mapping[str, Any]) -> tuple[bool, str]:
        """Write the evidence that waited for the end of the upload."""
        image_id = str(proven['image'])
        image = self.cloud.images.get(image_id)
        if image is None:
            return True, f'snapshot {image_id} vanished during its upload'
        if evidence.is_ours(image_id, image):
            return True, ''
        if image['status'] != 'active':
            return False, ''
        self.cloud.record(image_id, proven['properties'], proven['tags'])
        return True, ''

    def _run_posts(self, record: runs.Record) -> None:
        """Run the post of each hook here that has begun and not ended."""
        ended = {
            one['path'] for one in record.events if one['event'] == 'post-hook'
        }
        begun = [one for one in record.events if one['event'] == 'pre-hook']
        for one in reversed(begun):
            is_here = one['at'] == Place.HERE
            if not is_here or one['post'] is None or one['path'] in ended:
                continue
            hook = Hook(one['path'], Place.HERE, None, one['post'])
            environment = {
                **one['environment'],
                'XLOUD_PHASE': 'post',
                'XLOUD_RESULT': Result.ABORTED,
                'XLOUD_SNAPSHOT_ID': '',
            }
            outcome = self.hooks.run(hook, 'post', environment, POST_SECONDS)
            if outcome.state is not HookState.SUCCEEDED:
                raise ReleaseFailed(
                    'AN APPLICATION MAY STILL BE BLOCKED: the post hook of '
                    f'the dead run {record.run_id} {outcome.state}: '
                    f'{outcome.reason}',
                    f'Run by hand: {hook.path} {hook.post}',
                )

    def _discard(self, record: runs.Record) -> tuple[str, ...]:
        """Delete a snapshot that was requested and never proven."""
        if not any(one['event'] == 'request' for one in record.events):
            return ()
        found = self.cloud.find_run(record.run_id, record.server_id)
        return self.cloud.remove(found) if found else ()
