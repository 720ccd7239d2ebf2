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

import dataclasses

from xloudclient.consistency.errors import NotQuiesced
from xloudclient.consistency.plan import Kind, Plan

AGENT_SECONDS = 2.0
VOLUME_SECONDS = 10.0
#: Bytes per second of libvirt's mirror and conversion together.
IMAGE_RATE = 150_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class Forecast:
    """The predicted hold.

    :param seconds: None if nothing can be said
    :param is_measured: taken from this server's last snapshot, not estimated
    """

    seconds: float | None = None
    is_measured: bool = False

    def __str__(self) -> str:
        if self.seconds is None:
            return 'not known'
        how = 'as last time' if self.is_measured else 'estimated'
        return f'{self.seconds:.1f} s ({how})'


def predict(plan: Plan, measured_ms: int | None, used_bytes: int) -> Forecast:
    """Predict the hold of a plan that holds something.

    :param measured_ms: ``xloud_frozen_ms`` of this server's last snapshot
    :param used_bytes: in use on the guest's root disk; 0 if not known
    """
    if measured_ms is not None:
        return Forecast(measured_ms / 1000, is_measured=True)
    if plan.target.kind is Kind.VOLUME:
        return Forecast(VOLUME_SECONDS)
    if used_bytes:
        return Forecast(used_bytes / IMAGE_RATE)
    return Forecast()


def refuse(plan: Plan, forecast: Forecast) -> str:
    """Refuse a hold that can't fit, or return a warning ('' if it fits).

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
    if plan.target.kind is Kind.IMAGE:
        ways += [
            'a volume-backed server (its hold does not grow with the disk)'
        ]
    raise NotQuiesced(text, f'What helps: {"; ".join(ways)}.')
