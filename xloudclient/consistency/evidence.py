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


"""Class and evidence, as they are written on the image.

The properties are void unless ``xloud_image`` equals the image's own ID: Nova
copies an image's properties to the servers launched from it and from there to
every later image of those (``nova/compute/utils.py`` ``create_image``), so a
claim that does not name its image is somebody else's.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xloudclient.consistency.plan import Consistency, Plan
from xloudclient.consistency.proof import REASONS, Proof

SCHEMA = '1'
#: Nova and Glance cut property values here (characters).
VALUE_LENGTH = 255
#: ``xloud_volumes`` and its continuations; each takes six IDs.
VOLUME_KEYS = ('xloud_volumes', *(f'xloud_volumes_{n}' for n in range(1, 6)))
#: As many volume snapshots can be named on an image.
VOLUMES_PER_KEY = VALUE_LENGTH // 37
MOST_VOLUMES = VOLUMES_PER_KEY * len(VOLUME_KEYS)
#: Reasons for a class that nothing went wrong for.
AS_PLANNED = ('', *REASONS)
KEYS = (
    'xloud_schema',
    'xloud_image',
    'xloud_consistency',
    'xloud_run',
    'xloud_group',
    'xloud_server_name',
    'xloud_captured_at',
    'xloud_frozen_ms',
    'xloud_quiesced',
    'xloud_reason',
    'xloud_position',
    *VOLUME_KEYS,
    'xloud_flavor',
    'xloud_networks',
    'xloud_key_name',
    'xloud_security_groups',
    # of a copy that was made to be shared; empty in all requests
    'xloud_converted_from',
)


def requested_properties(plan: Plan) -> dict[str, str]:
    """The properties of the create request: no claim, every key set."""
    target = plan.target
    ours = dict.fromkeys(KEYS, '')
    ours.update(
        xloud_schema=SCHEMA,
        xloud_consistency=str(Consistency.NONE),
        xloud_run=plan.run_id,
        xloud_server_name=target.name,
        xloud_flavor=target.flavor,
        xloud_networks=_joined(target.networks),
        xloud_key_name=target.key_name,
        xloud_security_groups=_joined(target.security_groups),
    )
    named = {'image_type': 'snapshot', 'instance_uuid': target.id}
    return {
        **plan.properties,
        **named,
        **{key: value[:VALUE_LENGTH] for key, value in ours.items()},
    }


def proven_properties(
    image_id: str,
    proof: Proof,
    captured_at: str,
    frozen_seconds: float | None,
    quiesced: Sequence[str],
    volume_snapshots: Sequence[str],
    group_id: str = '',
) -> dict[str, str]:
    """The one update after the proof: it claims the image, and the class.

    The group, too, is claimed only here, when it is known to be whole.

    :param volume_snapshots: those of an image-backed server's volumes
    """
    claims = {
        'xloud_image': image_id,
        'xloud_consistency': str(proof.consistency),
        'xloud_group': group_id,
        'xloud_captured_at': captured_at,
        'xloud_frozen_ms': (
            '' if frozen_seconds is None else str(round(frozen_seconds * 1000))
        ),
        'xloud_quiesced': ','.join(quiesced),
        'xloud_reason': proof.reason,
        'xloud_position': proof.position,
        **_volume_properties(volume_snapshots),
    }
    return {key: value[:VALUE_LENGTH] for key, value in claims.items()}


def _volume_properties(ids: Sequence[str]) -> dict[str, str]:
    per_key = VOLUMES_PER_KEY
    return {
        key: ','.join(ids[n * per_key : (n + 1) * per_key])
        for n, key in enumerate(VOLUME_KEYS)
    }


def _joined(words: Iterable[str]) -> str:
    """Join with commas as many whole words as fit."""
    text = ''
    for word in words:
        longer = f'{text},{word}' if text else word
        if len(longer) > VALUE_LENGTH:
            break
        text = longer
    return text


def is_ours(image_id: str, properties: Mapping[str, Any]) -> bool:
    """Whether the image's claims are about this very image."""
    return properties.get('xloud_image') == image_id


def volume_snapshots(properties: Mapping[str, Any]) -> tuple[str, ...]:
    """The IDs of the volume snapshots named by an image that is ours."""
    joined = ','.join(str(properties.get(key) or '') for key in VOLUME_KEYS)
    return tuple(one for one in joined.split(',') if one)


def recorded_class(
    image_id: str, properties: Mapping[str, Any]
) -> Consistency | None:
    """The class recorded on an image; None for what others made."""
    if not is_ours(image_id, properties):
        return None
    try:
        return Consistency.of(str(properties.get('xloud_consistency')))
    except KeyError:
        return None
