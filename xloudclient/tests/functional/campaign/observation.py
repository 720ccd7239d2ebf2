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

"""What was seen of one cell; it can be kept as JSON."""

import dataclasses
from typing import Any


@dataclasses.dataclass(slots=True)
class Observation:
    """What was seen from outside.

    :param note: why the cell could not be tried; empty if it was
    :param code: the exit code; None if the client had to be ended
    :param freed: seconds from the fault until all could write again; None
        if nobody was kept from it after the fault
    :param blocked: those who still could not write at the end
    :param claimed: the class in the row that was printed
    :param recorded: the class on the image, if the evidence there is its own
    :param written: rows written between the lock and the true capture
    :param held: whether a lock and a capture were seen, so that ``written``
        means something
    :param left: what was left behind
    :param next_code: the exit code of the next run, if there was one
    :param left_then: what was left after that
    :param said: the end of stderr
    :param commit: what was run
    """

    phase: str
    fault: str
    note: str = ''
    code: int | None = None
    status: str = ''
    freed: float | None = None
    blocked: tuple[str, ...] = ()
    claimed: str = ''
    recorded: str = ''
    written: int = 0
    held: bool = False
    left: tuple[str, ...] = ()
    next_code: int | None = None
    left_then: tuple[str, ...] = ()
    has_traceback: bool = False
    said: str = ''
    seconds: float = 0.0
    commit: str = ''

    @classmethod
    def of(cls, fields: dict[str, Any]) -> 'Observation':
        """Return what was kept as JSON."""
        lists = {k: tuple(v) for k, v in fields.items() if type(v) is list}
        return cls(**{**fields, **lists})
