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


"""Options on what is done in, and around, the guest."""

import argparse
import functools
from collections.abc import Mapping
from typing import Any

from xloudclient.commands import options
from xloudclient.commands.options import at_least_one, duration
from xloudclient.i18n import _


def add_quiescing(parser: argparse.ArgumentParser, limits: str = '') -> None:
    """Options on how the guest is quiesced.

    :param limits: what else there is to say of the longest hold
    """
    _add_quiescers(
        parser,
        _(
            'What quiesces the guest, in order (repeat option for several): '
            'auto, none, sync, fsfreeze, mysql (MariaDB too), postgresql, '
            'redis, service,name=<unit>, agent (what "server snapshot hook '
            'install" put into the guest), '
            'pair,file=<file>,pre=<argument>,post=<argument>[,fail=<argument>]'
            '[,post_file=<file>], or the path of your own holding hook, with '
            'a / in it (default: auto)'
        ),
    )
    parser.add_argument(
        '--require',
        metavar='<class>',
        choices=options.CLASSES,
        help=_(
            'Lowest class that counts as success: none, crash, filesystem or '
            'application (default: what the quiescers give when all goes '
            'well)'
        ),
    )
    parser.add_argument(
        '--on-error',
        metavar='<policy>',
        choices=('fail', 'continue'),
        default='fail',
        help=_(
            'When a pre hook or a quiescer fails: fail takes no snapshot, '
            'continue drops it, and the class with it (default: fail)'
        ),
    )
    _add_max_freeze(parser, limits)


def add_freeze_hook(parser: argparse.ArgumentParser) -> None:
    """Options on what a freeze hook holds."""
    _add_quiescers(
        parser,
        _(
            'What the hook holds, in order (repeat option for several), as '
            'for "server snapshot consistent" but fsfreeze: the guest agent '
            'freezes all file systems itself. auto: the databases that run '
            'now; none: nothing else (default: auto)'
        ),
    )
    _add_max_freeze(parser, _(', if no thaw comes'))


def _add_quiescers(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        '--quiesce',
        metavar='<name>[,<key>=<value>...]',
        dest='quiescers',
        action='append',
        help=what,
    )


def _add_max_freeze(parser: argparse.ArgumentParser, limits: str) -> None:
    parser.add_argument(
        '--max-freeze',
        metavar='<duration>',
        type=duration,
        default=60.0,
        help=_(
            'Longest time from the first lock requested to the last '
            'released%s (default: 60s)'
        )
        % limits,
    )


def add_lower_class(parser: argparse.ArgumentParser) -> None:
    """Options on a snapshot that has the class, or does not."""
    parser.add_argument(
        '--discard-lower',
        action='store_true',
        help=_(
            'Delete a snapshot of a lower class than required again '
            '(default: keep it, labelled)'
        ),
    )
    parser.add_argument(
        '--rehearse',
        action='store_true',
        help=_(
            'Quiesce, hold as long as predicted, verify and release, but '
            'take no snapshot'
        ),
    )


def add_group(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--group',
        action='store_true',
        help=_(
            'Capture all servers at one point in time: all are quiesced, '
            'then all captured, then all released; all or nothing'
        ),
    )


#: Option -> whether it runs in the guest, its arguments before and after;
#: None for a call that it does not make.
HOOKS = {
    '--hook': (False, ('pre',), ('post',)),
    '--pre-hook': (False, ('pre',), None),
    '--post-hook': (False, None, ('post',)),
    '--guest-hook': (True, ('pre',), ('post',)),
    '--guest-pre-hook': (True, ('pre',), None),
    '--guest-post-hook': (True, None, ('post',)),
}
HOOK_HELP = {
    '--hook': _(
        'Run a script here: pre before anything is quiesced, post after the '
        'release (repeat option for several)'
    ),
    '--pre-hook': _(
        'Run a script here before anything is quiesced '
        '(repeat option for several)'
    ),
    '--post-hook': _(
        'Run a script here after the release (repeat option for several)'
    ),
    '--guest-hook': _(
        'Run a script in the guest: pre before the quiescers, post after '
        'their release (repeat option for several)'
    ),
    '--guest-pre-hook': _(
        'Run a script in the guest before the quiescers '
        '(repeat option for several)'
    ),
    '--guest-post-hook': _(
        'Run a script in the guest after their release '
        '(repeat option for several)'
    ),
}
NOT_RUN = dict.fromkeys(
    HOOK_HELP,
    _('As for a snapshot; checked, but not run (repeat option for several)'),
)


class HookOption(argparse.Action):
    """Collect the hooks of all options in the order they are given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        wanted = (*HOOKS[self.option_strings[0]], values)
        before = getattr(namespace, 'hooks', None) or ()
        namespace.hooks = [*before, wanted]


def add_hooks(
    parser: argparse.ArgumentParser, texts: Mapping[str, str] = HOOK_HELP
) -> None:
    """Options on scripts around the snapshot.

    :param texts: what is said of each, in the order of the help
    """
    for option, text in texts.items():
        parser.add_argument(
            option,
            metavar='<file>',
            dest='hooks',
            action=HookOption,
            help=text,
        )
    parser.add_argument(
        '--hook-timeout',
        metavar='<duration>',
        type=duration,
        default=30.0,
        help=_('Longest time for each hook and quiescer (default: 30s)'),
    )
    parser.add_argument(
        '--hook-env',
        metavar='<name>',
        action='append',
        default=[],
        help=_(
            'Pass this environment variable to the hooks here as well '
            '(repeat option for several)'
        ),
    )


def add_guest_access(parser: argparse.ArgumentParser) -> None:
    """Options on how the guest is reached, named as ``server ssh`` does."""
    parser.add_argument(
        '--login',
        metavar='<user>',
        help=_("Login name in the guest (default: ssh's own choice)"),
    )
    parser.add_argument(
        '--port',
        metavar='<port>',
        type=at_least_one,
        help=_("Port of the guest's ssh server (default: ssh's own choice)"),
    )
    parser.add_argument(
        '--identity',
        metavar='<file>',
        help=_('Private key file for ssh'),
    )
    parser.add_argument(
        '--ssh-option',
        metavar='<key=value>',
        dest='ssh_options',
        action='append',
        default=[],
        help=_('Option for ssh -o (repeat option for several)'),
    )
    parser.add_argument(
        '--trust-metadata',
        action='store_true',
        help=_("Follow xloud: metadata also of other projects' servers"),
    )
    _add_address(parser)


def _add_address(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        '--address-type',
        metavar='<type>',
        help=_(
            'Address to use: floating, fixed or the name of a network '
            '(default: a floating address if there is one, else a fixed one)'
        ),
    )
    which.add_argument(
        '--public',
        dest='address_type',
        action='store_const',
        const='floating',
        help=_('Use the floating address'),
    )
    which.add_argument(
        '--private',
        dest='address_type',
        action='store_const',
        const='fixed',
        help=_('Use the fixed address'),
    )
    which.add_argument(
        '--ssh-host',
        metavar='<host>',
        help=_('Address or host name to use instead'),
    )
    family = parser.add_mutually_exclusive_group()
    family.add_argument(
        '-4',
        dest='family',
        action='store_const',
        const=4,
        default=0,
        help=_('Use only IPv4 addresses'),
    )
    family.add_argument(
        '-6',
        dest='family',
        action='store_const',
        const=6,
        help=_('Use only IPv6 addresses'),
    )


def leave_guest_alone(parser: argparse.ArgumentParser) -> None:
    """Give a command without a guest the defaults of the options it lacks."""
    lacking = options.defaults_of(
        add_quiescing,
        add_lower_class,
        add_group,
        add_hooks,
        add_guest_access,
    )
    parser.set_defaults(**{**lacking, 'quiescers': ['none']})


def of_a_hold() -> dict[str, Any]:
    """The defaults of options for commands that hold nothing."""
    return options.defaults_of(add_quiescing, add_hooks)


def of_a_snapshot() -> dict[str, Any]:
    """The defaults of options for commands that take no snapshot."""
    return options.defaults_of(
        functools.partial(options.add_snapshot, data_volumes_by_default=True),
        options.add_run,
        add_lower_class,
        add_group,
    )
