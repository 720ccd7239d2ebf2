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

"""The cloud of a campaign, and its order between two cells."""

import contextlib
import pathlib
import tempfile
import time

from openstack import exceptions

from xloudclient.tests.cloud import Cloud
from xloudclient.tests.functional.campaign.subject import Subject

IDLE_SECONDS = 60.0


class Stage:
    """An embedded cloud with its servers; a context manager.

    :param cloud: one that is up, and is left as it was; by default its own is
        started
    """

    def __init__(self, cloud: Cloud | None = None) -> None:
        self._stack = contextlib.ExitStack()
        self._given = cloud
        self._subjects: dict[bool, Subject] = {}
        self._count = 0

    def __enter__(self) -> 'Stage':
        self.cloud = self._given or self._stack.enter_context(Cloud.start())
        folder = tempfile.TemporaryDirectory(prefix='xloud-campaign-')
        self._folder = pathlib.Path(self._stack.enter_context(folder))
        return self

    def __exit__(self, *_: object) -> None:
        for subject in self._subjects.values():
            subject.stop()
            if self._given:
                self._heal()
                self._delete_snapshots()
                self.cloud.delete(subject.server)
        self._stack.close()

    def subject(self, volume_backed: bool) -> Subject:
        """Return the server of a kind, made when it is first needed."""
        if volume_backed not in self._subjects:
            self._subjects[volume_backed] = Subject(self.cloud, volume_backed)
        return self._subjects[volume_backed]

    def folder(self) -> pathlib.Path:
        """Return a new folder for a client's state."""
        self._count += 1
        return self._folder / str(self._count)

    def tidy(self, subject: Subject) -> None:
        """Have everything as it was before the first cell."""
        self._heal()
        self.await_idle(subject)
        self._delete_snapshots()
        subject.tidy()

    def _heal(self) -> None:
        self.cloud.reset()
        for service in self.cloud.pids():
            self.cloud.resume(service)

    def await_idle(self, subject: Subject) -> None:
        """Wait until Nova has no task for the server."""
        compute = self.cloud.connection('demo').compute
        end = time.monotonic() + IDLE_SECONDS
        while compute.get_server(subject.server).task_state is not None:
            if time.monotonic() > end:
                raise TimeoutError('the server keeps its task')
            time.sleep(0.2)

    def _delete_snapshots(self) -> None:
        conn = self.cloud.connection('demo')
        for image in conn.image.images(owner=conn.current_project_id):
            with contextlib.suppress(exceptions.SDKException):
                conn.image.delete_image(image)
        self.cloud.delete_snapshots()
