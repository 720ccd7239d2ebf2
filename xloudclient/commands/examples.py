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


"""Help that ends with an example, and keeps its lines."""

import argparse
import inspect
from typing import Any

from cliff import command

from xloudclient.i18n import _


class WithExample(command.Command):
    """A command whose help ends with its ``example``.

    The documents are made from the same text, as reStructuredText.
    """

    example = ''

    def get_description(self) -> str:
        return inspect.cleandoc(super().get_description())

    def get_epilog(self) -> str:
        title = _('Example')
        return f'{title}::\n\n    {self.example}\n\n{super().get_epilog()}'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        bases: Any = (_Paragraphs, parser.formatter_class)
        parser.formatter_class = type('Paragraphs', bases, {})
        return parser


class _Paragraphs:
    """Makes argparse fill each paragraph; what is indented stays as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill: Any = super()._fill_text  # type: ignore[misc]
        return '\n\n'.join(
            one if one.startswith(' ') else fill(one, width, indent)
            for one in text.replace('::\n', ':\n').split('\n\n')
        )
