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

"""What a run left behind: in the cloud, in the guest, and here."""

import os
import signal

from xloudclient.tests.cloud import process
from xloudclient.tests.functional.campaign import processes
from xloudclient.tests.functional.campaign.client import Client
from xloudclient.tests.functional.campaign.subject import Subject

#: What stays in the guest's folder in memory: an empty file.
HARMLESS = ('lock',)
#: What the supervisor did when nobody heard it, told to the next run.
REPORT = 'report in the guest'


def find(client: Client, kept: str = '') -> list[str]:
    """Name everything that a run left behind.

    :param kept: ID of the image that is its result. One that has its
        evidence is a result, too: of a run whose end was recovered
    """
    subject = client.subject
    return [
        *_images(subject, kept),
        *_volume_snapshots(subject, kept),
        *(['journal'] * len(list(client.runs.glob('*')))),
        *(f'process here: {one}' for one in _names(_here(client))),
        *(
            f'process in the guest: {one}'
            for one in _names(processes.ours(subject.root))
        ),
        *_files(subject),
    ]


def _images(subject: Subject, kept: str) -> list[str]:
    conn = subject.cloud.connection('demo')
    return [
        f'image ({image.status})'
        for image in conn.image.images(owner=conn.current_project_id)
        if image.id not in (kept, image.properties.get('xloud_image'))
    ]


def _volume_snapshots(subject: Subject, kept: str) -> list[str]:
    conn = subject.cloud.connection('demo')
    return [
        f'volume snapshot ({one.status})'
        for one in conn.block_storage.snapshots()
        if not kept
    ]


def _here(client: Client) -> list[int]:
    subject = client.subject
    inside = set(process.descendants(subject.root))
    found = processes.here(
        f'XDG_STATE_HOME={client.folder}',
        f'XLOUD_SERVER_ID={subject.server.id}',
    )
    return [
        pid
        for pid in found
        if pid not in inside and pid not in (client.process.pid, os.getpid())
    ]


def _names(pids: list[int]) -> list[str]:
    """Return what they run; those that ended meanwhile are left out."""
    words = (processes.arguments(pid).split()[:3] for pid in pids)
    return [' '.join(map(os.path.basename, one)) for one in words if one]


def _files(subject: Subject) -> list[str]:
    return [
        REPORT if one.name == 'report' else one.name
        for folder in subject.tmpfs
        if folder.exists()
        for one in folder.iterdir()
        if one.name not in HARMLESS
    ]


def remove_here(client: Client) -> None:
    """End what the run left behind on this machine."""
    for pid in _here(client):
        processes.send(pid, signal.SIGKILL)
