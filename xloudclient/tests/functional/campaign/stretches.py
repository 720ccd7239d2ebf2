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

"""How a run is kept in a phase for as long as a fault needs it.

Most wait at a *gate*: a file that a hook looks for, here or in the guest.
What can't wait there waits for the cloud, which was told to be slow.
"""

import dataclasses
import subprocess

from xloudclient.tests.functional.campaign.client import QUIESCERS, Client
from xloudclient.tests.functional.campaign.subject import Subject

#: Longer than anything waits; ended by an order.
LONG_SECONDS = 100.0
WAIT = 'while [ -e {gate} ]; do sleep 0.1; done'
HOOK = """#!/bin/sh
[ "$1" = {when} ] || exit 0
: >{reached}
{body}
exit 0
"""
HOLDER = """#!/bin/sh
at() {{
    [ "$1" = {when} ] || return 0
    : >{reached}
    {body}
}}
trap '' PIPE
trap 'exit 1' TERM
at hold
trap 'echo released; exit 0' TERM
echo 'ready {{"gives": "application"}}'
while IFS= read -r word; do
    case $word in
    verify)
        at verify
        echo held
        ;;
    release) break ;;
    esac
done
at release
echo released
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Stretch:
    """Keeps the run in a phase.

    :param event: what the client says when the phase has begun
    """

    event: str = ''

    def words(self, subject: Subject, body: str) -> list[str]:
        """The options that are needed for it."""
        return []

    def begin(self, subject: Subject, seconds: float) -> None:
        """Prepare it, before the run begins.

        :param seconds: it will last that long, at least
        """

    def is_reached(self, client: Client) -> bool:
        """Whether the run is in the phase now."""
        return client.seen(self.event) is not None

    def ease(self, subject: Subject) -> None:
        """Let the run go on."""


@dataclasses.dataclass(frozen=True, slots=True)
class Gate(Stretch):
    """A hook, here or in the guest, that waits at the gate.

    :param option: ``--hook``, ``--guest-hook`` or ``--quiesce``
    :param when: its argument, or the word it is told, at which it waits
    """

    option: str = '--hook'
    when: str = 'pre'

    def words(self, subject: Subject, body: str) -> list[str]:
        text = HOLDER if self.option == '--quiesce' else HOOK
        path = subject.guest.home.parent / 'campaign-hook'
        path.write_text(
            text.format(
                when=self.when,
                reached=subject.reached,
                body=body or WAIT.format(gate=subject.gate),
            )
        )
        path.chmod(0o700)
        return [self.option, str(path)]

    def begin(self, subject: Subject, seconds: float) -> None:
        subject.gate.touch()

    def is_reached(self, client: Client) -> bool:
        return client.subject.reached.exists()

    def ease(self, subject: Subject) -> None:
        subject.open_gate()


@dataclasses.dataclass(frozen=True, slots=True)
class SlowLogin(Stretch):
    """The login shell waits: bash reads this file when sshd starts it."""

    def begin(self, subject: Subject, seconds: float) -> None:
        subject.gate.touch()
        wait = WAIT.format(gate=subject.gate)
        subject.bashrc.write_text(f': >{subject.reached}\n{wait}\n')
        subject.bashrc.chmod(0o644)

    def is_reached(self, client: Client) -> bool:
        return client.subject.reached.exists()

    def ease(self, subject: Subject) -> None:
        subject.bashrc.unlink(missing_ok=True)
        subject.open_gate()


@dataclasses.dataclass(frozen=True, slots=True)
class Blocked(Stretch):
    """Another session has a table, so that the lock has to be waited for."""

    def begin(self, subject: Subject, seconds: float) -> None:
        subject.sql('CREATE TABLE IF NOT EXISTS app.other (n INT)')
        subject.blocker = subprocess.Popen(
            subject.guest.ssh('mariadb', '--unbuffered', '-N'),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        subject.blocker.stdin.write('LOCK TABLES app.other WRITE; SELECT 1;\n')
        subject.blocker.stdout.readline()

    def is_reached(self, client: Client) -> bool:
        if not client.seen('quiescing', QUIESCERS[0]):
            return False
        waiting = 'SELECT info FROM information_schema.processlist'
        lines = client.subject.sql(waiting)
        return any(one.startswith('FLUSH TABLES') for one in lines)

    def ease(self, subject: Subject) -> None:
        if subject.blocker is not None:
            subject.blocker.communicate('', timeout=10)
            subject.blocker = None


@dataclasses.dataclass(frozen=True, slots=True)
class SlowStep(Stretch):
    """The hypervisor takes its time over a step.

    :param step: ``capture`` or ``upload``
    """

    step: str = 'capture'

    def begin(self, subject: Subject, seconds: float) -> None:
        # an upload goes in slices, each of which is slept through
        length = LONG_SECONDS if self.step == 'capture' else seconds + 1
        subject.cloud.control_volume(snapshot=seconds)
        subject.cloud.control(subject.server.id, **{self.step: length})

    def ease(self, subject: Subject) -> None:
        subject.cloud.control(subject.server.id, **{self.step: None})


@dataclasses.dataclass(frozen=True, slots=True)
class SlowAnswer(Stretch):
    """A service takes its time over a request."""

    service: str = 'nova'
    method: str = 'POST'
    path: str = '/action$'

    def begin(self, subject: Subject, seconds: float) -> None:
        subject.cloud.fault(
            self.service, method=self.method, path=self.path, delay=seconds
        )
