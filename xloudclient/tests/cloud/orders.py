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

"""Orders to a cloud, and its logs: a part of Cloud."""

import dataclasses
import signal
import time
import uuid
from collections.abc import Mapping
from typing import Any

from xloudclient.tests.cloud import control as orders_and_events
from xloudclient.tests.cloud import layout, process

IN_PROCESS = {'placement': 'nova'}
EVERY = orders_and_events.ALL
Event = orders_and_events.Event
#: Glance's unified limits (glance/quota/keystone.py).
IMAGE_LIMITS = (
    'image_size_total',
    'image_stage_total',
    'image_count_total',
    'image_count_uploading',
)
PLENTY = 1_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request which a service got.

    :param time: when it came, seconds since the epoch
    :param monotonic: when it was answered, on the machine's monotonic clock
    :param seconds: how long it took
    :param status: of the answer; 200 if the connection was cut by a fault
    :param fault: the id of the fault that applied, or None
    """

    time: float
    monotonic: float
    seconds: float
    service: str
    method: str
    path: str
    query: str
    status: int | None
    user_agent: str
    fault: str | None


class Orders:
    """What a test can order, and look up afterwards."""

    layout: layout.Layout

    def connection(self, user: str = 'demo') -> Any:
        """Return a connection; Cloud has it."""
        raise NotImplementedError

    def control(self, server_id: str = EVERY, **settings: Any) -> None:
        """Order how snapshots of a server go, from its next step on.

        :param server_id: a server's id; by default all servers
        :param settings: None takes one back.
            ``mode`` ``live`` | ``cold`` | ``direct``;
            ``pending``, ``attempt`` (the false ``image_uploading``),
            ``capture``, ``upload``, ``spawn`` seconds; ``fail`` one of these
            or ``quiesce``; ``hang`` one of these
        """
        self._orders.order('server', server_id, **settings)

    def control_volume(self, volume_id: str = EVERY, **settings: Any) -> None:
        """Order how a volume behaves, from the next step on.

        :param settings: ``create``, ``snapshot`` (before the capture),
            ``finish`` (after it), ``upload``, ``delete`` (a snapshot)
            seconds; ``fail``, ``hang`` one of these steps;
            ``fail='busy'``: a snapshot that others depend on
        """
        self._orders.order('volume', volume_id, **settings)

    def control_compute(self, *, dead: bool) -> None:
        """Let nova-compute take no message any more, or take them again."""
        self._orders.order('compute', EVERY, dead=dead)

    def limit_images(self, **limits: int) -> None:
        """Have Glance enforce its unified limits, until they are reset.

        :param limits: e.g. ``image_count_total``; what is not named is
            as good as unlimited. ``image_size_total`` is in MiB
        """
        identity = self.connection('admin').identity
        [service] = identity.services(type='image')
        known = {
            one.resource_name: one
            for one in identity.registered_limits(service_id=service.id)
        }
        for name in IMAGE_LIMITS:
            limit = limits.get(name, PLENTY)
            if name in known:
                identity.update_registered_limit(
                    known[name], default_limit=limit
                )
                continue
            identity.create_registered_limit(
                service_id=service.id,
                region_id='RegionOne',
                resource_name=name,
                default_limit=limit,
            )
        self._orders.order('images', EVERY, limited=True)

    def reset(self) -> None:
        """Take back all orders: faults, failures, modes, dead compute."""
        for path in self.layout.path('ctl').glob('*.json'):
            path.unlink(missing_ok=True)

    def suspend(self, service: str) -> None:
        """Stop a service's process: it accepts requests, and is silent."""
        self._signal(service, signal.SIGSTOP)

    def resume(self, service: str) -> None:
        """Let a suspended service go on."""
        self._signal(service, signal.SIGCONT)

    def _signal(self, service: str, number: int) -> None:
        name = IN_PROCESS.get(service, service)
        process.signal_all([self.pids()[name]], number)

    def pids(self) -> dict[str, int]:
        """Return the service processes by name."""
        return {
            path.name: int(path.read_text())
            for name in layout.PROCESSES
            if (path := self.layout.path('run', name)).exists()
        }

    def fault(
        self,
        service: str,
        *,
        method: str | None = None,
        path: str | None = None,
        status: int | None = None,
        delay: float | None = None,
        drop: str | None = None,
        times: int | None = None,
        **body: int | bool,
    ) -> str:
        """Let matching requests to a service fail; return the fault's id.

        :param method: e.g. ``POST``; by default any
        :param path: a regular expression found in the path; default any
        :param status: the answer, instead of doing the work
        :param delay: seconds of waiting before anything else
        :param drop: ``reply``: do the work, then cut the connection;
            ``request``: cut it, and do nothing
        :param times: how many requests it hits; by default all
        :param body: ``cut_after``: so many bytes of the answer's body, then
            cut the connection; ``hold_after``: so many, and nothing more
            until the fault is taken back; ``rate``: so many a second;
            ``no_range=True``: answer as if no range had been asked for
        """
        rule = {
            'id': uuid.uuid4().hex,
            'method': method,
            'path': path,
            'status': status,
            'delay': delay,
            'drop': drop,
            'times': times,
            **body,
        }
        rules = self._orders.settings('http', service).get('rules', [])
        rules.append({k: v for k, v in rule.items() if v is not None})
        self._orders.order('http', service, rules=rules)
        return str(rule['id'])

    def clear_faults(self) -> None:
        """Take back all faults."""
        for service in layout.SERVICES:
            self._orders.forget('http', service)

    def events(
        self,
        server_id: str | None = None,
        event: str | None = None,
        since: float = 0,
    ) -> list[Event]:
        """Return what happened to disks, oldest first.

        ``freeze``, ``thaw``, ``capture-begin``, ``captured`` (details:
        ``begin`` and ``end`` of the copy, ``sha256``, ``image``),
        ``upload-begin``, ``upload-end``, ``fail`` (``phase``), ``suspend``,
        ``resume``; ``volume-captured`` (``volume``, ``snapshot``, ``begin``,
        ``end``), for which there is no server.

        :param since: leave out what was over before (time.time())
        """
        return [
            one
            for one in self._orders.events()
            if server_id in (None, one.server)
            and event in (None, one.event)
            and one.time >= since
        ]

    def requests(self, since: float = 0, **fields: str) -> list[Request]:
        """Return the requests answered so far, in the order of answers.

        :param since: leave out those that came before (time.time())
        :param fields: leave out those whose field has another value, e.g.
            ``service='nova', method='POST'``
        """
        found = (
            Request(**one)
            for one in orders_and_events.lines(self.layout, 'requests.jsonl')
        )
        return [
            one for one in found if one.time >= since and _has(one, fields)
        ]

    @staticmethod
    def wait(
        condition: Any, seconds: float = 60, what: str = 'condition'
    ) -> Any:
        """Return the first true value of a function, asked each 50 ms.

        :raises TimeoutError: it never was true
        """
        end = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > end:
                raise TimeoutError(f'no {what} in {seconds} s')
            time.sleep(0.05)
        return value

    @property
    def _orders(self) -> orders_and_events.Control:
        return orders_and_events.Control(self.layout)


def _has(request: Request, fields: Mapping[str, str]) -> bool:
    return all(
        getattr(request, name) == value for name, value in fields.items()
    )
