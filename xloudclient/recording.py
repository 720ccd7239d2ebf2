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


"""Writes the evidence of a snapshot once its upload has ended.

Glance forgets what is set on an image while it is uploaded, and a command
without ``--wait`` returns before that ends. So it leaves this small process
behind, ``python -m xloudclient.recording``, which gets what it needs on
standard input and nothing on its command line: what is there can be read by
everybody. If it is killed, the journal stays and the next run on the server
does its work (:mod:`xloudclient.recovery`).
"""

import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import subprocess
import sys
import time
import types
from collections.abc import Mapping, Sequence
from typing import Any

from keystoneauth1 import adapter, session, token_endpoint

from xloudclient import recovery
from xloudclient.cloud.images import Images
from xloudclient.consistency.capture import GONE
from xloudclient.consistency.errors import CloudError
from xloudclient.local import runs

LOG = logging.getLogger(__name__)

POLL_SECONDS = 1.0
#: A cloud that does not answer for so many seconds is given up.
SILENCE_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What is to be written, where, and with whose rights.

    :param journal: the run's journal, removed once it is done
    :param seconds: to wait for the end of the upload
    """

    image_id: str
    properties: Mapping[str, str]
    tags: Sequence[str]
    journal: str
    endpoint: str
    token: str
    verify: bool | str
    cert: Any
    seconds: float


class DetachedRecorder:
    """The Recorder port: leaves a process behind.

    :param conn: the authenticated connection
    :param seconds: to wait for the end of the upload
    """

    def __init__(
        self, conn: Any, journal: pathlib.Path, seconds: float
    ) -> None:
        self._conn = conn
        self._journal = journal
        self._seconds = seconds

    def defer(
        self,
        image_id: str,
        properties: Mapping[str, str],
        tags: Sequence[str],
    ) -> None:
        auth = self._conn.session
        try:
            order = Order(
                image_id,
                properties,
                tags,
                str(self._journal),
                self._conn.image.get_endpoint(),
                auth.get_token(),
                auth.verify,
                auth.cert,
                self._seconds,
            )
            leave_behind(order)
        except Exception:
            # The journal has it all: the next run on the server does it.
            LOG.exception('recording %s is left to the next run', image_id)


def leave_behind(order: Order) -> None:
    """Start the process that carries out the order."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith('OS_')}
    process = subprocess.Popen(
        # -P: nothing in the current folder may pass for one of our modules
        [sys.executable, '-P', '-m', __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environ,
        start_new_session=True,
        cwd='/',
        text=True,
    )
    if process.stdin:
        with process.stdin:
            json.dump(dataclasses.asdict(order), process.stdin)
    # It outlives us on purpose: nobody waits for it.
    process.returncode = 0


def carry_out(order: Order) -> bool:
    """Write the evidence once the image is active.

    :returns: nothing is left to be done; False leaves it to the next run
    """
    images = Images(_connection(order))
    began = heard = time.monotonic()
    while time.monotonic() - began < order.seconds:
        with contextlib.suppress(CloudError):
            image = images.get(order.image_id)
            heard = time.monotonic()
            if image is None or image['status'] in GONE:
                # The next run tells that the snapshot has vanished.
                return False
            if image['status'] == 'active':
                images.update(order.image_id, order.properties, order.tags)
                return True
        if time.monotonic() - heard > SILENCE_SECONDS:
            break
        time.sleep(POLL_SECONDS)
    return False


def _connection(order: Order) -> Any:
    """What :class:`Images` needs of a connection."""
    auth = token_endpoint.Token(order.endpoint, order.token)
    image = adapter.Adapter(
        session.Session(
            auth,
            verify=order.verify,
            cert=order.cert,
            timeout=SILENCE_SECONDS,
        ),
        endpoint_override=order.endpoint,
        raise_exc=False,
    )
    return types.SimpleNamespace(image=image)


def main() -> None:
    """Carry out the order on standard input."""
    order = Order(**json.load(sys.stdin))
    if carry_out(order):
        forget(pathlib.Path(order.journal))


def forget(journal: pathlib.Path) -> None:
    """Remove a journal, unless it tells of a post hook that is still owed."""
    with contextlib.suppress(OSError):
        record = runs.parse(journal.stem, journal.read_bytes())
        if not recovery.Remains.of(record).posts:
            journal.unlink()
            runs.forget_groups(journal.parent)


if __name__ == '__main__':
    main()
