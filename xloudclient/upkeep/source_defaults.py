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

"""Takes over from a snapshot's server what a launch does not name."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

from xloudclient.catalog.launch import Flavor, Source
from xloudclient.cloud.choices import Choices
from xloudclient.consistency.errors import Failure
from xloudclient.consistency.text import printable


class Options(Protocol):
    """What is not taken over if it was named."""

    flavor: str | None
    nics: Sequence[Any]
    key_name: str | None
    security_groups: Sequence[str] | None


@dataclasses.dataclass(slots=True)
class Defaults:
    """What was taken over, and what could not be.

    :ivar words: as options of ``server create``, by ID
    :ivar taken: the same, by name, for people
    """

    choices: Choices
    words: list[str] = dataclasses.field(default_factory=list)
    taken: list[str] = dataclasses.field(default_factory=list)
    problems: list[Failure] = dataclasses.field(default_factory=list)

    def flavor(self, source: Source | None, options: Options) -> Flavor | None:
        name = options.flavor or (source.flavor if source else '')
        flavor = self.choices.flavor(name)
        if flavor is None:
            whose = '' if options.flavor else ', which its server had'
            self.problems.append(
                Failure(
                    f'there is no flavor {printable(name)}{whose}',
                    'Choose one with --flavor.',
                )
            )
            return None
        self.words.append(f'--flavor={flavor.id}')
        if not options.flavor:
            self.taken.append(f'flavor {printable(flavor.name)}')
        return flavor

    def take(self, source: Source, options: Options) -> None:
        """Take over what the options do not name."""
        if not options.nics:
            self._take_networks(source)
        if options.security_groups is None:
            for name in source.security_groups:
                self._take_one(
                    'security group',
                    name,
                    self.choices.security_groups(name),
                    '--security-group',
                )
        if options.key_name is None and source.key_name:
            self._take_key_pair(source.key_name)

    def _take_networks(self, source: Source) -> None:
        for name in source.networks:
            found = self.choices.networks(name)
            self._take_one('network', name, found, '--network')
        if not source.networks:
            self.words.append('--no-network')
            self.taken.append('no network')

    def _take_one(
        self, what: str, name: str, found: Sequence[str], option: str
    ) -> None:
        shown = f'{what} {printable(name)}'
        if len(found) == 1:
            self.words.append(f'{option}={found[0]}')
            self.taken.append(shown)
            return
        message = (
            f'{shown}, which its server had, may be any of {", ".join(found)}'
            if found
            else f'there is no {shown}, which its server had'
        )
        self.problems.append(Failure(message, f'Choose with {option}.'))

    def _take_key_pair(self, name: str) -> None:
        """A key can't be added later: without one, nobody may get in."""
        if self.choices.has_key_pair(name):
            self.words.append(f'--key-name={name}')
            self.taken.append(f'key pair {printable(name)}')
            return
        self.problems.append(
            Failure(
                f'you have no key pair {printable(name)}, which its server '
                'had',
                'Name one of yours with --key-name, or launch without one: '
                "--key-name ''.",
            )
        )
