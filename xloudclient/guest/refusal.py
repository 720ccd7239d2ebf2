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

"""Why ssh gave no supervisor: one sentence, and what to do about it."""

import os
import re
import shlex

from xloudclient.consistency.errors import GuestUnreachable, HostKeyUnknown
from xloudclient.guest.access import Access
from xloudclient.guest.protocol import quote

#: Exit status of ssh when it did not come to run the command, ssh(1).
SSH_FAILED_STATUS = 255

_KEY = re.compile(
    r'Host key verification failed|HOST IDENTIFICATION HAS CHANGED'
    r'|No \S+ host key is known'
)
_CHANGED = re.compile(r'IDENTIFICATION HAS CHANGED')
_LOGIN = re.compile(r'Permission denied|Too many authentication failures')


def explain(
    access: Access, status: int | None, stderr: str, was_heard: bool = False
) -> GuestUnreachable:
    """Return the failure that tells why there is no supervisor.

    :param status: exit status of ssh; None if it could not be started
    :param stderr: what it said; not escaped
    :param was_heard: the guest has spoken, so it was let in, and may have
        said on standard error what ssh says of those that are not
    """
    if status == SSH_FAILED_STATUS or status is None or status < 0:
        if not was_heard and _KEY.search(stderr):
            return _key_failure(access, stderr)
        if not was_heard and _LOGIN.search(stderr):
            return GuestUnreachable(
                f'the guest at {access} refuses the login: {_last(stderr)}',
                'Give --login, --identity, or load the key into ssh-agent.',
            )
        return GuestUnreachable(
            f"can't reach the guest at {access}: {_last(stderr)}",
            f'Try: {_by_hand(access)}',
        )
    return GuestUnreachable(
        f'the guest at {access} has no usable shell for this login: exit '
        f'status {status}, {_last(stderr)}',
        f'Try: {_by_hand(access)}',
    )


def _key_failure(access: Access, stderr: str) -> HostKeyUnknown:
    accept = _by_hand(access, 'StrictHostKeyChecking=ask')
    if not _CHANGED.search(stderr):
        return HostKeyUnknown(
            f'the host key of the guest at {access} is not known; its '
            "fingerprints are in the server's console log",
            f'To compare and accept it: {accept}',
        )
    return HostKeyUnknown(
        f'the host key of the guest at {access} IS NOT THE KNOWN ONE: '
        'another machine has its address, or it was rebuilt',
        f'If that is expected: {_forget(access, stderr)}; {accept}',
    )


def _forget(access: Access, stderr: str) -> str:
    """Return the command that removes the old key from its file."""
    host = access.address
    if access.port not in (0, 22):
        host = f'[{host}]:{access.port}'
    words = ['ssh-keygen', '-R', host]
    found = re.search(r'Offending \S+ key in (\S+):\d+', stderr)
    if found and os.path.isfile(found[1]):
        words += ['-f', found[1]]
    return shlex.join(words)


def _by_hand(access: Access, option: str = '') -> str:
    first = ['ssh', '-o', option] if option else ['ssh']
    return shlex.join([*first, *access.words(), 'true'])


def _last(stderr: str) -> str:
    """Return the last line that ssh wrote."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    return quote(lines[-1]) if lines else 'ssh gave no reason'
