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

"""The values a run is made of: what to snapshot, how, and within what time.

Everything here is frozen and knows nothing of OpenStack, ssh or argparse.
"""

import dataclasses
import enum
from collections.abc import Mapping


class Consistency(enum.IntEnum):
    """How much a snapshot can be trusted, in rising order."""

    NONE = 0
    CRASH = 1
    FILESYSTEM = 2
    APPLICATION = 3

    def __str__(self) -> str:
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> 'Consistency':
        """Return the class that a word names.

        :raises KeyError: the word names none
        """
        return cls[word.upper()]


class Kind(enum.StrEnum):
    """What a snapshot of the server is made of."""

    IMAGE = 'image'
    VOLUME = 'volume'


class GuestState(enum.StrEnum):
    """What the guest is doing, as far as the cloud can tell."""

    RUNNING = 'running'
    STOPPED = 'stopped'
    PAUSED = 'paused'

    @property
    def is_writing(self) -> bool:
        return self is GuestState.RUNNING


class Place(enum.StrEnum):
    """Where a hook runs."""

    HERE = 'here'
    GUEST = 'guest'


@dataclasses.dataclass(frozen=True, slots=True)
class Volume:
    """An attached Cinder volume.

    :param device: as Nova names it, e.g. ``/dev/vdb``
    """

    id: str
    device: str


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """The server to snapshot, as it was when the plan was made."""

    id: str
    name: str
    project_id: str
    kind: Kind
    state: GuestState
    host_id: str
    volumes: tuple[Volume, ...] = ()
    has_agent: bool = False
    flavor: str = ''
    key_name: str = ''
    networks: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Hook:
    """A script that runs before the quiescing, after the release, or both.

    :param path: the file on this machine, also for one run in the guest
    :param pre: argument of the ``pre`` call, None if there is none
    :param post: argument of the ``post`` call, None if there is none
    """

    path: str
    place: Place
    pre: str | None = 'pre'
    post: str | None = 'post'


@dataclasses.dataclass(frozen=True, slots=True)
class Quiescer:
    """A holding hook: one process in the guest whose life is the lock's life.

    :param name: a built-in name (``mysql``) or the path of the user's file
    :param script: the text to run; POSIX sh or anything with a ``#!`` line
    :param options: ``key=value`` arguments after ``hold``
    :param gives: the class on one disk when all goes well; for a user's own
        file None until its ``ready`` line declares one
    :param companion: a further file the script needs (``pair``), its text
    """

    name: str
    script: str
    options: tuple[tuple[str, str], ...] = ()
    gives: Consistency | None = Consistency.CRASH
    companion: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """Seconds a run may take.

    :param max_freeze: from the first lock requested to the last released
    :param hook: each hook's call, each quiescer's way to ``ready``
    :param total: the whole run; after the capture it ends only the waiting
    """

    max_freeze: float = 60.0
    hook: float = 30.0
    total: float = 3600.0


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """Everything one run on one server is asked to do.

    :param is_auto: the quiescers are chosen from ``catalogue`` by what runs
        in the guest
    :param required: the lowest class that counts as success
    :param address: where the guest is reached; empty if it is not
    :param login_command: how one would log in there by hand
    """

    target: Target
    run_id: str
    snapshot_name: str
    budget: Budget = Budget()
    quiescers: tuple[Quiescer, ...] = ()
    hooks: tuple[Hook, ...] = ()
    is_auto: bool = False
    catalogue: Mapping[str, Quiescer] = dataclasses.field(default_factory=dict)
    required: Consistency = Consistency.NONE
    is_required_by_default: bool = True
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tags: tuple[str, ...] = ()
    is_protected: bool = False
    with_data_volumes: bool = True
    continue_on_error: bool = False
    discard_lower: bool = False
    wait: bool = False
    rehearse: bool = False
    group_id: str = ''
    address: str = ''
    login_command: str = ''

    @property
    def captured_volumes(self) -> tuple[Volume, ...]:
        """The volumes that will be in the snapshot."""
        if self.target.kind is Kind.VOLUME or self.with_data_volumes:
            return self.target.volumes
        return ()

    @property
    def needs_guest(self) -> bool:
        """Whether anything is to be done inside the guest."""
        return (
            self.is_auto
            or bool(self.quiescers)
            or any(hook.place is Place.GUEST for hook in self.hooks)
        )
