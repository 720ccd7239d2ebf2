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


"""snapshot share | unshare | accept | reject"""

import argparse
from collections.abc import Iterable

from xloudclient.commands import base, snapshot
from xloudclient.i18n import _


class Telling(base.Guarded):
    """Has no result but what it says on stderr."""

    def say(self, sentences: Iterable[str]) -> None:
        """Say each when it has become true; with -q it is only made so."""
        for sentence in sentences:
            if self.app.options.verbose_level:
                self.app.stderr.write(f'{sentence}\n')


class Sharing(Telling):
    """What share and unshare have in common."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        from openstackclient.identity import common

        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        snapshot.add_snapshot(parser)
        parser.add_argument(
            'projects',
            metavar='<project>',
            nargs='+',
            help=_(
                'Project(s) (ID, or name where you have a role in it or may '
                'list projects)'
            ),
        )
        common.add_project_domain_option_to_parser(parser)
        return parser


class ShareSnapshot(Sharing):
    _description = _(
        """Share a snapshot, so that other projects can launch it.

        They see it once they have accepted it. Volume-backed snapshots, and
        those with data volumes, are refused: their volume snapshots can't be
        shared. With --convert, each disk is copied to an image first, which
        takes the time of an upload; if it is interrupted, the same command
        goes on. Exit codes: 0 shared, 1 not shared with all of them, 2
        usage. Example: openstack snapshot share --convert db-2026-03-18
        7a1b8c3f0d2e4f6a9b5c1d8e7f3a2b4c"""
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--convert',
            action='store_true',
            help=_(
                'Share a copy, all disks as images, if the snapshot itself '
                "can't be shared"
            ),
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from xloudclient.upkeep import sharing

        work = sharing.of(
            self.app.client_manager.sdk_connection,
            self.app.options.verbose_level,
            parsed_args.project_domain,
        )
        self.say(
            work.share(
                parsed_args.snapshot, parsed_args.projects, parsed_args.convert
            )
        )


class UnshareSnapshot(Sharing):
    _description = _(
        """Take back that a snapshot is shared with other projects.

        Also a copy that --convert made of it. Servers that they launched of
        it go on running. Example: openstack snapshot unshare db-2026-03-18
        7a1b8c3f0d2e4f6a9b5c1d8e7f3a2b4c"""
    )

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from xloudclient.upkeep import sharing

        work = sharing.of(
            self.app.client_manager.sdk_connection,
            self.app.options.verbose_level,
            parsed_args.project_domain,
        )
        self.say(work.unshare(parsed_args.snapshot, parsed_args.projects))


class AcceptSnapshot(Telling):
    _description = _(
        """Accept a snapshot that another project shares with this one.

        A name is looked for among those that wait for an answer, and then
        among those that were answered. Example: openstack snapshot accept
        db-2026-03-18"""
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        snapshot.add_snapshot(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from xloudclient.upkeep import offers

        work = offers.of(self.app.client_manager.sdk_connection)
        self.say(work.accept(parsed_args.snapshot))


class RejectSnapshot(Telling):
    _description = _(
        """Reject a snapshot that another project shares with this one.

        It is in no list then, and can still be accepted. Example: openstack
        snapshot reject db-2026-03-18"""
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        snapshot.add_snapshot(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from xloudclient.upkeep import offers

        work = offers.of(self.app.client_manager.sdk_connection)
        self.say(work.reject(parsed_args.snapshot))
