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

"""The programs, by name, in the order in which they run.

Each is a module with a ``TITLE``; ``measure_all``, which returns rows of
numbers; and ``report``, which makes words, goals, tables and a chart of
nothing but these: how long, how often and of how many is in the rows.
"""

from collections.abc import Sequence
from typing import Protocol

from benchmarks import blocked, catalog, fleet, holding, save, startup
from benchmarks.report import Report, Row
from xloudclient.tests.cloud import Cloud


class Program(Protocol):
    """One thing that is measured."""

    TITLE: str

    def measure_all(self, cloud: Cloud, quick: bool) -> list[Row]:
        """Measure, and leave the cloud as it was.

        :param quick: less of everything, to try whether it works
        """

    def report(self, rows: Sequence[Row]) -> Report: ...


PROGRAMS: dict[str, Program] = {
    'blocked': blocked,
    'holding': holding,
    'startup': startup,
    'catalog': catalog,
    'fleet': fleet,
    'save': save,
}
