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
import logging
import secrets
import time
from collections.abc import Iterator, Mapping

from xloudclient.consistency.answers import Evidence, Released
from xloudclient.consistency.errors import GuestLost, NotQuiesced
from xloudclient.consistency.plan import MOST_QUIESCERS, Quiescer
from xloudclient.guest.child import Child
from xloudclient.guest.conversation import Conversation
from xloudclient.guest.errands import Errands, unable
from xloudclient.guest.session import delivery, parcel

LOG = logging.getLogger(__name__)

#: Of the time for a release, so much is kept to ask a lost guest.
REPORT_SECONDS = 8.0
DROP_SECONDS = 0.8


class SshGuest(Errands):
    """One guest, through its supervisor."""

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
        if sum(not one.has_ended for one in self._holders) >= MOST_QUIESCERS:
            raise NotQuiesced(
                f'there are more than {MOST_QUIESCERS} quiescers'
            )
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
        files, words = parcel(quiescer, 'hold')
        for line in delivery(child, files, words, environment):
            self._send(turn, line, deadline)
        self._holders.append(child)
        try:
            self._send(turn, f'hold {child.id}', deadline)
        except (GuestLost, TimeoutError):
            self._holders.remove(child)
            raise

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
        if self._talk.lapsed is not None:
            raise NotQuiesced(f'the guest has released: {self._talk.lapsed}')
        self._read_log(turn, child)
        self._drop(turn, child)
        raise unable(child)

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
        asked = [one for one in self._holders if one.is_counted]
        for one in asked:
            one.asked += 1
        with contextlib.suppress(TimeoutError):
            if self._talk.lapsed is None:
                self._send(turn, 'verify', deadline)
                self._until(turn, lambda: self._have_answered(asked), deadline)
        for one in asked:
            if one.has_ended and 'log' not in one.text:
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
        if child.is_talkative:
            return 'it says that it holds without being asked'
        if child.answers != child.asked:
            return f'it did not answer within {timeout:g} s'
        try:
            return child.evidence()
        except ValueError:
            return 'its answer is not JSON'

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
            self._quote_logs(turn, deadline)
        except (GuestLost, TimeoutError):
            if self._connection is not None:
                self._connection.end(0)
            self._ask_report(turn, deadline)

    def _quote_logs(self, turn: int, deadline: float) -> None:
        for one in self._holders:
            if not one.released().is_free and time.monotonic() < deadline:
                self._read_log(turn, one)

    def _outcomes(self) -> Iterator[Released]:
        for one in reversed(self._holders):
            outcome = one.released()
            # A dropped one is of interest only if it may still hold.
            if one.is_counted or not outcome.is_free:
                yield outcome

    def _ask_report(self, turn: int, deadline: float) -> None:
        """Ask in the guest, by another ssh, what became of the supervisor."""
        while time.monotonic() < deadline:
            self._check(turn)
            if self._was_reported(deadline):
                return
            time.sleep(min(1.0, max(0.0, deadline - time.monotonic())))

    def _was_reported(self, deadline: float) -> bool:
        """Ask once; say whether the answer was about this run.

        One that is not may come too early: a supervisor that lost its timer
        has no lock while it releases.
        """
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
        return talk.is_answered and self._talk.apply_report(
            self._nonce, talk.report
        )
