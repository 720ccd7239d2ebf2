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


"""What is known of a snapshot while a run lasts, and how the run ended."""

import dataclasses
import enum

from xloudclient.consistency.answers import Requested
from xloudclient.consistency.errors import ExitCode, Failure
from xloudclient.consistency.plan import Consistency, Plan
from xloudclient.consistency.proof import Proof


class Status(enum.StrEnum):
    """What became of the snapshot.

    ``captured`` means that its content is fixed while it is still uploaded.
    """

    CAPTURED = 'captured'
    ACTIVE = 'active'
    DISCARDED = 'discarded'
    FAILED = 'failed'
    SKIPPED = 'skipped'


class Result(enum.StrEnum):
    """What post hooks are told in ``XLOUD_RESULT``."""

    CAPTURED = 'captured'
    FAILED = 'failed'
    ABORTED = 'aborted'
    EXPIRED = 'expired'


#: The result when there is no snapshot; else it was aborted.
RESULTS = {
    ExitCode.OUT_OF_TIME: Result.EXPIRED,
    ExitCode.CAPTURE_FAILED: Result.FAILED,
    ExitCode.LOWER_CLASS: Result.FAILED,
}


@dataclasses.dataclass(slots=True)
class Progress:
    """What is known of the snapshot so far.

    :param is_unsure: a request was sent and its outcome is not known
    :param pending_volume: a volume of which a snapshot was requested, with
        an outcome that is not known
    :param was_saving: a compute host was seen to upload the copied disk
    :param captured_clock: when it was first seen captured, monotonic seconds
    :param is_deferred: the evidence is written when the upload has ended
    :param is_forsaken: its group is not whole, so it is not to be kept
    :param leftovers: commands that remove what could not be deleted
    :param unfound: how to find what a lost request may still make
    """

    requested: Requested | None = None
    is_unsure: bool = False
    pending_volume: str = ''
    was_saving: bool = False
    captured_at: str = ''
    captured_clock: float | None = None
    is_recorded: bool = False
    is_deferred: bool = False
    is_active: bool = False
    is_discarded: bool = False
    is_forsaken: bool = False
    failure: Failure | None = None
    proof: Proof | None = None
    leftovers: tuple[str, ...] = ()
    unfound: str = ''

    @property
    def result(self) -> Result:
        """What it has come to, when everything is released."""
        if self.captured_at and not self.is_forsaken:
            return Result.CAPTURED
        if self.failure is None:
            return Result.ABORTED
        return RESULTS.get(self.failure.exit_code, Result.ABORTED)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """One row of the result.

    :param consistency: the class that was proven and recorded, of a
        rehearsal the one that was proven; None if there is no snapshot
    :param frozen_seconds: from the first lock requested to the last
        released; None if nothing was held
    :param captured_at: ISO 8601 UTC, when it was first seen captured
    :param quiesced: the holders that held to the end, by name
    :param hooks: the hooks that ran, with how they ended
    :param reason: why the class is not higher, or what failed
    :param message: the sentence for stderr; empty if all went as asked
    :param is_deferred: the evidence is written when the upload has ended
    :param leaves_something: something may still be held or half-made, so the
        journal is to be kept
    """

    plan: Plan
    status: Status
    exit_code: ExitCode = ExitCode.DONE
    requested: Requested | None = None
    consistency: Consistency | None = None
    frozen_seconds: float | None = None
    captured_at: str = ''
    quiesced: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    reason: str = ''
    message: str = ''
    is_deferred: bool = False
    leaves_something: bool = False
