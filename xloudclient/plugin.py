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

"""How openstackclient's shell finds our commands.

The shell imports this module at every start, even for ``--version``; it
reads the names below and loads the commands of the entry-point group
``openstack.xloud.v1``. There is no client object to make: commands use
``client_manager.sdk_connection``.
"""

import argparse

API_NAME = 'xloud'

#: Required by the shell. No option of this name is added: there is one
#: version of our commands, and nothing to choose.
API_VERSION_OPTION = 'os_xloud_api_version'

DEFAULT_API_VERSION = '1'

#: With another ``OS_XLOUD_API_VERSION`` the commands would just be missing;
#: as this is here, the shell warns why.
API_VERSIONS = ('1',)


def build_option_parser(
    parser: argparse.ArgumentParser,
) -> argparse.ArgumentParser:
    """Return the shell's parser, to which no global option was added."""
    return parser
