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


"""What the options ask for, the same for every server."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Protocol

from xloudclient.consistency import naming
from xloudclient.consistency.errors import (
    HookRefused,
    Misuse,
    NotQuiesced,
)
from xloudclient.consistency.plan import (
    MOST_QUIESCERS,
    Companion,
    Consistency,
    Hook,
    Place,
    Quiescer,
    Target,
)
from xloudclient.consistency.text import printable
from xloudclient.guest import access, quiescers
from xloudclient.local import trust

#: What the freeze hook in the guest holds.
AGENT = 'agent'
#: Words for ``--quiesce`` that name no quiescer.
ALONE = ('auto', 'none', AGENT)
#: Keys and values; a key may come again.
Pairs = tuple[tuple[str, str], ...]
#: A value of ``--quiesce`` as it was given, or taken apart.
Asked = str | tuple[str, Pairs]
#: What an option for hooks says: whether they run in the guest, and their
#: arguments before and after; None for a call that they do not get.
HookKind = tuple[bool, tuple[str, ...] | None, tuple[str, ...] | None]
#: A hook as it was given: the same, and its path.
HookAsked = tuple[bool, tuple[str, ...] | None, tuple[str, ...] | None, str]


class Options(Protocol):
    """The options of a command, as its parser leaves them; in seconds."""

    servers: list[str]
    name: str | None
    properties: dict[str, str] | None
    tags: list[str]
    protected: bool
    data_volumes: bool | None
    data_volumes_by_default: bool
    quiescers: list[Asked] | None
    require: str | None
    discard_lower: bool
    on_error: str
    max_freeze: float
    rehearse: bool
    hooks: list[HookAsked] | None
    hook_timeout: float
    hook_env: list[str]
    login: str | None
    port: int | None
    identity: str | None
    ssh_options: Sequence[str]
    trust_metadata: bool
    address_type: str | None
    ssh_host: str | None
    family: int
    timeout: float
    wait: bool
    concurrency: int
    group: bool
    events: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What the options ask for, the same for every server."""

    name: str
    quiescers: tuple[Quiescer, ...]
    is_auto: bool
    by_agent: bool
    is_default: bool
    hooks: tuple[Hook, ...]

    @classmethod
    def of(cls, options: Options) -> 'Wanted':
        """Read the options.

        :raises Misuse: one makes no sense; HookRefused: a file may not run
        """
        name = naming.DEFAULT if options.name is None else options.name
        naming.check(name, several=len(options.servers) > 1)
        if options.group and options.on_error == 'continue':
            raise Misuse(
                '--group is all or nothing, so there is no --on-error continue'
            )
        if options.ssh_host and not access.is_address(options.ssh_host):
            raise Misuse(
                f'--ssh-host {options.ssh_host!r} is no address and no host '
                'name'
            )
        words = options.quiescers or ['auto']
        wanted = cls(
            name=name,
            quiescers=read_quiescers(words),
            is_auto='auto' in words,
            by_agent=AGENT in words,
            is_default=options.quiescers is None,
            hooks=tuple(map(_hook, options.hooks or ())),
        )
        wanted.check_alone(options)
        return wanted

    def check_alone(self, options: Options) -> None:
        """Refuse ``agent`` where nothing would call the hook in time.

        :raises Misuse: it is asked for there
        """
        if self.by_agent and (options.group or options.rehearse):
            option = '--group' if options.group else '--rehearse'
            raise Misuse(
                'the freeze hook (agent) holds only while Nova captures that '
                f'server, so there is no {option} with it'
            )


def read_quiescers(words: Sequence[Asked]) -> tuple[Quiescer, ...]:
    """Read the values of ``--quiesce``; those that stand alone give none.

    :raises Misuse: one is unknown or has a wrong option, or there are too many
    """
    try:
        return _read(words)
    except Misuse as misuse:
        raise Misuse(f'--quiesce: {misuse}') from misuse


def _read(words: Sequence[Asked]) -> tuple[Quiescer, ...]:
    if len(words) > 1 and {*ALONE} & set(words):
        raise Misuse('auto, none and agent stand alone')
    if len(words) > MOST_QUIESCERS:
        raise Misuse(f'at most {MOST_QUIESCERS} can hold a guest at once')
    return tuple(_quiescer(word) for word in words if word not in ALONE)


def _quiescer(asked: Asked) -> Quiescer:
    name, options = split(asked) if isinstance(asked, str) else asked
    if '/' in name:
        text = quiescers.completed(_script(name))
        return Quiescer(name, text, options, None)
    if name not in quiescers.NAMES:
        known = ', '.join(sorted(quiescers.NAMES))
        raise Misuse(
            f'there is no quiescer {name!r} (there are auto, none, agent, '
            f'{known}; a path needs a /)'
        )
    if problem := quiescers.check(name, options):
        raise Misuse(problem)
    sent = quiescers.SENT.get(name, ())
    return built_in(
        name,
        tuple(one for one in options if one[0] not in sent),
        tuple(
            Companion(key, path, _script(path))
            for key, path in options
            if key in sent
        ),
    )


def split(word: str) -> tuple[str, Pairs]:
    """Take a value of ``--quiesce`` apart: its name, its keys and values.

    :raises Misuse: it is of another shape
    """
    name, *pairs = word.split(',')
    options = []
    for pair in pairs:
        key, equals, value = pair.partition('=')
        if not equals:
            raise Misuse(f'{name}: {pair!r} is not <key>=<value>')
        options.append((key, value))
    return name, tuple(options)


def built_in(
    name: str, options: Pairs = (), companions: tuple[Companion, ...] = ()
) -> Quiescer:
    """Return a quiescer that we bring."""
    return Quiescer(
        name,
        quiescers.script(name),
        options,
        Consistency.of(quiescers.GIVES[name]),
        companions,
        name not in quiescers.LETTING_WRITE,
    )


def _script(path: str) -> str:
    trust.check(path)
    try:
        with open(path, encoding='utf-8') as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise NotQuiesced(
            f'{path} is not a text file; what is sent to a guest must be a '
            'script'
        ) from error


def _hook(asked: HookAsked) -> Hook:
    in_guest, pre, post, path = asked
    path = os.path.abspath(path)
    trust.check(path)
    _check_start(path)
    return Hook(path, Place.GUEST if in_guest else Place.HERE, pre, post)


def _check_start(path: str) -> None:
    """Refuse a script that no kernel would start: no shell is in between."""
    with open(path, 'rb') as file:
        first = file.readline(256)
    if first.startswith(b'#!') and first.endswith(b'\r\n'):
        raise HookRefused(
            f'the hook {path} has Windows line ends',
            'Convert it, for instance with dos2unix.',
        )
    if not first.startswith((b'#!', b'\x7fELF')):
        raise HookRefused(
            f'the hook {path} is no program: it does not begin with #!',
            'Begin a shell script with #!/bin/sh.',
        )


def catalogue() -> dict[str, Quiescer]:
    """The quiescers that ``auto`` may choose from: they need no option."""
    return {
        name: built_in(name)
        for name in quiescers.NAMES
        if not quiescers.check(name, ())
    }


def by_metadata(wanted: Wanted, target: Target, options: Options) -> Wanted:
    """Follow ``xloud:quiesce``, if the server has it.

    :raises NotQuiesced: it is not valid, or not with these options
    """
    word = target.metadata.get('xloud:quiesce', '')
    if not word or word == 'auto':
        return wanted
    try:
        followed = dataclasses.replace(
            wanted,
            quiescers=_built_in_only(word),
            is_auto=False,
            by_agent=word == AGENT,
        )
        followed.check_alone(options)
    except Misuse as misuse:
        raise NotQuiesced(
            f"the server's metadata xloud:quiesce={word!r} can't be followed: "
            + printable(str(misuse)),
            'Correct it, or give --quiesce.',
        ) from misuse
    return followed


def _built_in_only(word: str) -> tuple[Quiescer, ...]:
    """Read what others wrote: it names no file, neither here nor there.

    :raises Misuse: it does, or is not valid
    """
    known = {*ALONE, *quiescers.NAMES} - {*quiescers.SENT}
    if word.partition(',')[0] not in known or '/' in word:
        names = ', '.join(sorted(known))
        raise Misuse(f'it may be one of {names}, with options, and no path')
    return _read([word])
