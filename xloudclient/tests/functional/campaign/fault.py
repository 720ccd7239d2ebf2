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

"""What a fault is: a row of the table."""

import dataclasses

from xloudclient.tests.functional.campaign import strikes
from xloudclient.tests.functional.campaign.strikes import Strike

LEASE_SECONDS = 15.0


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """Something that breaks.

    :param group: the heading under which it is listed
    :param phases: in which it is tried
    :param why_not: why it isn't in the others
    :param mend: takes it back, when the run is let go on, or later
    :param lasts: seconds from the strike until the run may leave the phase
    :param heals: it is taken back while the run goes on
    :param needs_lease: only the lease ends the hold, so the phase is kept up
        until that is over, if something is held in it
    :param body: shell commands that a hook runs in place of waiting
    :param is_early: strikes before the phase, as it is about the request
    :param words: more options of the command
    :param volume_backed: the server is
    :param ends_witness: nobody is left who could tell what was released
    :param refutes: the phases in which it undoes what no witness can see, so
        that nothing above ``crash`` may be claimed
    :param leaves: what may be left, as a hook of the user's left it
    """

    name: str
    group: str
    strike: Strike
    phases: tuple[str, ...]
    why_not: str = ''
    mend: Strike = strikes.nothing
    lasts: float = 1.5
    heals: bool = True
    needs_lease: bool = False
    body: str = ''
    is_early: bool = False
    words: tuple[str, ...] = ()
    volume_backed: bool = False
    ends_witness: bool = False
    leaves: str = ''
    refutes: tuple[str, ...] = ()

    def seconds(self, is_holding: bool) -> float:
        """How long the phase is kept up after the strike."""
        if self.needs_lease and is_holding:
            return LEASE_SECONDS + 3
        return self.lasts
