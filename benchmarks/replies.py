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

"""A server that gives recorded replies: the cloud's share, taken out.

What a real cloud answered once, about one server and its snapshot, is
answered again for as many servers as are asked for, at once and by a process
of its own. Requests are counted.
"""

import collections
import contextlib
import functools
import http.server
import json
import multiprocessing
import re
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from xloudclient.tests.cloud import Cloud

SERVICES = {'keystone': '/identity', 'nova': '/compute', 'glance': '/image'}
#: Of what the real cloud is asked once.
MICROVERSION = {'OpenStack-API-Version': 'compute 2.79'}
#: Three servers share a compute host.
SERVERS_PER_HOST = 3
IMAGES = 1 << 32
Json = dict[str, Any]
Reply = tuple[int, Json]


def record(cloud: Cloud, server: Any, image_id: str) -> Json:
    """Ask a real cloud for everything that a snapshot needs to know."""
    conn = cloud.connection()
    addresses = cloud.layout.addresses()
    nova, glance = addresses.url('nova'), addresses.url('glance')

    def get(url: str, **headers: str) -> Json:
        return dict(conn.session.get(url, headers=headers).json())

    return {
        'bases': {
            # without the path: the catalog adds it
            name: f'http://127.0.0.1:{addresses.ports[name]}'
            for name in SERVICES
        },
        'token': _token(addresses.url('keystone'), cloud.environ('demo')),
        'identity': get(addresses.url('keystone')),
        'compute': get(nova),
        # a "choice" is no success for the session
        'image': json.loads(conn.session.get(
            f'{glance}/', raise_exc=False, redirect=False).text),
        'server': get(f'{nova}/servers/{server.id}', **MICROVERSION)['server'],
        'snapshot': get(f'{glance}/v2/images/{image_id}'),
        'usage': get(f'{glance}/v2/info/usage'),
    }  # fmt: skip


def _token(url: str, environ: dict[str, str]) -> Json:
    user = {
        'name': environ['OS_USERNAME'],
        'password': environ['OS_PASSWORD'],
        'domain': {'name': 'Default'},
    }
    project = {
        'name': environ['OS_PROJECT_NAME'],
        'domain': {'name': 'Default'},
    }
    body = {
        'auth': {
            'identity': {'methods': ['password'], 'password': {'user': user}},
            'scope': {'project': project},
        }
    }
    asked = urllib.request.Request(
        f'{url}/auth/tokens',
        json.dumps(body).encode(),
        {'Content-Type': 'application/json'},
    )
    with urllib.request.urlopen(asked) as answer:
        return dict(json.load(answer))


class Replies:
    """Makes replies of what was recorded, for any number of servers.

    :param recorded: of :func:`record`
    :param port: at which they are given: links name it
    """

    def __init__(self, recorded: Json, port: int) -> None:
        text = json.dumps(recorded)
        for service, base in recorded['bases'].items():
            text = text.replace(
                base, f'http://127.0.0.1:{port}{SERVICES[service]}'
            )
        self._recorded: Json = json.loads(text)
        self._images: dict[str, Json] = {}
        self.requests: collections.Counter[str] = collections.Counter()

    def give(self, method: str, target: str, body: Any) -> Reply:
        """Answer one request."""
        path, _, query = target.partition('?')
        asked = dict(urllib.parse.parse_qsl(query))
        self.requests[method] += 1
        for pattern, reply in self._table().items():
            if match := re.fullmatch(pattern, f'{method} {path}'):
                return reply(*match.groups(), asked=asked, body=body)
        return 404, {'message': f'nothing was recorded of {method} {path}'}

    def _table(self) -> dict[str, Callable[..., Reply]]:
        compute, image = '/compute/v2.1', '/image/v2'
        known = self._known
        return {
            'GET /identity/v3/?': functools.partial(known, 'identity'),
            'POST /identity/v3/auth/tokens': functools.partial(
                known, 'token', 201
            ),
            f'GET {compute}/?': functools.partial(known, 'compute'),
            'GET /image/?': functools.partial(known, 'image', 300),
            f'GET {image}/info/usage': functools.partial(known, 'usage'),
            f'GET {compute}/servers/detail': self._find,
            f'GET {compute}/servers/(.*)': self._server_by_id,
            f'POST {compute}/servers/(.*)/action': self._snapshot,
            f'GET {image}/images': lambda **_: (200, {'images': []}),
            f'GET {image}/images/(.*)': self._image,
            f'PATCH {image}/images/(.*)': self._update,
        }

    def _known(self, what: str, status: int = 200, **_asked: Any) -> Reply:
        return status, self._recorded[what]

    def _server(self, number: int) -> Json:
        return {
            **self._recorded['server'],
            'id': str(uuid.UUID(int=number)),
            'name': f'web-{number}',
            'hostId': f'{number // SERVERS_PER_HOST:056x}',
        }

    def _find(self, asked: Json, **_: Any) -> Reply:
        [number] = re.findall(r'\d+', asked['name'])
        return 200, {'servers': [self._server(int(number))]}

    def _server_by_id(self, server_id: str, **_: Any) -> Reply:
        try:
            number = uuid.UUID(server_id).int
        except ValueError:
            return 404, {'itemNotFound': {'code': 404, 'message': 'no ID'}}
        return 200, {'server': self._server(number)}

    def _snapshot(self, server_id: str, body: Any, **_: Any) -> Reply:
        wanted = body['createImage']
        image_id = str(uuid.UUID(int=IMAGES + uuid.UUID(server_id).int))
        self._images[image_id] = {
            **self._recorded['snapshot'],
            **wanted.get('metadata', {}),
            'id': image_id,
            'name': wanted['name'],
            'instance_uuid': server_id,
        }
        return 202, {'image_id': image_id}

    def _image(self, image_id: str, **_: Any) -> Reply:
        return 200, self._images[image_id]

    def _update(self, image_id: str, body: Any, **_: Any) -> Reply:
        for one in body:
            self._images[image_id][one['path'].strip('/')] = one.get('value')
        return 200, self._images[image_id]


@contextlib.contextmanager
def served(recorded: Json) -> Iterator[tuple[str, Callable[[], int]]]:
    """Give them, by another process.

    :return: the URL of Keystone, and what tells how many requests there were
        since it was last asked
    """
    context = multiprocessing.get_context('spawn')
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_serve, args=(recorded, theirs), daemon=True
    )
    process.start()

    def count() -> int:
        ours.send('count')
        return int(ours.recv())

    try:
        yield f'http://127.0.0.1:{ours.recv()}/identity/v3', count
    finally:
        process.terminate()
        process.join()


def _serve(recorded: Json, pipe: Connection) -> None:
    import threading

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), _Handler)
    server.daemon_threads = True
    port = server.server_address[1]
    _Handler.replies = Replies(recorded, port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pipe.send(port)
    while pipe.recv():
        pipe.send(_Handler.replies.requests.total())
        _Handler.replies.requests.clear()


class _Handler(http.server.BaseHTTPRequestHandler):
    replies: Replies
    protocol_version = 'HTTP/1.1'
    # head and body in one packet: the second would wait for an answer
    wbufsize = -1
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        length = int(self.headers.get('Content-Length') or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        status, reply = self.replies.give(self.command, self.path, body)
        text = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(text)))
        self.send_header('X-Subject-Token', 'recorded')
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = _answer

    def log_message(self, format: str, *args: object) -> None:
        pass
