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

"""What the cloud's own log says of a snapshot, beside what was claimed."""

from typing import Any

from xloudclient.tests.functional.campaign.client import Client
from xloudclient.tests.functional.campaign.observation import Observation

#: A row that was committed before the lock may be heard of after it.
SLACK_SECONDS = 0.3


def kept_image(client: Client) -> str:
    """Return the ID of the image that the client's row says is kept."""
    row = client.row
    if row.get('Status') in ('captured', 'active'):
        return str(row.get('Snapshot ID') or '')
    return ''


def compare(client: Client, seen: Observation) -> None:
    """Fill in the class on the image, and what was written under the lock."""
    seen.recorded = recorded_class(client)
    captured = _captured_at(client, _image_id(client))
    if captured is None:
        return
    for name, witness in client.subject.witnesses.items():
        held = client.seen('held', name)
        if held is not None:
            seen.held = True
            begin = float(held['monotonic']) + SLACK_SECONDS
            seen.written += witness.rows_between(begin, captured)


def recorded_class(client: Client) -> str:
    """The class on the image, if the evidence there is its own."""
    image_id = _image_id(client)
    image = _image(client, image_id) if image_id else {}
    if image and image.get('xloud_image') == image_id:
        return str(image.get('xloud_consistency') or '')
    return ''


def _image_id(client: Client) -> str:
    requested = client.seen('requested')
    return str(requested['image']) if requested else ''


def _image(client: Client, image_id: str) -> dict[str, Any]:
    response = client.subject.cloud.connection('demo').image.get(
        f'/images/{image_id}'
    )
    return dict(response.json()) if response.status_code == 200 else {}


def _captured_at(client: Client, image_id: str) -> float | None:
    """When the last disk was captured, on the monotonic clock."""
    events = client.subject.cloud.events(since=client.began)
    ends = [
        one.monotonic
        for one in events
        if (one.event == 'captured' and one.details['image'] == image_id)
        or one.event == 'volume-captured'
    ]
    return max(ends, default=None)
