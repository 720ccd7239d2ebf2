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
            path, {k: v for k, v in found.items() if v is not None})

    def forget(self, kind: str, identity: str) -> None:
        """Take back every order for one."""
        self._file(kind, identity).unlink(missing_ok=True)

    def report(self, event: str, server: str | None = None,
               **details: Any) -> None:
        """Append an event; one write, so that processes do not mix lines."""
        append(self.layout, 'events.jsonl', {
            'time': time.time(), 'monotonic': time.monotonic(),
            'server': server, 'event': event, 'details': details})

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
    """Yield the objects of a log in ``STATE/log``; none if it is not there."""
    with contextlib.suppress(FileNotFoundError):
        with open(where.log / name) as file:
            for line in file:
                if line.endswith('\n'):
                    yield json.loads(line)
