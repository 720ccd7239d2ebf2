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

"""The guest over ssh(1): the port ``Guest``.

One ssh per run; in the guest it starts ``supervisor.sh``, which does the
work. What is held there lives no longer than the supervisor hears from us:
a thread of ours says so every third of a lease. So the guest is released at
once when this process or the connection ends, and within a lease when they
only stand still.
"""

import contextlib
import json
import logging
import math
import pathlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from xloudclient.consistency.errors import (
    Busy,
    GuestLost,
    NotQuiesced,
)
from xloudclient.consistency.plan import Hook, Quiescer
from xloudclient.consistency.ports import (
    Evidence,
    GuestFacts,
    HookOutcome,
    HookState,
    Released,
)
from xloudclient.guest import quiescers
from xloudclient.guest.access import Access
from xloudclient.guest.connection import Connection
from xloudclient.guest.conversation import Child, Conversation
from xloudclient.guest.protocol import (
    LONGEST_WORD_BYTES,
    MOST_HOLDERS,
    chunks,
    encode,
    escape,
    quote,
    remote_command,
)
from xloudclient.guest.refusal import explain

LOG = logging.getLogger(__name__)

#: Seconds without a beat after which the guest releases.
LEASE_SECONDS = 15
#: Seconds that a holder gets to release before the guest ends it.
GRACE_SECONDS = 12
#: Of the time for a release, so much is kept to ask a lost guest.
REPORT_SECONDS = 8.0
#: A hook that is ended has so long to go, see supervisor.sh, tick_run.
HOOK_END_SECONDS = 8.0
LOG_SECONDS = 2.0
DROP_SECONDS = 0.8
BYE_SECONDS = 3.0
NOT_NOW_STATUS = 75


class SshGuest:
    """One guest, through its supervisor.

    The call that began last counts: an earlier one that is still under way
    in another thread ends with :class:`GuestLost`.

    :param access: how to reach it
    :param run_id: for the log
    :param lease: seconds, at least 2
    :param grace: seconds that a holder gets to release before it is ended
    :param shell: in the guest; one or several words
    :param use_sudo: become root in the guest if it needs no password
    :param program: ssh
    """

    def __init__(
        self,
        access: Access,
        run_id: str = '',
        *,
        lease: int = LEASE_SECONDS,
        grace: int = GRACE_SECONDS,
        shell: str = 'sh',
        use_sudo: bool = True,
        program: str = 'ssh',
    ) -> None:
        self.access = access
        self.run_id = run_id
        self._lease = lease
        self._grace = grace
        self._shell = shell
        self._use_sudo = use_sudo
        self._program = program
        self._nonce = secrets.token_hex(8)
        self._talk = Conversation()
        self._connection: Connection | None = None
        self._turn = 0
        self._holders: list[Child] = []

    @property
    def earlier_report(self) -> tuple[str, ...]:
        """What an earlier supervisor left to be told, escaped."""
        return tuple(map(escape, self._talk.report))

    # Talking

    def _connect(
        self, role: str, nonce: str, talk: Conversation, lease: int
    ) -> Connection:
        sudo = 'yes' if self._use_sudo else 'no'
        words = (role, nonce, lease, self._grace, sudo, f"'{self._shell}'")
        command = remote_command(self._shell, words)
        return Connection(
            self.access.command(command, self._program), nonce, talk.hear
        )

    def _begin(self) -> int:
        """Make every earlier call end; return the number of this one."""
        with self._talk.heard:
            self._turn += 1
            self._talk.heard.notify_all()
            return self._turn

    def _until(
        self, turn: int, is_known: Callable[[], bool], deadline: float
    ) -> None:
        """Return once something is known.

        :raises GuestLost: it never will be; TimeoutError: not in time
        """
        with self._talk.heard:
            while not is_known():
                self._check(turn)
                if self._talk.is_over:
                    raise GuestLost('the connection to the guest ended')
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise TimeoutError('the guest did not answer in time')
                self._talk.heard.wait(remaining)

    def _check(self, turn: int) -> None:
        if turn != self._turn:
            raise GuestLost('given up')

    def _send(self, turn: int, line: str, deadline: float) -> None:
        self._check(turn)
        if self._connection is None:
            raise GuestLost('there is no connection to the guest')
        LOG.debug('%s: %.60s', self.run_id, line)
        self._connection.send(line, deadline)

    # The port

    def open(self, timeout: float) -> GuestFacts:
        """Connect and start the supervisor; its lease runs from now on.

        :raises GuestUnreachable: ssh failed; HostKeyUnknown: its host key
        :raises Busy: another supervisor is at work in this guest
        :raises TimeoutError: there was no answer
        """
        deadline = time.monotonic() + timeout
        turn = self._begin()
        try:
            connection = self._connect(
                'main', self._nonce, self._talk, self._lease
            )
        except OSError as error:
            raise explain(self.access, None, str(error)) from error
        self._connection = connection
        talk = self._talk
        try:
            self._until(
                turn,
                lambda: talk.is_open or talk.is_busy or bool(talk.failure),
                deadline,
            )
        except GuestLost as error:
            status = connection.await_status(2.0)
            connection.end(0)
            raise explain(self.access, status, connection.stderr) from error
        except TimeoutError:
            connection.end(0)
            raise
        self._refuse_unopened()
        connection.beat(self._lease / 3)
        return talk.guest_facts(_own_boot_id())

    def _refuse_unopened(self) -> None:
        if self._talk.is_open:
            return
        self.close()
        if self._talk.is_busy:
            raise Busy(
                'another run is at work in the guest', 'Try again later.'
            )
        raise NotQuiesced(f'the guest says: {self._talk.failure}')

    def probe(self, timeout: float) -> Mapping[str, Any]:
        """Tell what runs in the guest (the ``probe`` script's JSON).

        :raises NotQuiesced: it failed; TimeoutError: it took too long
        """
        script = quiescers.script(quiescers.PROBE).encode()
        child = self._run('probe', script, (), {}, timeout)
        if child.is_late:
            raise TimeoutError('the guest took too long to be looked at')
        with contextlib.suppress(ValueError):
            found = json.loads(child.text.get('out', ''))
            if child.status == 0 and isinstance(found, dict):
                return found
        raise NotQuiesced(
            f"can't see what runs in the guest: {child.how}{child.quotation}"
        )

    def run_hook(
        self,
        hook: Hook,
        phase: str,
        environment: Mapping[str, str],
        timeout: float,
    ) -> HookOutcome:
        """Run a pre or post hook in the guest and wait for its end.

        :param phase: ``pre`` or ``post``: whose argument is given
        :param timeout: seconds until the guest ends its process group
        """
        began = time.monotonic()
        argument = hook.pre if phase == 'pre' else hook.post
        try:
            script = pathlib.Path(hook.path).read_bytes()
        except OSError as error:
            return HookOutcome(HookState.FAILED, f"can't be read: {error}")
        words = tuple(filter(None, [argument]))
        child = self._run(hook.path, script, words, environment, timeout)
        state, what = _judge(child, timeout)
        reason = what + child.quotation if what else ''
        return HookOutcome(state, reason, time.monotonic() - began)

    def _run(
        self,
        name: str,
        script: bytes,
        words: tuple[str, ...],
        environment: Mapping[str, str],
        timeout: float,
    ) -> Child:
        """Run something in the guest, wait for its end and read its output."""
        turn = self._begin()
        limit = max(1, math.ceil(timeout))
        deadline = time.monotonic() + limit + HOOK_END_SECONDS
        child = self._talk.add(name)
        for line in _delivery(child, {'file': script}, words, environment):
            self._send(turn, line, deadline)
        self._send(turn, f'run {child.id} {limit}', deadline)
        self._until(turn, lambda: child.has_ended, deadline)
        self._read_log(turn, child)
        return child

    def _read_log(self, turn: int, child: Child) -> None:
        deadline = time.monotonic() + LOG_SECONDS
        with contextlib.suppress(GuestLost, TimeoutError):
            self._send(turn, f'log {child.id}', deadline)
            self._until(turn, lambda: 'log' in child.read, deadline)

    def start_lease(self, cap: float) -> None:
        """Start the clock of the hold: all is released ``cap`` from now,
        or when the client's beats stop.

        :param cap: seconds, counted in the guest; less than one is one
        """
        turn = self._begin()
        deadline = time.monotonic() + self._lease
        self._send(turn, f'cap {max(1, int(cap))}', deadline)

    def hold(
        self,
        quiescer: Quiescer,
        environment: Mapping[str, str],
        timeout: float,
    ) -> Evidence:
        """Start a holder; return once it is ``ready``.

        A holder that failed or was late is released; if that takes long, it
        is still under way, and :meth:`release` tells how it ended.

        :raises NotQuiesced: it could not quiesce; Busy: it said 75
        """
        turn = self._begin()
        deadline = time.monotonic() + timeout
        if sum(not one.has_ended for one in self._holders) >= MOST_HOLDERS:
            raise NotQuiesced(f'there are more than {MOST_HOLDERS} quiescers')
        child = self._talk.add(quiescer.name)
        try:
            self._start_holder(turn, child, quiescer, environment, deadline)
            self._until(
                turn, lambda: child.is_ready or child.has_ended, deadline
            )
        except TimeoutError as error:
            self._drop(turn, child)
            raise NotQuiesced(
                f'{quiescer.name} was not ready after {timeout:g} s'
            ) from error
        except GuestLost:
            self._drop(self._turn, child)
            raise
        return self._ready(turn, child)

    def _start_holder(
        self,
        turn: int,
        child: Child,
        quiescer: Quiescer,
        environment: Mapping[str, str],
        deadline: float,
    ) -> None:
        files = {'file': quiescer.script.encode()}
        words = ['hold', *(f'{key}={one}' for key, one in quiescer.options)]
        if quiescer.companion:
            files['companion'] = quiescer.companion.encode()
            words.append('file=companion')
        for line in _delivery(child, files, words, environment):
            self._send(turn, line, deadline)
        self._holders.append(child)
        self._send(turn, f'hold {child.id}', deadline)

    def _ready(self, turn: int, child: Child) -> Evidence:
        """Return the evidence of a holder that is ready; or drop it."""
        if child.is_ready:
            try:
                return child.evidence()
            except ValueError as error:
                self._drop(turn, child)
                raise NotQuiesced(
                    f"the 'ready' line of {child.name} is not JSON"
                ) from error
        self._read_log(turn, child)
        self._drop(turn, child)
        if child.status == NOT_NOW_STATUS:
            raise Busy(
                f'{child.name} says not now{child.quotation}',
                'Try again later.',
            )
        raise NotQuiesced(
            f"{child.name} can't quiesce: {child.how}{child.quotation}"
        )

    def _drop(self, turn: int, child: Child) -> None:
        """Have a holder released that will not be used."""
        child.is_dropped = True
        deadline = time.monotonic() + DROP_SECONDS
        with contextlib.suppress(GuestLost, TimeoutError):
            self._send(turn, f'drop {child.id}', deadline)
            self._until(turn, lambda: bool(child.ended), deadline)

    def verify(self, timeout: float) -> tuple[Evidence | str, ...]:
        """Ask each holder, in order, whether it still holds.

        :returns: for each holder its evidence, or why it doesn't hold; one
            that does not answer in time is one that doesn't
        """
        turn = self._begin()
        deadline = time.monotonic() + timeout
        asked = [one for one in self._holders if one.is_ready]
        asked = [one for one in asked if not one.is_dropped]
        for one in asked:
            one.asked += 1
        with contextlib.suppress(TimeoutError):
            if self._talk.lapsed is None:
                self._send(turn, 'verify', deadline)
                self._until(turn, lambda: self._have_answered(asked), deadline)
        for one in asked:
            if one.has_ended and 'log' not in one.read:
                self._read_log(turn, one)
        return tuple(self._verified(one, timeout) for one in asked)

    def _have_answered(self, asked: list[Child]) -> bool:
        return self._talk.lapsed is not None or all(
            one.has_ended or one.answers >= one.asked for one in asked
        )

    def _verified(self, child: Child, timeout: float) -> Evidence | str:
        if self._talk.lapsed is not None:
            return f'it was released by the guest: {self._talk.lapsed}'
        if child.has_ended:
            return f'it has ended: {child.how}{child.quotation}'
        if child.answers != child.asked:
            return f'it did not answer within {timeout:g} s'
        try:
            return child.evidence()
        except ValueError:
            return 'its answer is not JSON'

    # Release

    def release(self, timeout: float) -> tuple[Released, ...]:
        """Release every holder in reverse order. Never raises.

        When the connection is lost, or nobody answers, it is cut, so that
        the guest releases by itself; then the guest is asked for a report.

        :param timeout: seconds; with less than a lease and a bit, a lost
            guest may not have released by then, and nothing can be said
        """
        deadline = time.monotonic() + timeout
        try:
            turn = self._begin()
            self._release(turn, deadline)
        except Exception as error:
            LOG.debug('release: %r', error)
        return tuple(self._outcomes())

    def _release(self, turn: int, deadline: float) -> None:
        if all(one.ended for one in self._holders):
            return
        remaining = deadline - time.monotonic()
        first = deadline - min(REPORT_SECONDS, remaining / 2)
        try:
            self._send(turn, 'release', first)
            self._until(turn, lambda: self._talk.lapsed is not None, first)
        except (GuestLost, TimeoutError):
            if self._connection is not None:
                self._connection.end(0)
            self._ask_report(turn, deadline)
            return
        self._quote_logs(turn, deadline)

    def _quote_logs(self, turn: int, deadline: float) -> None:
        for one in self._holders:
            if not one.released().is_free and time.monotonic() < deadline:
                self._read_log(turn, one)

    def _outcomes(self) -> Iterator[Released]:
        for one in reversed(self._holders):
            outcome = one.released()
            # A dropped one is of interest only if it may still hold.
            if (one.is_ready and not one.is_dropped) or not outcome.is_free:
                yield outcome

    def _ask_report(self, turn: int, deadline: float) -> None:
        """Ask in the guest, by another ssh, what became of the supervisor."""
        while time.monotonic() < deadline:
            self._check(turn)
            if self._was_reported(deadline):
                return
            time.sleep(min(1.0, max(0.0, deadline - time.monotonic())))

    def _was_reported(self, deadline: float) -> bool:
        """Ask once; say whether an answer came, of whatever kind."""
        talk = Conversation()
        nonce = secrets.token_hex(8)
        remaining = max(0.0, deadline - time.monotonic())
        connection = self._connect('report', nonce, talk, int(remaining))
        try:
            with talk.heard:
                talk.heard.wait_for(
                    lambda: talk.is_over or talk.is_answered, remaining
                )
        finally:
            connection.end(0)
        self._talk.apply_report(self._nonce, talk.report)
        return talk.is_answered

    def close(self) -> None:
        """End the connection. Idempotent, never raises."""
        with contextlib.suppress(Exception):
            turn = self._begin()
            connection = self._connection
            if connection is not None:
                with contextlib.suppress(GuestLost):
                    connection.try_send('bye')
                connection.end(BYE_SECONDS)
            self._check(turn)


def _delivery(
    child: Child,
    files: Mapping[str, bytes],
    words: 'tuple[str, ...] | list[str]',
    environment: Mapping[str, str],
) -> Iterator[str]:
    """Give the lines that tell the guest what to run.

    :raises NotQuiesced: an argument is too long
    """
    yield f'new {child.id}'
    for name, content in files.items():
        for chunk in chunks(content):
            yield f'put {child.id} {name} {chunk}'
    variables = [f'{key}={value}' for key, value in environment.items()]
    for verb, texts in (('variable', variables), ('word', words)):
        for text in texts:
            encoded = encode(text.encode(errors='surrogateescape'))
            if len(encoded) > LONGEST_WORD_BYTES:
                raise NotQuiesced(f'too long for the guest: {quote(text)}')
            yield f'{verb} {encoded}'


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


def _own_boot_id() -> str:
    with contextlib.suppress(OSError):
        path = pathlib.Path('/proc/sys/kernel/random/boot_id')
        return path.read_text().strip()
    return ''
