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

"""The words that we and ``supervisor.sh`` exchange, and their notation.

Both ways it is lines that begin with the nonce of the session, a blank and a
word; other lines are noise, such as a message of the day. In lines from us,
text is in the notation of ``printf %b``, which every shell has built in.
"""

from collections.abc import Iterable, Iterator
from importlib import resources

from xloudclient.consistency.text import printable

#: Bytes of a line that the guest takes at once (see supervisor.sh).
CHUNK_BYTES = 900
#: An argument or variable must fit into one write to a pipe (PIPE_BUF, 4096).
LONGEST_WORD_BYTES = 3000
#: A longer line of the guest is none of the supervisor's.
LONGEST_LINE_BYTES = 8192
#: Output of a hook, log of a holder: more than that is not kept.
LOG_CHARACTERS = 64 * 1024
#: What a reason quotes of it.
QUOTED_CHARACTERS = 300

#: Characters that mean nothing to any shell within single quotes. csh's
#: history and fish's escapes are why quotes, \\ and ! are not among them.
PLAIN = frozenset(
    b'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'
    b'_./=+-:,"$(){}[]|&;<>@#^*~?`%'
)


def encode(data: bytes, blank: str = '\\0040') -> str:
    """Write bytes in the notation of ``printf %b``, without blanks.

    :param blank: what to write for a blank
    """
    return ''.join(_notation(blank)[byte] for byte in data)


def _notation(blank: str) -> tuple[str, ...]:
    return _PLAIN_BLANK if blank == ' ' else _NO_BLANK


def _table(blank: str) -> tuple[str, ...]:
    return tuple(
        chr(n) if n in PLAIN else blank if n == 32 else f'\\0{n:03o}'
        for n in range(256)
    )


_NO_BLANK = _table('\\0040')
_PLAIN_BLANK = _table(' ')


def chunks(data: bytes) -> Iterator[str]:
    """Give the data in encoded pieces that each fit into one line."""
    piece: list[str] = []
    size = 0
    for byte in data:
        notation = _NO_BLANK[byte]
        if size + len(notation) > CHUNK_BYTES:
            yield ''.join(piece)
            piece, size = [], 0
        piece.append(notation)
        size += len(notation)
    if piece:
        yield ''.join(piece)


def remote_command(shell: str, arguments: Iterable[str | int]) -> str:
    """Return the command that starts the supervisor in any login shell.

    The script travels in it, whole: what comes through standard input is
    the protocol's alone, so no shell can take it for commands.

    :param shell: the POSIX shell to run it, one or several words
    :param arguments: of the supervisor, of harmless characters
    """
    text = (resources.files(__package__) / 'supervisor.sh').read_text('utf-8')
    lines = [one.strip(' ') for one in text.splitlines()]
    script = '\n'.join(one for one in lines if one and one[0] != '#')
    encoded = encode(script.encode(), ' ')
    words = ' '.join(map(str, arguments))
    # The second shell has a short command line, for those who look at `ps`.
    return (
        f'exec {shell} -c \'t=$(printf %b "$1"); export t; shift; '
        f"exec {shell} -c \"$@\"' xloud '{encoded}' "
        f'\'eval "$t"\' xloud-supervisor {words}'
    )


class LineSplitter:
    """Cuts what the guest sends into lines; drops those that are too long.

    Bytes are kept: a character may go on in another line (:func:`mend`).
    """

    def __init__(self, limit: int = LONGEST_LINE_BYTES) -> None:
        self._limit = limit
        self._rest = b''
        self._is_skipping = False

    def feed(self, data: bytes) -> Iterator[str]:
        """Yield each line that is complete now, without its end."""
        *lines, self._rest = (self._rest + data).split(b'\n')
        for line in lines:
            if not self._is_skipping and len(line) <= self._limit:
                yield line.decode(errors='surrogateescape')
            self._is_skipping = False
        if len(self._rest) > self._limit:
            self._rest = b''
            self._is_skipping = True


def mend(text: str) -> str:
    """Decode text that was put together from lines."""
    return text.encode(errors='surrogateescape').decode(errors='replace')


def quote(text: str) -> str:
    """Return the end of what somebody else wrote, fit to be shown."""
    text = text.strip()
    cut = '...' if len(text) > QUOTED_CHARACTERS else ''
    return cut + printable(text[-QUOTED_CHARACTERS:])
