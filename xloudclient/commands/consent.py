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

"""Whether what a command is about to delete may be deleted.

Not imported at start-up: only such a command needs it.
"""

import argparse
import sys
from collections.abc import Iterable
from typing import Any

from cliff.formatters import table

from xloudclient.commands.snapshot_rows import PRUNE_COLUMNS
from xloudclient.i18n import _


def check(parsed_args: argparse.Namespace) -> None:
    """Return if consent is not needed, is given, or can be asked for.

    :raises Misuse: there is no terminal to ask on
    """
    from xloudclient.consistency.errors import Misuse

    is_given = parsed_args.dry_run or parsed_args.auto_approve
    if not (is_given or sys.stdin.isatty()):
        raise Misuse(
            'there is no terminal to ask on',
            'See what would be deleted with --dry-run, and delete it '
            'with --auto-approve.',
        )


def ask(
    rows: Iterable[Any], number: int, parsed_args: argparse.Namespace
) -> None:
    """Show a plan, and ask whether so many snapshots may be deleted.

    :raises Failure: they may not
    """
    from xloudclient.consistency.errors import Failure

    table.TableFormatter().emit_list(
        PRUNE_COLUMNS, rows, sys.stderr, parsed_args
    )
    sys.stderr.write(_('Delete %d of these snapshots? [y/N] ') % number)
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ('y', 'yes'):
        raise Failure('nothing was deleted')
