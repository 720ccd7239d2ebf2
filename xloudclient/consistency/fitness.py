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


"""Whether a guest is the right one, and one whose file systems may freeze."""

from xloudclient.consistency.answers import GuestFacts
from xloudclient.consistency.errors import NotQuiesced
from xloudclient.consistency.plan import Plan

WRONG_ADDRESS = (
    'See where that address leads; --ssh-host, or the metadata '
    'xloud:ssh_host, names another one.'
)


def check_identity(plan: Plan, facts: GuestFacts) -> None:
    """An address may lead to another machine than the server.

    Nova's libvirt driver gives a guest its server's ID (``sysinfo``), which
    root can see. Else the network cards tell: each of them has the hardware
    address of a port, which no other port of that network has.

    :raises NotQuiesced: it does, or nobody can tell
    """
    if plan.target.id.lower() in (facts.server_id, facts.firmware_id):
        return
    if facts.server_id:
        raise NotQuiesced(
            f'the guest at {plan.address} is another server '
            f'({facts.server_id})',
            WRONG_ADDRESS,
        )
    if set(facts.cards).isdisjoint(plan.target.cards):
        cards = ', '.join(plan.target.cards) or 'none is known'
        raise NotQuiesced(
            f'the guest at {plan.address} is not this server: it has no '
            f'network card of it ({cards})',
            WRONG_ADDRESS,
        )


def check_freeze(plan: Plan, facts: GuestFacts) -> None:
    """Never freeze what we ourselves write to, or can't thaw.

    :raises NotQuiesced: that is asked for
    """
    asked = any(one.name == 'fsfreeze' for one in plan.quiescers)
    if asked and not facts.may_freeze:
        raise NotQuiesced(
            "file systems can't be frozen in this guest",
            'That needs root there (sudo without a password), and a '
            'guest that is another machine than this one.',
        )
