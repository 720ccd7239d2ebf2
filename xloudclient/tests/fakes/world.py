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


"""A world in memory, in which every step of a run can go wrong.

``World`` is built from a script: the name of a step -> how it ends. Steps are
``open``, ``hook``, ``probe``, ``pre``, ``guest-pre``, ``lease``,
``hold:<name>``, ``request``, ``volume``, ``look``, ``task``, ``verify``,
``release``, ``guest-post``, ``post``, ``agree``, ``record``, ``discard``,
``volumes``, and ``write:<event>`` for lines of the journal: ``BADLY`` is lost,
``HANGING`` never done, ``BUSY`` late. ``post /there`` is that of one hook
alone.
"""

import dataclasses
import enum
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from xloudclient.consistency.answers import (
    Data,
    Evidence,
    FreezeHook,
    GuestFacts,
    HookOutcome,
    HookState,
    Released,
    Requested,
    VolumeSnapshot,
)
from xloudclient.consistency.errors import (
    Busy,
    GuestLost,
    NotQuiesced,
    Refused,
    ReplyLost,
)
from xloudclient.consistency.group import Alone
from xloudclient.consistency.plan import (
    Consistency,
    GuestState,
    Hook,
    Kind,
    Place,
    Plan,
    Quiescer,
    Target,
    Volume,
)
from xloudclient.consistency.ports import Group
from xloudclient.consistency.ports import World as Ports

T = TypeVar('T')

IMAGE = '11111111-1111-4111-8111-111111111111'
SERVER = '22222222-2222-4222-8222-222222222222'
CARD = 'fa:16:3e:00:00:01'
VOLUME = '33333333-3333-4333-8333-333333333333'
SIGINT = 2


class End(enum.Enum):
    """How a step ends."""

    WELL = 'well'
    BADLY = 'badly'
    HANGING = 'hanging'
    INTERRUPTED = 'interrupted'
    LOST = 'lost'
    BUSY = 'busy'
    BUG = 'bug'


#: How a step ends that did what it is for.
WELL = (End.WELL, End.INTERRUPTED)


class Hang(Exception):
    """Tells the clock that the call would never have returned."""


def plan(**changes: Any) -> Plan:
    """A plan for a running image-backed server with one MariaDB."""
    target = Target(
        id=SERVER,
        name=changes.pop('name', 'db'),
        project_id='p',
        kind=changes.pop('kind', Kind.IMAGE),
        state=changes.pop('state', GuestState.RUNNING),
        host_id='h',
        volumes=changes.pop('volumes', ()),
        has_agent=changes.pop('has_agent', False),
        cards=(CARD,),
        updated=changes.pop('updated', ''),
    )
    values = {
        'target': target,
        'run_id': 'run-1',
        'snapshot_name': 'db-2026-03-18',
        'quiescers': (
            Quiescer('mysql', '', (), Consistency.APPLICATION),
            Quiescer('sync', '', (), Consistency.CRASH),
        ),
        'hooks': (
            Hook('/here', Place.HERE),
            Hook('/guest', Place.GUEST),
        ),
        'required': Consistency.APPLICATION,
    }
    return Plan(**{**values, **changes})


def data_volume() -> Volume:
    return Volume(VOLUME, '/dev/vdb')


@dataclasses.dataclass
class Clock:
    world: 'World'
    time: float = 0.0
    interrupted: int = 0

    def now(self) -> float:
        return self.time

    def utc(self) -> str:
        return f'2026-03-18T00:00:{self.time:06.3f}Z'

    def wait(self, seconds: float, ignore_signals: bool = False) -> None:
        if ignore_signals or not self.interrupted:
            self.time += seconds

    def bounded(
        self,
        call: Callable[[], T],
        seconds: float,
        ignore_signals: bool = False,
    ) -> T:
        try:
            result = call()
        except Hang:
            self.time += seconds
            raise TimeoutError from None
        if self.interrupted and not ignore_signals:
            raise TimeoutError
        return result


class World:
    """All ports in one object, with a log of what was done.

    :param script: step -> how it ends; those not named end well
    :param images: the image's statuses, one a look; the last one stays
    """

    def __init__(
        self,
        script: Mapping[str, End] | None = None,
        images: Sequence[str | None] = ('queued', 'saving', 'active'),
        volumes: Sequence[str | None] = ('available',),
    ) -> None:
        self.script = dict(script or {})
        self.images = list(images)
        self.volumes = list(volumes)
        self.clock = Clock(self)
        self.group: Group = Alone()
        self.log: list[str] = []
        self.lines: list[dict[str, Any]] = []
        self.held: list[str] = []
        self.ready: list[str] = []
        self.released: list[str] = []
        #: those that were asked whether they hold
        self.asked: tuple[str, ...] = ()
        #: each call of a hook: the step and the path
        self.called: list[str] = []
        #: the image's status as of the last look, and as of the last one
        #: before the holders were asked
        self.seen: str | None = ''
        self.seen_before_verify: str | None = ''
        self.recorded: dict[str, str] | None = None
        self.exists = False
        self.has_agreed = False
        self.verified = False
        self.is_lost = False
        self.is_started = False
        self.attached = [data_volume()]
        self.task_is_over = False
        self.server_id = ''
        self.firmware_id = ''
        self.cards = (CARD,)
        self.earlier = ''
        self.told: dict[str, Mapping[str, Any]] = {}
        self.freeze_hooks = [FreezeHook()]
        self.result = ''
        self._last_line = End.WELL
        self.evidence = Evidence(
            Consistency.APPLICATION, (Data('/var/lib/mysql', ('vda',)),)
        )

    @property
    def ports(self) -> Ports:
        return Ports(
            self, self, self, self, self, self.clock, self, self.group
        )

    def _take(self, step: str, error: Exception | None = None) -> None:
        self.log.append(step)
        end = self.script.get(step, End.WELL)
        if end is End.INTERRUPTED:
            self.clock.interrupted = SIGINT
        if end is End.HANGING:
            raise Hang
        if end is End.BUG:
            raise ZeroDivisionError('a bug')
        if end is End.BUSY:
            raise Busy(f'{step} says not now')
        if end is End.LOST:
            raise GuestLost(step)
        if end is End.BADLY and error:
            raise error

    # Guest

    def open(self, timeout: float) -> GuestFacts:
        self._take('open', NotQuiesced('no ssh'))
        return GuestFacts(
            'boot',
            ('vda',),
            {'vdb': VOLUME[:20]},
            1_000_000,
            server_id=self.server_id,
            firmware_id=self.firmware_id,
            cards=self.cards,
            earlier=self.earlier,
        )

    def probe(self, timeout: float) -> Mapping[str, Any]:
        self._take('probe')
        return {'databases': [{'quiescer': 'mysql'}], 'other': []}

    def freeze_hook(
        self, timeout: float, since: int = 0, expect: bool = False
    ) -> FreezeHook:
        self._take('hook', NotQuiesced('no hook'))
        if expect:
            self.log.append('expect')
        one = self.freeze_hooks
        return one.pop(0) if len(one) > 1 else one[0]

    def run_hook(
        self, hook: Hook, phase: str, environment: Any, timeout: float
    ) -> HookOutcome:
        step = f'guest-{phase}'
        if self.end_of(step, hook) is End.LOST:
            self._note(step, hook)
            raise GuestLost(step)
        return self._hook(step, hook)

    def start_lease(self, cap: float) -> None:
        if self.script.get('lease') is End.HANGING:
            # the guest port bounds this call by itself
            self.log.append('lease')
            raise TimeoutError
        self._take('lease', GuestLost('lease'))

    def hold(
        self, quiescer: Quiescer, environment: Any, timeout: float
    ) -> Evidence:
        step = f'hold:{quiescer.name}'
        self.held.append(quiescer.name)
        try:
            self._take(step, NotQuiesced(f'{quiescer.name} failed'))
        except GuestLost:
            self.is_lost = True
            raise
        except (NotQuiesced, Busy):
            self.held.remove(quiescer.name)
            raise
        self.ready.append(quiescer.name)
        return self.evidence

    def verify(self, timeout: float) -> tuple[Evidence | str, ...]:
        self.verified = True
        self.asked = tuple(self.ready)
        self.seen_before_verify = self.seen
        self.log.append('verify')
        end = self.script.get('verify', End.WELL)
        if end is End.INTERRUPTED:
            self.clock.interrupted = SIGINT
        if end is End.HANGING:
            raise TimeoutError
        if self.is_lost or end in (End.LOST, End.BUG):
            raise GuestLost('verify')
        answer = 'the session is gone' if end is End.BADLY else self.evidence
        return (answer,) * len(self.asked)

    def release(self, timeout: float) -> tuple[Released, ...]:
        self.log.append('release')
        if self.script.get('release', End.WELL) is End.INTERRUPTED:
            self.clock.interrupted = SIGINT
        is_free = self.script.get('release', End.WELL) in (
            End.WELL,
            End.INTERRUPTED,
        )
        # so does the guest itself; test_guest has that for real
        names = self.held[::-1]
        self.released += names
        self.held = []
        reason = '' if is_free else 'stuck'
        return tuple(Released(n, is_free, reason=reason) for n in names)

    def close(self) -> None:
        self.log.append('close')

    # HookRunner

    def run(
        self, hook: Hook, phase: str, environment: Any, timeout: float
    ) -> HookOutcome:
        self.result = environment.get('XLOUD_RESULT', '')
        return self._hook(phase, hook)

    def _note(self, step: str, hook: Hook) -> None:
        self.log.append(step)
        self.called.append(f'{step} {hook.path}')

    def end_of(self, step: str, hook: Hook) -> End:
        """How a call of a hook ends."""
        whole = self.script.get(step, End.WELL)
        return self.script.get(f'{step} {hook.path}', whole)

    def _hook(self, step: str, hook: Hook) -> HookOutcome:
        self._note(step, hook)
        end = self.end_of(step, hook)
        if end is End.INTERRUPTED:
            self.clock.interrupted = SIGINT
        if end is End.BUG:
            raise ZeroDivisionError('a bug')
        if end is End.HANGING:
            return HookOutcome(HookState.TIMED_OUT)
        if end is End.BUSY:
            return HookOutcome(HookState.NOT_NOW)
        if end in (End.WELL, End.INTERRUPTED):
            return HookOutcome(HookState.SUCCEEDED)
        return HookOutcome(HookState.FAILED, 'exit status 1')

    # Cloud

    def request(self, plan: Plan, properties: Any) -> Requested:
        self.properties = dict(properties)
        end = self.script.get('request', End.WELL)
        self.exists = end not in (End.BADLY, End.BUSY)
        if end is End.LOST:
            self.log.append('request')
            raise ReplyLost('504')
        if end is End.BUSY:
            self.log.append('request')
            raise Refused('it is in task_state x', 409)
        self._take('request', Refused('no', 403))
        return self._requested(plan)

    def _requested(self, plan: Plan) -> Requested:
        volumes = plan.target.volumes
        is_volume = plan.target.kind is Kind.VOLUME
        parts = tuple(f's-{one.id}' for one in volumes if is_volume)
        return Requested(IMAGE, parts)

    def find_requested(self, plan: Plan) -> Requested | None:
        return self._requested(plan) if self.exists else None

    def snapshot_volume(self, plan: Plan, volume: str, image: str) -> str:
        self._cloud('volume')
        return f's-{volume}'

    def _cloud(self, step: str) -> None:
        if self.script.get(step) is End.LOST:
            self.log.append(step)
            raise ReplyLost(step)
        self._take(step, Refused(f'{step} refused', 400))

    def own_volume_snapshots(self, plan: Plan, requested: Requested) -> None:
        self.log.append('own')

    def image_status(self, image_id: str) -> str | None:
        self._cloud('look')
        many = len(self.images) > 1
        self.seen = self.images.pop(0) if many else self.images[0]
        return self.seen

    def is_task_over(self, server_id: str) -> bool:
        self._cloud('task')
        return self.task_is_over

    def volume_snapshot(self, snapshot_id: str) -> VolumeSnapshot | None:
        many = len(self.volumes) > 1
        status = self.volumes.pop(0) if many else self.volumes[0]
        volume_id = snapshot_id.removeprefix('s-')
        return None if status is None else VolumeSnapshot(status, volume_id)

    def volumes_now(self, server_id: str) -> tuple[Volume, ...]:
        self._cloud('volumes')
        return tuple(self.attached)

    def was_started(self, target: Target) -> bool:
        self._cloud('actions')
        return self.is_started

    def record(self, image_id: str, properties: Any, tags: Any) -> None:
        self._cloud('record')
        self.recorded = dict(properties)

    def protect(self, image_id: str) -> None:
        self.log.append('protect')

    def discard(self, plan: Plan, requested: Requested) -> tuple[str, ...]:
        self._cloud('discard')
        self.exists = False
        return ()

    def defer(self, image_id: str, properties: Any, tags: Any) -> None:
        self.log.append('defer')
        self.recorded = dict(properties)

    # Journal and Reporter

    def write(self, event: str, **fields: Any) -> bool:
        self._last_line = self.script.get(f'write:{event}', End.WELL)
        line = {'event': event, **fields}
        self.lines.append(json.loads(json.dumps(line, default=str)))
        return self._last_line is End.WELL

    def is_written(self, seconds: float) -> bool:
        if self._last_line is End.HANGING:
            self.clock.wait(seconds, ignore_signals=True)
        return self._last_line is End.BUSY

    def agree(self, group_id: str, seconds: float) -> bool:
        self._take('agree')
        self.has_agreed = self.script.get('agree') in (None, *WELL)
        return self.has_agreed

    def step(self, event: str, **fields: Any) -> None:
        self.told[event] = fields
