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

"""What a guest's sshd needs: keys, users, environment, configuration."""

import dataclasses
import pathlib
import shutil

from xloudclient.tests.cloud import addressing
from xloudclient.tests.cloud.guests import account, databases


@dataclasses.dataclass(frozen=True, slots=True)
class Login:
    """How one logs in to the guest at an address."""

    home: pathlib.Path
    account: account.Account
    address: str

    @property
    def sshd(self) -> list[str]:
        """The sshd's command line; it stays in the foreground."""
        config, log = self._file('sshd_config'), self._file('sshd.log')
        return [self.account.sshd, '-D', '-f', str(config), '-E', str(log)]

    @property
    def environment(self) -> dict[str, str]:
        """What every process of the guest has in its environment."""
        found = {
            'PATH': f'{self.home}/bin:{databases.SEARCHED}',
            'HOME': str(self.home),
            'XLOUD_GUEST': self.home.name,
            'XLOUD_ADDRESS': self.address,
            'PGHOST': str(self.home),
            'PGDATABASE': 'postgres',
        }
        if self.account.wrapper:
            found |= {
                'LD_PRELOAD': self.account.wrapper,
                'NSS_WRAPPER_PASSWD': str(self._file('passwd')),
                'NSS_WRAPPER_GROUP': str(self._file('group')),
            }
        return found

    def make_keys(self, public_key: str | None) -> None:
        """Make the host key; let the cloud's key, and this one, in."""
        account.make_key(self._file('host_key'))
        cloud_key = self.home.parent / 'identity.pub'
        (self.home / '.ssh' / 'authorized_keys').write_text(
            cloud_key.read_text() + (public_key or '')
        )

    def write(self) -> None:
        """Write users and configuration for the address of now."""
        self._write_users()
        self._write_config()

    def _write_users(self) -> None:
        uid, gid = self.account.ids(self.address)
        name = self.account.name
        shell = shutil.which('bash') or '/bin/sh'
        # first, since more than one line may have the id
        passwd = f'{name}:x:{uid}:{gid}:guest:{self.home}:{shell}\n'
        group = f'{name}:x:{gid}:\n'
        for kind, line in (('passwd', passwd), ('group', group)):
            rest = pathlib.Path('/etc', kind).read_text()
            self._file(kind).write_text(line + rest)

    def _write_config(self) -> None:
        variables = ' '.join(
            f'"{name}={value}"' for name, value in self.environment.items()
        )
        options = {
            'ListenAddress': f'{self.address}:{addressing.SSH_PORT}',
            'HostKey': self._file('host_key'),
            'AuthorizedKeysFile': f'{self.home}/.ssh/authorized_keys',
            'SetEnv': variables,
            'PidFile': 'none',
            # folders on the way may be anyone's, as /tmp is
            'StrictModes': 'no',
            'UsePAM': 'no',
            'PasswordAuthentication': 'no',
            'KbdInteractiveAuthentication': 'no',
            'Subsystem': 'sftp internal-sftp',
            'MaxStartups': 100,
        }
        self._file('sshd_config').write_text(
            ''.join(f'{name} {value}\n' for name, value in options.items())
        )

    def _file(self, name: str) -> pathlib.Path:
        return self.home / '.machine' / name
