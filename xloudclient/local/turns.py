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


"""Whose turn is it? So many servers at a time, one capture per host.

Nova makes image-backed snapshots of one compute host in a queue of its own;
a server that waits there is held for nothing. So it waits here, unquiesced.
"""

import contextlib
import threading
from collections.abc import Iterator

from xloudclient.consistency.errors import Interrupted
from xloudclient.consistency.plan import Kind, Plan
from xloudclient.consistency.ports import Clock

#: Seconds between two looks at whether a signal came.
LOOK_SECONDS = 0.2


class Turns:
    """Hands out turns.

    :param concurrency: servers at a time
    """

    def __init__(self, concurrency: int) -> None:
        self._free = concurrency
        self._busy_hosts: set[str] = set()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def turn(self, plan: Plan, clock: Clock) -> Iterator[None]:
        """Wait for a turn; those of a group are held all together.

        :raises Interrupted: a signal came first
        """
        if plan.group_id:
            yield
            return
        host = plan.target.host_id if plan.target.kind is Kind.IMAGE else ''
        if not self._take(host, clock):
            raise Interrupted('interrupted', clock.interrupted)
        try:
            yield
        finally:
            self._give_back(host)

    def _take(self, host: str, clock: Clock) -> bool:
        with self._changed:
            while not clock.interrupted and not self._is_free(host):
                self._changed.wait(LOOK_SECONDS)
            if clock.interrupted:
                return False
            self._free -= 1
            self._busy_hosts.update({host} - {''})
            return True

    def _is_free(self, host: str) -> bool:
        return self._free > 0 and host not in self._busy_hosts

    def _give_back(self, host: str) -> None:
        with self._changed:
            self._free += 1
            self._busy_hosts.discard(host)
            self._changed.notify_all()
