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

"""One snapshot of a server, in the phases of Nova's libvirt driver.

What a user of the API sees (nova 34, virt/libvirt/driver.py:snapshot)::

    mode     task_state, after image_snapshot                  image
    live     pending_upload uploading pending_upload           queued
             [capture, point in time at its end] uploading     saving, active
    cold     the same; the guest is suspended during the       the same
             capture, the point in time is at its beginning
    direct   pending_upload uploading [capture, point in time  queued, active
             at its beginning]

The first ``image_uploading`` says nothing in ``live`` and ``cold``: libvirt
always tries a direct snapshot (RBD has it) and then takes the state back.

Orders of kind ``server`` (see control.py): ``mode``; seconds for ``pending``,
``attempt`` (the false ``image_uploading``, else but a flash), ``capture`` and
``upload``; ``fail`` and ``hang``, each one of these phases.
All are read anew at each step, so they work in the middle of a phase.
"""

import pathlib
import time
from typing import Any

from nova import exception
from nova.compute import power_state, task_states
from oslo_log import log as logging

from xloudclient.tests.cloud.drivers import disks

LOG = logging.getLogger(__name__)
STEP = 0.1
SLICES = 20
PENDING, UPLOADING = (
    task_states.IMAGE_PENDING_UPLOAD,
    task_states.IMAGE_UPLOADING,
)


class InjectedFailure(exception.NovaException):
    """A test ordered it."""

    msg_fmt = 'Injected failure: %(phase)s'


class Snapshot:
    """The snapshot of one server to one image."""

    def __init__(
        self,
        driver: Any,
        context: Any,
        instance: Any,
        image_id: str,
        update_task_state: Any,
    ) -> None:
        self.driver = driver
        self.orders = driver.orders
        self.context = context
        self.instance = instance
        self.image_id = image_id
        self.update_task_state = update_task_state
        self.uuid = instance.uuid
        self.disk: pathlib.Path = driver.disk(self.uuid)
        self.captured = self.disk.with_name(f'captured-{image_id}')
        self.was_running = driver.state(self.uuid) == power_state.RUNNING

    def close(self) -> None:
        """Remove the captured bytes, unless the image consists of them."""
        self.captured.unlink(missing_ok=True)

    def run(self) -> None:
        """Go through all phases."""
        metadata = self._metadata()
        self._spend('pending')
        mode = self._settings().get('mode', 'live')
        self.update_task_state(task_state=PENDING)
        self.update_task_state(task_state=UPLOADING, expected_state=PENDING)
        if mode == 'direct':
            self._direct(metadata)
            return
        self._spend('attempt')
        self.update_task_state(task_state=PENDING, expected_state=UPLOADING)
        {'live': self._capture_live, 'cold': self._capture_cold}[mode]()
        self.update_task_state(task_state=UPLOADING, expected_state=PENDING)
        self._upload(metadata)

    def _capture_live(self) -> None:
        """Mirror for a while; the point in time is at the very end."""
        self._report('capture-begin')
        self._spend('capture')
        frozen = self.was_running and self._freeze()
        try:
            self._copy()
        finally:
            if frozen:
                self.driver.unquiesce(
                    self.context, self.instance, self.instance.image_meta
                )

    def _capture_cold(self) -> None:
        """Suspend, extract, resume: no write can come in between."""
        self._report('capture-begin')
        if self.was_running:
            self.driver.hold(self.uuid, power_state.SUSPENDED)
        try:
            self._copy()
            self._spend('capture')
        finally:
            if self.was_running:
                self.driver.let_go(self.uuid)

    def _direct(self, metadata: dict[str, Any]) -> None:
        """Capture inside the image store; tell Glance where, at the end.

        Nothing is frozen here, whatever the image's properties say.
        """
        self._report('capture-begin')
        target = self.driver.layout.path('glance', 'images', self.image_id)
        try:
            self._copy(target)
            self._spend('capture')
            self._spend('upload')
            self.driver.image_api.update(
                self.context,
                self.image_id,
                {**metadata, 'location': f'file://{target}'},
                purge_props=False,
            )
        except Exception:
            target.unlink(missing_ok=True)
            raise

    def _copy(self, target: pathlib.Path | None = None) -> None:
        disks.capture(
            self.orders,
            'captured',
            self.disk,
            target or self.captured,
            server=self.uuid,
            image=self.image_id,
        )

    def _freeze(self) -> bool:
        image_meta = self.instance.image_meta
        try:
            self.driver.quiesce(self.context, self.instance, image_meta)
        except exception.NovaException as error:
            if image_meta.properties.get('os_require_quiesce', False):
                raise
            LOG.info('Skipping quiescing instance: %s', error)
            return False
        return True

    def _upload(self, metadata: dict[str, Any]) -> None:
        self._report('upload-begin')
        with open(self.captured, 'rb') as file:
            size = max(1, self.captured.stat().st_size)
            self.driver.image_api.update(
                self.context,
                self.image_id,
                metadata,
                _SlowFile(self, file, -(-size // SLICES)),
            )
        self._report('upload-end')

    def _metadata(self) -> dict[str, Any]:
        meta = self.instance.image_meta
        image = self.driver.image_api.get(self.context, self.image_id)
        properties = {
            'image_location': 'snapshot',
            'image_state': 'available',
            'owner_id': self.instance.project_id,
        }
        if self.instance.os_type:
            properties['os_type'] = self.instance.os_type
        return {
            'status': 'active',
            'name': image['name'],
            'disk_format': _field(meta, 'disk_format', 'raw'),
            'container_format': _field(meta, 'container_format', 'bare'),
            'properties': properties,
        }

    def _settings(self) -> dict[str, Any]:
        found: dict[str, Any] = self.orders.settings('server', self.uuid)
        return found

    def _report(self, event: str) -> None:
        self.orders.report(event, self.uuid, image=self.image_id)

    def _spend(self, phase: str) -> None:
        """Take the ordered time; fail or hang there if so ordered."""
        began = time.monotonic()
        while self.check(phase) > time.monotonic() - began:
            time.sleep(STEP)

    def check(self, phase: str) -> float:
        """Return the phase's seconds; wait as long as it is to hang.

        :raises InjectedFailure: it is to fail
        :raises InstanceNotFound, ImageNotFound: deleted in the meantime
        """
        while True:
            if self.uuid not in self.driver.instances:
                raise exception.InstanceNotFound(instance_id=self.uuid)
            settings = self._settings()
            if settings.get('fail') == phase:
                self.orders.report(
                    'fail', self.uuid, phase=phase, image=self.image_id
                )
                raise InjectedFailure(phase=phase)
            if settings.get('hang') != phase:
                return float(settings.get(phase, 0))
            self.driver.image_api.get(self.context, self.image_id)
            time.sleep(STEP)


class _SlowFile:
    """The captured file, read out in slices over the upload's time."""

    def __init__(self, snapshot: Snapshot, file: Any, size: int) -> None:
        self.snapshot = snapshot
        self.file = file
        self.size = size

    def read(self, size: int = -1) -> bytes:
        time.sleep(self.snapshot.check('upload') / SLICES)
        data: bytes = self.file.read(self.size)
        return data

    def __iter__(self) -> Any:
        return iter(self.read, b'')

    def close(self) -> None:
        self.file.close()


def _field(meta: Any, name: str, default: str) -> str:
    if meta.obj_attr_is_set(name):
        return str(getattr(meta, name))
    return default
