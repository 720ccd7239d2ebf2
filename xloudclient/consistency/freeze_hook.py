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


"""Whether the freeze hook in a guest would be called, and has let go.

What it saw of one capture is for :mod:`.witness` to judge.
"""

from collections.abc import Sequence

from xloudclient.consistency.answers import Freeze, FreezeHook
from xloudclient.consistency.errors import Failure, NotQuiesced, ReleaseFailed
from xloudclient.consistency.plan import Plan

CLOSED = (
    'only root can see the freeze hook in this guest',
    'Let that account use sudo without a password.',
)
#: What its record can't tell, however whole it is.
OF_VOLUMES = (
    'of a volume-backed server the thaw does not prove that its volumes were '
    'captured before'
)


def refuse(plan: Plan, hook: FreezeHook) -> None:
    """Refuse to rely on a hook that won't be called.

    :raises NotQuiesced: there is none, or the agent doesn't know of it
    """
    name = plan.target.id
    if hook.is_closed:
        raise NotQuiesced(*CLOSED)
    if not hook.is_installed:
        raise NotQuiesced(
            'there is no freeze hook in this guest',
            f'Install it: openstack server snapshot hook install {name}',
        )
    if not hook.is_used:
        raise NotQuiesced(*why_unused(plan, hook))


def why_unused(plan: Plan, hook: FreezeHook) -> tuple[str, str]:
    """Say why the agent doesn't call the hook, and what helps."""
    if hook.agent == 'absent':
        return 'no guest agent runs in this guest', 'Start qemu-guest-agent.'
    if hook.agent == 'stale':
        return (
            'the guest agent was started before its freeze hook was there',
            'In the guest: systemctl restart qemu-guest-agent',
        )
    return (
        f"the guest agent doesn't call our freeze hook ({hook.agent})",
        'Install it again: openstack server snapshot hook install '
        f'{plan.target.id}',
    )


def not_released(plan: Plan, freezes: Sequence[Freeze]) -> list[Failure]:
    """Say what the hook was not seen to release, if there is anything."""
    stuck = [
        f'{one.name} ({one.reason})'
        for freeze in freezes
        for one in freeze.released
        if not one.is_free
    ]
    if not stuck:
        return []
    return [
        ReleaseFailed(
            'AN APPLICATION MAY STILL BE BLOCKED: could not see that the '
            f'freeze hook released it: {", ".join(stuck)}',
            'Log in and check, or run: openstack server reboot --hard '
            f'{plan.target.id}',
        )
    ]
