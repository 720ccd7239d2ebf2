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


"""Shows a consistent snapshot: a real cloud, a database, somebody writing.

``tools/demo`` runs this. What it prints after a ``$`` is what one would type.
"""

import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from xloudclient.tests.cloud import Cloud
from xloudclient.tests.functional.writer import Writer

#: Seconds that the disk's copy and its upload take in the demo.
ORDERS = {'capture': 2.0, 'upload': 2.0}


def say(text: str) -> None:
    print(f'\n# {text}', flush=True)


def type_in(cloud: Cloud, *words: str, environ: dict[str, str]) -> None:
    """Show a command and run it."""
    print(f'$ openstack {shlex.join(words)}', flush=True)
    subprocess.run(
        [sys.executable, '-m', 'openstackclient.shell', *words],
        env={**os.environ, **cloud.environ('demo'), **environ},
        check=True,
    )


@contextlib.contextmanager
def ssh_config(guest: Any) -> Iterator[dict[str, str]]:
    """A guest is reached with the user's own ssh configuration.

    The demo has none to change, so it puts an ssh first in the PATH that
    reads a configuration of the demo's.
    """
    with tempfile.TemporaryDirectory() as folder:
        config, ssh = f'{folder}/config', f'{folder}/ssh'
        with open(config, 'w', encoding='utf-8') as file:
            file.write(
                f'Host {guest.address}\n'
                f'  User {guest.user}\n'
                f'  Port {guest.port}\n'
                f'  IdentityFile {guest.identity}\n'
                f'  UserKnownHostsFile {guest.known_hosts}\n'
            )
        with open(ssh, 'w', encoding='utf-8') as file:
            file.write(f'#!/bin/sh\nexec /usr/bin/ssh -F {config} "$@"\n')
        os.chmod(ssh, 0o700)
        yield {'PATH': f'{folder}:{os.environ["PATH"]}'}


def show_timeline(
    cloud: Cloud, server: Any, writer: Writer, path: str
) -> None:
    """What the client said, what the cloud did, and what the writer felt."""
    with open(path, encoding='utf-8') as file:
        events = [json.loads(line) for line in file]
    began = events[0]['monotonic']
    rows = [
        (one['monotonic'] - began, 'client', one['event'])
        for one in events
        if one['event'] in ('held', 'requested', 'captured', 'released')
    ]
    rows += [
        (one.monotonic - began, 'cloud', f'{one.event} (the truth)')
        for one in cloud.events(server.id)
        if one.event in ('captured', 'upload-end')
    ]
    blocked, free = writer.longest_gap
    rows += [
        (blocked - began, 'writer', 'last row before the lock'),
        (free - began, 'writer', 'first row after the release'),
    ]
    for seconds, who, what in sorted(rows):
        print(f'  +{seconds:6.3f} s  {who:7} {what}')


def main() -> None:
    say('Starting a real cloud on this machine, for this demo only')
    with Cloud.start() as cloud:
        if cloud.guests_off:
            sys.exit(f'The demo needs a guest: {cloud.guests_off}')
        say('A server whose MariaDB is being written to')
        server = cloud.server(name='db')
        guest = cloud.guest(server)
        guest.start_mariadb()
        cloud.control(server.id, **ORDERS)
        writer = Writer(guest)
        with (
            ssh_config(guest) as environ,
            tempfile.TemporaryDirectory() as folder,
        ):
            type_in(cloud, 'server', 'list', environ=environ)
            say('The snapshot')
            events = f'{folder}/events.jsonl'
            type_in(
                cloud, 'server', 'snapshot', 'consistent', '--wait', 'db',
                '--events', events, environ=environ,
            )  # fmt: skip
            writer.await_rows(5)
            writer.stop()
            say('The timeline, beside what truly happened')
            show_timeline(cloud, server, writer, events)
        launch(cloud, server)
    say('Done; the cloud is gone again')


def launch(cloud: Cloud, server: Any) -> None:
    say('A new server from the snapshot')
    conn = cloud.connection('demo')
    [image] = conn.image.images(owner=conn.current_project_id)
    type_in(
        cloud, 'server', 'create', '--wait', '--flavor', 'm1.tiny', '--image',
        str(image.name), '-c', 'name', '-c', 'status', '-c', 'image', 'db-2',
        environ={},
    )  # fmt: skip


if __name__ == '__main__':
    main()
