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


"""The freeze hook: what is put into a guest for its guest agent to call.

``hook.sh`` is the hook, ``setup.sh`` installs it, removes it and tells of it;
both run in the guest. What a hold there left written is read by
:mod:`.record`, and judged by :mod:`xloudclient.consistency.witness`.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from urllib.parse import quote, unquote

from xloudclient.consistency.plan import (
    MOST_QUIESCERS,
    Consistency,
    Quiescer,
)
from xloudclient.consistency.text import printable
from xloudclient.guest import quiescers
from xloudclient.guest.child import Child
from xloudclient.guest.session import delivery, parcel

#: What stands for ``/`` in the guest; the tests' guests share this machine's.
ROOT = ''
#: On the root file system, where no package puts anything (FHS 3.0, 4.9).
PLACE = '/usr/local/lib/xloudclient/freeze-hook'
#: The first holder: it watches for the agent's own freeze.
WATCH = 'fsfreeze'
#: So many others may be there.
MOST = MOST_QUIESCERS - 1
#: They lock one application and need no other one, so none waits for another.
AT_ONCE = frozenset({'sync', 'mysql', 'postgresql', 'redis'})
#: The name of a user's own holding hook is a path; more is not shown.
NAME_CHARACTERS = 200
#: What ``setup.sh`` says before it has changed anything.
REFUSALS = (
    'only root can',
    'there is no guest agent',
    'the guest agent is started with',
    "root's files are not put there",
    'a freeze is on',
)
#: Seconds in which each holder is to be ready.
PATIENCE_SECONDS = 30


def setup_words(verb: str, **more: str | int) -> list[str]:
    """Return the arguments of ``setup.sh``.

    :param verb: ``install``, ``remove`` or ``status``
    """
    words = {'place': ROOT + PLACE, 'root': ROOT, **more}
    return [verb, *(f'{key}={value}' for key, value in words.items())]


def setup_files() -> dict[str, bytes]:
    """Return the files that ``setup.sh status`` and ``remove`` need."""
    return {'file': _text('freeze_hook/setup.sh').encode()}


def installation(
    chosen: Sequence[Quiescer], max_freeze: float
) -> dict[str, bytes]:
    """Return the files that ``setup.sh install`` needs.

    :param chosen: what the hook is to hold, in order; at most :data:`MOST`
    :param max_freeze: seconds after which it releases whatever happens
    """
    nonce = secrets.token_hex(8)
    holders = [watch(), *chosen]
    numbered = list(enumerate(holders, 1))
    settings: Mapping[str, str | int] = {
        'nonce': nonce,
        'cap': max(1, int(max_freeze)),
        'patience': PATIENCE_SECONDS,
        'holders': len(holders),
        'ahead': _list(i for i, one in numbered if _is_ours(one)),
        'at_once': _list(i for i, one in numbered if one.name in AT_ONCE),
    }
    lines = [f'{key} {value}\n' for key, value in settings.items()]
    lines += [f'holder {describe(one)}\n' for one in holders]
    return {
        **setup_files(),
        'hook': _text('freeze_hook/hook.sh').encode(),
        'supervisor': _text('supervisor.sh').encode(),
        'settings': ''.join(lines).encode(),
        **{
            f'holder.{number}': _orders(nonce, number, one)
            for number, one in numbered
        },
    }


def describe(quiescer: Quiescer) -> str:
    """Return name and options of a quiescer as words without blanks."""
    pairs = [f'{quote(key)}={quote(one)}' for key, one in quiescer.options]
    return ' '.join([quote(quiescer.name), *pairs])


def undescribe(words: str) -> Quiescer:
    """Return the quiescer that :func:`describe` wrote of.

    Of a user's own, and of options that ours does not have, only the name is
    known: it can't be asked.
    """
    name, *pairs = words.split() or ['']
    name = unquote(name)
    options = tuple(
        (unquote(key), unquote(value))
        for key, _, value in (pair.partition('=') for pair in pairs)
    )
    if name == WATCH:
        return watch()
    if name not in quiescers.GIVES:
        return Quiescer(printable(name[:NAME_CHARACTERS]), '', (), None)
    gives = Consistency.of(quiescers.GIVES[name])
    if quiescers.check(name, options):
        return Quiescer(name, '', (), gives)
    return Quiescer(name, quiescers.script(name), options, gives)


def watch() -> Quiescer:
    """Return the holder that sees whether the agent froze."""
    return Quiescer(
        WATCH,
        quiescers.script(WATCH),
        (('by', 'agent'),),
        Consistency.FILESYSTEM,
    )


def _orders(nonce: str, number: int, quiescer: Quiescer) -> bytes:
    """Return what has the supervisor start a holder, line by line."""
    child = Child(number, quiescer.name)
    verb = 'prepare' if _is_ours(quiescer) else 'hold'
    files, words = parcel(quiescer, verb)
    lines = [*delivery(child, files, words, {}), f'hold {number}']
    return ''.join(f'{nonce} {line}\n' for line in lines).encode()


def _list(numbers: Iterable[int]) -> str:
    return ' '.join(map(str, numbers))


def _is_ours(quiescer: Quiescer) -> bool:
    """Whether it can prepare first, while nothing is held."""
    return quiescer.name in quiescers.GIVES


def _text(path: str) -> str:
    return (resources.files('xloudclient.guest') / path).read_text('utf-8')
