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

"""In front of each API: a log of the requests, and faults on order.

A fault is an order (see control.py) of kind ``http`` with a list ``rules``;
the first rule which matches a request applies:

``method``, ``path``  what to match; ``path`` is a regular expression, found
                      anywhere in the path
``delay``             seconds to wait before the request is worked on
``status``            answer with this status, do no work
``drop``              ``request``: close the connection, do no work;
                      ``reply``: do the work, then close the connection
``cut_after``         close the connection after so many bytes of the body
``hold_after``        send so many bytes of the body, and the rest never:
                      closed when the order is taken back
``no_range``          answer as one that knows no ``Range`` header would
``rate``              send so many bytes of the body a second, and no more
``times``             how many requests it applies to; for ever without
"""

import collections
import http
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from xloudclient.tests.cloud import control

CONNECTION = 'embedded.connection'
Start = Callable[..., Any]


class Watch:
    """The WSGI middleware of one service."""

    def __init__(
        self, application: Any, service: str, orders: control.Control
    ) -> None:
        self.application = application
        self.service = service
        self.orders = orders
        self._lock = threading.Lock()
        self._used: collections.Counter[str] = collections.Counter()

    def __call__(
        self, environ: dict[str, Any], start_response: Start
    ) -> Iterable[bytes]:
        began = time.time()
        # kept, since the application changes them as it dispatches
        asked = {
            'method': environ['REQUEST_METHOD'],
            'path': environ['PATH_INFO'],
            'query': environ.get('QUERY_STRING', ''),
            'user_agent': environ.get('HTTP_USER_AGENT', ''),
        }
        answer: list[str] = []

        def start(status: str, *args: Any) -> Any:
            answer[:] = [status]
            return start_response(status, *args)

        fault = self._fault(environ)
        try:
            body = self._answer(environ, start, fault)
        finally:
            self._log(asked, began, answer, fault)
        return body

    def _answer(
        self, environ: dict[str, Any], start: Start, fault: dict[str, Any]
    ) -> Iterable[bytes]:
        time.sleep(float(fault.get('delay', 0)))
        if fault.get('drop') == 'request':
            return _cut(environ, start)
        if 'status' in fault:
            return _refuse(environ, start, int(fault['status']))
        if fault.get('no_range'):
            environ.pop('HTTP_RANGE', None)
        body: Iterable[bytes] = self.application(environ, start)
        if 'cut_after' in fault or 'hold_after' in fault:
            return self._cut_short(environ, body, fault)
        if 'rate' in fault:
            return _slowed(body, float(fault['rate']))
        if fault.get('drop') == 'reply':
            _consume(body)
            return _cut(environ, start)
        return body

    def _cut_short(
        self,
        environ: dict[str, Any],
        body: Iterable[bytes],
        fault: dict[str, Any],
    ) -> Iterator[bytes]:
        left = int(fault.get('cut_after', fault.get('hold_after', 0)))
        try:
            for chunk in body:
                if left <= 0:
                    break
                yield chunk[:left]
                left -= len(chunk)
        finally:
            getattr(body, 'close', lambda: None)()
        while 'hold_after' in fault and fault in self._rules():
            time.sleep(0.05)
        environ[CONNECTION].shutdown(socket.SHUT_RDWR)

    def _rules(self) -> list[dict[str, Any]]:
        return list(
            self.orders.settings('http', self.service).get('rules', ())
        )

    def _fault(self, environ: dict[str, Any]) -> dict[str, Any]:
        for rule in self._rules():
            if _matches(rule, environ) and self._take(rule):
                return dict(rule)
        return {}

    def _take(self, rule: dict[str, Any]) -> bool:
        with self._lock:
            times = rule.get('times')
            if times is not None and self._used[rule['id']] >= times:
                return False
            self._used[rule['id']] += 1
            return True

    def _log(
        self,
        asked: dict[str, str],
        began: float,
        answer: list[str],
        fault: dict[str, Any],
    ) -> None:
        control.append(
            self.orders.layout,
            'requests.jsonl',
            {
                **asked,
                'time': began,
                'monotonic': time.monotonic(),
                'seconds': time.time() - began,
                'service': self.service,
                'status': int(answer[0].split()[0]) if answer else None,
                'fault': fault.get('id'),
            },
        )


def _matches(rule: dict[str, Any], environ: dict[str, Any]) -> bool:
    method = rule.get('method')
    if method and method != environ['REQUEST_METHOD']:
        return False
    return bool(re.search(rule.get('path') or '', environ['PATH_INFO']))


def _refuse(
    environ: dict[str, Any], start: Start, status: int
) -> Iterable[bytes]:
    # unread input would be taken for the connection's next request
    _consume(iter(lambda: environ['wsgi.input'].read(65536), b''))
    reason = http.HTTPStatus(status).phrase
    body = json.dumps(
        {
            'injectedFault': {
                'code': status,
                'message': f'Injected fault: {reason}',
            }
        }
    ).encode()
    start(
        f'{status} {reason}',
        [
            ('Content-Type', 'application/json'),
            ('Content-Length', str(len(body))),
        ],
    )
    return [body]


def _slowed(body: Iterable[bytes], rate: float) -> Iterator[bytes]:
    due = time.monotonic()
    try:
        for chunk in body:
            yield chunk
            due += len(chunk) / rate
            time.sleep(max(0, due - time.monotonic()))
    finally:
        getattr(body, 'close', lambda: None)()


def _cut(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    environ[CONNECTION].shutdown(socket.SHUT_RDWR)
    start('200 Connection Cut', [], None)
    return []


def _consume(body: Any) -> None:
    collections.deque(body, maxlen=0)
    getattr(body, 'close', lambda: None)()
