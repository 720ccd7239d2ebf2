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


"""The name of a snapshot."""

import datetime
import string

from xloudclient.consistency.errors import Misuse

DEFAULT = '{server}-{date}'
FIELDS = ('server', 'server_id', 'date', 'time', 'run')
#: Nova and Glance take no longer names (characters).
LENGTH = 255
#: Of a volume-backed server: Nova names the snapshots of its volumes
#: ``snapshot for <name>``, also of 255.
VOLUME_LENGTH = LENGTH - len('snapshot for ')


def check(template: str, several: bool) -> None:
    """Refuse a template that can't be filled in.

    :param several: it is to name the snapshots of several servers
    :raises Misuse: a field is unknown, or the names could not differ
    """
    fields = _fields(template)
    known = ', '.join(f'{{{field}}}' for field in FIELDS)
    for field in fields:
        if field not in FIELDS:
            raise Misuse(
                f'--name: unknown field {{{field}}} (there are {known})'
            )
    if several and not {'server', 'server_id'} & set(fields):
        raise Misuse('--name: several servers need {server} or {server_id}')
    if not template.strip():
        raise Misuse('--name: the name is empty')
    if not template.isprintable():
        raise Misuse('--name: a name has printable characters only')


def _fields(template: str) -> list[str]:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise Misuse(f'--name: {error}') from error
    if any(spec or conversion for _, _, spec, conversion in parts):
        raise Misuse('--name: a field takes no format or conversion')
    return [field for _, field, _, _ in parts if field is not None]


def fill(
    template: str,
    server: str,
    server_id: str,
    run: str,
    now: datetime.datetime,
    length: int = LENGTH,
) -> str:
    """Fill in a template that :func:`check` accepts.

    :param now: the time of day in UTC
    :param length: characters that the name may have
    """
    name = template.format(
        server=server,
        server_id=server_id,
        run=run,
        date=now.strftime('%Y-%m-%d'),
        time=now.strftime('%H%M%S'),
    )
    return name[:length].strip()


def extend(name: str, suffix: str, length: int = LENGTH) -> str:
    """Append to a name that is taken, and keep it short enough."""
    return name[: length - len(suffix)] + suffix
