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

"""oslo.messaging's in-process "fake" driver, made quick and made to fail.

The services that talk to each other by RPC share a process, so no broker is
needed.  The driver polls each 50 ms: here a delivery wakes it at once.

The order ``compute`` ``dead`` (see control.py) makes the compute service's
listeners take nothing: casts stay in the queue until the order is revoked,
as they stay in a broker's queue while nova-compute is down.
"""

import threading
import time
from typing import Any

from oslo_messaging._drivers import impl_fake

from xloudclient.tests.cloud import control

COMPUTE_TOPIC = 'compute'
_wake = threading.Condition()


class _Clock:
    """Stands for the ``time`` module inside impl_fake."""

    time = staticmethod(time.time)

    @staticmethod
    def sleep(seconds: float) -> None:
        with _wake:
            _wake.wait(seconds)


def install(orders: control.Control) -> None:
    """Change the fake driver in this process."""
    impl_fake.time = _Clock
    exchange = impl_fake.FakeExchange
    deliver, poll = exchange.deliver_message, exchange.poll

    def deliver_message(self: Any, *args: Any, **kwargs: Any) -> None:
        deliver(self, *args, **kwargs)
        with _wake:
            _wake.notify_all()

    def poll_unless_dead(self: Any, target: Any, *args: Any) -> Any:
        if target.topic == COMPUTE_TOPIC and _is_dead(orders):
            return None, None, None, None
        return poll(self, target, *args)

    exchange.deliver_message = deliver_message
    exchange.poll = poll_unless_dead


def _is_dead(orders: control.Control) -> bool:
    return bool(orders.settings('compute', control.ALL).get('dead'))
