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

"""Whether what was seen of a cell is what we promise."""

import collections
import signal

from xloudclient.consistency.errors import ExitCode
from xloudclient.tests.functional.campaign.client import MAX_FREEZE_SECONDS
from xloudclient.tests.functional.campaign.fault import LEASE_SECONDS, Fault
from xloudclient.tests.functional.campaign.observation import Observation
from xloudclient.tests.functional.campaign.phases import PHASES

MARGIN_SECONDS = 5.0
SIGNALS = ('SIGINT', 'SIGTERM', 'SIGHUP')
#: The exit code where the client is told to end, unless it was done by then.
ENDS = {
    'kill -9': -signal.SIGKILL,
    **{name: 128 + signal.Signals[name] for name in SIGNALS},
}
_LOST = (
    ExitCode.DONE,
    ExitCode.NOT_QUIESCED,
    ExitCode.LOWER_CLASS,
    ExitCode.RELEASE_FAILED,
)
#: The exit codes that may be given for other faults.
CODES = {
    'The client': _LOST,
    'The way to the guest': _LOST,
    'In the guest': (*_LOST, ExitCode.BUSY),
    'The cloud': (
        ExitCode.DONE,
        ExitCode.NOT_QUIESCED,
        ExitCode.CAPTURE_FAILED,
        ExitCode.OUT_OF_TIME,
        ExitCode.BUSY,
    ),
    'This machine': (ExitCode.DONE, ExitCode.BUSY),
    'Hooks': _LOST,
}
CLAIMS = ('filesystem', 'application')


def limit(fault: Fault) -> float:
    """Seconds after the fault by which nothing may be held any more.

    Where the cloud fails the run goes on, and may hold as long as it was
    allowed to. A hook that hangs gets its --hook-timeout, once for each thing
    it is asked.
    """
    if fault.group in ('The cloud', 'This machine'):
        return MAX_FREEZE_SECONDS + MARGIN_SECONDS
    return LEASE_SECONDS + MARGIN_SECONDS


def problems(seen: Observation, fault: Fault) -> list[str]:
    """Name what must not be; empty if all is as promised."""
    if seen.note:
        return [seen.note]
    return [
        *_held(seen, fault),
        *_alarms(seen, fault),
        *_claims(seen, fault),
        *_endings(seen, fault),
        *_next(seen, fault),
    ]


def _held(seen: Observation, fault: Fault) -> list[str]:
    found = [f'HELD: {one} can not write' for one in seen.blocked]
    if seen.freed is not None and seen.freed > limit(fault):
        found.append(f'HELD for {seen.freed:.1f} s after the fault')
    return found


def _alarms(seen: Observation, fault: Fault) -> list[str]:
    """Exit 6 is for what may still be blocked."""
    if seen.code == ExitCode.RELEASE_FAILED and not (
        seen.blocked or fault.ends_witness or seen.phase == 'post hook'
    ):
        return ['FALSE ALARM: exit 6, and nothing is held']
    return []


def _claims(seen: Observation, fault: Fault) -> list[str]:
    claims = {seen.claimed, seen.recorded} & set(CLAIMS)
    if claims and seen.phase in fault.refutes:
        return [f'FALSE CLAIM: {max(claims)}, after {fault.name}']
    if claims and seen.written:
        return [f'FALSE CLAIM: {max(claims)}, {seen.written} rows written']
    if claims and not seen.held:
        return [f'UNPROVEN CLAIM: {max(claims)}']
    return []


def _endings(seen: Observation, fault: Fault) -> list[str]:
    found = []
    if seen.code is None:
        found.append('the client did not end')
    elif not is_meant(seen.code, fault) and not _alarms(seen, fault):
        found.append(f'exit code {seen.code} means something else')
    elif seen.code == 0 and seen.fault in SIGNALS and not _is_last(seen):
        found.append('the signal changed nothing')
    if seen.has_traceback:
        found.append('a traceback')
    return found


def _is_last(seen: Observation) -> bool:
    return seen.phase == PHASES[-1].name


def _next(seen: Observation, fault: Fault) -> list[str]:
    """What the next run could not put right."""
    if _is_tried_again(seen, fault):
        return []
    found = [
        f'the next run leaves {one}'
        for one in seen.left_then
        if not _is_allowed(one, fault)
    ]
    if seen.next_code not in (None, 0):
        found.append(f'the next run ends with {seen.next_code}')
    return found


def _is_allowed(left: str, fault: Fault) -> bool:
    """Whether a hook of the user's left it on purpose."""
    return bool(fault.leaves) and fault.leaves in left


def _is_tried_again(seen: Observation, fault: Fault) -> bool:
    """Whether a post hook failed again, and is still said to be owed."""
    codes = {seen.code, seen.next_code}
    return bool(fault.body) and codes == {ExitCode.RELEASE_FAILED}


def is_meant(code: int, fault: Fault) -> bool:
    """Whether an exit code is for such a fault, or tells of the signal."""
    if fault.name in ENDS:
        return code in (0, ENDS[fault.name])
    return code in CODES[fault.group]


def text(seen: Observation, fault: Fault) -> str:
    """What became of a cell, in one line."""
    locked, end, kept, left = cells(seen, fault)
    return f'locked: {locked}; exit: {end}; class: {kept or "-"}; left: {left}'


def cells(seen: Observation, fault: Fault) -> tuple[str, str, str, str]:
    """What the table says: who was locked how long, the exit code, the class
    that is kept, and what was left; what must not be is in bold type."""
    bad = problems(seen, fault)
    return (
        _locked(seen.freed),
        ending(seen),
        seen.recorded or (seen.claimed if seen.status else ''),
        _left(seen, fault) + (f'. **{"; ".join(bad)}**' if bad else ''),
    )


def ending(seen: Observation) -> str:
    """The exit code, as the table has it."""
    if seen.code is None:
        return '?'
    return 'killed' if seen.code == -signal.SIGKILL else str(seen.code)


def _locked(seconds: float | None) -> str:
    if seconds is None:
        return 'no'
    return f'{seconds:.1f} s' if seconds >= 0.1 else '< 0.1 s'


def _left(seen: Observation, fault: Fault) -> str:
    if not seen.left:
        return 'nothing'
    counted = collections.Counter(seen.left)
    names = ', '.join(
        name if count == 1 else f'{count} x {name}'
        for name, count in counted.items()
    )
    return f'{names}{_cleared(seen, fault)}'


def _cleared(seen: Observation, fault: Fault) -> str:
    if seen.next_code is None or any(
        _is_allowed(one, fault) for one in seen.left
    ):
        return ''
    if _is_tried_again(seen, fault):
        return ' (the next run tries the hook again)'
    return '' if seen.left_then else ' (the next run clears it)'
