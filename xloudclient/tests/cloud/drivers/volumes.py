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

"""A Cinder backend that keeps volumes and snapshots in sparse files.

Orders of kind ``volume`` (see control.py), by volume id; seconds:

``create``    before the volume is made
``snapshot``  before a snapshot's capture: it is queued
``finish``    after the capture, before the snapshot is available
``upload``    before the volume's bytes go to an image
``fail``      one of these four
``hang``      one of these four: stays there until the order is revoked
"""

import os
import pathlib
from typing import Any

from cinder import exception, interface
from cinder.volume import configuration, driver
from oslo_config import cfg
from oslo_utils import units

from xloudclient.tests.cloud import control, layout
from xloudclient.tests.cloud.drivers import disks

OPTIONS = [
    cfg.StrOpt('embedded_folder', help='Folder of the cloud.'),
    cfg.StrOpt(
        'embedded_connection', default='local', help='How Nova connects.'
    ),
]
cfg.CONF.register_opts(OPTIONS, group=configuration.SHARED_CONF_GROUP)
# Cinder's manager takes these for what the backend can do
STATISTICS = {
    'vendor_name': 'embedded',
    'driver_version': '1.0',
    'storage_protocol': 'file',
    'total_capacity_gb': 10000,
    'free_capacity_gb': 10000,
    'reserved_percentage': 0,
    'multiattach': True,
    'QoS_support': False,
    'thin_provisioning_support': True,
    'max_over_subscription_ratio': 20,
}


@interface.volumedriver
class FileDriver(driver.VolumeDriver):
    """Volumes are files named as Cinder names them."""

    VERSION = '1.0'
    CI_WIKI_NAME = 'none'

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(OPTIONS)
        where = layout.Layout.of(self.configuration.embedded_folder)
        self.orders = control.Control(where)
        self.folder = where.path('cinder', 'files')

    def do_setup(self, context: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def check_for_setup_error(self) -> None:
        pass

    def _update_volume_stats(self) -> None:
        self._stats = dict(
            STATISTICS,
            volume_backend_name=self.configuration.volume_backend_name,
        )

    def create_volume(self, volume: Any) -> None:
        self._pace('create', volume.id)
        with open(self._path(volume), 'wb') as file:
            file.truncate(volume.size * units.Gi)

    def delete_volume(self, volume: Any) -> None:
        self._path(volume).unlink(missing_ok=True)

    def create_snapshot(self, snapshot: Any) -> None:
        self._pace('snapshot', snapshot.volume_id)
        disks.capture(
            self.orders,
            'volume-captured',
            self._path(snapshot.volume),
            self._path(snapshot),
            volume=snapshot.volume_id,
            snapshot=snapshot.id,
        )
        self._pace('finish', snapshot.volume_id)

    def delete_snapshot(self, snapshot: Any) -> None:
        if not self.orders.pace('volume', snapshot.volume_id, 'busy'):
            raise exception.SnapshotIsBusy(snapshot_name=snapshot.name)
        self._pace('delete', snapshot.volume_id)
        self._path(snapshot).unlink(missing_ok=True)

    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> None:
        self._copy(snapshot, volume)

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> None:
        self._copy(src_vref, volume)

    def extend_volume(self, volume: Any, new_size: int) -> None:
        os.truncate(self._path(volume), new_size * units.Gi)

    def clone_image(
        self,
        context: Any,
        volume: Any,
        image_location: Any,
        image_meta: Any,
        image_service: Any,
    ) -> Any:
        """Take a raw image straight from Glance: no qemu-img, no detour."""
        if image_meta.get('disk_format') != 'raw':
            return {}, False
        self.create_volume(volume)
        with open(self._path(volume), 'r+b') as file:
            image_service.download(context, image_meta['id'], file)
            file.truncate(volume.size * units.Gi)
        return {}, True

    def copy_image_to_volume(
        self,
        context: Any,
        volume: Any,
        image_service: Any,
        image_id: str,
        disable_sparse: bool = False,
    ) -> None:
        from cinder.image import image_utils

        image_utils.fetch_to_raw(
            context,
            image_service,
            image_id,
            str(self._path(volume)),
            self.configuration.volume_dd_blocksize,
            size=volume.size,
            run_as_root=False,
        )
        # the converted file has the image's virtual size
        os.truncate(self._path(volume), volume.size * units.Gi)

    def copy_volume_to_image(
        self, context: Any, volume: Any, image_service: Any, image_meta: Any
    ) -> None:
        self._pace('upload', volume.id)
        with disks.without_last_hole(self._path(volume)) as file:
            image_service.update(context, image_meta['id'], {}, file)

    def ensure_export(self, context: Any, volume: Any) -> None:
        pass

    def create_export(self, context: Any, volume: Any, connector: Any) -> None:
        pass

    def remove_export(self, context: Any, volume: Any) -> None:
        pass

    def initialize_connection(self, volume: Any, connector: Any) -> Any:
        return {
            'driver_volume_type': self.configuration.embedded_connection,
            'data': {
                'name': volume.name,
                'device_path': str(self._path(volume)),
            },
        }

    def terminate_connection(
        self, volume: Any, connector: Any, **kwargs: Any
    ) -> None:
        pass

    def _path(self, thing: Any) -> pathlib.Path:
        return self.folder / thing.name

    def _copy(self, source: Any, volume: Any) -> None:
        self._pace('create', volume.id)
        disks.copy_sparse(self._path(source), self._path(volume))
        os.truncate(self._path(volume), volume.size * units.Gi)

    def _pace(self, step: str, volume_id: str) -> None:
        """Take the ordered time over a step, or fail there."""
        if not self.orders.pace('volume', volume_id, step):
            self.orders.report('fail', volume=volume_id, phase=step)
            raise exception.VolumeBackendAPIException(
                data=f'Injected failure: {step}'
            )
