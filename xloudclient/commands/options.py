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


"""Options that several commands share, each parsed in one place."""

import argparse
import datetime
import re
from collections.abc import Callable, Sequence
from typing import Any

from osc_lib.cli import parseractions

from xloudclient.i18n import _

DURATION = re.compile(r'(\d+(?:\.\d+)?)([smh]?)')
AGO = re.compile(r'\d+(?:\.\d+)?[smhdw]')
UNITS = {'': 1.0, 's': 1.0, 'm': 60.0, 'h': 3600.0}
#: Of consistency, in rising order.
CLASSES = ('none', 'crash', 'filesystem', 'application')
#: Properties that a run writes itself.
RESERVED = ('image_type', 'instance_uuid')


def duration(text: str) -> float:
    """Read a duration such as ``30s``, ``2m`` or ``1h``.

    :returns: seconds; a bare number is seconds
    :raises argparse.ArgumentTypeError: it is nothing of the kind, or zero
    """
    match = DURATION.fullmatch(text)
    seconds = float(match[1]) * UNITS[match[2]] if match else 0.0
    if not seconds:
        raise argparse.ArgumentTypeError(
            _('%r is not a duration; write 30s, 2m or 1h') % text
        )
    return seconds


def moment(text: str) -> datetime.datetime:
    """Read a point in time: ISO 8601, or a duration ago.

    :returns: with its time zone; UTC where none is written
    """
    now = datetime.datetime.now(datetime.UTC)
    try:
        if AGO.fullmatch(text):
            return now - datetime.timedelta(seconds=age(text))
        read = datetime.datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            _('%r is no time; write 2026-03-18, 2026-03-18T10:00Z or 7d')
            % text
        ) from None
    return read if read.tzinfo else read.replace(tzinfo=datetime.UTC)


def age(text: str) -> float:
    """Read a duration that may be days or weeks; seconds."""
    unit = {'d': 24.0, 'w': 7 * 24.0}.get(text[-1:])
    return duration(f'{text[:-1]}h') * unit if unit else duration(text)


def tag(text: str) -> str:
    """Take a tag that Glance will take."""
    if not text or len(text) > LENGTH:
        raise argparse.ArgumentTypeError(_('a tag has 1 to 255 characters'))
    return text


def at_least_one(text: str) -> int:
    """Read a whole number above zero."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(
            _('%r is not a whole number above zero') % text
        )
    return int(text)


#: Nova and Glance take no longer values, and Glance no longer tags.
LENGTH = 255
#: As ``nova/api/validation/parameter_types.py`` ``metadata`` has it.
PROPERTY_KEY = re.compile(r'[a-zA-Z0-9_:. -]{1,255}')


class SnapshotProperty(parseractions.KeyValueAction):
    """Collect ``key=value``, but for the keys that a run writes itself."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        key, _equals, value = str(values).partition('=')
        if not PROPERTY_KEY.fullmatch(key) or len(value) > LENGTH:
            raise argparse.ArgumentError(
                self,
                _(
                    '%r: a key has letters, digits and -_:. and a value at '
                    'most 255 characters'
                )
                % key,
            )
        if key.startswith('xloud_') or key in RESERVED:
            raise argparse.ArgumentError(
                self, _('%s is set by the snapshot itself') % key
            )
        super().__call__(parser, namespace, values, option_string)


def defaults_of(
    *adders: Callable[[argparse.ArgumentParser], None],
) -> dict[str, Any]:
    """What options that a command lacks would be if it had them.

    :param adders: what would add them
    """
    parser = argparse.ArgumentParser(add_help=False)
    for add in adders:
        add(parser)
    return vars(parser.parse_args([]))


def add_servers(parser: argparse.ArgumentParser, what: str) -> None:
    """Take servers.

    :param what: is said of them
    """
    parser.add_argument(
        'servers',
        metavar='<server>',
        nargs='+',
        help=what,
    )


def add_snapshot(
    parser: argparse.ArgumentParser, data_volumes_by_default: bool
) -> None:
    """Options on what is made."""
    parser.add_argument(
        '--name',
        metavar='<template>',
        help=_(
            'Name of the snapshot; {server}, {server_id}, {date}, {time} and '
            '{run} are filled in, -{time} is appended if the name is taken '
            '(default: {server}-{date})'
        ),
    )
    parser.add_argument(
        '--property',
        metavar='<key=value>',
        dest='properties',
        action=SnapshotProperty,
        help=_(
            'Set a property on the snapshot '
            '(repeat option to set multiple properties)'
        ),
    )
    parser.add_argument(
        '--tag',
        metavar='<tag>',
        dest='tags',
        type=tag,
        action='append',
        default=[],
        help=_('Add a tag to the snapshot (repeat option for several)'),
    )
    parser.add_argument(
        '--protected',
        action='store_true',
        help=_(
            'Prevent the snapshot from being deleted, once it is active '
            '(implies --wait)'
        ),
    )
    add_data_volumes(parser, data_volumes_by_default)


def add_data_volumes(
    parser: argparse.ArgumentParser, by_default: bool
) -> None:
    default = _('default') if by_default else _('not by default')
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        '--data-volumes',
        action='store_true',
        default=None,
        help=_(
            'Capture the volumes attached to an image-backed server as well '
            '(%s)'
        )
        % default,
    )
    group.add_argument(
        '--no-data-volumes',
        dest='data_volumes',
        action='store_false',
        default=None,
        help=_('Leave the attached volumes of an image-backed server out'),
    )
    parser.set_defaults(data_volumes_by_default=by_default)


def add_run(parser: argparse.ArgumentParser, limits: str = '') -> None:
    """Options on how the run goes.

    :param limits: what else limits how many servers there are at a time
    """
    parser.add_argument(
        '--timeout',
        metavar='<duration>',
        type=duration,
        default=3600.0,
        help=_(
            'Longest time for the whole run; after the capture it ends only '
            'the waiting (default: 1h)'
        ),
    )
    parser.add_argument(
        '--wait',
        action='store_true',
        help=_(
            'Wait until the snapshot can be launched (default: return once '
            'it is captured)'
        ),
    )
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help=_('Print the plan and touch nothing, not even the guest'),
    )
    add_concurrency(
        parser,
        _(
            '; never more than one image-backed server of the same compute '
            'host is captured'
        )
        + limits,
    )
    parser.add_argument(
        '--events',
        metavar='<file>',
        help=_('Append each step as one JSON line to this file'),
    )


def add_concurrency(parser: argparse.ArgumentParser, limits: str = '') -> None:
    """Say how many servers there are at a time.

    :param limits: what else limits them in this command
    """
    parser.add_argument(
        '--concurrency',
        metavar='<n>',
        type=at_least_one,
        default=8,
        help=_('Servers at a time%s (default: 8)') % limits,
    )
