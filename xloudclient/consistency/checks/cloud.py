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


"""What the cloud tells of a server that is to be snapshotted."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from xloudclient.consistency import evidence
from xloudclient.consistency.checks.finding import (
    Finding,
    ok,
    problem,
    warning,
)
from xloudclient.consistency.errors import CaptureFailed, NotQuiesced
from xloudclient.consistency.plan import Kind, Plan
from xloudclient.consistency.proof import count_disks

#: The tasks in which a compute host makes an image; more than these are
#: queued there (``nova/compute/task_states.py``).
IMAGE_TASKS = (
    'image_snapshot_pending',
    'image_snapshot',
    'image_pending_upload',
    'image_uploading',
    'image_backup',
    'shelving_image_pending_upload',
    'shelving_image_uploading',
)
#: Image properties about Nova's own freeze, and what they are set to.
AGENT = 'hw_qemu_guest_agent'
REQUIRED = 'os_require_quiesce'
YES = ('yes', 'true', '1', 'on')


@dataclasses.dataclass(frozen=True, slots=True)
class VolumeDetails:
    """What Cinder tells of a volume.

    :param type_name: of its volume type; '' if it has none
    :param attachments: their IDs
    """

    id: str
    gigabytes: int
    type_name: str = ''
    attachments: frozenset[str] = frozenset()


def is_yes(properties: Mapping[str, Any], key: str) -> bool:
    """Whether an image property is set to a word for yes."""
    return str(properties.get(key, '')).lower() in YES


def server(plan: Plan) -> Finding:
    target = plan.target
    text = f'{target.kind}-backed, {target.state}'
    if target.state.is_writing:
        return ok('server', text)
    return ok('server', f'{text}: nothing will be held')


def volumes(plan: Plan, details: Sequence[VolumeDetails]) -> Iterator[Finding]:
    """Judge the disks: how many, in which order, and whose they are.

    :param details: of the volumes that will be captured
    """
    devices = [one.device or one.id for one in plan.captured_volumes]
    root = ['root disk'] if plan.target.kind is Kind.IMAGE else []
    listed = ', '.join([*root, *devices])
    if count_disks(plan) > 1:
        listed += (
            ', captured one after another: only the freeze of all their file '
            'systems makes that one moment'
        )
    yield ok('disks', listed)
    left = len(plan.target.volumes) - len(plan.captured_volumes)
    if left:
        yield warning('disks', f'{left} attached volume(s) are left out')
    for one in details:
        servers = len(one.attachments)
        if servers > 1:
            yield warning(
                'disks',
                f'volume {one.id} is attached to {servers} servers: what the '
                'others write to it is not held',
            )


def earlier(images: Iterable[Mapping[str, Any]]) -> Finding:
    """Tell of the server's last snapshot whose class is known.

    :param images: the server's snapshots as Glance has them, newest first
    """
    for image in images:
        proven = evidence.recorded_class(image['id'], image)
        if proven is None:
            continue
        text = f'the last one, {image["name"]}, is {proven}'
        held = str(image.get('xloud_frozen_ms') or '')
        if held.isdecimal() and len(held) < 12:
            text += f' and was held for {int(held) / 1000:.3f} s'
        if reason := image.get('xloud_reason'):
            text += f': {reason}'
        return ok('earlier', text)
    return ok('earlier', 'no snapshot of this server has a known class')


def host_queue(plan: Plan, tasks: Mapping[str, str]) -> Finding:
    """Judge the queue of the compute host.

    :param tasks: name of each other server on that host -> its task
    """
    if plan.target.kind is Kind.VOLUME:
        return ok('host', 'volume-backed: the compute host has no part in it')
    busy = sorted(n for n, task in tasks.items() if task in IMAGE_TASKS)
    if not busy:
        return ok('host', 'no other capture of this project is under way')
    return warning(
        'host',
        f'the compute host captures {", ".join(busy)} now: this server would '
        'be held while it waits for its turn',
        'Wait until that is done.',
    )


def agent(plan: Plan, properties: Mapping[str, Any]) -> Finding:
    """Judge the properties about Nova's own freeze.

    Nova has them as they were at boot; what is seen is the image's, now.
    """
    has_agent, is_required = (
        is_yes(properties, key) for key in (AGENT, REQUIRED)
    )
    if not plan.target.state.is_writing or not (has_agent or is_required):
        return ok('agent', 'Nova freezes nothing by itself')
    if not has_agent:
        text = f'Nova refuses: {REQUIRED} is set on the image and {AGENT} not'
        if plan.target.kind is Kind.VOLUME:
            return problem('agent', NotQuiesced(text))
        return problem('agent', CaptureFailed(text))
    text = (
        f'{AGENT} is set on the image: Nova has the guest agent freeze and '
        'thaw around the point in time, and what else was frozen is thawed '
        'with it'
    )
    if is_required:
        return ok('agent', f'{text}; {REQUIRED}: or no snapshot')
    return warning(
        'agent', f'{text}; if the agent does not answer, Nova goes on silently'
    )
