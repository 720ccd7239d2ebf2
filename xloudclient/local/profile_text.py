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

"""YAML with the place of everything in it, and nothing in it that surprises.

A profile is read once a night by a program with a cloud's password. So there
are no anchors (a few lines of them fill the memory), no tags, no second
document, and a key that comes twice is an error. A plain ``true`` or
``false`` is a truth value; all else is the text that was written, as it is on
a command line: no ``on`` that is true, no date, no number to the base of 60.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import yaml

#: Nothing in a profile is nested as deeply as this.
MOST_LEVELS = 8

TRUTH = {'true': True, 'True': True, 'false': False, 'False': False}

#: Where something is: the keys and numbers that lead to it.
Way = tuple[str | int, ...]


class Mistake(ValueError):
    """The text is not what it should be.

    :param line: from 1; :param column: from 1
    """

    def __init__(self, message: str, line: int, column: int = 1) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """What a text says: mappings, lists, texts and truth values.

    :param keys: line and column of each key; of an item of a list, the item's
    :param values: line and column of each value
    """

    content: Any
    keys: dict[Way, tuple[int, int]]
    values: dict[Way, tuple[int, int]]


def read(raw: bytes) -> Document:
    """Read a text.

    :raises Mistake: it is no UTF-8, no YAML, or holds what is refused here
    """
    text = _decoded(raw)
    try:
        return _Reader(text).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        what = error.problem or error.context or 'it is broken'
        raise Mistake(f'not YAML: {what}', line + 1, column + 1) from error
    except yaml.reader.ReaderError as error:
        line, column = _place_of(text[: error.position])
        raise Mistake(
            f'the character U+{ord(text[error.position]):04X} is not allowed',
            line,
            column,
        ) from error


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line, column = _place_of(raw[: error.start].decode('latin-1'))
        raise Mistake('the text is not UTF-8', line, column) from error


def _place_of(before: str) -> tuple[int, int]:
    return before.count('\n') + 1, len(before) - before.rfind('\n')


def _place(event: Any) -> tuple[int, int]:
    mark = event.start_mark
    return mark.line + 1, mark.column + 1


class _Reader:
    """Builds a document from the events of one text."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[Any] = yaml.parse(text, yaml.SafeLoader)
        self._keys: dict[Way, tuple[int, int]] = {}
        self._values: dict[Way, tuple[int, int]] = {}

    def document(self) -> Document:
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            raise Mistake('nothing is in it', 1)
        content = self._node(next(self._events), ())
        next(self._events)
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise Mistake('a second document begins', *_place(after))
        return Document(content, self._keys, self._values)

    def _node(self, event: Any, way: Way) -> Any:
        self._values[way] = _place(event)
        self._refuse(event, way)
        if isinstance(event, yaml.ScalarEvent):
            plain = {} if event.style else TRUTH
            return plain.get(event.value, event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(way)
        return self._mapping(way)

    def _refuse(self, event: Any, way: Way) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise Mistake('anchors (&, *) are not allowed', *_place(event))
        if event.tag:
            raise Mistake('tags (!) are not allowed', *_place(event))
        if len(way) > MOST_LEVELS:
            raise Mistake('nested too deeply', *_place(event))

    def _until(self, end: type) -> Iterator[Any]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _sequence(self, way: Way) -> list[Any]:
        items: list[Any] = []
        for event in self._until(yaml.SequenceEndEvent):
            here = (*way, len(items))
            self._keys[here] = _place(event)
            items.append(self._node(event, here))
        return items

    def _mapping(self, way: Way) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        for event in self._until(yaml.MappingEndEvent):
            key = self._key(event, way)
            if key in pairs:
                line, _column = self._keys[(*way, key)]
                said = f'{key} is in line {line} already'
                raise Mistake(said, *_place(event))
            self._keys[(*way, key)] = _place(event)
            pairs[key] = self._node(next(self._events), (*way, key))
        return pairs

    def _key(self, event: Any, way: Way) -> str:
        self._refuse(event, way)
        if not isinstance(event, yaml.ScalarEvent):
            raise Mistake('a key is a word', *_place(event))
        return str(event.value)
