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

"""Start the services of one cloud: the first thing its keeper does."""

import gc
import importlib
import os
import select
import socket
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from xloudclient.tests.cloud import (
    addressing,
    configuration,
    hypervisor,
    layout,
)
from xloudclient.tests.cloud.service import run

SECONDS = 180
# what most of the services import: once here, before the forks
SHARED = """
sqlalchemy sqlalchemy.orm sqlalchemy.dialects.sqlite sqlalchemy.ext.declarative
alembic.migration oslo_config.cfg oslo_log.log oslo_db.sqlalchemy.enginefacade
oslo_db.sqlalchemy.models oslo_db.sqlalchemy.utils oslo_messaging
oslo_messaging._drivers.impl_fake oslo_policy.policy oslo_context.context
oslo_utils.timeutils oslo_concurrency.processutils oslo_middleware
oslo_versionedobjects.base oslo_serialization.jsonutils oslo_cache.core
webob webob.dec paste.deploy routes jsonschema requests keystoneauth1.session
keystoneauth1.loading keystonemiddleware.auth_token cheroot.wsgi stevedore
lxml.etree cryptography.fernet osprofiler.web openstack.connection
castellan.options glanceclient.v2.client cinderclient.v3.client netaddr
os_brick.initiator.connector taskflow.engines oslo_reports.opts psutil
"""
Say = Callable[[str], None]


class Launcher:
    """Brings one cloud up, from nothing or from filled databases."""

    def __init__(self, where: layout.Layout, say: Say) -> None:
        self.layout = where
        self.say = say
        self._sockets: dict[str, socket.socket] = {}

    def launch(self) -> None:
        """Return once all services answer.

        :raises RuntimeError: one of them died or took too long
        """
        old = self.layout.addresses() if self.layout.is_seeded else None
        self._sockets = addressing.bind_ports(old)
        # bound for as long as the keeper lives
        self._network = addressing.bind_network(old)
        new = addressing.addresses(self.layout, self._sockets, self._network)
        self.layout.make_folders()
        configuration.write(self.layout, new)
        if self.layout.driver == 'libvirt':
            hypervisor.start(self.layout)
        if old:
            addressing.relocate(self.layout, new)
            _preload()
            self._start(*layout.PROCESSES)
        else:
            self._launch_from_nothing(new)
        for one in self._sockets.values():
            one.close()

    def _launch_from_nothing(self, addresses: layout.Addresses) -> None:
        from xloudclient.tests.cloud import migrate

        self.say('making the databases (about 30 s) ...')
        self.layout.write_addresses(addresses)
        migrate.migrate(self.layout, addresses)
        self.say('starting the services and filling them (about 10 s) ...')
        _preload()
        from xloudclient.tests.cloud import seed

        first, *others = layout.PROCESSES
        self._start(first)
        seeder = seed.Seeder(addresses)
        seeder.identity()
        self._start(*others)
        seeder.resources()
        self.layout.path('seeded').touch()

    def _start(self, *names: str) -> None:
        pipes = {self._fork(name): name for name in names}
        end = time.monotonic() + SECONDS
        while pipes:
            for pipe in select.select(pipes, [], [], 1)[0]:
                name = pipes.pop(pipe)
                if os.read(pipe, 1) != run.READY:
                    raise RuntimeError(self._obituary(name))
                os.close(pipe)
            if time.monotonic() > end:
                raise RuntimeError(
                    f'{", ".join(pipes.values())} not up in {SECONDS} s'
                )

    def _fork(self, name: str) -> int:
        reader, writer = os.pipe()
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            os.close(reader)
            mine = {'nova': ('nova', 'placement')}.get(name, (name,))
            for other in set(self._sockets) - set(mine):
                self._sockets[other].close()
            run.run(self.layout, name, self._sockets, writer)
        os.close(writer)
        self.layout.path('run', name).write_text(str(pid))
        return reader

    def _obituary(self, name: str) -> str:
        out = self.layout.log / f'{name}.out'
        return f'{name} died:\n{out.read_text()[-3000:]}'


class _NoEventlet:
    """Nova refuses threading mode if eventlet was imported before."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name.split('.')[0] == 'eventlet':
            raise ImportError('not wanted here')


def _preload() -> None:
    """Import what the services share, so that they share its memory too."""
    gc.disable()  # imports are a third faster; run.py turns it on again
    warnings.simplefilter('ignore')
    finder = _NoEventlet()
    sys.meta_path.insert(0, finder)
    # else importing oslo.messaging would choose eventlet
    from oslo_service import backend

    backend.init_backend(backend.BackendType.THREADING)
    for name in SHARED.split():
        importlib.import_module(name)
    sys.meta_path.remove(finder)
    gc.freeze()
