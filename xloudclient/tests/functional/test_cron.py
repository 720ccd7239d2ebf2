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

"""What the documents show for cron, in an environment such as cron's."""

import configparser
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import testtools

from xloudclient.tests.functional import base

EXAMPLES = pathlib.Path(__file__).parents[3] / 'doc/source/user/examples'

SHELLS = ('dash', 'bash')

CLOUDS = """clouds:
  backup:
    auth:
      auth_url: {OS_AUTH_URL}
      username: {OS_USERNAME}
      password: {OS_PASSWORD}
      project_name: {OS_PROJECT_NAME}
      user_domain_name: Default
      project_domain_name: Default
    region_name: {OS_REGION_NAME}
"""


class TestCron(base.FunctionalTestCase):
    def setUp(self):
        super().setUp()
        self.server = self.place.server(name='db')
        self.guest = self.cloud.guest(self.server)
        self.write(
            '.config/xloudclient/profiles/nightly.yaml',
            'quiesce: mysql\nrequire: application\nwait: true\n'
            "tag: nightly\nname: '{server}-nightly-{date}'\n"
            f'login: {self.guest.user}\nport: {self.guest.port}\n'
            f'identity: {self.guest.identity}\nssh-option:\n'
            f'  UserKnownHostsFile: {self.guest.known_hosts}\n',
        )

    def write(self, name, text):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def cron(self, command):
        """Run a command as cron does: PATH, HOME, and a shell."""
        tools = pathlib.Path(sys.executable).parent
        return subprocess.run(
            ['/bin/sh', '-c', command],
            env={'PATH': f'{tools}:/usr/bin:/bin', 'HOME': str(self.home)},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=base.PATIENCE_SECONDS,
            text=True,
        )

    def assert_takes(self, command):
        self.guest.start_mariadb()
        self.addCleanup(self.guest.stop_mariadb)
        done = self.cron(command)
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        self.assertEqual('', done.stdout)
        [row] = json.loads((self.home / 'nightly.json').read_text())
        self.assertEqual('application', row['Consistency'])
        self.assertEqual('active', row['Status'])
        self.assertEqual(['nightly'], self.image(row['Snapshot ID'])['tags'])

    def test_the_line_of_the_documents_works_with_path_and_home_alone(self):
        environ = self.cloud.environ('demo')
        self.write('.config/openstack/clouds.yaml', CLOUDS.format(**environ))
        line = (EXAMPLES / 'crontab').read_text().splitlines()[-1]
        self.assertNotIn('%', line)
        *when, command = line.split(None, 5)
        self.assertEqual(['15', '2', '*', '*', '*'], when)
        self.assert_takes(command)

    def test_to_stop_the_script_is_to_have_the_command_release(self):
        """Its command, here a stand-in, hears of it and is waited for."""
        stand_in = self.home / 'bin' / 'openstack'
        stand_in.parent.mkdir()
        stand_in.write_text(
            "#!/bin/sh\ntrap 'sleep 0.3; echo released; exit 143' TERM\n"
            f'touch {self.home}/began\nwhile :; do sleep 0.05; done\n'
        )
        stand_in.chmod(0o755)
        self.write('backup-openrc.sh', '')
        process = subprocess.Popen(
            [EXAMPLES / 'nightly-snapshot', 'db'],
            env={
                'PATH': f'{stand_in.parent}:/usr/bin:/bin',
                'HOME': str(self.home),
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        began = self.home / 'began'
        self.cloud.wait(began.exists, what='stand-in')
        process.terminate()
        _none, said = process.communicate(timeout=base.PATIENCE_SECONDS)
        self.assertEqual(143, process.returncode)
        self.assertIn('all was released', said)
        result = (self.home / 'nightly.json').read_text()
        self.assertEqual('released\n', result)

    def test_the_script_works_as_the_service_runs_it(self):
        unit = configparser.ConfigParser(interpolation=None)
        unit.read(EXAMPLES / 'nightly-snapshot.service')
        path, *servers = unit['Service']['ExecStart'].split()
        script = EXAMPLES / pathlib.Path(path).name
        exports = ''.join(
            f"export {name}='{value}'\n"
            for name, value in self.cloud.environ('demo').items()
        )
        self.write('backup-openrc.sh', exports)
        command = f'{script} {" ".join(servers)}'
        done = self.cron(command)
        self.assertEqual(3, done.returncode)
        self.assertIn('it could not be quiesced as asked\n', done.stderr)
        self.assertIn('"Status": "skipped"', done.stderr)
        self.assert_takes(command)


class TestScript(testtools.TestCase):
    """What it says of itself; the command is a stand-in."""

    def setUp(self):
        super().setUp()
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.home = pathlib.Path(folder)
        (self.home / 'backup-openrc.sh').touch()

    def run_by(self, shell, command='exit 0'):
        """Run it with a command that does so; its exit code and words."""
        stand_in = self.home / 'openstack'
        stand_in.write_text(f'#!/bin/sh\ntouch "$HOME/began"\n{command}\n')
        stand_in.chmod(0o755)
        done = subprocess.run(
            [shell, EXAMPLES / 'nightly-snapshot', 'db'],
            env={'PATH': f'{self.home}:/usr/bin:/bin', 'HOME': self.home},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        self.assertEqual('', done.stdout)
        return done.returncode, done.stderr

    def assert_begins_nothing(self, file):
        for shell in SHELLS:
            code, said = self.run_by(shell)
            self.assertNotEqual(0, code, shell)
            self.assertIn(file, said)
            self.assertNotIn('profile is wrong', said)
            self.assertFalse((self.home / 'began').exists())

    def test_without_its_settings_it_begins_nothing(self):
        (self.home / 'backup-openrc.sh').unlink()
        self.assert_begins_nothing('backup-openrc.sh')

    def test_without_a_place_for_the_result_it_begins_nothing(self):
        (self.home / 'nightly.json').mkdir()
        self.assert_begins_nothing('nightly.json')

    def test_of_a_command_that_was_killed_it_says_what_the_guest_does(self):
        for shell in SHELLS:
            code, said = self.run_by(shell, 'kill -KILL $$')
            self.assertEqual(137, code)
            self.assertIn('the guest frees itself', said)
            self.assertTrue((self.home / 'began').exists())
