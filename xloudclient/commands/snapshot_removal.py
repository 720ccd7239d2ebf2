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


"""snapshot delete"""

import argparse

from xloudclient.commands import base
from xloudclient.i18n import _


class DeleteSnapshot(base.Guarded):
    _description = _(
        """Delete snapshots with the volume snapshots that are their own.

        A volume snapshot that another image is launched from is kept.
        Refused are snapshots of other projects, protected ones, the disks of
        shelved servers, and what is in use. After a failure it goes on with
        the next; repeat the command, with the ID, to complete what was
        interrupted. Exit codes: 0 all are gone, 1 one is not, 75 one is
        being made. Example: openstack snapshot delete db-2026-03-18"""
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            'snapshots',
            metavar='<snapshot>',
            nargs='+',
            help=_('Snapshot(s) to delete (name or ID)'),
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from xloudclient.consistency.errors import (
            CloudError,
            ExitCode,
            Failure,
            most_urgent,
        )
        from xloudclient.upkeep import removing

        work = removing.of(self.app.client_manager.sdk_connection)
        codes = []
        for one in parsed_args.snapshots:
            try:
                for sentence in work.delete(one):
                    self.log.warning('%s', sentence)
            except Failure as failure:
                self.log.error('%s', base.sentence(failure))
                codes.append(failure.exit_code)
            except CloudError as error:
                self.log.error('%s is not deleted: %s', one, error)
                codes.append(ExitCode.FAILED)
        self._exit_code = int(most_urgent(codes))
