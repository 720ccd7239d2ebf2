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

"""What an arm of the experiment works with while it takes its snapshot."""

import calendar
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

from xloudclient.tests.cloud import hypervisor
from xloudclient.tests.e2e.estate import Estate
from xloudclient.tests.e2e.experiment.load import Counts, Load
from xloudclient.tests.e2e.machine import Machine

INTERVAL = 0.05
#: For a snapshot to be active; an emulated processor is slow to write.
SECONDS = 600.0
#: Of the client's events, those that are of interest, and what they are here.
EVENTS = {
    'quiescing': 'locking',
    'requesting': 'requested',
    'captured': 'seen captured',
    'released': 'released',
}
#: libvirt's log of what it told the guest agent; the time is in UTC.
#: When the freeze hook came to what, in its last record.
HOOK_NOTES = (
    'cd /run/xloudclient/agent && sed -n "s/.* note //p" "record.$(cat last)"'
)
HOOK_EVENTS = {'lock': 'hook locking', 'closed': 'hook released'}
AGENT = re.compile(
    r'^(\S+ \S+)\+0000: .*"execute":"guest-fsfreeze-(freeze|thaw)'
)


class Scene:
    """One server under load, about to be snapshotted.

    :param name: of the snapshot
    """

    def __init__(
        self, estate: Estate, machine: Machine, load: Load, name: str
    ) -> None:
        self.estate = estate
        self.machine = machine
        self.name = name
        self.position: Counts = {}
        self.claimed = ''
        self.events: list[tuple[str, float]] = []
        self._load = load
        self._log = hypervisor.log(estate.cloud.layout).stat().st_size

    def tell(self, event: str) -> None:
        """Note that something happened now."""
        self.events.append((event, time.time()))

    def note_position(self) -> None:
        """Note which rows are acknowledged."""
        self.position = self._load.mark()

    def note_position_of_hook(self) -> None:
        """Note which rows were acknowledged once the freeze hook held all.

        Its clock is the load's own.
        """
        said = self.machine.run(HOOK_NOTES).splitlines()
        notes = {name: float(at) for name, at in map(str.split, said)}
        self.position = self._load.mark_at(notes['held'])
        for name, text in HOOK_EVENTS.items():
            self.events.append((text, self._load.epoch + notes[name]))

    def create_image(self) -> None:
        """Run ``openstack server image create`` and wait for the image."""
        watch = threading.Thread(target=self._watch, daemon=True)
        self.tell('begun')
        watch.start()
        done = self.estate.openstack(
            *('server', 'image', 'create', '--name', self.name),
            self.machine.server.name,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        self.tell('returned')
        watch.join(SECONDS)

    def _watch(self) -> None:
        """Note when the image changes."""
        images = self.estate.cloud.connection('demo').image
        seen, end = '', time.monotonic() + SECONDS
        while seen != 'active' and time.monotonic() < end:
            found = next(iter(images.images(name=self.name)), None)
            if found and found.status != seen:
                seen = found.status
                self.tell(
                    {'queued': 'requested', 'saving': 'seen captured'}.get(
                        seen, seen
                    )
                )
            time.sleep(INTERVAL)

    def snapshot_consistent(self, *words: str) -> None:
        """Run ``openstack server snapshot consistent`` and wait.

        :param words: more of its arguments
        """
        self.tell('begun')
        with tempfile.TemporaryDirectory() as folder:
            pipe = pathlib.Path(folder, 'events')
            os.mkfifo(pipe)
            follow = threading.Thread(target=self._follow, args=(pipe,))
            follow.start()
            rows = self._run_client(folder, pipe, words)
            follow.join(60)
        self.claimed = rows[0]['Consistency']
        self.tell('active')
        self.events.sort(key=lambda one: one[1])

    @contextlib.contextmanager
    def slow_mirror(self, megabytes: int) -> Iterator[None]:
        """Within, Nova's mirror of the root disk copies that much a second."""
        over = threading.Event()

        def slow_down() -> None:
            while not over.wait(0.1):
                with contextlib.suppress(subprocess.CalledProcessError):
                    self.estate.slow_down(self.machine, megabytes)
                    return

        thread = threading.Thread(target=slow_down, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _run_client(
        self, folder: str, pipe: pathlib.Path, words: tuple[str, ...]
    ) -> list[dict[str, Any]]:
        done = subprocess.run(
            [
                *(sys.executable, '-m', 'openstackclient.shell', 'server'),
                *('snapshot', 'consistent', self.machine.server.name),
                *('--name', self.name, '--wait', '-f', 'json'),
                *('--events', str(pipe), *self.machine.options, *words),
            ],
            env={**self.estate.environ(), 'XDG_STATE_HOME': folder},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f'exit {done.returncode}: {done.stderr}')
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows

    def _follow(self, pipe: pathlib.Path) -> None:
        """Note what the client says; the position while all is locked."""
        with open(pipe, encoding='utf-8') as lines:
            for line in lines:
                said = json.loads(line)['event']
                if said == 'requesting':
                    self.note_position()
                if said in EVENTS:
                    self.tell(EVENTS[said])

    def agent_events(self) -> Iterator[tuple[str, float]]:
        """Yield when Nova had the guest agent freeze and thaw."""
        with open(hypervisor.log(self.estate.cloud.layout)) as lines:
            lines.seek(self._log)
            for line in lines:
                if found := AGENT.match(line):
                    at = time.strptime(found[1][:19], '%Y-%m-%d %H:%M:%S')
                    seconds = calendar.timegm(at) + float(found[1][19:])
                    yield f'agent told to {found[2]}', seconds
