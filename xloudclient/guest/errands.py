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

"""What is run in a guest and ends by itself: hooks, and a look around."""

import contextlib
import json
import math
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from xloudclient.consistency.answers import FreezeHook, HookOutcome, HookState
from xloudclient.consistency.errors import Busy, Failure, NotQuiesced
from xloudclient.consistency.plan import Hook
from xloudclient.guest import freeze_hook, quiescers
from xloudclient.guest.child import Child
from xloudclient.guest.freeze_hook import record
from xloudclient.guest.protocol import quote
from xloudclient.guest.session import Session, delivery

#: A hook that is ended has so long to go, see supervisor.sh, tick_run.
HOOK_END_SECONDS = 8.0
NOT_NOW_STATUS = 75


class Errands(Session):
    """A session that runs things one at a time."""

    def probe(self, timeout: float) -> Mapping[str, Any]:
        """Tell what runs in the guest (the ``probe`` script's JSON).

        :raises NotQuiesced: it failed; TimeoutError: it took too long
        """
        files = {'file': quiescers.script(quiescers.PROBE).encode()}
        child = self._run('probe', files, (), {}, timeout)
        if child.is_late:
            raise TimeoutError('the guest took too long to be looked at')
        with contextlib.suppress(ValueError):
            found = json.loads(child.text.get('out', ''))
            if child.status == 0 and isinstance(found, dict):
                return found
        raise NotQuiesced(
            f"can't see what runs in the guest: {child.how}{child.quotation}"
        )

    def freeze_hook(
        self, timeout: float, since: int = 0, expect: bool = False
    ) -> FreezeHook:
        """Tell of the guest agent's freeze hook.

        :param since: tell of the freezes after that number
        :param expect: this run leaves the holding to the hook
        :raises NotQuiesced: it can't be told; TimeoutError: it took too long
        """
        more = {'expect': 'yes'} if expect else {}
        words = freeze_hook.setup_words('status', since=since, **more)
        return self._set_up(freeze_hook.setup_files(), words, timeout)

    def _set_up(
        self,
        files: Mapping[str, bytes],
        words: Sequence[str],
        timeout: float,
    ) -> FreezeHook:
        child = self._run('hook', files, words, {}, timeout)
        if child.is_late:
            raise TimeoutError(f'it took longer than {timeout:g} s')
        if child.status == NOT_NOW_STATUS:
            raise Busy(_complaint(child), 'Try again later.')
        if child.status != 0:
            raise NotQuiesced(f'the freeze hook: {_complaint(child)}')
        return record.read(child.text.get('out', ''))

    def run_hook(
        self,
        hook: Hook,
        phase: str,
        environment: Mapping[str, str],
        timeout: float,
    ) -> HookOutcome:
        """Run a pre or post hook in the guest and wait for its end.

        :param phase: ``pre`` or ``post``: whose arguments are given
        :param timeout: seconds until the guest ends its process group
        """
        began = time.monotonic()
        try:
            files = {'file': pathlib.Path(hook.path).read_bytes()}
        except OSError as error:
            return HookOutcome(HookState.FAILED, f"can't be read: {error}")
        words = hook.arguments(phase)
        child = self._run(hook.path, files, words, environment, timeout)
        state, what = _judge(child, timeout)
        reason = what + child.quotation if what else ''
        return HookOutcome(state, reason, time.monotonic() - began)

    def _run(
        self,
        name: str,
        files: Mapping[str, bytes],
        words: Sequence[str],
        environment: Mapping[str, str],
        timeout: float,
    ) -> Child:
        """Run something in the guest, wait for its end and read its output."""
        turn = self._begin()
        limit = max(1, math.ceil(timeout))
        deadline = time.monotonic() + limit + HOOK_END_SECONDS
        child = self._talk.add(name)
        for line in delivery(child, files, words, environment):
            self._send(turn, line, deadline)
        self._send(turn, f'run {child.id} {limit}', deadline)
        self._until(turn, lambda: child.has_ended, deadline)
        self._read_log(turn, child)
        return child


def unable(child: Child) -> Failure:
    """Return the failure that tells why a quiescer could not quiesce."""
    if child.status == NOT_NOW_STATUS:
        return Busy(
            f'{child.name} says not now{child.quotation}', 'Try again later.'
        )
    return NotQuiesced(
        f"{child.name} can't quiesce: {child.how}{child.quotation}"
    )


def _complaint(child: Child) -> str:
    """Return what it said, or how it ended if it said nothing."""
    return quote(child.text.get('log', '')) or child.how


def _judge(child: Child, timeout: float) -> tuple[HookState, str]:
    """Say how a hook ended, and why that is not well."""
    if child.is_late:
        what = 'was ended' if child.status is not None else "can't be ended"
        return (
            HookState.TIMED_OUT,
            f'it took longer than {timeout:g} s and {what}',
        )
    if child.status == 0:
        return HookState.SUCCEEDED, ''
    if child.status == NOT_NOW_STATUS:
        return HookState.NOT_NOW, child.how
    return HookState.FAILED, child.how
