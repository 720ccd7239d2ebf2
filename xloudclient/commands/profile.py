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

"""Options from a profile, under those of the command line.

What the command line says of an option replaces what the profile says of it.
So each option must tell whether it was given: those that a profile may hold
have no default in the parser, and get it here, last.

Not imported at start-up: only the commands that take a profile need it.
"""

import argparse
import contextlib
import types
from collections.abc import Iterator, Mapping
from typing import Any

from xloudclient.commands.guest_options import HOOKS
from xloudclient.i18n import _

#: Options that are about one call: a profile has no say in them.
OF_THE_CALL = frozenset({'--dry-run', '--rehearse'})
#: Options whose value is the path of a file.
FILES = frozenset({'identity', 'events'})


@contextlib.contextmanager
def profiled(
    parser: argparse.ArgumentParser,
    lacking: Mapping[str, Any] = types.MappingProxyType({}),
) -> Iterator[None]:
    """The options that are added within may come from a profile.

    :param lacking: the defaults of those that only a profile may have here
    """
    before = len(parser._actions)
    yield
    deferred: dict[str, Any] = {}
    for action in parser._actions[before:]:
        if not OF_THE_CALL & set(action.option_strings):
            deferred.setdefault(action.dest, action.default)
            action.default = argparse.SUPPRESS
    parser.set_defaults(deferred={**lacking, **deferred})
    parser.add_argument(
        '--profile',
        metavar='<name|file>',
        help=_(
            'Take options from a file: <name>.yaml in '
            '~/.config/xloudclient/profiles, or a path, which has a / in it '
            'or ends in .yaml; options on the command line win'
        ),
    )


def by_name(
    parser: argparse.ArgumentParser,
) -> dict[str, argparse.Action]:
    """The options of a parser, by their names without dashes."""
    return {
        word.lstrip('-'): action
        for action in parser._actions
        for word in action.option_strings
    }


def resolve(
    given: argparse.Namespace, parser: argparse.ArgumentParser
) -> list[tuple[str, str]]:
    """Complete the options: from the profile, and then from the defaults.

    :param given: what the parser read, which is completed
    :param parser: of the same command
    :returns: each line of the profile, and where it is and what became of it
    """
    rows = []
    if given.profile is not None:
        rows = _Merge(given, parser).merge()
    for dest, default in given.deferred.items():
        if not hasattr(given, dest):
            setattr(given, dest, default)
    return rows


class _Merge:
    """One profile, and the options of one command line."""

    def __init__(
        self, given: argparse.Namespace, parser: argparse.ArgumentParser
    ) -> None:
        from xloudclient import wiring

        self.profile = wiring.read_profile(given.profile)
        self._given = given
        self._hooks = list(getattr(given, 'hooks', None) or ())
        self._on_the_line = frozenset(vars(given))
        self._parser = parser
        self._options = by_name(parser)
        self._rivals = [
            group._group_actions for group in parser._mutually_exclusive_groups
        ]

    def merge(self) -> list[tuple[str, str]]:
        """Take from the profile what the command line leaves open."""
        from xloudclient import wiring

        self._refuse_rivals()
        read = argparse.Namespace()
        for key, value in self.profile:
            if key == 'quiesce':
                read.quiescers = wiring.profile_quiescers(self.profile)
            elif key not in _HOOK_KINDS:
                self._read(key, value, read)
        for dest, value in vars(read).items():
            if not self._is_replaced(dest):
                setattr(self._given, dest, value)
        hooks = [
            hook
            for key, hook in wiring.profile_hooks(self.profile, _HOOK_KINDS)
            if not self._is_hook_replaced(key)
        ]
        if hooks:
            self._given.hooks = [*hooks, *self._hooks]
        return list(self._rows())

    def _refuse_rivals(self) -> None:
        """Refuse two options that exclude each other."""
        keys = [key for key, value in self.profile if value is not False]
        for actions in self._rivals:
            seen = [key for key in keys if self._options[key] in actions]
            if len(seen) > 1:
                raise self.profile.mistake(
                    f'{seen[0]} and {seen[1]} exclude each other', seen[1]
                )

    def _read(self, key: str, value: Any, into: argparse.Namespace) -> None:
        """Have the parser's own action read a value."""
        if isinstance(value, bool):
            # one that is false and has no opposite is one that is not given
            action = self._options.get(key if value else f'no-{key}')
            if action is not None:
                action(self._parser, into, [], None)
            return
        for word in _words(value):
            self._read_word(
                key, self.profile.file(word) if key in FILES else word, into
            )

    def _read_word(
        self, key: str, word: str, into: argparse.Namespace
    ) -> None:
        action = self._options[key]
        try:
            value = action.type(word) if callable(action.type) else word
            # what an action takes depends on its type, which mypy can't see
            action(self._parser, into, value, f'--{key}')  # type: ignore[arg-type]
        except (argparse.ArgumentError, argparse.ArgumentTypeError) as error:
            said = getattr(error, 'message', str(error))
            raise self.profile.mistake(f'{key}: {said}', key) from error

    def _is_replaced(self, dest: str) -> bool:
        """Whether the command line has this option, or a rival of it."""
        rivals = {dest}
        for actions in self._rivals:
            dests = {action.dest for action in actions}
            rivals |= dests if dest in dests else set()
        return bool(rivals & self._on_the_line)

    def _is_hook_replaced(self, key: str) -> bool:
        """The options of hooks share a list, and each replaces its own."""
        kind = _calls(_HOOK_KINDS[key])
        return any(kind == _calls(hook[:3]) for hook in self._hooks)

    def _rows(self) -> Iterator[tuple[str, str]]:
        for key, value in self.profile:
            place = f'{self.profile.path.name}, line {self.profile.line(key)}'
            if key in _HOOK_KINDS:
                is_replaced = self._is_hook_replaced(key)
            else:
                is_replaced = self._is_replaced(self._options[key].dest)
            if is_replaced:
                place += '; replaced on the command line'
            for one in value if isinstance(value, list) else [value]:
                yield f'{key}: {_shown(one)}', place


_HOOK_KINDS = {word.lstrip('-'): kind for word, kind in HOOKS.items()}


def _calls(kind: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a hook's option is known by: where it runs, and when."""
    in_guest, pre, post = kind
    return in_guest, pre is None, post is None


def _words(value: Any) -> Iterator[str]:
    """The words of a command line that a value stands for."""
    if isinstance(value, dict):
        for key, below in value.items():
            for word in _words(below):
                yield f'{key}={word}'
    elif isinstance(value, list):
        for one in value:
            yield from _words(one)
    else:
        yield value


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ', '.join(f'{key}: {_shown(one)}' for key, one in value.items())
    if isinstance(value, list):
        return f'[{", ".join(map(_shown, value))}]'
    return str(value)
