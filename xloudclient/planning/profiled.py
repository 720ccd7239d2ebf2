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

"""What a profile asks for that no word of a command line could say.

The other options of a profile are read by the command's own parser.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from xloudclient.consistency.errors import Misuse
from xloudclient.guest.quiescers import SENT
from xloudclient.local.profiles import Profile
from xloudclient.planning.wanted import (
    Asked,
    HookAsked,
    HookKind,
    read_quiescers,
    split,
)


def several(value: Any) -> list[Any]:
    """Return a value that may stand for a list of one as a list."""
    return value if isinstance(value, list) else [value]


def quiescers(profile: Profile) -> list[Asked]:
    """Read ``quiesce``: a word of ``--quiesce``, or a name with options.

    :raises Misuse: one is unknown or has a wrong option
    :raises HookRefused: a file that it names may not run
    """
    value = profile.document.content['quiesce']
    asked = []
    for number, one in enumerate(several(value)):
        way = ('quiesce', number) if isinstance(value, list) else ('quiesce',)
        try:
            asked.append(_quiescer(profile, one))
            read_quiescers(asked[-1:])
            read_quiescers(asked)
        except Misuse as misuse:
            raise profile.mistake(str(misuse), *way) from misuse
    return asked


def _quiescer(profile: Profile, one: Any) -> Asked:
    if isinstance(one, str):
        name, options = split(one)
    else:
        [(name, below)] = one.items()
        options = tuple(
            (key, word)
            for key, value in below.items()
            for word in several(value)
        )
    if '/' in name:
        return profile.file(name), options
    sent = SENT.get(name, ())
    if not options:
        return name
    return name, tuple(
        (key, profile.file(value) if key in sent else value)
        for key, value in options
    )


def hooks(
    profile: Profile, kinds: Mapping[str, HookKind]
) -> Iterator[tuple[str, HookAsked]]:
    """Yield the hooks in the order of the file, each with its option.

    :param kinds: what each option for hooks says, by its name in a profile
    """
    for key, value in profile:
        for one in several(value) if key in kinds else ():
            in_guest, pre, post = kinds[key]
            if isinstance(one, str):
                one = {'file': one}
            yield (
                key,
                (
                    in_guest,
                    tuple(several(one['pre'])) if 'pre' in one else pre,
                    tuple(several(one['post'])) if 'post' in one else post,
                    profile.file(one['file']),
                ),
            )
