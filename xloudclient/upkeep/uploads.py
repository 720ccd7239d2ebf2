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

"""Uploads that our commands did not wait for, and that came to nothing.

Nova deletes the image of an upload that failed, and tells nobody. The run's
journal, which stays until the evidence is on the image, is what remembers.
"""

import os
from collections.abc import Container, Iterator

from xloudclient.cloud.project import OpenStack
from xloudclient.consistency.text import printable
from xloudclient.local import runs
from xloudclient.local.journal import runs_folder


def vanished(cloud: OpenStack, seen: Container[str]) -> Iterator[str]:
    """Yield a sentence for each snapshot that vanished in its upload.

    :param seen: IDs of images that are known to exist
    """
    begun = {
        image_id: record
        for record in runs.dead_runs(runs_folder(os.environ))
        if (image_id := image_of(record))
        and record.events[0].get('place') == cloud.place
        and image_id not in seen
    }
    exist = cloud.images.existing(tuple(begun)) if begun else ()
    for image_id, record in begun.items():
        if image_id in exist or cloud.images.get(image_id) is not None:
            continue
        begin = record.events[0]
        name = printable(str(begin.get('name') or record.server_id))
        yield (
            f'{name}: snapshot {image_id} vanished during its upload. Take '
            f'it again; this forgets the run: openstack server snapshot '
            f'recover {record.run_id}'
        )


def image_of(record: runs.Record) -> str:
    """The image whose proof a run has yet to record; '' if there is none."""
    images = [
        event['image']
        for event in record.events
        if event.get('event') == 'proven'
        and isinstance(event.get('image'), str)
    ]
    return images[-1] if images else ''


def quiesced(record: runs.Record) -> tuple[str, ...] | None:
    """With what a run had quiesced the server when it asked for a snapshot.

    :returns: values of ``--quiesce``; None if it never asked
    """
    for event in record.events:
        if event.get('event') == 'request':
            words = event.get('quiesce')
            return tuple(map(str, words)) if isinstance(words, list) else ()
    return None
