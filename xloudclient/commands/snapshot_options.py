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

"""Options of the commands on snapshots that exist.

Not imported at start-up: only these commands need it.
"""

import argparse

from openstackclient.identity import common
from osc_lib.cli import pagination

from xloudclient.commands import options
from xloudclient.i18n import _

KINDS = ('image', 'volume', 'backup')


def add_list(parser: argparse.ArgumentParser) -> None:
    """Options on which snapshots are listed."""
    _add_what(parser)
    _add_labels(parser)
    _add_times(parser)
    _add_owners(parser)
    parser.add_argument(
        '--hidden',
        action='store_true',
        help=_('Those that are hidden, instead'),
    )
    parser.add_argument(
        '--long',
        action='store_true',
        help=_('List additional fields in output'),
    )
    pagination.add_marker_pagination_option_to_parser(parser)


def _add_what(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        '--server',
        metavar='<server>',
        help=_(
            'Only snapshots of this server (name or ID; a deleted one '
            'by its ID)'
        ),
    )
    add(
        '--consistency',
        metavar='<class>',
        choices=options.CLASSES,
        help=_(
            'Only snapshots of this consistency class or a higher one '
            '(none, crash, filesystem or application)'
        ),
    )
    add(
        '--kind',
        metavar='<kind>',
        choices=KINDS,
        help=_(
            'Only snapshots of this kind: image (also the disks of shelved '
            'servers), volume or backup'
        ),
    )
    add(
        '--status',
        metavar='<status>',
        help=_(
            'Only snapshots whose image has this status (queued, saving, '
            'active, deactivated)'
        ),
    )


def _add_labels(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('--name', metavar='<name>', help=_('Only snapshots named so'))
    add(
        '--tag',
        metavar='<tag>',
        dest='tags',
        action='append',
        default=[],
        help=_('Only snapshots with this tag (repeat option for several)'),
    )
    add(
        '--run',
        metavar='<run>',
        help=_('Only the snapshots that this run made (ID)'),
    )
    add(
        '--group',
        metavar='<group>',
        help=_('Only the snapshots of this group (ID)'),
    )


def _add_times(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        '--since',
        metavar='<time>',
        type=options.moment,
        help=_(
            'Only snapshots requested then or later (ISO 8601, or how '
            'long ago: 12h, 7d, 4w)'
        ),
    )
    add(
        '--before',
        metavar='<time>',
        type=options.moment,
        help=_(
            'Only snapshots requested before that time (ISO 8601, or how '
            'long ago: 12h, 7d, 4w)'
        ),
    )


def _add_owners(parser: argparse.ArgumentParser) -> None:
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument(
        '--all-projects',
        action='store_true',
        help=_('The snapshots of all projects (admin only)'),
    )
    whose.add_argument(
        '--project',
        metavar='<project>',
        help=_("Another project's snapshots (admin only; name or ID)"),
    )
    whose.add_argument(
        '--shared',
        action='store_true',
        help=_(
            'The snapshots of other projects that were shared with this '
            'one: those it accepted, and those that wait for its answer'
        ),
    )
    common.add_project_domain_option_to_parser(parser)


def add_rules(parser: argparse.ArgumentParser) -> None:
    """Options on what is kept, as restic forget has them."""
    for name, text in (
        ('last', _('Keep the last n snapshots, or "unlimited"')),
        ('hourly', _('Keep the last of each of n hours that have any')),
        ('daily', _('Keep the last of each of n days that have any')),
        ('weekly', _('Keep the last of each of n weeks that have any')),
        ('monthly', _('Keep the last of each of n months that have any')),
        ('yearly', _('Keep the last of each of n years that have any')),
    ):
        parser.add_argument(f'--keep-{name}', metavar='<n>', help=text)
    parser.add_argument(
        '--keep-within',
        metavar='<duration>',
        help=_(
            'Keep all that were made within that time before the newest: '
            'years, months, days and hours such as 14d or 1y6m (m is months)'
        ),
    )


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Options on what is looked at, and what is done."""
    parser.add_argument(
        '--consistency',
        metavar='<class>',
        choices=options.CLASSES,
        help=_(
            'Only snapshots of this consistency class or a higher one: '
            'others neither count nor are deleted (none, crash, filesystem '
            'or application)'
        ),
    )
    parser.add_argument(
        '--include-foreign',
        action='store_true',
        help=_(
            'Also snapshots of the named servers that others made, such as '
            '"server image create"'
        ),
    )
    consent = parser.add_mutually_exclusive_group()
    consent.add_argument(
        '--dry-run',
        action='store_true',
        help=_('Show what would be deleted, and delete nothing'),
    )
    consent.add_argument(
        '--auto-approve',
        action='store_true',
        help=_('Delete without asking'),
    )
