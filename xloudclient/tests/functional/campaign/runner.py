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

"""Runs one cell: into the phase, strike, and see what becomes of it."""

import contextlib
import time
from collections.abc import Callable

from xloudclient.tests.functional.campaign import (
    leftovers,
    phases,
    strikes,
    truth,
)
from xloudclient.tests.functional.campaign.client import (
    QUIESCERS,
    Client,
)
from xloudclient.tests.functional.campaign.fault import Fault
from xloudclient.tests.functional.campaign.observation import Observation
from xloudclient.tests.functional.campaign.phases import Phase
from xloudclient.tests.functional.campaign.stage import Stage
from xloudclient.tests.functional.campaign.strikes import Absent, Scene

REACH_SECONDS = 40.0
#: From the strike until a client has to have ended.
END_SECONDS = 130.0
#: From the client's end until a lock is one that stays: two leases.
GIVE_UP_SECONDS = 30.0
SETTLE_SECONDS = 4.0
#: When what was stopped is continued, after the run may have gone on.
MEND_LATER_SECONDS = 1.5


class Cell:
    """One cell of the table.

    :param stage: tidied before and not after
    """

    def __init__(self, stage: Stage, phase: Phase, fault: Fault) -> None:
        self.stage = stage
        self.phase = phase
        self.fault = fault
        self._ended = 0.0
        self.subject = stage.subject(fault.volume_backed)
        self.seen = Observation(phase.name, fault.name)
        self.seconds = max(fault.seconds(phase.is_holding), phase.lasts)
        is_about_request = fault.is_early and phase.name == 'requesting'
        where = phases.BY_NAME['held'] if is_about_request else phase
        self.stretch = where.stretch
        if is_about_request:
            self.ease_after, self.mend_after = 0.2, self.seconds
        else:
            self.ease_after = self.seconds
            self.mend_after = self.seconds + self._later
        if not fault.heals:
            self.mend_after = END_SECONDS

    @property
    def _later(self) -> float:
        """What was stopped sees the run go on first; a cloud is well then."""
        is_stopped = self.fault.mend is strikes.go_on
        return MEND_LATER_SECONDS if is_stopped else -0.3

    def run(self) -> Observation:
        """Run it; return what was seen."""
        began = time.monotonic()
        self.stage.tidy(self.subject)
        self.stretch.begin(self.subject, self.seconds + 0.5)
        client = self._start(self._words())
        try:
            self._play(Scene(self.subject, client))
        except (Absent, TimeoutError) as error:
            self.seen.note = str(error)
        finally:
            client.finish()
        self.seen.said = client.stderr[-1500:]
        if not self.seen.note:
            self._look(client)
        leftovers.remove_here(client)
        self.seen.seconds = round(time.monotonic() - began, 1)
        return self.seen

    def _start(self, words: list[str]) -> Client:
        return Client(self.subject, self.stage.folder(), words)

    def _words(self) -> list[str]:
        words = ['--wait', *self.fault.words]
        for name in QUIESCERS:
            words += ['--quiesce', name]
        return words + self.stretch.words(self.subject, self.fault.body)

    def _play(self, scene: Scene) -> None:
        self._await(lambda: self.stretch.is_reached(scene.client), scene)
        time.sleep(0.3)
        began = time.monotonic()
        try:
            self.fault.strike(scene)
            self._follow(scene, began)
        finally:
            self.stretch.ease(self.subject)
            self.fault.mend(scene)
        self._measure(began)

    def _await(self, is_so: Callable[[], bool], scene: Scene) -> None:
        end = time.monotonic() + REACH_SECONDS
        while not is_so():
            if time.monotonic() > end or scene.client.has_ended:
                raise TimeoutError('the phase was not reached')
            time.sleep(0.05)

    def _follow(self, scene: Scene, began: float) -> None:
        """Let the run go on in time, and wait for its end and the locks'."""
        due = [
            (began + self.ease_after, lambda: self.stretch.ease(self.subject)),
            (began + self.mend_after, lambda: self.fault.mend(scene)),
        ]
        while time.monotonic() < began + END_SECONDS:
            for one in [one for one in due if one[0] < time.monotonic()]:
                due.remove(one)
                one[1]()
            # what goes on after the client's end could show nothing any more
            if scene.client.has_ended and self._is_over():
                return
            time.sleep(0.05)

    def _is_over(self) -> bool:
        """Whether all write again, or are given up; the client has ended."""
        self._ended = self._ended or time.monotonic()
        self.seen.blocked = tuple(self.subject.silent_since(self._ended))
        is_late = time.monotonic() > self._ended + GIVE_UP_SECONDS
        return is_late or not self.seen.blocked

    def _measure(self, began: float) -> None:
        """See until when each one was blocked."""
        freed = [
            one.freed_at(began, self.subject.machine)
            for one in self.subject.witnesses.values()
        ]
        times = [one - began for one in freed if one is not None]
        self.seen.freed = round(max(times), 2) if times else None

    def _look(self, client: Client) -> None:
        """Fill in what the client said and what it left."""
        seen, row = self.seen, client.row
        seen.code = client.code
        seen.status = str(row.get('Status') or '')
        seen.claimed = str(row.get('Consistency') or '')
        seen.has_traceback = 'Traceback' in client.stderr
        truth.compare(client, seen)
        kept = truth.kept_image(client)
        seen.left = tuple(self._settled(client, kept))
        if set(seen.left) - {leftovers.REPORT}:
            self._run_again(client, kept)

    def _settled(self, client: Client, kept: str) -> list[str]:
        """What is left, once nothing changes any more."""
        end = time.monotonic() + SETTLE_SECONDS
        while (left := leftovers.find(client, kept)) and (
            time.monotonic() < end
        ):
            time.sleep(0.3)
        return left

    def _run_again(self, client: Client, kept: str) -> None:
        """See whether the next run clears up what is left."""
        with contextlib.suppress(TimeoutError):
            self.stage.await_idle(self.subject)
        leftovers.remove_here(client)
        # its cloud is well, and answers at once
        self.subject.cloud.reset()
        # what a fault made long is what the next hold is predicted from
        words = ['--wait', '--quiesce', 'mysql', '--max-freeze', '60s']
        again = Client(self.subject, client.folder, words)
        with contextlib.suppress(Exception):
            again.process.wait(END_SECONDS)
        again.finish()
        self.seen.next_code = again.code
        own = str(again.row.get('Snapshot ID') or '')
        self.seen.left_then = tuple(self._settled(again, own))
        # evidence that the next run wrote is a claim of this one
        self.seen.recorded = truth.recorded_class(client)
        self.seen.said += f'\nnext run: {again.stderr[-1000:]}'
