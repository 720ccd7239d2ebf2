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

"""One trial: a load, a snapshot of it, and what is launched from that."""

import contextlib
import json
import time
from typing import Any

from openstack import exceptions

from xloudclient.tests.e2e.estate import Estate
from xloudclient.tests.e2e.experiment.arms import Arm
from xloudclient.tests.e2e.experiment.load import Load
from xloudclient.tests.e2e.experiment.result import Result
from xloudclient.tests.e2e.experiment.scene import Scene
from xloudclient.tests.e2e.machine import Machine

#: Writing, before the snapshot. Less than the half minute in which Linux
#: writes its cache to the disk by itself: there is always something in it.
WARM_UP_SECONDS = 12.0
#: Writing, afterwards.
COOL_DOWN_SECONDS = 3.0


def run(estate: Estate, machine: Machine, arm: Arm, number: int) -> Result:
    """Run one trial; the server is as it was before, but for more rows.

    :raises RuntimeError: the snapshot could not be taken
    """
    began = time.monotonic()
    name = f'{arm.name}-{number}-{int(time.time())}'
    arm.prepare(estate, machine)
    with Load(machine) as load:
        time.sleep(WARM_UP_SECONDS)
        scene = Scene(estate, machine, load, name)
        arm.take(scene)
        scene.tell('over')
        time.sleep(COOL_DOWN_SECONDS)
        pauses = load.pauses()
    events = sorted(
        [*scene.events, *scene.agent_events()], key=lambda one: one[1]
    )
    with estate.suspended(machine):
        said = _judge(estate, arm, name)
    return Result(
        arm.name,
        number,
        position=scene.position,
        events=events,
        pauses=pauses,
        claimed=scene.claimed,
        disks=said['disks'],
        stores=said['stores'],
        seconds=round(time.monotonic() - began, 1),
    )


def _judge(estate: Estate, arm: Arm, name: str) -> dict[str, Any]:
    """Launch the snapshot, look at it from inside, and remove it."""
    launched = f'{name}-launched'
    try:
        done = estate.openstack(
            *('snapshot', 'launch', name, launched, '--wait'),
            *('--flavor', str(estate.flavor)),
        )
        if done.returncode:
            raise RuntimeError(f'{name} was not launched: {done.stderr}')
        compute = estate.cloud.connection('demo').compute
        machine = estate.of(compute.find_server(launched))
        program = machine.send('judge.py')
        words = ' '.join(arm.kind.disks)
        said: dict[str, Any] = json.loads(
            machine.run(f'python3 {program} {words}')
        )
        return said
    finally:
        _remove(estate, launched, name)


def _remove(estate: Estate, server: str, image: str) -> None:
    cloud = estate.cloud.connection('demo')
    if found := cloud.compute.find_server(server):
        estate.cloud.delete(found)
    for one in cloud.image.images(name=image):
        with contextlib.suppress(exceptions.SDKException):
            cloud.image.delete_image(one)
    estate.cloud.delete_snapshots()
