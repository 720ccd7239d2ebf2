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

"""snapshot launch is server create, with its boot source fixed."""

import contextlib
import io
import types
from typing import Any

import fixtures
import testtools
from openstackclient.compute.v2 import server

from xloudclient.commands.snapshot_launch import BOOT_SOURCES, LaunchSnapshot
from xloudclient.upkeep.launching import Launch

OURS = {
    '--delete-on-termination',
    '--no-data-volumes',
    '--no-source-defaults',
    '--source-defaults',
}
DEVICE = {
    'uuid': 'x',
    'source_type': 'snapshot',
    'destination_type': 'volume',
    'device_name': '/dev/vdb',
    'boot_index': -1,
    'volume_size': 1,
    'delete_on_termination': 'false',
}
LEFT_OUT = {
    'source_type': 'snapshot',
    'destination_type': 'volume',
    'device_name': '/dev/vdc',
    'no_device': True,
}
LAUNCH = Launch(
    'image',
    ('--flavor=f', '--network=n', '--key-name=k', '--security-group=g'),
    (DEVICE, LEFT_OUT),
    '',
)


class Asked(Exception):
    """What Nova was asked for."""

    def __init__(self, **request: Any) -> None:
        self.request = request


def found(name: str, **ignored: Any) -> types.SimpleNamespace:
    return types.SimpleNamespace(id=name)


def asked(**request: Any) -> None:
    raise Asked(**request)


def command() -> LaunchSnapshot:
    finders = types.SimpleNamespace(
        find_flavor=found,
        find_image=found,
        find_network=found,
        find_port=found,
        find_security_group=found,
        create_server=asked,
    )
    manager = types.SimpleNamespace(
        compute=finders,
        image=finders,
        network=finders,
        volume=finders,
        is_network_endpoint_enabled=lambda: True,
    )
    app = types.SimpleNamespace(
        client_manager=manager, command_manager=None, stdout=io.StringIO()
    )
    return LaunchSnapshot(app, None)


class TestOptions(testtools.TestCase):
    def options(self, one: Any) -> set[str]:
        return set(one.get_parser('x')._option_string_actions)

    def test_all_of_server_create_but_its_boot_sources(self):
        native = self.options(server.CreateServer(None, None))
        self.assertEqual(
            (native - BOOT_SOURCES) | OURS, self.options(command())
        )

    def test_a_boot_source_is_unknown_however_it_is_written(self):
        for words in (
            ['--image', 'x'],
            ['--image-p', 'a=b'],
            ['--vol', 'x'],
            ['--snap=x'],
        ):
            stderr = io.StringIO()
            with contextlib.redirect_stderr(stderr):
                self.assertRaises(
                    SystemExit,
                    command().get_parser('x').parse_args,
                    ['source', 'name', *words],
                )
            self.assertIn('unrecognized arguments', stderr.getvalue())

    def test_help_can_be_shown(self):
        self.assertIn('<snapshot>', command().get_parser('x').format_help())

    def test_its_own_options_are_seen_by_the_preparation(self):
        parsed = command().get_parser('x').parse_args(['source', 'name'])
        self.assertEqual('source', parsed.source)
        self.assertEqual('name', parsed.server_name)
        for option in (
            'flavor',
            'key_name',
            'security_groups',
            'boot_from_volume',
            'source_defaults',
        ):
            self.assertIsNone(getattr(parsed, option), option)
        self.assertEqual([], parsed.nics)
        self.assertEqual(1, parsed.min)


class TestRequest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.useFixture(
            fixtures.MonkeyPatch(
                'openstack.utils.supports_microversion', lambda *_: True
            )
        )

    def request(self, launch: Launch, *words: str) -> dict[str, Any]:
        """What Nova is asked for, through the client that is installed."""
        one = command()
        parsed = one.get_parser('x').parse_args(['source', 'name', *words])
        one.complete(parsed, launch)
        create = server.CreateServer.take_action
        return self.assertRaises(Asked, create, one, parsed).request

    def test_what_was_prepared_is_asked_for(self):
        request = self.request(LAUNCH)
        root, data, left_out = request['block_device_mapping']
        self.assertEqual('name', request['name'])
        self.assertEqual('image', request['image_id'])
        self.assertEqual('f', request['flavor_id'])
        self.assertEqual('k', request['key_name'])
        self.assertEqual([{'uuid': 'n'}], request['networks'])
        self.assertEqual([{'name': 'g'}], request['security_groups'])
        self.assertEqual(('image', 'local'), _kind(root))
        self.assertEqual({**DEVICE, 'delete_on_termination': False}, data)
        self.assertEqual(LEFT_OUT, left_out)

    def test_the_root_disk_may_be_a_volume(self):
        root = {
            'uuid': 'source',
            'source_type': 'image',
            'destination_type': 'volume',
            'boot_index': 0,
            'volume_size': 5,
            'delete_on_termination': 'true',
        }
        launch = Launch(None, ('--flavor=f',), (root,), '')
        words = ('--boot-from-volume', '5', '--delete-on-termination')
        request = self.request(launch, *words)
        self.assertEqual('', request['image_id'])
        [asked] = request['block_device_mapping']
        self.assertEqual({**root, 'delete_on_termination': True}, asked)

    def test_what_the_user_adds_is_asked_for_too(self):
        request = self.request(
            Launch('image', ('--flavor=f',), (DEVICE,), ''),
            '--port', 'p', '--no-security-group', '--key-name', '',
            '--block-device', 'source_type=blank,volume_size=7',
            '--property', 'a=b', '--max', '2',
        )  # fmt: skip
        self.assertEqual([{'port': 'p'}], request['networks'])
        self.assertEqual([], request['security_groups'])
        self.assertNotIn('key_name', request)
        self.assertEqual(
            '7', request['block_device_mapping'][2]['volume_size']
        )
        self.assertEqual({'a': 'b'}, request['metadata'])
        self.assertEqual(2, request['max_count'])


def _kind(device: dict[str, Any]) -> tuple[str, str]:
    return device['source_type'], device['destination_type']
