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


"""From options to plans: everything that is decided before a run begins.

What can be refused without a request is refused first, then what the cloud
knows of the servers. Nothing is changed here, in the cloud or in a guest.
"""

import dataclasses
import datetime
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from xloudclient.cloud.compute import choose_address
from xloudclient.cloud.project import OpenStack
from xloudclient.consistency import auto, naming
from xloudclient.consistency.errors import (
    CloudError,
    Failure,
    Misuse,
    NotQuiesced,
)
from xloudclient.consistency.plan import (
    Budget,
    Consistency,
    Hook,
    Kind,
    Place,
    Plan,
    Quiescer,
    Target,
)
from xloudclient.guest import access, quiescers
from xloudclient.local import trust


class Options(Protocol):
    """The options of a command, as its parser leaves them; in seconds."""

    servers: list[str]
    name: str
    properties: dict[str, str] | None
    tags: list[str]
    protected: bool
    data_volumes: bool
    no_data_volumes: bool
    by_default: bool
    quiescers: list[str] | None
    require: str | None
    discard_lower: bool
    on_error: str
    max_freeze: float
    rehearse: bool
    hooks: list[tuple[str, str]] | None
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
    events: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, with how its guest is reached and what is known of its hold.

    :param guest: None if nothing is to be done in the guest
    :param measured_ms: the hold of the server's last snapshot, if known
    """

    plan: Plan
    guest: access.Access | None = None
    measured_ms: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What the options ask for, the same for every server."""

    quiescers: tuple[Quiescer, ...]
    is_auto: bool
    is_default: bool
    hooks: tuple[Hook, ...]

    @classmethod
    def of(cls, options: Options) -> 'Wanted':
        """Read the options.

        :raises Misuse: one makes no sense; HookRefused: a file may not run
        """
        naming.check(options.name, several=len(options.servers) > 1)
        words = options.quiescers or ['auto']
        return cls(
            quiescers=read_quiescers(words),
            is_auto='auto' in words,
            is_default=options.quiescers is None,
            hooks=tuple(
                _hook(option, path) for option, path in options.hooks or ()
            ),
        )


def read_quiescers(words: Sequence[str]) -> tuple[Quiescer, ...]:
    """Read the values of ``--quiesce``; ``auto`` and ``none`` give none.

    :raises Misuse: one is unknown or has a wrong option
    """
    if len(words) > 1 and {'auto', 'none'} & set(words):
        raise Misuse('--quiesce: auto and none stand alone')
    return tuple(
        _quiescer(word) for word in words if word not in ('auto', 'none')
    )


def _quiescer(word: str) -> Quiescer:
    name, *pairs = word.split(',')
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition('=')
        if not equals:
            raise Misuse(f'--quiesce {word}: {pair!r} is not <key>=<value>')
        options[key] = value
    if '/' in name:
        return Quiescer(name, _script(name), tuple(options.items()), None)
    if name not in quiescers.NAMES:
        known = ', '.join(sorted(quiescers.NAMES))
        raise Misuse(
            f'--quiesce: there is no quiescer {name!r} (there are auto, '
            f'none, {known}; a path needs a /)'
        )
    if problem := quiescers.check(name, options):
        raise Misuse(f'--quiesce {name}: {problem}')
    companion = ''
    if name == 'pair':
        companion = _script(options.pop('file'))
    return built_in(name, options, companion)


def built_in(
    name: str, options: Mapping[str, str] | None = None, companion: str = ''
) -> Quiescer:
    """Return a quiescer that we bring."""
    return Quiescer(
        name,
        quiescers.script(name),
        tuple((options or {}).items()),
        Consistency.of(quiescers.GIVES[name]),
        companion,
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


def _hook(option: str, path: str) -> Hook:
    path = os.path.abspath(path)
    trust.check(path)
    place = Place.GUEST if option.startswith('--guest') else Place.HERE
    return Hook(
        path,
        place,
        pre=None if 'post' in option else 'pre',
        post=None if 'pre' in option else 'post',
    )


class Planner:
    """Makes the plans for the servers of one command."""

    def __init__(
        self,
        options: Options,
        wanted: Wanted,
        cloud: OpenStack,
        project_id: str,
    ) -> None:
        self.options = options
        self.wanted = wanted
        self.cloud = cloud
        self.project_id = project_id
        self.now = datetime.datetime.now(datetime.UTC)
        self._names: set[str] = set()

    def plan(self, name_or_id: str) -> Prepared:
        """Plan the snapshot of one server.

        :raises Failure: it can't be snapshotted as asked
        """
        server = self.cloud.servers.find(name_or_id)
        try:
            return self._plan(server)
        except Failure as failure:
            raise type(failure)(
                f'{server["name"]}: {failure}. Nothing was touched',
                failure.advice,
            ) from failure
        except CloudError as error:
            raise Failure(
                f'{server["name"]}: {error}. Nothing was touched'
            ) from error

    def _plan(self, server: Mapping[str, Any]) -> Prepared:
        target = self.cloud.servers.target(server)
        run_id = f'{self.now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}'
        wanted = self._for(target)
        plan = Plan(
            target=target,
            run_id=run_id,
            snapshot_name=self._name(target, run_id),
            budget=Budget(
                self.options.max_freeze,
                self.options.hook_timeout,
                self.options.timeout,
            ),
            quiescers=wanted.quiescers,
            hooks=wanted.hooks,
            is_auto=wanted.is_auto,
            catalogue=_catalogue() if wanted.is_auto else {},
            required=self._required(),
            is_required_by_default=self.options.require is None,
            properties=self.options.properties or {},
            tags=tuple(self.options.tags),
            is_protected=self.options.protected,
            with_data_volumes=self._with_data_volumes(target),
            continue_on_error=self.options.on_error == 'continue',
            discard_lower=self.options.discard_lower,
            wait=self.options.wait or self.options.protected,
            rehearse=self.options.rehearse,
        )
        return self._with_guest(plan, server)

    def _for(self, target: Target) -> Wanted:
        """What is wanted of this server: nothing is held if it is idle."""
        wanted = self.wanted
        if target.state.is_writing:
            if wanted.is_default and self._is_trusted(target):
                wanted = _by_metadata(wanted, target)
            return wanted
        for hook in wanted.hooks:
            if hook.place is Place.GUEST:
                raise NotQuiesced(
                    f"the guest is {target.state}, so {hook.path} can't run "
                    'in it'
                )
        return dataclasses.replace(wanted, quiescers=(), is_auto=False)

    def _required(self) -> Consistency:
        if self.options.require is not None:
            return Consistency.of(self.options.require)
        return auto.nominal(self.wanted.quiescers)

    def _with_data_volumes(self, target: Target) -> bool:
        asked = self.options.data_volumes or self.options.no_data_volumes
        if asked and target.kind is Kind.VOLUME:
            raise Misuse(
                '--data-volumes and --no-data-volumes are for image-backed '
                'servers; the snapshot of a volume-backed one always holds '
                'all its volumes'
            )
        if self.options.no_data_volumes:
            return False
        return bool(self.options.data_volumes or self.options.by_default)

    def _name(self, target: Target, run_id: str) -> str:
        name = naming.fill(
            self.options.name, target.name, target.id, run_id, self.now
        )
        if self._is_taken(name):
            name = naming.distinguish(name, self.now)
        if self._is_taken(name):
            name = f'{name[:200]}-{run_id[-8:]}'
        self._names.add(name)
        return name

    def _is_taken(self, name: str) -> bool:
        return name in self._names or self.cloud.images.has_name(
            name, self.project_id
        )

    def _is_trusted(self, target: Target) -> bool:
        return bool(
            self.options.trust_metadata or target.project_id == self.project_id
        )

    def _with_guest(self, plan: Plan, server: Mapping[str, Any]) -> Prepared:
        if not plan.needs_guest:
            return Prepared(plan)
        options = self.options
        trusted = self._is_trusted(plan.target)
        metadata = plan.target.metadata if trusted else {}
        host = options.ssh_host or metadata.get('xloud:ssh_host')
        guest = access.read(
            host
            or choose_address(
                server, options.address_type or '', options.family
            ),
            options,
            metadata,
        )
        plan = dataclasses.replace(plan, address=guest.address)
        measured = None
        if plan.is_auto or plan.quiescers:
            measured = self.cloud.images.last_hold_ms(
                plan.target.id, self.project_id
            )
        return Prepared(plan, guest, measured)


def _catalogue() -> dict[str, Quiescer]:
    return {
        name: built_in(name)
        for name in quiescers.NAMES
        if not quiescers.check(name, {})
    }


def _by_metadata(wanted: Wanted, target: Target) -> Wanted:
    """Follow ``xloud:quiesce``, which may name built-in quiescers only."""
    word = target.metadata.get('xloud:quiesce', '')
    if not word or word == 'auto':
        return wanted
    if '/' in word or word.startswith('pair'):
        raise Misuse(
            f'its metadata xloud:quiesce={word!r} names no built-in quiescer'
        )
    chosen = read_quiescers([word])
    return dataclasses.replace(wanted, quiescers=chosen, is_auto=False)


def steps(prepared: Prepared) -> Iterator[tuple[str, str, str, str]]:
    """Tell what a run would do, one row a step.

    :returns: server, step, what, limit
    """
    plan = prepared.plan
    limit = f'{plan.budget.hook:g} s'
    here, guest = (
        [hook for hook in plan.hooks if hook.place is place]
        for place in (Place.HERE, Place.GUEST)
    )
    rows = [('pre hook', h.path, limit) for h in here if h.pre]
    rows += [('guest pre hook', h.path, limit) for h in guest if h.pre]
    if plan.is_auto:
        rows.append(('quiesce', 'auto (chosen in the guest)', limit))
    rows += [('quiesce', _described(q), limit) for q in plan.quiescers]
    rows.append(('capture', _captured(plan), f'{plan.budget.total:g} s'))
    if plan.is_auto or plan.quiescers:
        freeze = f'{plan.budget.max_freeze:g} s since the first lock'
        rows.append(('verify and release', 'in reverse order', freeze))
    rows += [
        ('guest post hook', h.path, limit) for h in reversed(guest) if h.post
    ]
    rows += [('post hook', h.path, limit) for h in reversed(here) if h.post]
    rows.append(('record', f'required: {_required(plan)}', ''))
    for row in rows:
        yield plan.target.name, *row


def _described(quiescer: Quiescer) -> str:
    return ' '.join(
        [quiescer.name, *(f'{key}={value}' for key, value in quiescer.options)]
    )


def _captured(plan: Plan) -> str:
    ids = [volume.id for volume in plan.captured_volumes]
    disks = ['root disk'] if plan.target.kind is Kind.IMAGE else []
    disks += [f'volume {one}' for one in ids]
    return f'{", ".join(disks)} as {plan.snapshot_name}'


def _required(plan: Plan) -> str:
    if plan.is_auto and plan.is_required_by_default:
        return 'what auto finds'
    return str(plan.required)
