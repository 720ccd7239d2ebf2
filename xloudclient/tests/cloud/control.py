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

"""Orders from a test to the services, and what the services saw happen.

Orders are small JSON files in ``STATE/ctl``, read anew at each step, so they
work in the middle of a snapshot and are invisible to users of the API.  What
happened is appended to ``STATE/log/events.jsonl``, one object a line.
"""

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from xloudclient.tests.cloud import layout

ALL = 'all'
STEP_SECONDS = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a server's or volume's disk.

    :param time: seconds since the epoch, at the end of what happened
    :param monotonic: the same instant on the machine's monotonic clock
    :param server: the server's id, or None
    :param event: what, e.g. ``captured``
    :param details: more, e.g. ``begin`` and ``end`` of the copy
    """

    time: float
    monotonic: float
    server: str | None
    event: str
    details: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Control:
    """The orders and events of one cloud."""

    layout: layout.Layout

    def settings(self, kind: str, identity: str) -> dict[str, Any]:
        """Return the orders for all of a kind, overlaid by those for one."""
        found: dict[str, Any] = {}
        for name in (ALL, identity):
            with contextlib.suppress(FileNotFoundError):
                found.update(layout.read_json(self._file(kind, name)))
        return found

    def order(self, kind: str, identity: str, **settings: Any) -> None:
        """Add to the orders for one; a setting of None takes it back."""
        path = self._file(kind, identity)
        found = {}
        with contextlib.suppress(FileNotFoundError):
            found = layout.read_json(path)
        found.update(settings)
        layout.write_json(
            path, {k: v for k, v in found.items() if v is not None}
        )

    def forget(self, kind: str, identity: str) -> None:
        """Take back every order for one."""
        self._file(kind, identity).unlink(missing_ok=True)

    def pace(self, kind: str, identity: str, step: str) -> bool:
        """Take the ordered time over a step; whether it is to succeed.

        The orders are seconds under the step's own name, ``fail`` and
        ``hang``; all are read again and again.
        """
        began = time.monotonic()
        while True:
            settings = self.settings(kind, identity)
            if settings.get('fail') == step:
                return False
            passed = time.monotonic() - began
            if settings.get('hang') != step and passed >= float(
                settings.get(step, 0)
            ):
                return True
            time.sleep(STEP_SECONDS)

    def report(
        self, event: str, server: str | None = None, **details: Any
    ) -> None:
        """Append an event; one write, so that processes do not mix lines."""
        append(
            self.layout,
            'events.jsonl',
            {
                'time': time.time(),
                'monotonic': time.monotonic(),
                'server': server,
                'event': event,
                'details': details,
            },
        )

    def events(self) -> Iterator[Event]:
        """Yield all events, oldest first."""
        for line in lines(self.layout, 'events.jsonl'):
            yield Event(**line)

    def _file(self, kind: str, identity: str) -> Any:
        return self.layout.path('ctl', f'{kind}-{identity}.json')


def append(where: layout.Layout, name: str, value: Any) -> None:
    """Append one line to a log in ``STATE/log``."""
    fd = os.open(where.log / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(fd, json.dumps(value).encode() + b'\n')
    finally:
        os.close(fd)


def lines(where: layout.Layout, name: str) -> Iterator[dict[str, Any]]:
    """Return the objects of a log in ``STATE/log``; none without it."""
    path = where.log / name
    # the last line may be in the making
    text = path.read_text().rpartition('\n')[0] if path.exists() else ''
    return map(json.loads, text.splitlines())
