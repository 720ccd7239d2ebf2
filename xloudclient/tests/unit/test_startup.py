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

"""What the plugin adds to the start of every ``openstack`` command.

cliff loads each entry point of each group at every start, so a module that is
named in one, and whatever it imports, is paid for by all commands of all
users. The set is deterministic; a time limit would not be.
"""

import json
import subprocess
import sys
from importlib import resources

import testtools

#: All that ``openstack --version`` may load of ours.
AT_IMPORT = {'xloudclient', 'xloudclient.plugin'}

#: All that a native command may load of ours.
WITH_COMMANDS = AT_IMPORT | {
    'xloudclient.commands',
    'xloudclient.commands.base',
    'xloudclient.commands.server_snapshot',
    'xloudclient.commands.snapshot',
    'xloudclient.commands.snapshot_launch',
    'xloudclient.i18n',
}

LIMIT = 8

# Runs a command as a user does, and prints which of our modules it loaded.
RUN = r"""
import atexit, contextlib, io, json, sys
from openstackclient import shell
with contextlib.redirect_stdout(io.StringIO()):
    try:
        code = shell.main(sys.argv[1:])
    except SystemExit as exit:
        code = exit.code
ours = [name for name in sys.modules if name.split('.')[0] == 'xloudclient']
json.dump([code, sorted(ours)], sys.stdout)
"""


def run(script: str, *arguments: str) -> list:
    """Return what a script that ran in a new interpreter printed as JSON."""
    result = subprocess.run(
        [sys.executable, '-c', script, *arguments],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    return json.loads(result.stdout)


class TestStartup(testtools.TestCase):
    def test_version_loads_the_plugin_module_alone(self):
        code, ours = run(RUN, '--version')
        self.assertEqual(0, code or 0)
        self.assertEqual(sorted(AT_IMPORT), ours)

    def test_a_native_command_loads_few_modules_of_ours(self):
        code, ours = run(RUN, 'configuration', 'show', '-f', 'json')
        self.assertEqual(0, code)
        self.assertEqual(sorted(WITH_COMMANDS), ours)
        self.assertLessEqual(len(ours), LIMIT)

    def test_nothing_is_loaded_that_the_client_had_not_loaded(self):
        program = resources.files('xloudclient.tests') / 'loading.py'
        plugin, commands = run(program.read_text('utf-8'))
        self.assertEqual(sorted(AT_IMPORT), plugin['modules'])
        self.assertEqual(
            sorted(WITH_COMMANDS - AT_IMPORT), commands['modules']
        )
