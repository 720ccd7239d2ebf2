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

"""Holding hooks for what runs in a guest.

Each quiesces one kind of application for as long as its process lives. They
are POSIX shell, one file each (``mysql.sh``, ``fsfreeze.sh``, ...), and serve
as examples for hooks of one's own. A file sources ``common.sh`` beside it;
:func:`script` puts that in its place, so what is sent to a guest stands
alone. ``probe.sh`` holds nothing: it tells once, in JSON, which databases run
there.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from importlib import resources

#: What each quiescer gives when all goes well: a consistency class.
#: A ``ready`` line may say less.
GIVES: Mapping[str, str] = {
    'sync': 'crash',
    'pair': 'crash',
    'fsfreeze': 'filesystem',
    'mysql': 'application',
    'postgresql': 'application',
    'redis': 'application',
    'service': 'application',
}

#: What is written on meanwhile is in the capture: these stop nobody.
LETTING_WRITE = ('sync', 'postgresql')

NAMES = tuple(GIVES)

#: Options that may be given again: the further arguments of a script.
REPEATABLE: Mapping[str, tuple[str, ...]] = {'pair': ('pre', 'post', 'fail')}

#: Options that name a file of the user's machine, which is sent along.
SENT: Mapping[str, tuple[str, ...]] = {'pair': ('file', 'post_file')}

#: The script that finds the databases of a guest; not a quiescer.
PROBE = 'probe'

_SOURCED = '. "${0%/*}/common.sh"\n'


def script(name: str) -> str:
    """Give the text of a quiescer, or of ``probe``, complete in itself.

    :param name: one of :data:`NAMES`, or :data:`PROBE`
    :raises KeyError: there is no such quiescer
    """
    if name not in GIVES and name != PROBE:
        raise KeyError(name)
    return completed(_read(name))


def completed(text: str) -> str:
    """Give the text of a quiescer complete in itself.

    :param text: that of one of ours, or of a copy of it, or any other
    """
    return text.replace(_SOURCED, _read('common'), 1)


def _read(name: str) -> str:
    return (resources.files(__name__) / f'{name}.sh').read_text('utf-8')


def check(name: str, options: Sequence[tuple[str, str]]) -> str | None:
    """Say what is wrong with a quiescer's options, or None.

    The guest checks them again. They are passed on as they are, as the
    arguments ``hold key=value ...``.

    :param name: one of :data:`NAMES`
    :param options: keys and values that followed the name in ``--quiesce``
    :returns: a sentence that names the option and what was expected
    """
    if name not in GIVES:
        return f"There is no quiescer '{name}'; there are {', '.join(NAMES)}"
    known = _OPTIONS[name]
    seen = set()
    for key, value in options:
        if key not in known:
            names = ', '.join(known) or 'none'
            return f"{name} has no option '{key}' (it has: {names})"
        expected = known[key](value)
        if expected:
            return f"{name}: {key} must be {expected}, not '{value}'"
        if key in seen and key not in REPEATABLE.get(name, ()):
            return f'{name}: {key} was given twice'
        seen.add(key)
    for key in _NEEDED.get(name, ()):
        if key not in seen and not seen & set(_INSTEAD.get(key, ())):
            return f'{name} needs {key}=<value>'
    return None


_Rule = Callable[[str], str | None]


def _pattern(pattern: str, expected: str) -> _Rule:
    compiled = re.compile(pattern)
    return lambda value: None if compiled.fullmatch(value) else expected


_SECONDS = _pattern(
    r'[1-9][0-9]{0,4}', 'a whole number of seconds, at least 1'
)
_SECONDS_OR_NONE = _pattern(r'[0-9]{1,5}', 'a whole number of seconds')
_PORT = _pattern(r'[1-9][0-9]{0,4}', 'a port number')
_PID = _pattern(r'[1-9][0-9]{0,8}', 'a process ID')
_PATH = _pattern(r'/[^\0\r\n]*', 'an absolute path')
_PATHS = _pattern(
    r'/[^\0\r\n:]*(:/[^\0\r\n:]*)*', 'absolute paths separated by colons'
)
_FILE = _pattern(r'[^\0\r\n-][^\0\r\n]*', 'a path')
_WORD = _pattern(r'[^\0\r\n]+', 'a word')
_ACCOUNT = _pattern(r'[A-Za-z_][A-Za-z0-9_.-]*', 'an account name')
_UNIT = _pattern(r'[A-Za-z0-9_:.\\@][A-Za-z0-9_:.\\@-]*', 'a systemd unit')

_OPTIONS: Mapping[str, Mapping[str, _Rule]] = {
    'sync': {},
    'pair': {
        'file': _FILE,
        'post_file': _FILE,
        'pre': _WORD,
        'post': _WORD,
        'fail': _WORD,
    },
    'fsfreeze': {'mounts': _PATHS},
    'mysql': {
        'defaults_file': _PATH,
        'socket': _PATH,
        'pid': _PID,
        'lock_wait_timeout': _SECONDS,
        'long_query': _SECONDS_OR_NONE,
    },
    'postgresql': {
        'socket': _PATH,
        'port': _PORT,
        'pid': _PID,
        'user': _ACCOUNT,
        'timeout': _SECONDS,
    },
    'redis': {
        'socket': _PATH,
        'port': _PORT,
        'pid': _PID,
        'user': _WORD,
        'password_file': _PATH,
        'save_timeout': _SECONDS,
    },
    'service': {'name': _UNIT, 'data': _PATHS},
}

_NEEDED: Mapping[str, tuple[str, ...]] = {
    'pair': ('file', 'pre', 'post'),
    'service': ('name',),
}

#: Options that do without one that is needed: two scripts need no arguments.
_INSTEAD: Mapping[str, tuple[str, ...]] = {
    'pre': ('post_file',),
    'post': ('post_file',),
}
