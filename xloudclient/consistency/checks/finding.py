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


"""A finding, and what several of them come to."""

import dataclasses
import enum
from collections.abc import Iterable

from xloudclient.consistency.errors import ExitCode, Failure
from xloudclient.consistency.text import printable


class Result(enum.StrEnum):
    OK = 'ok'
    WARNING = 'warning'
    PROBLEM = 'problem'


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One row of the result.

    :param check: what was looked at, in a word or two
    :param advice: what to do next; may be empty
    :param failure: what a run would end with here; None if it would go on
    """

    check: str
    result: Result
    text: str
    advice: str = ''
    failure: Failure | None = None

    def printable(self) -> 'Finding':
        """The same, with whatever other people wrote fit to be shown."""
        return dataclasses.replace(
            self, text=printable(self.text), advice=printable(self.advice)
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """All that was found of one server; the last finding is the verdict."""

    server_name: str
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> ExitCode:
        """The code that a run would have."""
        failure = first_failure(self.findings)
        return failure.exit_code if failure else ExitCode.DONE


def ok(check: str, text: str) -> Finding:
    return Finding(check, Result.OK, text)


def warning(check: str, text: str, advice: str = '') -> Finding:
    return Finding(check, Result.WARNING, text, advice)


def problem(check: str, failure: Failure) -> Finding:
    # the column is called Next: a command there needs no words before it
    advice = failure.advice.removeprefix('Try: ')
    return Finding(check, Result.PROBLEM, str(failure), advice, failure)


def unseen(check: str, error: Exception) -> Finding:
    """What can't be seen is no reason for a run to fail."""
    return warning(check, f"can't be seen: {error}")


def first_failure(findings: Iterable[Finding]) -> Failure | None:
    """What a run that meets these, in order, ends with; None if nothing."""
    for finding in findings:
        if finding.failure is not None:
            return finding.failure
    return None
