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

"""Serve a WSGI application on a socket that is bound already."""

import socket
import threading
from typing import Any

from cheroot import wsgi

from xloudclient.tests.cloud.service import middleware


class _Body:
    """A wsgi.input whose close() leaves the connection open.

    Glance closes the input of an upload; cheroot then answers the next
    request of that kept-alive connection with a 500 ("I/O operation on
    closed file"), and Nova, whose request that is, deletes its snapshot.
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def __iter__(self) -> Any:
        return iter(self._raw)

    def close(self) -> None:
        pass


class _Gateway(wsgi.Gateway_10):
    """Tells the application its connection, so that a fault can cut it."""

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ['wsgi.input'] = _Body(environ['wsgi.input'])
        environ[middleware.CONNECTION] = self.req.conn.socket
        return environ


class _Server(wsgi.Server):
    """Takes over a socket: ports are bound once, before the forks."""

    def __init__(
        self, bound: socket.socket, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(bound.getsockname(), *args, **kwargs)
        self._bound = bound
        self.gateway = _Gateway

    def bind(self, *args: Any) -> socket.socket:
        self.socket = self._bound
        return self.socket


def serve(application: Any, bound: socket.socket, threads: int) -> None:
    """Answer requests from now on, in threads of this process.

    :param threads: how many requests are worked on at the same time
    """
    server = _Server(
        bound,
        application,
        numthreads=threads,
        max=-1,
        request_queue_size=64,
        timeout=60,
        shutdown_timeout=1,
    )
    server.prepare()
    threading.Thread(target=server.serve, daemon=True).start()
