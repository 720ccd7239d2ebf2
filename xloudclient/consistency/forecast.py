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


"""How long will the guest be held? Asked before anything is locked.

No outage that was bound to end without a consistent snapshot.
"""

import collections
import dataclasses
from collections.abc import Iterable

from xloudclient.consistency.answers import FreezeHook
from xloudclient.consistency.errors import NotQuiesced
from xloudclient.consistency.plan import Kind, Plan

AGENT_SECONDS = 2.0
VOLUME_SECONDS = 10.0
#: Bytes per second of libvirt's mirror and conversion together.
IMAGE_RATE = 150_000_000
#: What the agent does itself while its hook holds.
OF_AGENT = ('sync', 'fsfreeze')
NO_HOOK = FreezeHook()


@dataclasses.dataclass(frozen=True, slots=True)
class Forecast:
    """The predicted hold.

    :param seconds: None if nothing can be said
    :param is_measured: taken from this server's last snapshot, not estimated
    :param is_joint: measured in a group, so it is the hold of all its members
    :param host_id: of the compute host that copies the disk; '' if none does
    """

    seconds: float | None = None
    is_measured: bool = False
    is_joint: bool = False
    host_id: str = ''

    def __str__(self) -> str:
        if self.seconds is None:
            return 'not known'
        how = 'as last time' if self.is_measured else 'estimated'
        return f'{self.seconds:.1f} s ({how})'


def predict(
    plan: Plan,
    measured_ms: int | None,
    used_bytes: int,
    joint_ms: int | None = None,
) -> Forecast:
    """Predict the hold of a plan that holds something.

    :param measured_ms: ``xloud_frozen_ms`` of this server's last snapshot
    :param used_bytes: in use on the guest's root disk; 0 if not known
    :param joint_ms: the same of its last snapshot in a group
    """
    if plan.by_agent:
        return Forecast(AGENT_SECONDS)
    host_id = plan.target.host_id if plan.target.kind is Kind.IMAGE else ''
    if joint_ms is not None:
        return Forecast(joint_ms / 1000, is_measured=True, is_joint=True)
    if measured_ms is not None:
        return Forecast(measured_ms / 1000, True, host_id=host_id)
    if plan.target.kind is Kind.VOLUME:
        return Forecast(VOLUME_SECONDS)
    if used_bytes:
        return Forecast(used_bytes / IMAGE_RATE, host_id=host_id)
    return Forecast()


def join(forecasts: Iterable[Forecast]) -> Forecast:
    """Predict the hold of a group: until the last of them is captured.

    Copies on one compute host share its disks, or wait for each other there
    (``max_concurrent_snapshots`` in ``nova/compute/manager.py``), so they
    count one after another; hosts and volumes at the same time.
    """
    known = [one for one in forecasts if one.seconds is not None]
    queues = collections.defaultdict(list)
    for one in known:
        queues[one.host_id].append(one)
    at_once = queues.pop('', [])
    at_once += map(_in_turn, queues.values())
    return max(at_once, key=lambda one: one.seconds or 0, default=Forecast())


def _in_turn(queue: list[Forecast]) -> Forecast:
    """The copies of one host; a sum of measurements is an estimate."""
    if len(queue) == 1:
        return queue[0]
    return Forecast(sum(one.seconds or 0 for one in queue))


def by_hook(plan: Plan, hook: FreezeHook) -> str:
    """Return the command that leaves the hold to the freeze hook, or ''.

    One that holds something else is to be installed again.
    """
    if plan.by_agent or not plan.suits_hook:
        return ''
    asked = {one.name for one in plan.quiescers}.difference(OF_AGENT)
    is_same = asked == {one.name for one in hook.quiescers}
    is_there = hook.is_installed and is_same
    words = 'consistent --quiesce agent' if is_there else 'hook install'
    return f'openstack server snapshot {words} {plan.target.id}'


def refuse(plan: Plan, forecast: Forecast, hook: FreezeHook = NO_HOOK) -> str:
    """Refuse a hold that can't fit, or return a warning ('' if it fits).

    :param hook: the guest agent's freeze hook
    :raises NotQuiesced: a measured hold is over ``--max-freeze``, or an
        estimated one is over twice of it
    """
    limit = plan.budget.max_freeze
    if forecast.seconds is None or forecast.seconds <= limit:
        return ''
    text = (
        f'the hold is predicted to take {forecast}, '
        f'--max-freeze is {limit:g} s'
    )
    if not forecast.is_measured and forecast.seconds <= 2 * limit:
        return text
    ways = ['a longer --max-freeze']
    if command := by_hook(plan, hook):
        ways += [f"the guest agent's freeze hook{if_agent(plan)} ({command})"]
    if plan.target.kind is Kind.IMAGE:
        ways += [
            'a volume-backed server (its hold does not grow with the disk)'
        ]
    if plan.group_id:
        ways += ['fewer image-backed servers of one compute host in a group']
    raise NotQuiesced(text, f'What helps: {"; ".join(ways)}.')


def if_agent(plan: Plan) -> str:
    """What it depends on, where that is not known."""
    if plan.target.has_agent is None:
        return ', if its image has hw_qemu_guest_agent'
    return ''
