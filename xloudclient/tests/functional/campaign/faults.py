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

"""The rows of the table: what breaks, and in which phases that is tried."""

import signal
from typing import Any

from xloudclient.tests.functional.campaign import strikes
from xloudclient.tests.functional.campaign.fault import Fault
from xloudclient.tests.functional.campaign.phases import HOLDING, PHASES
from xloudclient.tests.functional.campaign.strikes import (
    KILL,
    STOP,
)

EVERY = tuple(one.name for one in PHASES)
CONNECTED = ('pre hook', *HOLDING, 'post hook', 'uploading')
#: MariaDB is locked first, and waited for in this phase.
AFTER_MARIADB = tuple(one for one in HOLDING if one != 'quiescing')
ASKING = ('requesting', 'capturing', 'uploading', 'recording')


def _signal(role: str, number: int, name: str, **more: object) -> Fault:
    strike = strikes.signals(role, number)
    if number == STOP:
        more = {'mend': strikes.go_on, 'needs_lease': True, **more}
    return Fault(name, strike=strike, **more)  # type: ignore[arg-type]


CLIENT = 'The client'
WAY = 'The way to the guest'
GUEST = 'In the guest'
CLOUD = 'The cloud'
HERE = 'This machine'
HOOKS = 'Hooks'

#: What may come to a process that is not the client.
VERBS = (
    (signal.SIGINT, 'SIGINT'),
    (signal.SIGHUP, 'SIGHUP'),
    (signal.SIGTERM, 'SIGTERM'),
    (KILL, 'kill -9'),
    (STOP, 'stopped, continued'),
)

NO_LINK = 'there is no session then, or nobody looks at it any more'
NO_LOCK = 'nothing is locked then'
NO_SESSION = 'Redis and PostgreSQL were not asked yet, or are let go'
NO_CALL = 'no such request is made then'
NO_HOOK = 'no hook of that kind runs then'

CLIENT_FAULTS = (
    _signal('client', signal.SIGINT, 'SIGINT', group=CLIENT, phases=EVERY),
    _signal('client', signal.SIGTERM, 'SIGTERM', group=CLIENT, phases=EVERY),
    _signal('client', signal.SIGHUP, 'SIGHUP', group=CLIENT, phases=EVERY),
    _signal('client', KILL, 'kill -9', group=CLIENT, phases=EVERY),
    _signal('client', STOP, 'stopped, continued', group=CLIENT, phases=EVERY),
)
WAY_FAULTS = (
    *(
        _signal(
            role,
            number,
            f'{title} {verb}',
            group=WAY,
            phases=phases,
            why_not=NO_LINK,
        )
        for role, title, phases in (
            ('ssh', 'ssh', ('connecting', *CONNECTED)),
            ('sshd', "sshd's session", CONNECTED),
        )
        for number, verb in VERBS
    ),
    _signal(
        'shell',
        KILL,
        'login shell kill -9',
        group=WAY,
        phases=('connecting',),
        why_not='the shell that logs in becomes the supervisor',
    ),
)
GUEST_FAULTS = (
    *(
        _signal(
            role,
            number,
            f'{role} {verb}',
            group=GUEST,
            phases=CONNECTED,
            why_not=NO_LINK,
        )
        for role in ('supervisor', 'timer')
        for number, verb in VERBS
    ),
    Fault(
        'everything SIGTERM',
        GUEST,
        strikes.signals_all(signal.SIGTERM),
        CONNECTED,
        NO_LINK,
    ),
    Fault(
        'everything kill -9',
        GUEST,
        strikes.signals_all(KILL),
        CONNECTED,
        NO_LINK,
        ends_witness=True,
    ),
    Fault(
        'whole session kill -9',
        GUEST,
        strikes.kill_session,
        CONNECTED,
        NO_LINK,
        ends_witness=True,
    ),
    *(
        _signal(
            role,
            number,
            f'{role} {verb}',
            group=GUEST,
            phases=HOLDING,
            why_not=NO_LOCK,
            lasts=3.0,
            needs_lease=False,
        )
        for role in ('holder', 'database client')
        for number, verb in VERBS
    ),
    Fault(
        'database kill -9, restarted',
        GUEST,
        strikes.restart_database,
        HOLDING,
        NO_LOCK,
    ),
    Fault('lock session KILLed', GUEST, strikes.kill_lock, HOLDING, NO_LOCK),
    *(
        _signal(
            role,
            KILL,
            f'{role} kill -9',
            group=GUEST,
            phases=AFTER_MARIADB,
            why_not=NO_SESSION,
            lasts=3.0,
        )
        for role in ('redis-cli', 'psql')
    ),
    Fault(
        'Redis kill -9, restarted',
        GUEST,
        strikes.restart_redis,
        HOLDING,
        NO_LOCK,
    ),
    Fault(
        'PostgreSQL kill -9, restarted',
        GUEST,
        strikes.restart_postgresql,
        AFTER_MARIADB,
        NO_SESSION,
        refutes=('held', 'requesting', 'capturing'),
    ),
)


def _request(name: str, **fault: object) -> Fault:
    return Fault(
        f'request: {name}',
        CLOUD,
        strikes.fails(
            'nova', method='POST', path='/action$', times=1, **fault
        ),
        ('requesting',),
        NO_CALL,
        is_early=True,
    )


def _api(
    name: str, lasts: float = 4.0, heals: bool = True, **fault: object
) -> Fault:
    return Fault(
        name,
        CLOUD,
        strikes.fails('nova', 'glance', **fault),
        ASKING,
        NO_CALL,
        mend=strikes.heal,
        lasts=lasts,
        heals=heals,
        is_early=True,
    )


def _suspended(service: str, seconds: float, **more: object) -> Fault:
    values: dict[str, Any] = {'phases': ASKING, 'why_not': NO_CALL, **more}
    return Fault(
        f'{service} stopped for {seconds:g} s',
        CLOUD,
        strikes.suspends(service),
        mend=strikes.resume,
        lasts=seconds,
        **values,
    )


CLOUD_FAULTS = (
    *(_request(str(one), status=one) for one in (409, 413, 500, 504)),
    _request('reply lost', drop='reply'),
    _request('lost', drop='request'),
    _api('every answer is 500 for 4 s', status=500),
    _api('every answer is 504 for 4 s', status=504),
    _api('every reply is lost for 4 s', drop='reply'),
    _api('every request is lost for 4 s', drop='request'),
    _api('every answer takes 3 s', delay=3.0, lasts=6.0),
    _api('token expired (401 once)', status=401, times=1),
    _api('every answer is 401 for 4 s', status=401),
    _api('token expired for good (401)', status=401, heals=False),
    _suspended('nova', 8.0),
    _suspended('glance', 8.0),
    _suspended('keystone', 8.0),
    _suspended('glance', 30.0),
    _suspended(
        'cinder',
        8.0,
        volume_backed=True,
        phases=('requesting', 'capturing'),
        why_not='an image has no part in Cinder; tried with a volume-backed '
        'server',
    ),
)
HERE_FAULTS = (
    Fault(
        'disk full (journal)',
        HERE,
        strikes.fill_disk,
        EVERY,
    ),
)
HOOK_PHASES = ('pre hook', 'held', 'verifying', 'releasing', 'post hook')
HOOK_BODIES = {
    'hook forks': 'sleep 40 &',
    'hook ignores SIGTERM': "trap '' TERM; while :; do sleep 1; done",
    'hook prints megabytes': 'head -c 8000000 /dev/zero | tr "\\0" x; echo',
    'hook never ends': 'while :; do sleep 1; done',
    'hook daemonizes': 'setsid sleep 40 </dev/null >/dev/null 2>&1 &',
}
HOOK_FAULTS = tuple(
    Fault(
        name,
        HOOKS,
        strikes.nothing,
        HOOK_PHASES,
        NO_HOOK,
        body=body,
        words=('--hook-timeout', '4s'),
        # what a hook holds that had to be killed, nobody knows
        ends_witness='TERM' in body,
        # nobody but the hook knows what it started it for
        leaves='sleep 40' if 'sleep 40' in body else '',
    )
    for name, body in HOOK_BODIES.items()
)
FAULTS = (
    *CLIENT_FAULTS,
    *WAY_FAULTS,
    *GUEST_FAULTS,
    *CLOUD_FAULTS,
    *HERE_FAULTS,
    *HOOK_FAULTS,
)
BY_NAME = {fault.name: fault for fault in FAULTS}
