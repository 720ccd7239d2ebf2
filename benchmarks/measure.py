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

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """What a command took.

    :param seconds: from start to end
    :param cpu_seconds: of its own processor time
    :param peak_mib: of its memory, at most
    :param lines: that it printed
    """

    seconds: float
    cpu_seconds: float
    peak_mib: float
    lines: int


def openstack(environ: Mapping[str, str], *words: str) -> Cost:
    """Run ``openstack`` as a process of its own.

    :raises subprocess.CalledProcessError: it failed
    """
    argv = [sys.executable, '-m', 'openstackclient.shell', *words]
    began = time.monotonic()
    process = subprocess.Popen(
        argv, env={**os.environ, **environ}, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    lines = sum(1 for _line in process.stdout)
    _pid, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    # Popen is not to wait for it once more
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv)
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(seconds, cpu, usage.ru_maxrss / 1024, lines)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Align the columns of rows of text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join(
        '  '.join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    )
