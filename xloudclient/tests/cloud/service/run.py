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

"""The life of one service process, from the keeper's fork on."""

import gc
import os
import signal
import socket
import traceback
from collections.abc import Mapping
from typing import Any

from xloudclient.tests.cloud import control, layout, process

THREADS = {'nova': 16, 'placement': 6}
READY = b'+'


def run(
    where: layout.Layout,
    name: str,
    sockets: Mapping[str, socket.socket],
    ready: int,
) -> None:
    """Be the service; never return.

    :param sockets: the bound socket of each API
    :param ready: file descriptor which gets READY once requests are answered
    """
    process.die_with_parent(signal.SIGKILL)
    os.setsid()
    _redirect(where, name)
    try:
        _start(where, name, sockets)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    # set last: starting the services installs handlers of their own
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.enable()
    os.write(ready, READY)
    os.close(ready)
    while True:
        signal.pause()


def _start(
    where: layout.Layout, name: str, sockets: Mapping[str, socket.socket]
) -> None:
    from sqlalchemy import orm

    from xloudclient.tests.cloud.service import (
        apps,
        http,
        middleware,
        rpc,
        sqlite,
    )

    orders = control.Control(where)
    sqlite.install()
    rpc.install(orders)

    def serve(application: Any, api: str) -> None:
        # else the first requests do it at the same time, and some of
        # Neutron's fail: "type object 'Port' has no attribute ..."
        orm.configure_mappers()
        watched = middleware.Watch(application, api, orders)
        http.serve(watched, sockets[api], THREADS.get(api, 12))

    getattr(apps, name)(where, serve)


def _redirect(where: layout.Layout, name: str) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    out = os.open(
        where.log / f'{name}.out', os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644
    )
    for source, target in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
