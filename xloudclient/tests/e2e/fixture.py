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

"""One cloud with real guests per test process, and a guest for each test."""

import atexit
import functools
import os
from typing import Any

import fixtures

from xloudclient.tests.e2e.estate import Estate, missing
from xloudclient.tests.e2e.machine import Machine


@functools.cache
def shared() -> Estate:
    """Return this process's estate; the first call starts it.

    It ends with the process, however that ends.

    :raises RuntimeError: this machine can't run guests; says why
    """
    if reason := missing():
        raise RuntimeError(reason)
    estate = Estate().__enter__()
    atexit.register(_stop, estate, os.getpid())
    return estate


def _stop(estate: Estate, owner: int) -> None:
    # what a test forks has the same handlers
    if os.getpid() == owner:
        estate.__exit__()


class EstateFixture(fixtures.Fixture):
    """The shared estate; the guests of a test are removed at its end."""

    def _setUp(self) -> None:
        self.estate = shared()

    def machine(self, name: str, **what: Any) -> Machine:
        """Return a new guest; see Estate.machine()."""
        made = self.estate.machine(name, **what)
        self.addCleanup(self.estate.delete, made)
        return made

    def of(self, server: str) -> Machine:
        """Return the guest of a server that the client made."""
        made = self.estate.of(server)
        self.addCleanup(self.estate.delete, made)
        return made
