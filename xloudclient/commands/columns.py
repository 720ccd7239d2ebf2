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


"""Values that look different to people and to programs.

What is text may be others', so none of it gets to a terminal as it is.
"""

from typing import Any

from cliff import columns


def _printable(value: object) -> str:
    from xloudclient.consistency.text import printable

    return printable(str(value))


class Seconds(columns.FormattableColumn[float]):
    """A measured time: ``1.234 s`` in a table, a number elsewhere."""

    def human_readable(self) -> str:
        return f'{self._value:.3f} s'

    def machine_readable(self) -> float:
        return round(self._value, 3)


class Words(columns.FormattableColumn[list[str]]):
    """Several words: joined by commas in a table, a list elsewhere."""

    def human_readable(self) -> str:
        return ', '.join(map(_printable, self._value))

    def machine_readable(self) -> list[str]:
        return self._value


class Size(columns.FormattableColumn[int]):
    """Bytes: ``1.5 GiB`` in a table, the number elsewhere."""

    def human_readable(self) -> str:
        from xloudclient.consistency.text import byte_size

        return byte_size(self._value)


class Text(columns.FormattableColumn[str]):
    """What others wrote: harmless on a terminal, exact for programs."""

    def human_readable(self) -> str:
        return _printable(self._value)

    def machine_readable(self) -> str:
        return self._value


class Lines(columns.FormattableColumn[list[str]]):
    """Several lines: one below the other in a table, a list elsewhere."""

    def human_readable(self) -> str:
        return '\n'.join(map(_printable, self._value))

    def machine_readable(self) -> list[str]:
        return self._value


class Records(columns.FormattableColumn[list[dict[str, Any]]]):
    """Things with names: a line for each in a table, a list elsewhere."""

    def human_readable(self) -> str:
        from osc_lib import utils

        lines = map(utils.format_dict, self._value)
        return '\n'.join(map(_printable, lines))

    def machine_readable(self) -> list[dict[str, Any]]:
        return self._value
