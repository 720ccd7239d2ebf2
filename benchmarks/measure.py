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

"""Runs commands side by side, and measures what each one took."""

import contextlib
import dataclasses
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from xloudclient.tests.cloud import Cloud

#: How openstackclient says who it is; services call each other otherwise.
CLIENT = 'openstacksdk'
OPENSTACK = (sys.executable, '-m', 'openstackclient.shell')


# Runs a command, prints what it took after what it printed. It is small: a
# process counts the memory of the one that it was forked from as its own.
HELPER = """
import json, resource, subprocess, sys, time
began = time.monotonic()
try:
    code = subprocess.call(sys.argv[2:], timeout=float(sys.argv[1]))
except subprocess.TimeoutExpired:
    code = None
seconds = time.monotonic() - began
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu = usage.ru_utime + usage.ru_stime
print(json.dumps([code, seconds, cpu, usage.ru_maxrss]))
"""
#: Seconds after which a command of a benchmark counts as hung.
PATIENCE_SECONDS = 1800


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """What a command took, and all that it started and waited for.

    :param seconds: from start to end
    :param cpu_seconds: of processor time
    :param peak_mib: of memory, at most, of the largest of its processes
    :param lines: that it printed
    :param is_whole: False if it was stopped before its end
    """

    seconds: float
    cpu_seconds: float
    peak_mib: float
    lines: int
    is_whole: bool = True


def environ(own: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, with a user's, and our ``openstack``."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith('OS_')
    }
    path = f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}'
    return {**kept, **own, 'PATH': path}


def run(
    argv: Sequence[str],
    own: Mapping[str, str],
    patience: float = PATIENCE_SECONDS,
) -> Cost:
    """Run a command to its end; its stderr is shown if it fails.

    :param own: what is added to the environment
    :param patience: seconds after which it is stopped
    :raises subprocess.CalledProcessError: it failed
    """
    helper = [sys.executable, '-I', '-S', '-c', HELPER, str(patience)]
    with _shown_if_it_fails() as stderr:
        done = subprocess.run(
            [*helper, *argv],
            env=environ(own),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            check=True,
        )
        *lines, told = done.stdout.splitlines()
        code, seconds, cpu_seconds, peak_kib = json.loads(told)
        if code:
            raise subprocess.CalledProcessError(code, argv)
    peak, is_whole = peak_kib / 1024, code is not None
    return Cost(seconds, cpu_seconds, peak, len(lines), is_whole)


@contextlib.contextmanager
def _shown_if_it_fails() -> Iterator[IO[str]]:
    """Yield a file for what a command says."""
    with tempfile.TemporaryFile('w+') as said:
        try:
            yield said
        except subprocess.CalledProcessError:
            said.seek(0)
            sys.stderr.write(said.read())
            raise


def openstack(
    own: Mapping[str, str], *words: str, patience: float = PATIENCE_SECONDS
) -> Cost:
    """Run ``openstack`` as a process of its own."""
    return run([*OPENSTACK, *words], own, patience)


def requests(cloud: Cloud, since: float) -> int:
    """How many requests clients have sent since then (time.time())."""
    return sum(
        one.user_agent.startswith(CLIENT) for one in cloud.requests(since)
    )


def counted(
    cloud: Cloud, *words: str, patience: float = PATIENCE_SECONDS
) -> tuple[Cost, int]:
    """Run ``openstack``; return its cost, and its requests to the cloud."""
    since = time.time()
    cost = openstack(cloud.environ('demo'), *words, patience=patience)
    return cost, requests(cloud, since)


@functools.cache
def project(cloud: Cloud) -> str:
    """The ID of the project that the commands work in."""
    return str(cloud.connection().current_project_id)
