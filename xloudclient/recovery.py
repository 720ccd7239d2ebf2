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
import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from xloudclient.cloud.project import OpenStack
from xloudclient.consistency import evidence
from xloudclient.consistency.answers import HookOutcome, HookState
from xloudclient.consistency.errors import (
    Busy,
    CloudError,
    ExitCode,
    Failure,
    Interrupted,
    Misuse,
    ReleaseFailed,
)
from xloudclient.consistency.hooks import by_hand
from xloudclient.consistency.outcome import Result
from xloudclient.consistency.plan import Hook, Place
from xloudclient.consistency.ports import Clock, HookRunner
from xloudclient.consistency.text import printable
from xloudclient.local import runs
from xloudclient.local.hook_group import end_group
from xloudclient.local.journal import FileJournal

T = TypeVar('T')

#: Posts that did not succeed, and how they ended.
Failed = Sequence[tuple[Hook, HookOutcome]]

POST_SECONDS = 30.0
CALL_SECONDS = 20.0


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

    :param posts: those still to run, in the order in which they are to,
        each with the number that the journal has for it
    :param environment: what they are told
    :param login: the command that logs in to the guest
    :param processes: the group and start of each hook that was started here
    :param is_requested: a snapshot may have been made
    :param volumes: the volumes that it holds
    :param proven: what was to be written on the snapshot
    """

    posts: tuple[tuple[Any, Hook], ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    login: str = ''
    processes: tuple[tuple[int, str], ...] = ()
    is_requested: bool = False
    volumes: tuple[str, ...] = ()
    proven: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, record: runs.Record) -> 'Remains':
        """Read a journal; a line of another shape tells of nothing."""
        owed = _last(record, 'owed', posts=list, environment=dict)
        requested = _last(record, 'request', volumes=list)
        discarded = _last(record, 'discarded', left=list)
        is_gone = discarded is not None and not (
            # a snapshot of a volume may still have come
            discarded['left'] or discarded.get('pending')
        )
        return cls(
            posts=tuple(_posts(record, owed or {})),
            environment=_strings((owed or {}).get('environment', {})),
            login=str((owed or {}).get('login', 'ssh ADDRESS')),
            processes=tuple(
                (one['group'], str(one.get('start')))
                for one in record.events
                if one.get('event') == 'hook'
                and isinstance(one.get('group'), int)
            ),
            is_requested=requested is not None and not is_gone,
            volumes=tuple(map(str, (requested or {}).get('volumes', ()))),
            proven=None
            if is_gone
            else _last(record, 'proven', image=str, properties=dict),
        )


def _last(
    record: runs.Record, event: str, **types: type
) -> Mapping[str, Any] | None:
    """The last line of a kind that has values of these types."""
    for one in reversed(record.events):
        if one.get('event') == event and all(
            isinstance(one.get(key), kind) for key, kind in types.items()
        ):
            return one
    return None


def _strings(values: Mapping[Any, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in values.items()}


def _posts(
    record: runs.Record, owed: Mapping[str, Any]
) -> Iterator[tuple[Any, Hook]]:
    """Yield the posts that were owed and did not succeed: the guest's
    first, in reverse."""
    paid = [
        one.get('number')
        for one in record.events
        if one.get('event') == 'post-hook'
        and one.get('state') == HookState.SUCCEEDED
    ]
    for place in (Place.GUEST, Place.HERE):
        for one in reversed(owed.get('posts', ())):
            if not isinstance(one, dict) or one.get('at') != place:
                continue
            if one.get('number') in paid:
                continue
            path, post = one.get('path'), one.get('post')
            if isinstance(path, str) and isinstance(post, list):
                words = tuple(map(str, post))
                yield one.get('number'), Hook(path, place, None, words)


@dataclasses.dataclass(frozen=True, slots=True)
class Recovery:
    """Recovers dead runs.

    :param folder: where the journals are
    :param clock: bounds every call to the cloud; a signal ends them
    """

    cloud: OpenStack
    hooks: HookRunner
    folder: pathlib.Path
    clock: Clock

    def recover_server(self, server_id: str) -> Iterator[str]:
        """Put right what dead runs left on a server, before the next one.

        :returns: sentences that the user has to know
        :raises ReleaseFailed: something may still be held
        :raises Failure: something half-made could not be removed
        """
        for one in self._left_alone():
            if one.server_id in ('', server_id):
                yield f'{one.reason}. {one.advice}'.strip()
        for record in runs.dead_runs(self.folder):
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
        left_alone = [
            one for one in self._left_alone() if run_id in (None, one.run_id)
        ]
        found = [
            record
            for record in runs.dead_runs(self.folder)
            if run_id in (None, record.run_id)
        ]
        if run_id is not None and not (found or left_alone):
            if (self.folder / f'{run_id}{runs.SUFFIX}').exists():
                raise Busy(f'run {run_id} is at work', 'Try again later.')
            raise Misuse(f'there is no run {run_id!r} to be recovered')
        return itertools.chain(left_alone, map(self._recover, found))

    def _left_alone(self) -> Iterator[Recovered]:
        """Yield the runs whose journals are not touched here.

        One of another machine may live, and what it owes is owed there. One
        that somebody else can have written may say anything, so it neither
        stops a run nor is it removed.
        """
        for record in runs.runs_elsewhere(self.folder):
            yield Recovered(
                record.run_id,
                record.server_id,
                State.WAITING,
                f'run {record.run_id} began on {printable(record.host)}: '
                'recover it there; only there it is known whether it lives',
            )
        for path, why in runs.refused(self.folder):
            yield Recovered(
                printable(path.stem),
                '',
                State.FAILED,
                f'the journal {printable(str(path))} is refused: {why}',
                ExitCode.FAILED,
                'Look at it, and remove it.',
            )

    def _recover(self, record: runs.Record) -> Recovered:
        journal = FileJournal(self.folder, record.run_id, self.clock.utc)
        try:
            record = journal.adopt()
        except Failure as failure:
            return self._failed(record, failure)
        done = self._put_right(record, journal)
        journal.close(done.state is State.RECOVERED)
        runs.forget_groups(self.folder)
        return done

    def _put_right(
        self, record: runs.Record, journal: FileJournal
    ) -> Recovered:
        """Run the posts, then settle the snapshot; neither stops the other.

        :raises Interrupted: a signal came; no post failed
        """
        remains = Remains.of(record)
        for group, start in remains.processes:
            end_group(group, start)
        failed = self._run_posts(remains, journal)
        done = self._settle(record, remains)
        if failed:
            return self._owing(done, failed, remains.login)
        if done.state is State.FAILED and self.clock.interrupted:
            raise Interrupted('interrupted', self.clock.interrupted)
        return done

    def _settle(self, record: runs.Record, remains: Remains) -> Recovered:
        """Claim or discard the snapshot."""
        try:
            begin = record.events[0] if record.events else {}
            if begin.get('place') != self.cloud.place:
                return self._elsewhere(record, remains)
            if remains.proven and self._counts(record):
                return self._finish(record, remains, remains.proven)
            left = self._discard(record, remains)
        except (Failure, CloudError, TimeoutError) as error:
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

    def _counts(self, record: runs.Record) -> bool:
        """Whether what it has proven may be claimed: all of a group, or
        nothing."""
        group_id = record.group_id
        return not group_id or runs.agreement(self.folder, group_id).exists()

    def _elsewhere(self, record: runs.Record, remains: Remains) -> Recovered:
        """Another cloud's answer to what became of it would be wrong."""
        if not (remains.is_requested or remains.proven):
            return Recovered(record.run_id, record.server_id, State.RECOVERED)
        return Recovered(
            record.run_id,
            record.server_id,
            State.WAITING,
            f'run {record.run_id} is of another project or region: recover '
            'it with the credentials it had',
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
        self,
        record: runs.Record,
        remains: Remains,
        proven: Mapping[str, Any],
    ) -> Recovered:
        """Write the evidence that waited for the end of the upload."""
        image_id = proven['image']
        image = self._call(functools.partial(self.cloud.images.get, image_id))
        state, reason = State.RECOVERED, ''
        if image is None:
            reason = (
                f'snapshot {image_id} vanished: its upload failed, or '
                'somebody deleted it'
            )
            # volume snapshots that were its parts
            if left := self._discard(record, remains):
                reason += f'; not removed: {"; ".join(left)}'
                return self._failed(record, Failure(reason))
        elif image['status'] != 'active':
            state = State.WAITING
            reason = f'snapshot {image_id} is still {image["status"]}'
        elif not evidence.is_ours(image_id, image):
            self._call(
                functools.partial(
                    self.cloud.record,
                    image_id,
                    proven['properties'],
                    proven.get('tags') or (),
                )
            )
        return Recovered(record.run_id, record.server_id, state, reason)

    def _run_posts(self, remains: Remains, journal: FileJournal) -> Failed:
        """Run every post that is owed, and write down how it ended.

        :returns: those that still are
        """
        failed = []
        for number, hook in remains.posts:
            outcome = self._run_post(hook, remains)
            journal.write('post-hook', number=number, state=outcome.state)
            if outcome.state is not HookState.SUCCEEDED:
                failed.append((hook, outcome))
        return failed

    def _run_post(self, hook: Hook, remains: Remains) -> HookOutcome:
        if hook.place is Place.GUEST:
            return HookOutcome(HookState.FAILED, 'it was to run in the guest')
        told = {
            **remains.environment,
            'XLOUD_PHASE': 'post',
            'XLOUD_RESULT': Result.ABORTED,
            'XLOUD_SNAPSHOT_ID': '',
        }
        return self.hooks.run(hook, 'post', told, POST_SECONDS)

    def _owing(self, done: Recovered, failed: Failed, login: str) -> Recovered:
        """Name each post that is still owed.

        Only the journal remembers the rest: it is to be removed by hand if
        there is none.

        :param done: what became of the rest
        """
        texts = [
            f'the post hook {hook.path} of the dead run {done.run_id} '
            f'{outcome.state}: {outcome.reason}'
            for hook, outcome in failed
        ]
        journal = self.folder / f'{done.run_id}{runs.SUFFIX}'
        then = f'then remove {journal}'
        if done.state is not State.RECOVERED:
            texts.append(done.reason)
            then = (
                f'but keep {journal}, and recover it again: it tells of more'
            )
        commands = ' ; '.join(by_hand(hook, login) for hook, _ in failed)
        return Recovered(
            done.run_id,
            done.server_id,
            State.FAILED,
            f'AN APPLICATION MAY STILL BE BLOCKED: {"; ".join(texts)}',
            ExitCode.RELEASE_FAILED,
            f'Run by hand: {commands} ; {then}',
        )

    def _discard(
        self, record: runs.Record, remains: Remains
    ) -> tuple[str, ...]:
        """Delete a snapshot that was requested and never claimed."""
        if not remains.is_requested:
            return ()
        found = self._call(
            functools.partial(
                self.cloud.find_run,
                record.run_id,
                record.server_id,
                remains.volumes,
            )
        )
        if found is None or self._is_claimed(found.image_id):
            return ()
        return self._call(functools.partial(self.cloud.remove, found))

    def _is_claimed(self, image_id: str) -> bool:
        """Whether the snapshot says what it is, so is whole."""
        if not image_id:
            return False
        image = self._call(functools.partial(self.cloud.images.get, image_id))
        return image is not None and evidence.is_ours(image_id, image)

    def _call(self, call: Callable[[], T]) -> T:
        return self.clock.bounded(call, CALL_SECONDS)
