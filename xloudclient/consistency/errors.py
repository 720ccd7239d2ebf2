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

"""What can go wrong, and the exit code that says so.

::

    Failure                     1  failed; nothing held, nothing half-made
    ├── Misuse                  2  usage
    ├── NotQuiesced             3  no snapshot taken, everything released
    │   ├── GuestUnreachable
    │   ├── HostKeyUnknown
    │   └── HookRefused
    ├── CaptureFailed           4  the snapshot failed; everything released
    ├── LowerClass              5  taken, but of a lower class than required
    ├── ReleaseFailed           6  an application may still be blocked
    ├── OutOfTime               7  --max-freeze or --timeout ran out
    ├── Busy                   75  somebody else is at it: try again later
    ├── Interrupted      128 + n  SIGINT, SIGTERM, SIGHUP
    └── GroupBroken                another server of the group failed: its code

    CloudError                     what an adapter of the Cloud port raises
    ├── Refused                    the cloud said no: it did not happen
    └── ReplyLost                  nobody knows whether it happened
    GuestLost                      the connection to the guest ended

A ``Failure`` is one sentence for the user: what failed, on which server,
what state the guest is in now, what to do next. The lower tree is what ports
raise; :mod:`xloudclient.consistency.run` turns it into the upper one.
"""

import enum


class ExitCode(enum.IntEnum):
    """The exit codes that users and scripts may rely on."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_QUIESCED = 3
    CAPTURE_FAILED = 4
    LOWER_CLASS = 5
    RELEASE_FAILED = 6
    OUT_OF_TIME = 7
    PROBLEM_FOUND = 8
    BUSY = 75
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


#: With several servers the code is the most urgent one of this order.
URGENCY = (
    ExitCode.RELEASE_FAILED,
    ExitCode.INTERRUPTED,
    ExitCode.TERMINATED,
    ExitCode.HUNG_UP,
    ExitCode.CAPTURE_FAILED,
    ExitCode.NOT_QUIESCED,
    ExitCode.OUT_OF_TIME,
    ExitCode.FAILED,
    ExitCode.BUSY,
    ExitCode.LOWER_CLASS,
    ExitCode.DONE,
)


def most_urgent(codes: list[ExitCode]) -> ExitCode:
    """Return the one exit code for the outcomes of several servers.

    :param codes: one code per server; may be empty
    """
    return min(codes, key=URGENCY.index, default=ExitCode.DONE)


class Failure(Exception):
    """It failed; nothing is held and nothing half-made is left unnamed.

    :param message: what failed, without the server's name and a full stop
    :param advice: what to do next, as a sentence; may be empty
    """

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, advice: str = '') -> None:
        super().__init__(message)
        self.advice = advice


class Misuse(Failure):
    """The command was not understood; nothing was touched."""

    exit_code = ExitCode.USAGE


class NotQuiesced(Failure):
    """The server can't be quiesced as asked; no snapshot was taken."""

    exit_code = ExitCode.NOT_QUIESCED


class GuestUnreachable(NotQuiesced):
    """ssh could not log in to the guest, or found no usable shell."""


class HostKeyUnknown(GuestUnreachable):
    """The guest's host key is unknown or has changed."""


class HookRefused(NotQuiesced):
    """A hook's file is missing or others could have written it."""


class CaptureFailed(Failure):
    """The cloud did not make the snapshot."""

    exit_code = ExitCode.CAPTURE_FAILED


class LowerClass(Failure):
    """A snapshot exists, but of a lower class than was required."""

    exit_code = ExitCode.LOWER_CLASS


class ReleaseFailed(Failure):
    """Something that was held could not be shown to be released."""

    exit_code = ExitCode.RELEASE_FAILED


class OutOfTime(Failure):
    """``--max-freeze`` or ``--timeout`` ran out; everything was released."""

    exit_code = ExitCode.OUT_OF_TIME


class Busy(Failure):
    """A live run, another task or a foreign freeze stands in the way."""

    exit_code = ExitCode.BUSY


class Interrupted(Failure):
    """A signal asked us to stop; everything was released first.

    :param signal_number: 2 (SIGINT), 15 (SIGTERM) or 1 (SIGHUP)
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = ExitCode(128 + signal_number)


class GroupBroken(Failure):
    """The group was given up, so nothing of this server's is kept.

    :param server: name of the server that gave up
    :param cause: why; its exit code is that of all
    """

    def __init__(self, server: str, cause: Failure) -> None:
        why = f'the group was given up because of {server}'
        super().__init__(f'{why}: {cause}')
        self.exit_code = cause.exit_code
        self.cause = cause


class CloudError(Exception):
    """A request to the cloud did not give what it should."""


class Refused(CloudError):
    """The cloud said no: what was asked did not happen.

    :param status: the HTTP status, 0 if there was none
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class ReplyLost(CloudError):
    """No reply, or a 5xx one: what was asked may have happened."""


class GuestLost(Exception):
    """The connection to the guest's supervisor ended.

    Its lease then releases whatever is held in the guest.
    """
