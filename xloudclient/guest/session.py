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

"""The talk with one supervisor: who may talk, and for how long.

:class:`Session` opens it, sends, waits for answers, and ends it; it knows
nothing of locks. :mod:`~xloudclient.guest.ssh` does.
"""

import contextlib
import logging
import os
import pathlib
import re
import secrets
import time
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)

from xloudclient.consistency.answers import GuestFacts
from xloudclient.consistency.errors import Busy, GuestLost, NotQuiesced
from xloudclient.consistency.plan import Hook, Place, Quiescer
from xloudclient.guest.access import Access
from xloudclient.guest.child import Child
from xloudclient.guest.connection import Connection
from xloudclient.guest.conversation import Conversation
from xloudclient.guest.protocol import (
    LONGEST_WORD_BYTES,
    chunks,
    encode,
    quote,
    remote_command,
)
from xloudclient.guest.refusal import explain

LOG = logging.getLogger(__name__)

#: Seconds without a beat after which the guest releases.
LEASE_SECONDS = 15
#: Seconds that a holder gets to release before the guest ends it.
GRACE_SECONDS = 12
LOG_SECONDS = 4.0
BYE_SECONDS = 3.0


class Session:
    """One supervisor, over one ssh.

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

    #: Which part of ``supervisor.sh`` is at the other end.
    _role = 'main'

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
                self._role, self._nonce, self._talk, self._lease
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
            raise explain(
                self.access, status, connection.stderr, connection.was_heard
            ) from error
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

    def _read_log(self, turn: int, child: Child) -> None:
        deadline = time.monotonic() + LOG_SECONDS
        with contextlib.suppress(GuestLost, TimeoutError):
            self._send(turn, f'log {child.id}', deadline)
            self._until(turn, lambda: 'log' in child.text, deadline)

    def close(self) -> None:
        """End the connection. Idempotent, never raises."""
        with contextlib.suppress(Exception):
            self._begin()
            connection = self._connection
            if connection is not None:
                with contextlib.suppress(GuestLost):
                    connection.try_send('bye')
                connection.end(BYE_SECONDS)


def parcel(
    quiescer: Quiescer, verb: str
) -> tuple[dict[str, bytes], list[str]]:
    """Give the files and the arguments that a quiescer is started with."""
    files = {'file': quiescer.script.encode()}
    words = [verb, *(f'{key}={one}' for key, one in quiescer.options)]
    for one in quiescer.companions:
        name = _free_name(one.path, files)
        files[name] = one.text.encode()
        words.append(f'{one.option}={name}')
    return files, words


def _free_name(path: str, taken: Collection[str]) -> str:
    """Return the file's own name, or one like it: messages tell of it.

    The guest's side takes no blanks in it.
    """
    name = re.sub(r'[^A-Za-z0-9_.-]', '_', os.path.basename(path))
    while name in taken:
        name = f'{name}_'
    return name


def delivery(
    child: Child,
    files: Mapping[str, bytes],
    words: Sequence[str],
    environment: Mapping[str, str],
) -> Iterator[str]:
    """Give the lines that tell the guest what to run.

    :raises NotQuiesced: an argument or a variable is too long
    """
    yield f'new {child.id}'
    for name, content in files.items():
        for chunk in chunks(content):
            yield f'put {child.id} {name} {chunk}'
    variables = [f'{key}={value}' for key, value in environment.items()]
    for verb, texts in (('variable', variables), ('word', words)):
        for text in texts:
            yield f'{verb} {_word(text)}'


def _word(text: str) -> str:
    try:
        encoded = encode(text.encode(errors='surrogateescape'))
    except UnicodeEncodeError as error:
        raise NotQuiesced(
            f"the guest can't be told: {quote(text)}: {error.reason}"
        ) from error
    if len(encoded) > LONGEST_WORD_BYTES:
        raise NotQuiesced(f'too long for the guest: {quote(text)}')
    return encoded


def check_delivery(
    hooks: Iterable[Hook], environment: Mapping[str, str]
) -> None:
    """See that the guest can be told of every call of its hooks.

    :raises NotQuiesced: an argument or a variable is too long
    """
    for hook in hooks:
        if hook.place is Place.GUEST:
            for text in (*(hook.pre or ()), *(hook.post or ())):
                _word(text)
            for key, value in environment.items():
                _word(f'{key}={value}')


def _own_boot_id() -> str:
    with contextlib.suppress(OSError):
        path = pathlib.Path('/proc/sys/kernel/random/boot_id')
        return path.read_text().strip()
    return ''
