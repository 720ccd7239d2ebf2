"""The life of one service process, from the keeper's fork on."""
import gc
import os
import signal
import socket
import traceback
from collections.abc import Mapping
from typing import Any

from xloudclient.tests.cloud import control
from xloudclient.tests.cloud import layout
from xloudclient.tests.cloud import process

THREADS = {'nova': 16, 'placement': 6}
READY = b'+'


def run(where: layout.Layout, name: str,
        sockets: Mapping[str, socket.socket], ready: int) -> None:
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


def _start(where: layout.Layout, name: str,
           sockets: Mapping[str, socket.socket]) -> None:
    from xloudclient.tests.cloud.service import apps
    from xloudclient.tests.cloud.service import http
    from xloudclient.tests.cloud.service import middleware
    from xloudclient.tests.cloud.service import rpc
    from xloudclient.tests.cloud.service import sqlite
    orders = control.Control(where)
    sqlite.install()
    rpc.install(orders)

    def serve(application: Any, api: str) -> None:
        watched = middleware.Watch(application, api, orders)
        http.serve(watched, sockets[api], THREADS.get(api, 12))

    getattr(apps, name)(where, serve)


def _redirect(where: layout.Layout, name: str) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    out = os.open(where.log / f'{name}.out',
                  os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for source, target in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
