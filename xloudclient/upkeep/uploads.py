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

import contextlib
import os
from collections.abc import Container, Iterator

from xloudclient.cloud.project import OpenStack
from xloudclient.consistency.errors import Failure
from xloudclient.consistency.text import printable
from xloudclient.local import runs
from xloudclient.local.clock import utc
from xloudclient.local.journal import FileJournal, runs_folder


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
            f'{name}: snapshot {image_id} vanished: its upload failed, or '
            'somebody deleted it. Take it again; this forgets the run: '
            f'openstack server snapshot recover {record.run_id}'
        )


def forget(image_id: str) -> None:
    """Note that its user deleted an image: it has not vanished.

    Never raises: a journal that can't be had tells of an image that is gone.
    """
    folder = runs_folder(os.environ)
    with contextlib.suppress(Failure):
        for record in runs.dead_runs(folder):
            if image_of(record) == image_id:
                _forget(FileJournal(folder, record.run_id, utc))


def _forget(journal: FileJournal) -> None:
    owes = {event.get('event') for event in journal.adopt().events}
    journal.write('discarded', left=[])
    # posts that are owed keep it
    journal.close(done='owed' not in owes)


def image_of(record: runs.Record) -> str:
    """The image whose proof a run has yet to record; '' if there is none.

    One that was discarded after all is none.
    """
    if any(
        event.get('event') == 'discarded' and not event.get('left')
        for event in record.events
    ):
        return ''
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
