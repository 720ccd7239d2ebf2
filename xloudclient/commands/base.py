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
import inspect
import logging
import sys
from typing import Any

from osc_lib.command import command

from xloudclient.i18n import _

LOG = logging.getLogger(__name__)


class Guarded(command.Command):
    """Ends with the exit code that its failure has; its help, with an example.

    The documents are made from the same help, as reStructuredText.

    :ivar example: a command line
    :ivar _exit_code: that of a result that was shown
    """

    log = LOG
    app: Any
    example = ''
    _exit_code = 0

    def get_description(self) -> str:
        return inspect.cleandoc(super().get_description())

    def get_epilog(self) -> str:
        title = _('Example')
        return f'{title}::\n\n    {self.example}\n\n{super().get_epilog()}'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: Any = super().get_parser(prog_name)
        bases: Any = (_Paragraphs, parser.formatter_class)
        parser.formatter_class = type('Paragraphs', bases, {})
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Show the result, then return the exit code that it has.

        A result that can't be shown does not change the code of a failure.
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

    def check_columns(
        self, parsed_args: argparse.Namespace, *known: str
    ) -> None:
        """Refuse -c before anything is done, not when it has been."""
        from xloudclient.consistency.errors import Misuse

        if not is_chosen(parsed_args, *known):
            raise Misuse(
                f'-c: there is no such column (there are {", ".join(known)})'
            )

    def tell(self, message: str, exit_code: int) -> None:
        """Say what went wrong; exit code 6 whatever -q says."""
        from xloudclient.consistency.errors import ExitCode

        if exit_code == ExitCode.RELEASE_FAILED:
            shout(message)
        elif exit_code:
            self.log.error('%s', message)


class GuardedLister(Guarded, command.Lister):
    """Shows its rows, and then has an exit code of its own."""


class _Paragraphs:
    """Makes argparse fill each paragraph; what is indented stays as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill: Any = super()._fill_text  # type: ignore[misc]
        return '\n\n'.join(
            one if one.startswith(' ') else fill(one, width, indent)
            for one in text.replace('::\n', ':\n').split('\n\n')
        )


class GuardedShowOne(Guarded, command.ShowOne):
    """Shows one thing."""


def is_chosen(parsed_args: argparse.Namespace, *names: str) -> bool:
    """Whether -c leaves one of these columns; cliff compares them so."""
    chosen = set(map(normal, parsed_args.columns))
    return not chosen or not chosen.isdisjoint(map(normal, names))


def normal(name: str) -> str:
    """How a column's name is compared (``cliff.display``)."""
    return name.lower().strip().replace(' ', '_')


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
