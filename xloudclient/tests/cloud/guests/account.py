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

"""Which user a guest is, on this machine and for this caller.

sshd lets only its own user in unless it runs as root, and it must not.  With
nss_wrapper (a preloaded library that reads another passwd file), each guest
has a user ``guest`` of its own with the guest's folder as home:

* root gives each guest a user id of its own, so that not even ``pgrep -u``
  shows the processes of another guest;
* a plain user's guests all have the id of that user.

Without nss_wrapper, a plain user logs in as himself, and root's guests are
the first ordinary account that has a shell.
"""

import dataclasses
import glob
import os
import pathlib
import pwd
import shutil
import subprocess
from collections.abc import Callable

from xloudclient.tests.cloud import layout

NAME = 'guest'
FIRST_ID = 1 << 24
NO_SHELLS = ('nologin', 'false', 'sync', '')
SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """How guests run in one cloud.

    :param off: why there are none; empty if there are
    :param sshd: path of the sshd
    :param wrapper: path of nss_wrapper's library, or empty
    :param name: the user to log in as
    :param uid: the user id of all guests; None if each has its own
    :param gid: the group id
    """

    off: str = ''
    sshd: str = ''
    wrapper: str = ''
    name: str = NAME
    uid: int | None = None
    gid: int | None = None

    def ids(self, address: str) -> tuple[int, int]:
        """Return user and group id of the guest at an address."""
        if self.uid is not None and self.gid is not None:
            return self.uid, self.gid
        # the network is the cloud's alone, so the id is the guest's alone
        one, two, three = map(int, address.split('.')[1:])
        number = one << 16 | two << 8 | three
        if _highest_id() <= FIRST_ID + (1 << 24):
            # few ids in this user namespace
            number = 20000 + number % 40000
            return number, number
        return FIRST_ID + number, FIRST_ID + number


def prepare(
    where: layout.Layout, is_wanted: bool, say: Callable[[str], None]
) -> None:
    """Choose how guests run, and record it; say so if there can be none."""
    account = _choose(where) if is_wanted else Account(off='not wanted')
    if account.off and is_wanted:
        say(f'servers have no guests to log in to: {account.off}')
    if not account.off:
        make_key(where.path('guests', 'identity'))
    layout.write_json(_file(where), dataclasses.asdict(account))


def of(where: layout.Layout) -> Account:
    """Return what prepare() chose."""
    return Account(**layout.read_json(_file(where)))


def _file(where: layout.Layout) -> pathlib.Path:
    return where.path('guests', 'account.json')


def _choose(where: layout.Layout) -> Account:
    path = f'{os.environ.get("PATH", "")}:{SYSTEM_PATH}'
    sshd = shutil.which(os.environ.get('SSHD', 'sshd'), path=path)
    if not sshd:
        return Account(off='no sshd is installed')
    wrapper = _wrapper()
    if os.geteuid():
        return _of_caller(sshd, wrapper)
    closed = _closed(where.state)
    if closed:
        return Account(off=f'{closed} is closed to any user but root')
    if wrapper:
        return Account('', sshd, wrapper)
    return _existing(sshd)


def _of_caller(sshd: str, wrapper: str) -> Account:
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return Account(off='your user id has no account, which ssh needs')
    return Account(
        '',
        sshd,
        wrapper,
        NAME if wrapper else name,
        os.geteuid(),
        os.getegid(),
    )


def _existing(sshd: str) -> Account:
    for one in pwd.getpwall():
        if (
            one.pw_uid
            and os.path.basename(one.pw_shell) not in NO_SHELLS
            and os.access(one.pw_shell, os.X_OK)
        ):
            return Account('', sshd, '', one.pw_name, one.pw_uid, one.pw_gid)
    return Account(
        off='root needs libnss-wrapper, or an account with a '
        "shell, to run an sshd that is not root's"
    )


def _wrapper() -> str:
    for pattern in (
        '/usr/lib/*/libnss_wrapper.so',
        '/usr/lib64/libnss_wrapper.so',
        '/usr/lib/libnss_wrapper.so',
    ):
        for path in glob.glob(pattern):
            return path
    return ''


def _closed(state: pathlib.Path) -> pathlib.Path | None:
    """Return a folder on the way to this one that others cannot enter."""
    for folder in state.parents:
        if not folder.stat().st_mode & 0o001:
            return folder
    return None


def _highest_id() -> int:
    with open('/proc/self/uid_map') as lines:
        return max(
            int(line.split()[0]) + int(line.split()[2]) for line in lines
        )


def make_key(path: pathlib.Path) -> None:
    """Make an SSH key pair unless it is there."""
    if not path.exists():
        subprocess.run(
            [
                'ssh-keygen',
                '-q',
                '-t',
                'ed25519',
                '-N',
                '',
                '-C',
                'embedded-cloud',
                '-f',
                str(path),
            ],
            stdin=subprocess.DEVNULL,
            check=True,
        )
