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


"""From what happened to the row, the exit code and the sentence."""

from xloudclient.consistency.errors import (
    ExitCode,
    Failure,
    LowerClass,
    ReleaseFailed,
)
from xloudclient.consistency.hold import Hold
from xloudclient.consistency.outcome import Outcome, Progress, Status
from xloudclient.consistency.plan import Consistency, Plan
from xloudclient.consistency.text import printable


def conclude(plan: Plan, hold: Hold, progress: Progress) -> Outcome:
    """Say how a run ended: the most urgent problem decides."""
    failure = _worst(plan, hold, progress)
    proof = progress.proof
    return Outcome(
        plan=plan,
        status=_status(plan, progress, failure),
        exit_code=failure.exit_code if failure else ExitCode.DONE,
        requested=None if _is_undone(progress) else progress.requested,
        consistency=(
            proof.consistency
            if proof and not _has_vanished(progress)
            else None
        ),
        frozen_seconds=hold.frozen_seconds,
        captured_at=progress.captured_at,
        quiesced=hold.proven_names,
        hooks=tuple(hold.hooks.log),
        reason=printable(_reason(progress, failure)),
        message=_sentence(plan, hold, progress, failure) if failure else '',
        is_deferred=progress.is_deferred,
        leaves_something=bool(progress.leftovers or progress.unfound)
        or isinstance(failure, ReleaseFailed)
        or _owes_evidence(progress),
    )


def _owes_evidence(progress: Progress) -> bool:
    """Whether there is a proven snapshot that does not say so."""
    is_settled = (
        progress.is_recorded
        or progress.is_deferred
        or progress.is_discarded
        or progress.is_forsaken
    )
    return bool(progress.proof and progress.captured_at and not is_settled)


def refused(plan: Plan, failure: Failure) -> Outcome:
    """The outcome of a run that could not begin."""
    text = f'{plan.target.name}: {failure}. No snapshot was taken.'
    return Outcome(
        plan=plan,
        status=Status.SKIPPED,
        exit_code=failure.exit_code,
        reason=printable(str(failure)),
        message=printable(f'{text} {failure.advice}'.strip()),
    )


def _worst(plan: Plan, hold: Hold, progress: Progress) -> Failure | None:
    problems = [*hold.problems, *hold.hooks.problems]
    urgent = [one for one in problems if isinstance(one, ReleaseFailed)]
    if urgent:
        return ReleaseFailed(
            '; '.join(map(str, urgent)),
            '. '.join(one.advice for one in urgent),
        )
    if progress.failure:
        return _unrecorded(progress) or progress.failure
    if problems:
        return problems[0]
    proof = progress.proof
    if proof and proof.consistency < plan.required:
        return LowerClass(
            f'the class is {proof.consistency}, required was {plan.required}: '
            f'{proof.reason}'
        )
    return None


def _unrecorded(progress: Progress) -> Failure | None:
    """A snapshot whose evidence could not be written claims nothing."""
    if not progress.proof or progress.is_discarded:
        return None
    if progress.is_recorded or progress.is_deferred:
        return None
    if progress.failure and progress.failure.exit_code is not ExitCode.FAILED:
        return None
    return LowerClass(
        'the snapshot was taken, but its evidence could not be written on '
        f'the image: {progress.failure}'
    )


def _status(plan: Plan, progress: Progress, failure: Failure | None) -> Status:
    if progress.is_discarded and progress.captured_at:
        return Status.DISCARDED
    if progress.is_active:
        return Status.ACTIVE
    if progress.captured_at and not progress.is_forsaken:
        return Status.FAILED if _has_vanished(progress) else Status.CAPTURED
    is_untouched = progress.requested is None and not progress.is_unsure
    is_failed = failure and failure.exit_code is ExitCode.CAPTURE_FAILED
    if failure is None or (is_untouched and not is_failed):
        return Status.SKIPPED
    return Status.FAILED


def _is_undone(progress: Progress) -> bool:
    """Whether what was begun was removed before it was a snapshot."""
    return progress.is_discarded and not progress.captured_at


def _has_vanished(progress: Progress) -> bool:
    return progress.failure is not None and (
        progress.failure.exit_code is ExitCode.CAPTURE_FAILED
    )


def _reason(progress: Progress, failure: Failure | None) -> str:
    if progress.proof and progress.proof.reason:
        return progress.proof.reason
    return str(failure) if failure else ''


def _sentence(
    plan: Plan, hold: Hold, progress: Progress, failure: Failure
) -> str:
    parts = [
        f'{plan.target.name}: {failure}.',
        _first_failure(progress, failure),
        _guest_state(hold, failure),
        _snapshot_state(progress),
        failure.advice or progress.unfound or _budget(plan, hold, progress),
    ]
    return printable(' '.join(part for part in parts if part))


def _budget(plan: Plan, hold: Hold, progress: Progress) -> str:
    """How long --max-freeze would have to be."""
    if progress.captured_clock is None or hold.began is None:
        return ''
    took = progress.captured_clock - hold.began
    if took < plan.budget.max_freeze:
        return ''
    return f'From the first lock to the capture it took {took:.1f} s.'


def _first_failure(progress: Progress, told: Failure) -> str:
    """What went wrong before the most urgent thing did."""
    first = progress.failure
    if not first or not isinstance(told, ReleaseFailed):
        return ''
    return f'Before that: {first}.'


def _guest_state(hold: Hold, failure: Failure) -> str:
    if isinstance(failure, ReleaseFailed):
        return ''
    if hold.frozen_seconds is None:
        return 'Nothing in the guest was held.'
    if not hold.holders:
        return (
            f'The guest is released ({hold.frozen_seconds:.3f} s after the '
            'first lock was asked for; none was had).'
        )
    return f'The guest is released (held for {hold.frozen_seconds:.3f} s).'


def _snapshot_state(progress: Progress) -> str:
    if progress.leftovers:
        commands = '; '.join(progress.leftovers)
        return f'This could not be cleaned up: {commands}.'
    if progress.unfound:
        return 'Whether a snapshot was begun is not known.'
    if progress.is_discarded:
        return 'Nothing of the snapshot is left.'
    if _has_vanished(progress):
        return 'No snapshot is left.'
    if progress.requested and progress.captured_at:
        level = (
            progress.proof.consistency if progress.proof else Consistency.NONE
        )
        return f'Snapshot {progress.requested.image_id} is kept ({level}).'
    return 'No snapshot was taken.'
