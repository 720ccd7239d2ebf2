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


"""Finishes what earlier runs left behind.

A run that was killed has a journal that nobody holds. Its guest released
itself; what outlives processes is in the journal: hooks here whose post never
ran, a snapshot that was requested and not proven, evidence that was not yet
written. The next run on the server, or ``server snapshot recover``, puts
that right. All of it can be done again without harm.
"""

import dataclasses
import enum
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from xloudclient.cloud.project import OpenStack
from xloudclient.consistency import evidence
from xloudclient.consistency.errors import (
    Busy,
    CloudError,
    ExitCode,
    Failure,
    Misuse,
    ReleaseFailed,
)
from xloudclient.consistency.outcome import Result
from xloudclient.consistency.plan import Hook, Place
from xloudclient.consistency.ports import HookRunner, HookState
from xloudclient.local import runs
from xloudclient.local.journal import FileJournal

POST_SECONDS = 30.0


class State(enum.StrEnum):
    RECOVERED = 'recovered'
    WAITING = 'waiting'
    FAILED = 'failed'


@dataclasses.dataclass(frozen=True, slots=True)
class Recovered:
    """What became of one dead run.

    :param reason: what was done, or why nothing could be; '' if there was
        nothing to tell
    """

    run_id: str
    server_id: str
    state: State
    reason: str = ''
    exit_code: ExitCode = ExitCode.DONE
    advice: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Remains:
    """What a journal tells of things that outlive their run.

    :param hooks: those here whose post is still to run, with what it is told
    :param is_requested: a snapshot may have been made
    :param proven: what was to be written on the snapshot
    """

    hooks: tuple[tuple[Hook, Mapping[str, str]], ...] = ()
    is_requested: bool = False
    proven: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, record: runs.Record) -> 'Remains':
        """Read a journal; a line of another shape tells of nothing."""
        named = [(str(one.get('event')), one) for one in record.events]
        ended = {
            one.get('path') for event, one in named if event == 'post-hook'
        }
        begun = [one for event, one in named if event == 'pre-hook']
        proven = [
            one
            for event, one in named
            if event == 'proven'
            and isinstance(one.get('image'), str)
            and isinstance(one.get('properties'), dict)
        ]
        return cls(
            tuple(
                (_hook(one), one['environment'])
                for one in reversed(begun)
                if _is_here(one) and one['path'] not in ended
            ),
            any(event == 'request' for event, _ in named)
            and not any(event == 'discarded' for event, _ in named),
            proven[-1] if proven else None,
        )


def _is_here(one: Mapping[str, Any]) -> bool:
    return (
        one.get('at') == Place.HERE
        and isinstance(one.get('path'), str)
        and isinstance(one.get('post'), str)
        and isinstance(one.get('environment'), dict)
    )


def _hook(one: Mapping[str, Any]) -> Hook:
    return Hook(one['path'], Place.HERE, None, one['post'])


@dataclasses.dataclass(frozen=True, slots=True)
class Recovery:
    """Recovers dead runs.

    :param folder: where the journals are
    :param utc: tells the time of day, ISO 8601
    """

    cloud: OpenStack
    hooks: HookRunner
    folder: pathlib.Path
    utc: Callable[[], str]

    def recover_server(self, server_id: str) -> Iterator[str]:
        """Put right what dead runs left on a server, before the next one.

        :returns: sentences that the user has to know
        :raises ReleaseFailed: something may still be held
        :raises Failure: something half-made could not be removed
        """
        for record in self._dead_runs():
            if record.server_id == server_id:
                yield from self._before_a_run(self._recover(record))

    def _before_a_run(self, done: Recovered) -> Iterator[str]:
        if done.exit_code is ExitCode.RELEASE_FAILED:
            raise ReleaseFailed(done.reason, done.advice)
        if done.state is State.FAILED:
            raise Failure(done.reason, done.advice)
        if done.reason:
            yield done.reason

    def recover(self, run_id: str | None = None) -> Iterator[Recovered]:
        """Recover one dead run, or all of them.

        :raises Misuse: there is no such run; Busy: it lives
        """
        found = [
            record
            for record in self._dead_runs()
            if run_id in (None, record.run_id)
        ]
        if run_id is not None and not found:
            if (self.folder / f'{run_id}{runs.SUFFIX}').exists():
                raise Busy(
                    f'run {run_id} is at work, or is of another project',
                    'Try again later, or with the credentials it had.',
                )
            raise Misuse(f'there is no run {run_id!r} to be recovered')
        return map(self._recover, found)

    def _dead_runs(self) -> Iterator[runs.Record]:
        """Yield the dead runs of this project: another cloud's answer to
        what has become of a snapshot would be wrong."""
        place = self.cloud.place
        for record in runs.dead_runs(self.folder):
            if record.events and record.events[0].get('place') == place:
                yield record

    def _recover(self, record: runs.Record) -> Recovered:
        journal = FileJournal(self.folder, record.run_id, self.utc)
        try:
            record = journal.adopt()
        except Failure as failure:
            return self._failed(record, failure)
        done = self._put_right(record)
        journal.close(done.state is State.RECOVERED)
        return done

    def _put_right(self, record: runs.Record) -> Recovered:
        remains = Remains.of(record)
        try:
            if remains.proven:
                return self._finish(record, remains.proven)
            for hook, environment in remains.hooks:
                self._run_post(record, hook, environment)
            left = self._discard(record) if remains.is_requested else ()
        except (Failure, CloudError) as error:
            return self._failed(record, error)
        told = f'run {record.run_id} had ended without cleaning up; '
        if left:
            told += f'this could not be removed: {"; ".join(left)}'
            return self._failed(record, Failure(told))
        return Recovered(
            record.run_id,
            record.server_id,
            State.RECOVERED,
            told + 'it is clean now',
        )

    def _failed(self, record: runs.Record, error: Exception) -> Recovered:
        failure = error
        if not isinstance(failure, Failure):
            failure = Failure(
                f'run {record.run_id} could not be recovered: {error}'
            )
        journal = self.folder / f'{record.run_id}{runs.SUFFIX}'
        return Recovered(
            record.run_id,
            record.server_id,
            State.FAILED,
            str(failure),
            failure.exit_code,
            failure.advice or f'What it had begun is in {journal}.',
        )

    def _finish(
        self, record: runs.Record, proven: Mapping[str, Any]
    ) -> Recovered:
        """Write the evidence that waited for the end of the upload."""
        image_id = proven['image']
        image = self.cloud.images.get(image_id)
        state, reason = State.RECOVERED, ''
        if image is None:
            reason = f'snapshot {image_id} vanished during its upload'
        elif image['status'] != 'active':
            state = State.WAITING
            reason = f'snapshot {image_id} is still {image["status"]}'
        elif not evidence.is_ours(image_id, image):
            self.cloud.record(
                image_id, proven['properties'], proven.get('tags') or ()
            )
        return Recovered(record.run_id, record.server_id, state, reason)

    def _run_post(
        self, record: runs.Record, hook: Hook, environment: Mapping[str, str]
    ) -> None:
        told = {
            **environment,
            'XLOUD_PHASE': 'post',
            'XLOUD_RESULT': Result.ABORTED,
            'XLOUD_SNAPSHOT_ID': '',
        }
        outcome = self.hooks.run(hook, 'post', told, POST_SECONDS)
        if outcome.state is not HookState.SUCCEEDED:
            raise ReleaseFailed(
                'AN APPLICATION MAY STILL BE BLOCKED: the post hook of the '
                f'dead run {record.run_id} {outcome.state}: {outcome.reason}',
                f'Run by hand: {hook.path} {hook.post}',
            )

    def _discard(self, record: runs.Record) -> tuple[str, ...]:
        """Delete a snapshot that was requested and never proven."""
        found = self.cloud.find_run(record.run_id, record.server_id)
        return self.cloud.remove(found) if found else ()
