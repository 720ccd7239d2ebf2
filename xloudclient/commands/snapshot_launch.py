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

"""snapshot launch: openstackclient's own server create, from a snapshot."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from openstackclient.compute.v2 import server
from osc_lib.command import command

from xloudclient.commands import base
from xloudclient.i18n import _

#: Options of ``server create`` that choose what to boot from.
BOOT_SOURCES = frozenset(
    {'--image', '--image-property', '--volume', '--snapshot'}
)
#: Ours have another meaning, or none of another is required.
REPLACED = frozenset(
    {'--flavor', '--boot-from-volume', '--delete-on-termination'}
)


class Without:
    """A parser, or a group of one, to which some options are not added.

    argparse can't take an option back, so ``server create`` gets this one to
    add its options to.
    """

    def __init__(self, parser: Any, make_group: Any = None) -> None:
        self.parser = parser
        self._make_group = make_group

    def add_argument(self, *names: str, **settings: Any) -> Any:
        if not (BOOT_SOURCES | REPLACED).isdisjoint(names):
            return None
        if self._make_group:
            # not before: the help of an empty group is an error
            self.parser = self._make_group()
            self._make_group = None
        return self.parser.add_argument(*names, **settings)

    def add_mutually_exclusive_group(self, **settings: Any) -> 'Without':
        return Without(
            None, lambda: self.parser.add_mutually_exclusive_group(**settings)
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self.parser, name)


class Boundary(command.ShowOne):
    """Stands between ``server create`` and the parser that it adds to."""

    def get_parser(self, prog_name: str) -> Any:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'source', metavar='<snapshot>', help=_('Snapshot (name or ID)')
        )
        parser.set_defaults(
            image=None, image_properties=None, volume=None, snapshot=None
        )
        return Without(parser)


class LaunchSnapshot(base.Guarded, server.CreateServer, Boundary):
    _description = _(
        """Launch a new server from a snapshot, all its volumes included.

        Flavor, networks, key pair and security groups are those of the
        snapshot's server, unless they are named. Takes the options of
        "server create", but for those that name what to boot from. What
        would keep the server from starting is looked for first: exit code 1,
        with a sentence for each reason."""
    )
    example = 'openstack snapshot launch --wait db-2026-03-18 db-copy'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        without: Any = super().get_parser(prog_name)
        self._parser: argparse.ArgumentParser = without.parser
        self._parser.formatter_class = without.formatter_class
        _add_options(self._parser)
        return self._parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Any]]:
        from xloudclient.upkeep import building, launching

        conn = self.app.client_manager.sdk_connection
        verbosity = self.app.options.verbose_level
        launch = launching.of(conn).prepare(parsed_args)
        if launch.taken and verbosity:
            self.app.stderr.write(f'as its server had: {launch.taken}\n')
        # its own waiting writes to stdout, and does not say what failed
        is_waiting, parsed_args.wait = parsed_args.wait, False
        self.complete(parsed_args, launch)
        with launching.asking(parsed_args.server_name):
            created = super().take_action(parsed_args)
        made = dict(zip(*created))
        self._check_shown(parsed_args, made)
        if not is_waiting:
            return created
        building.of(
            conn, made['id'], parsed_args.server_name, verbosity
        ).watch()
        return self._shown(made)

    def _check_shown(
        self, parsed_args: argparse.Namespace, made: dict[str, Any]
    ) -> None:
        """Name the server if -c leaves nothing to be shown of it.

        Which fields it has is known only now.
        """
        from xloudclient.consistency.errors import Failure

        if not base.is_chosen(parsed_args, *made):
            raise Failure(
                f'server {parsed_args.server_name!r} ({made["id"]}) was '
                'created, and has no field that -c names',
                f'See it with: openstack server show {made["id"]}',
            )

    def complete(self, parsed_args: argparse.Namespace, launch: Any) -> None:
        """Make of the options those of a complete ``server create``."""
        devices = [*launch.devices, *parsed_args.block_devices]
        words = [*launch.words, '--', parsed_args.source]
        self._parser.parse_args([*words, parsed_args.server_name], parsed_args)
        parsed_args.image = launch.image_id
        parsed_args.block_devices = devices
        # both are in the devices
        parsed_args.boot_from_volume = None
        parsed_args.delete_on_termination = False

    def _shown(
        self, made: dict[str, Any]
    ) -> tuple[Sequence[str], Iterable[Any]]:
        """What ``server show`` says now, and what only a new server says."""
        show = server.ShowServer(self.app, self.app_args)
        parsed_args = show.get_parser('server show').parse_args([made['id']])
        now = {**made, **dict(zip(*show.take_action(parsed_args)))}
        return tuple(now), tuple(now.values())


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        '--flavor',
        metavar='<flavor>',
        help=_(
            'Create server with this flavor (name or ID; default: that of '
            "the snapshot's server)"
        ),
    )
    add(
        '--boot-from-volume',
        metavar='<volume-size>',
        type=int,
        help=_(
            'Make a volume of this size (in GB) from an image-backed '
            'snapshot, and use it as the root disk'
        ),
    )
    add(
        '--delete-on-termination',
        action='store_true',
        help=_(
            'Delete the volumes that are made from the snapshot when the '
            'server is deleted (default: as with its server for '
            'volume-backed ones, else they are kept)'
        ),
    )
    add(
        '--no-data-volumes',
        action='store_true',
        help=_('Launch the root disk alone'),
    )
    defaults = parser.add_mutually_exclusive_group()
    defaults.add_argument(
        '--source-defaults',
        action='store_true',
        default=None,
        help=_(
            "Take over what is recorded about the snapshot's server (default, "
            'unless another project recorded it)'
        ),
    )
    defaults.add_argument(
        '--no-source-defaults',
        action='store_false',
        dest='source_defaults',
        default=None,
        help=_("Take over nothing from the snapshot's server"),
    )
