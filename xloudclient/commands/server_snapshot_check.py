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


"""server snapshot check"""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from xloudclient.commands import guest_options, options
from xloudclient.commands.server_snapshot import FailureLister
from xloudclient.i18n import _

COLUMNS = ('Server', 'Check', 'Result', 'Finding', 'Next')


class CheckServerSnapshot(FailureLister):
    _description = _(
        """Tell what a consistent snapshot would be now, and why.

        Nothing is changed: it looks at the server, the quotas and, over ssh,
        at what is to be quiesced, which is asked everything that a snapshot
        would ask it before the first lock. The rows come in the order in
        which a snapshot would meet these things; the last one, class, is the
        verdict. Exit codes: 0 it would have the required class, 5 a lower
        one, 3 it can't be quiesced, 75 try again later, and what else
        "server snapshot consistent" with the same options would end with.
        Example: openstack server snapshot check --quiesce mysql db"""
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        guest_options.leave_snapshot_alone(parser)
        options.add_servers(parser)
        options.add_data_volumes(parser, by_default=True)
        guest_options.add_quiescing(parser)
        guest_options.add_hooks(parser)
        guest_options.add_guest_access(parser)
        options.add_concurrency(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Any]]:
        from xloudclient import wiring

        self.check_columns(parsed_args, *COLUMNS)
        reports = wiring.check(self.app.client_manager, parsed_args)
        self._exit_code = int(wiring.exit_code(reports))
        return COLUMNS, [
            (
                report.server_name,
                one.check,
                str(one.result),
                one.text,
                one.advice,
            )
            for report in reports
            for one in report.findings
        ]
