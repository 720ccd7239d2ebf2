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

"""How a guest is reached: the values that become arguments of ``ssh``.

Addresses, ports and logins may come from a server's metadata, which is other
people's input: nothing gets from there into an option of ssh(1).
"""

import dataclasses
import ipaddress
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from xloudclient.consistency.errors import GuestUnreachable, Misuse

T = TypeVar('T')

#: A DNS name, or a ``Host`` of the user's ssh configuration.
NAME = re.compile(r'(?=.{1,253}\Z)\w[\w-]{0,62}(\.\w[\w-]{0,62})*\.?', re.A)
#: A login that metadata may give, and one that the user may.
LOGIN = re.compile(r'[a-z_][a-z0-9_-]{0,63}', re.A)
OWN_LOGIN = re.compile(r'\w[\w.@+\\-]{0,127}', re.A)
OPTION = re.compile(r'[A-Za-z][A-Za-z0-9]*[= ][^\0\r\n]+')

#: Options of every session, see ssh_config(5). They come first, and ssh takes
#: the first value that it is given: neither the user's configuration nor
#: ``--ssh-option`` changes them. How host keys are checked is not among them.
FIXED_OPTIONS = (
    'BatchMode=yes',
    'RequestTTY=no',
    'RemoteCommand=none',
    'ControlMaster=no',
    'ControlPath=none',
    'ForwardAgent=no',
    'ForwardX11=no',
    'ClearAllForwardings=yes',
    'PermitLocalCommand=no',
    'Tunnel=no',
    # Its errors are how a refused login and an unknown key are told apart.
    'LogLevel=ERROR',
)
#: Options that the user may know better.
DEFAULT_OPTIONS = (
    'ConnectTimeout=10',
    'ServerAliveInterval=5',
    'ServerAliveCountMax=3',
)


class Options(Protocol):
    """The options of a command that tell how to reach a guest."""

    login: str | None
    port: int | None
    identity: str | None
    ssh_options: Sequence[str]
    family: int


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """Where a guest's sshd is and how to log in.

    :param address: IP address, DNS name, or a host of the user's ssh config
    :param port: 0 for ssh's own choice
    :param login: empty for ssh's own choice
    :param identity: file of the private key; empty for ssh's own choice
    :param options: ``key=value``, as after ``ssh -o``
    :param family: 4 or 6 for IPv4 or IPv6 only, else 0
    :raises Misuse: a value is not of that kind
    """

    address: str
    port: int = 0
    login: str = ''
    identity: str = ''
    options: tuple[str, ...] = ()
    family: int = 0

    def __post_init__(self) -> None:
        if not is_address(self.address):
            raise Misuse(f'{self.address!r} is no address and no host name')
        if not 0 <= self.port <= 65535:
            raise Misuse(f'--port {self.port} is no port number (1 to 65535)')
        if self.login and not OWN_LOGIN.fullmatch(self.login):
            raise Misuse(f'--login {self.login!r} is no login name')
        for option in self.options:
            if not OPTION.fullmatch(option):
                raise Misuse(f'--ssh-option {option!r} is not <key=value>')
        if self.family not in (0, 4, 6):
            raise Misuse(f'{self.family} is no family of addresses (4, 6)')

    def __str__(self) -> str:
        port = f' port {self.port}' if self.port else ''
        return (f'{self.login}@' if self.login else '') + self.address + port

    @property
    def login_command(self) -> str:
        """The command that logs in, as one would type it."""
        return shlex.join(['ssh', *self.words()])

    def words(self) -> list[str]:
        """Return what the user would have to type after ``ssh``."""
        words = [f'-{self.family}'] if self.family else []
        for flag, value in (
            ('-p', str(self.port or '')),
            ('-l', self.login),
            ('-i', self.identity),
        ):
            words += [flag, value] if value else []
        for option in self.options:
            words += ['-o', option]
        return [*words, '--', self.address]

    def command(self, remote: str, program: str = 'ssh') -> list[str]:
        """Return the arguments that run ``remote`` in the guest."""
        words = [program, '-T']
        for option in FIXED_OPTIONS:
            words += ['-o', option]
        *own, dashes, address = self.words()
        words += own
        for option in DEFAULT_OPTIONS:
            words += ['-o', option]
        return [*words, dashes, address, remote]


def is_address(text: str) -> bool:
    """Say whether the text is an IP address or a host name."""
    if '%' in text:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return bool(NAME.fullmatch(text))
    return True


def read(
    address: str, options: Options, metadata: Mapping[str, str]
) -> Access:
    """Say how to reach a guest: as the options tell, else as metadata does.

    :param metadata: the server's; ``xloud:ssh_port`` and ``xloud:ssh_login``
        are used. Empty if they are not to be trusted
    :raises Misuse: an option's value is not valid
    :raises GuestUnreachable: the address, or a value of the metadata, isn't
    """
    if not is_address(address):
        raise GuestUnreachable(
            f"the guest's address {address!r} is no address and no host name",
            'Give one with --ssh-host.',
        )
    port = options.port or _metadatum(metadata, 'xloud:ssh_port', _port, 0)
    login = options.login or _metadatum(
        metadata, 'xloud:ssh_login', _login, ''
    )
    return Access(
        address,
        port,
        login,
        options.identity or '',
        tuple(options.ssh_options),
        options.family or 0,
    )


def _metadatum(
    metadata: Mapping[str, str],
    key: str,
    read_value: Callable[[str], T | None],
    default: T,
) -> T:
    if key not in metadata:
        return default
    value = read_value(metadata[key])
    if value is None:
        raise GuestUnreachable(
            f"the server's metadata {key}={metadata[key]!r} is not valid",
            f'Correct it, or give --{key.partition("_")[2]}.',
        )
    return value


def _port(text: str) -> int | None:
    is_port = re.fullmatch('[0-9]{1,5}', text) and 1 <= int(text) <= 65535
    return int(text) if is_port else None


def _login(text: str) -> str | None:
    return text if LOGIN.fullmatch(text) else None
