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


"""What all commands share: how they end, and how they say why."""

import argparse
import contextlib
import logging
import sys
from typing import Any

from osc_lib.command import command

LOG = logging.getLogger(__name__)


class Guarded(command.Command):
    """Ends with the exit code that its failure has.

    :ivar _exit_code: that of a result that was shown
    """

    log = LOG
    app: Any
    _exit_code = 0

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Show the result, then return the exit code that it has.

        A result that can't be shown does not change what it was.
        """
        from xloudclient.consistency.errors import (
            CloudError,
            ExitCode,
            Failure,
        )

        try:
            super().run(parsed_args)
        except (Failure, CloudError) as failure:
            if self.app.options.debug:
                self.log.exception('%s', sentence(failure))
            else:
                self.log.error('%s', sentence(failure))
            return int(getattr(failure, 'exit_code', ExitCode.FAILED))
        except Exception as error:
            if not self._exit_code:
                raise
            self.log.error('%s', error)
        return self._exit_code

    def tell(self, message: str, exit_code: int) -> None:
        """Say what went wrong; exit code 6 whatever -q says."""
        from xloudclient.consistency.errors import ExitCode

        if exit_code == ExitCode.RELEASE_FAILED:
            shout(message)
        elif exit_code:
            self.log.error('%s', message)


class FailureLister(Guarded, command.Lister):
    """Shows its rows, and then has an exit code of its own."""

    def check_columns(
        self, parsed_args: argparse.Namespace, *known: str
    ) -> None:
        """Refuse -c before anything is done, not when it has been."""
        from xloudclient.consistency.errors import Misuse

        chosen = parsed_args.columns
        if chosen and not set(chosen) & set(known):
            raise Misuse(
                f'-c: there is no such column (there are {", ".join(known)})'
            )


class FailureShowOne(Guarded, command.ShowOne):
    """Shows one thing."""


def shout(message: str) -> None:
    """Say it wherever it can be said."""
    with contextlib.suppress(Exception):
        sys.stderr.write(message + '\n')
        sys.stderr.flush()
        return
    with contextlib.suppress(Exception), open('/dev/tty', 'w') as terminal:
        terminal.write(message + '\n')


def sentence(failure: Exception) -> str:
    """One sentence on what failed, and what to do next."""
    advice = getattr(failure, 'advice', '')
    return f'{failure}. {advice}'.strip()
