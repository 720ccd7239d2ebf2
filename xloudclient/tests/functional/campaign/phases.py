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

"""The columns of the table: where in a run a fault strikes."""

import dataclasses

from xloudclient.tests.functional.campaign.stretches import (
    Blocked,
    Gate,
    SlowAnswer,
    SlowLogin,
    SlowStep,
    Stretch,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Phase:
    """A part of a run.

    :param meaning: what the run is doing in it
    :param is_holding: applications can't write in it
    :param lasts: seconds that it is kept up after a fault, at least
    """

    name: str
    meaning: str
    stretch: Stretch
    is_holding: bool = False
    lasts: float = 0.0


PHASES = (
    Phase('connecting', 'the login by ssh', SlowLogin()),
    Phase(
        'pre hook',
        'a pre hook runs on this machine',
        Gate('', '--hook', 'pre'),
    ),
    Phase(
        'quiescing',
        "MariaDB's lock is waited for: somebody else has a table",
        Blocked(),
        is_holding=True,
        # longer than the lock is waited for
        lasts=12.0,
    ),
    Phase(
        'held',
        "MariaDB and Redis are locked, a holder of the user's is awaited",
        Gate('', '--quiesce', 'hold'),
        is_holding=True,
    ),
    Phase(
        'requesting',
        'Nova has the request and has not answered',
        SlowAnswer('requesting'),
        is_holding=True,
    ),
    Phase(
        'capturing',
        'the disk is copied',
        SlowStep('requested', 'capture'),
        is_holding=True,
    ),
    Phase(
        'verifying',
        "captured; a holder of the user's is slow to say that it holds",
        Gate('', '--quiesce', 'verify'),
        is_holding=True,
    ),
    Phase(
        'releasing',
        "the first one to be released, a holder of the user's, is slow",
        Gate('', '--quiesce', 'release'),
        is_holding=True,
    ),
    Phase(
        'post hook',
        'a post hook runs on this machine',
        Gate('', '--hook', 'post'),
    ),
    Phase(
        'uploading',
        'released; ``--wait`` waits for the upload',
        SlowStep('released', 'upload'),
    ),
    Phase(
        'recording',
        'the evidence is written on the image',
        SlowAnswer('active', 'glance', 'PATCH', '/images/'),
    ),
)
BY_NAME = {phase.name: phase for phase in PHASES}
HOLDING = tuple(one.name for one in PHASES if one.is_holding)
