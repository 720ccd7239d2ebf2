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

"""From a snapshot to a golden image, by the commands of the documents."""

import pathlib
import re
import shlex
import subprocess

import fixtures
import testtools

import xloudclient
from xloudclient.tests.functional import base

USER = pathlib.Path(xloudclient.__file__).parents[1] / 'doc/source/user'
#: What the page sets, and what it says to leave.
SET = {'os_distro', 'os_version', 'hw_qemu_guest_agent', 'hw_rng_model'}
LEFT = {'owner_id'}


def commands() -> list[list[str]]:
    """The commands of the page, in words."""
    text = (USER / 'golden-images.rst').read_text()
    lines = text.replace('\\\n', ' ').splitlines()
    found = [re.match(r' +\$ openstack (.*)', line) for line in lines]
    return [shlex.split(one[1]) for one in found if one]


def hook(root: pathlib.Path, kept: pathlib.Path) -> str:
    """The hook of the page, for another folder than the root."""
    text = (USER / 'generalize.sh').read_text()
    return text.replace('root=/\n', f'root={root}\n').replace(
        'kept=/run/generalize', f'kept={kept}'
    )


FILES = {
    'etc/machine-id': '4a5b\n',
    'etc/ssh/ssh_host_ed25519_key': 'secret',
    'etc/ssh/ssh_host_ed25519_key.pub': 'public',
    'etc/ssh/sshd_config': 'kept',
    'var/lib/cloud/instance/id': 'i-1',
}


def write_files(root: pathlib.Path) -> None:
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o640)


def read_files(root: pathlib.Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text()
        for path in root.rglob('*')
        if path.is_file()
    }


class TestHook(testtools.TestCase):
    def test_it_takes_out_and_puts_back(self):
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        root, kept = folder / 'root', folder / 'kept'
        write_files(root)

        def run(phase: str) -> None:
            script = hook(root, kept)
            subprocess.run(['sh', '-c', script, 'hook', phase], check=True)

        run('pre')
        self.assertEqual(
            {'etc/machine-id': '', 'etc/ssh/sshd_config': 'kept'},
            read_files(root),
        )
        run('post')
        self.assertEqual(FILES, read_files(root))
        mode = (root / 'etc/machine-id').stat().st_mode
        self.assertEqual(0o640, mode & 0o777)
        self.assertFalse(kept.exists())
        # a post whose pre never got that far changes nothing
        run('post')
        self.assertEqual(FILES, read_files(root))


class TestGoldenImage(base.FunctionalTestCase):
    def test_the_commands_of_the_page(self):
        server = self.place.server(name='web')
        old = self.place.image(name='web-golden-1')
        guest = self.cloud.guest(server)
        root = pathlib.Path(guest.home) / 'root'
        made = ['mkdir', '-p', *{str((root / n).parent) for n in FILES}]
        guest.run(*made, check=True)
        for name, text in FILES.items():
            guest.run('tee', str(root / name), input=text, check=True)
        script = self.script(
            'generalize.sh', hook(root, root.with_name('kept'))
        )
        with self.cloud.disk(server).open('r+b') as file:
            file.write(b'golden')
        for words in commands():
            words = [script if 'general' in one else one for one in words]
            if words[:3] == ['server', 'snapshot', 'consistent']:
                words += self.reach(server)
            result = self.openstack(*words)
            self.assertEqual(0, result.code, f'{words}: {result.stderr}')

        conn = self.cloud.connection()
        [image] = conn.image.images(
            name='web-golden-2', visibility='community'
        )
        self.addCleanup(self.remove, image.id)
        found = self.image(image.id)
        self.assertTrue(found['protected'])
        self.assertEqual(['golden'], found['tags'])
        self.assertEqual(
            ('debian', '12', 'yes', 64),
            (
                found['os_distro'],
                found['os_version'],
                found['hw_qemu_guest_agent'],
                found['min_ram'],
            ),
        )
        self.assertEqual(SET | LEFT, set(found) - set(self.image(old)))
        self.assertTrue(self.image(old)['os_hidden'])
        restored = guest.run('cat', str(root / 'etc/machine-id'))
        self.assertEqual(FILES['etc/machine-id'], restored.stdout)

        # a plain member of another project launches it: the same bytes
        launched = self.place.server(
            name='theirs', image=image.id, user='other'
        )
        with self.cloud.disk(launched).open('rb') as file:
            self.assertEqual(b'golden', file.read(6))

    def remove(self, image_id: str) -> None:
        images = self.cloud.connection().image
        images.update_image(image_id, is_protected=False)
        images.delete_image(image_id)
