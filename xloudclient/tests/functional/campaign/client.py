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

"""The command under test, as a process of its own, and what it says."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from xloudclient.tests.functional.campaign import processes
from xloudclient.tests.functional.campaign.subject import Subject

END = '"the end"\n'
MAX_FREEZE_SECONDS = 25
QUIESCERS = ('mysql', 'redis', 'postgresql')


class Client:
    """``openstack server snapshot consistent``, begun.

    Its events come through a named pipe, which a full disk does not stop.

    :param folder: a new folder for its state
    :param words: more of its arguments
    """

    def __init__(
        self, subject: Subject, folder: pathlib.Path, words: list[str]
    ) -> None:
        self.subject = subject
        self.folder = folder
        self.events: list[dict[str, Any]] = []
        self.stdout = self.stderr = ''
        self.began = time.time()
        folder.mkdir(parents=True, exist_ok=True)
        self._pipe = self._listen()
        self.process = subprocess.Popen(
            [*self._command(), *words],
            env=self._environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors='replace',
        )
        self._drain = threading.Thread(target=self._communicate, daemon=True)
        self._drain.start()

    @property
    def runs(self) -> pathlib.Path:
        """Where its journals are."""
        return self.folder / 'xloudclient' / 'runs'

    def _listen(self) -> int:
        path = self.folder / 'events'
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path)
        # for reading and writing, so that it never comes to an end
        pipe = os.open(path, os.O_RDWR)
        threading.Thread(
            target=self._read_events, args=(os.dup(pipe),), daemon=True
        ).start()
        return pipe

    def _read_events(self, pipe: int) -> None:
        with os.fdopen(pipe, encoding='utf-8', errors='replace') as lines:
            for line in lines:
                if line == END:
                    return
                # one may be cut short by a kill
                with contextlib.suppress(ValueError):
                    self.events.append(json.loads(line))

    def _command(self) -> list[str]:
        guest = self.subject.guest
        return [
            # what runs the campaign in the background ignores SIGINT
            *('env', '--default-signal'),
            *(sys.executable, '-m', 'openstackclient.shell'),
            *('server', 'snapshot', 'consistent', self.subject.name),
            *('-f', 'json', '--long', '--timeout', '90s'),
            *('--max-freeze', f'{MAX_FREEZE_SECONDS}s'),
            *('--events', str(self.folder / 'events')),
            *('--login', guest.user, '--port', str(guest.port)),
            *('--identity', str(guest.identity)),
            *('--ssh-option', f'UserKnownHostsFile={guest.known_hosts}'),
        ]

    def _environ(self) -> dict[str, str]:
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith('OS_')
        }
        cloud = self.subject.cloud.environ('demo')
        return {**kept, **cloud, 'XDG_STATE_HOME': str(self.folder)}

    def _communicate(self) -> None:
        self.stdout, self.stderr = self.process.communicate()

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def code(self) -> int | None:
        """Its exit code, -9 for a kill; None if it runs."""
        return self.process.poll()

    @property
    def ssh(self) -> int:
        """The ssh that talks to the guest; 0 if there is none."""
        return next(iter(processes.below(self.process.pid, 'ssh')), 0)

    def seen(self, event: str, name: str = '') -> dict[str, Any] | None:
        """Return the first event of a kind; ``name`` is the quiescer's."""
        for one in list(self.events):
            if one['event'] == event and name in ('', one.get('name')):
                return one
        return None

    @property
    def row(self) -> dict[str, Any]:
        """The row that it printed; empty if none."""
        with contextlib.suppress(ValueError, IndexError):
            return dict(json.loads(self.stdout)[0])
        return {}

    def finish(self) -> None:
        """End it, if need be, and wait until all that it said is read."""
        if not self.has_ended:
            processes.send(self.process.pid, signal.SIGCONT)
            processes.send(self.process.pid, signal.SIGKILL)
        self._drain.join(10)
        os.write(self._pipe, END.encode())
        os.close(self._pipe)
