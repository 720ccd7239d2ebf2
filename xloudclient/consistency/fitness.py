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


def check_identity(plan: Plan, facts: GuestFacts) -> None:
    """An address may lead to another machine than the server.

    :raises NotQuiesced: it does
    """
    says = facts.server_id
    if says and says != plan.target.id.lower():
        raise NotQuiesced(
            f'the guest at {plan.address} is another server ({says})'
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
