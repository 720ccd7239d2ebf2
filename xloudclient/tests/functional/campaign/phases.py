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
    :param gives_word: in the guest, somebody listens to a client
    """

    name: str
    meaning: str
    stretch: Stretch
    is_holding: bool = False
    gives_word: bool = True


PHASES = (
    Phase('connecting', 'ssh logs in', SlowLogin(), gives_word=False),
    Phase('pre hook', 'a pre hook runs, here', Gate('', '--hook', 'pre')),
    Phase(
        'quiescing',
        "MariaDB's lock is waited for: somebody else has a table",
        Blocked(),
        is_holding=True,
    ),
    Phase(
        'held',
        'MariaDB and Redis are locked, one more holder is awaited',
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
        'captured; one holder is slow to say that it holds',
        Gate('', '--quiesce', 'verify'),
        is_holding=True,
    ),
    Phase(
        'releasing',
        'the first holder to be released is slow',
        Gate('', '--quiesce', 'release'),
        is_holding=True,
    ),
    Phase('post hook', 'a post hook runs, here', Gate('', '--hook', 'post')),
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
