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

"""Scripts of other systems, run from their own files as they are.

The profiles are those that the documents show.
"""

import pathlib
import shutil
import subprocess
import sys

from xloudclient.tests.functional import base

EXAMPLES = pathlib.Path(__file__).parents[3] / 'doc/source/user/examples'

#: Holds a lock of MariaDB from freeze to thaw, in the background, as QEMU's
#: sample does: a session that is fed through a named pipe.
FLUSH = """#!/bin/sh
FIFO={home}/flush.fifo
hold() {{
    echo 'FLUSH TABLES WITH READ LOCK; SELECT 1;'
    read -r _ <$FIFO
    rm -f $FIFO
}}
case "$1" in
freeze)
    mkfifo $FIFO || exit 1
    hold | mariadb -n >{home}/locked &
    until [ -s {home}/locked ]; do sleep 0.1; done
    ;;
thaw) echo >$FIFO ;;
esac
"""

#: Notes how it was called.
NOTE = """#!/bin/bash
function note() {{ echo "$(basename "$0") $# $*" >>{home}/called; }}
note "$@"
[ "$1" != freeze ] || [ ! -e {home}/ill ] || {{ echo ill >&2; exit 3; }}
"""

SSM = """---
schemaVersion: '2.2'
description: Pre/post script
parameters:
  executionId: {{type: String, default: None}}
  command:
    type: String
    default: dry-run
    allowedValues: [pre-script, post-script, dry-run]
mainSteps:
- action: aws:runShellScript
  name: run_pre_post_scripts
  inputs:
    runCommand:
    - |
      #!/bin/bash
      OPERATION={{{{ command }}}}
      EXECUTION_ID={{{{ executionId }}}}
      case ${{OPERATION}} in
          pre-script)
              [ -e {home}/ill ] && exit 201 ;;
          post-script)
              [ -e {home}/ill ] && exit 205 ;;
      esac
      echo "${{OPERATION}} ${{EXECUTION_ID:+known}}" >>{home}/called
"""


class TestOtherSystems(base.FunctionalTestCase):
    def setUp(self):
        super().setUp()
        self.server = self.place.server(name='db')
        self.guest = self.cloud.guest(self.server)

    def take(self, system, expect=0):
        """Take a snapshot with the profile that the documents show."""
        shutil.copy(EXAMPLES / f'{system}.yaml', self.home)
        [row] = self.snapshot(
            'consistent', 'db', '--profile', f'{self.home}/{system}.yaml',
            *self.reach(self.server), expect=expect,
        )  # fmt: skip
        return row

    def assert_called(self, *lines):
        called = self.guest.home / 'called'
        self.assertEqual(list(lines), called.read_text().splitlines())
        called.unlink()

    def put(self, path, text):
        (self.home / path).parent.mkdir(exist_ok=True)
        return self.script(path, text.format(home=self.guest.home))

    def test_qemu_guest_agent(self):
        self.guest.start_mariadb()
        self.addCleanup(self.guest.stop_mariadb)
        self.put('fsfreeze-hook.d/10-mysql-flush.sh', FLUSH)
        self.put(
            'fsfreeze-hook.d/20-app.sh',
            NOTE + 'mariadb -e "SET lock_wait_timeout=1; CREATE DATABASE $1" '
            '|| echo locked >>{home}/called\n',
        )
        row = self.take('qemu')
        self.assertEqual('crash', row['Consistency'])
        self.assertEqual(['pair', 'pair'], row['Quiesced'])
        self.assert_called(
            '20-app.sh 1 freeze', 'locked', '20-app.sh 1 thaw', 'locked'
        )
        done = self.guest.run('mariadb', '-e', 'CREATE DATABASE free')
        self.assertEqual(0, done.returncode, done.stderr)

    def test_vmware_tools(self):
        self.put('backupScripts.d/10-app.sh', NOTE)
        self.assertEqual('crash', self.take('vmware')['Consistency'])
        self.assert_called('10-app.sh 1 freeze', '10-app.sh 1 thaw')
        (self.guest.home / 'ill').touch()
        before = self.counts()
        row = self.take('vmware', expect=3)
        self.assertIn("'10-app.sh freeze' failed with code 3", row['Reason'])
        self.assertEqual(before, self.counts())
        self.assert_called('10-app.sh 1 freeze', '10-app.sh 1 freezeFail')

    def test_google_compute_engine(self):
        for name in ('pre', 'post'):
            self.put(f'snapshots/{name}.sh', NOTE)
        self.assertEqual('crash', self.take('gce')['Consistency'])
        disks = '1 persistent-disk-0,persistent-disk-1'
        self.assert_called(f'pre.sh {disks}', f'post.sh {disks}')

    def test_aws_data_lifecycle_manager(self):
        document = self.home / 'document.yaml'
        document.write_text(SSM.format(home=self.guest.home))
        folder = pathlib.Path(sys.executable).parent
        done = subprocess.run(
            [EXAMPLES / 'ssm-to-script', document],
            env={'PATH': f'{folder}:/usr/bin:/bin'},
            capture_output=True,
            check=True,
            text=True,
        )
        self.script('pre-post.sh', done.stdout)
        self.assertEqual('crash', self.take('aws')['Consistency'])
        self.assert_called('pre-script known', 'post-script known')
        (self.guest.home / 'ill').touch()
        row = self.take('aws', expect=3)
        self.assertIn(
            "'pre-post.sh pre-script' failed with code 201", row['Reason']
        )
        self.assert_called('dry-run known')

    def test_azure_backup(self):
        # Azure calls sh itself, so its scripts may do without a #! line
        for name in ('pre', 'post'):
            self.put(
                f'azure/{name}.sh',
                f'echo "{name} $# $1 $2" >>{{home}}/called\n',
            )
        self.assertEqual('crash', self.take('azure')['Consistency'])
        self.assert_called('pre 2 app two words', 'post 1 app ')
