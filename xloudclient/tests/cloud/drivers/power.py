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

"""The power switches of servers: a part of the compute driver."""

import pathlib
from typing import Any

from nova.compute import power_state

from xloudclient.tests.cloud import control, layout
from xloudclient.tests.cloud.guests import machine


class PowerSwitch:
    """Has a server and its guest be in the same state at any time."""

    instances: dict[str, Any]
    orders: control.Control

    def machine(self, uuid: str) -> machine.Machine:
        """Return the guest of a server."""
        raise NotImplementedError

    def state_file(self, uuid: str) -> pathlib.Path:
        """Return where a server's state outlives the service."""
        raise NotImplementedError

    def state(self, uuid: str) -> int:
        """Return the power state of a server."""
        return int(self.instances[uuid].state)

    def boot(self, uuid: str) -> None:
        """Start the guest, if the server can have one."""
        self.machine(uuid).start()
        self._set_state(uuid, power_state.RUNNING)

    def _set_state(self, uuid: str, state: int) -> None:
        one = self.instances[uuid]
        one.state = state
        layout.write_json(
            self.state_file(uuid),
            {'name': one.name, 'state': state},
        )

    def power_off(self, instance: Any, *args: Any, **kwargs: Any) -> None:
        super().power_off(instance, *args, **kwargs)
        self.machine(instance.uuid).stop()
        self._set_state(instance.uuid, power_state.SHUTDOWN)

    def power_on(
        self, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> None:
        super().power_on(context, instance, *args, **kwargs)
        self.boot(instance.uuid)

    def reboot(
        self, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> None:
        super().reboot(context, instance, *args, **kwargs)
        self.machine(instance.uuid).stop()
        self.boot(instance.uuid)

    def pause(self, instance: Any) -> None:
        self.hold(instance.uuid, power_state.PAUSED)

    def unpause(self, instance: Any) -> None:
        self.let_go(instance.uuid)

    def suspend(self, context: Any, instance: Any) -> None:
        self.hold(instance.uuid, power_state.SUSPENDED)

    def resume(
        self, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> None:
        if not self.machine(instance.uuid).is_running:
            # suspended before a restart of the cloud
            self.machine(instance.uuid).start()
        self.let_go(instance.uuid)

    def hold(self, uuid: str, state: int) -> None:
        """Stop the guest's processor."""
        self.machine(uuid).suspend()
        self._set_state(uuid, state)
        self.orders.report('suspend', uuid)

    def let_go(self, uuid: str) -> None:
        """Let the guest's processor run on."""
        self.orders.report('resume', uuid)
        self._set_state(uuid, power_state.RUNNING)
        self.machine(uuid).resume()
