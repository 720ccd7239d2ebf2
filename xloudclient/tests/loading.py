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

"""What loading us adds to the client: a program, which is given as text.

It loads the client as its shell does, without our entry points, and then
ours: first the plugin, then the commands. Of both it prints, as JSON, which
modules were loaded, and the CPU time that it took (ms).
"""

import importlib.metadata
import json
import sys
import time
from typing import Any

import stevedore.extension

#: As the shell loads them.
GROUPS = (
    'openstack.cli',
    'openstack.common',
    'openstack.extension',
    'openstack.compute.v2',
    'openstack.identity.v3',
    'openstack.image.v2',
    'openstack.network.v2',
    'openstack.object_store.v1',
    'openstack.volume.v3',
)


def _is_ours(entry_point: importlib.metadata.EntryPoint) -> bool:
    return entry_point.value.split('.')[0] == 'xloudclient'


def _load_the_client() -> None:
    load = stevedore.extension.ExtensionManager._load_one_plugin

    def skip_ours(self: Any, ep: Any, *args: Any, **kwargs: Any) -> Any:
        return None if _is_ours(ep) else load(self, ep, *args, **kwargs)

    manager: Any = stevedore.extension.ExtensionManager
    manager._load_one_plugin = skip_ours
    from cliff import commandmanager
    from openstackclient import shell  # noqa: F401

    for group in GROUPS:
        commandmanager.CommandManager(group)


def _load(group: str) -> dict[str, Any]:
    found = importlib.metadata.entry_points(group=group)
    before = set(sys.modules)
    began = time.process_time()
    for entry_point in filter(_is_ours, found):
        entry_point.load()
    return {
        'milliseconds': (time.process_time() - began) * 1000,
        'modules': sorted(set(sys.modules) - before),
    }


if __name__ == '__main__':
    _load_the_client()
    steps = [_load('openstack.cli.extension'), _load('openstack.xloud.v1')]
    print(json.dumps(steps))
