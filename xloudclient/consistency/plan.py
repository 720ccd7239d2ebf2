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

#: A guest's holders at one time: as many descriptors as a POSIX shell can
#: name, less those in use (``guest/supervisor.sh``).
MOST_QUIESCERS = 6


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
    :param attachments: IDs of all that Cinder knows of it, if it was asked
    """

    id: str
    device: str
    attachments: frozenset[str] = frozenset()

    @property
    def is_shared(self) -> bool:
        """Whether it is attached to other servers, too."""
        return len(self.attachments) > 1


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """The server to snapshot, as it was when the plan was made.

    :param has_agent: whether Nova freezes it through its guest agent; None if
        that was not asked, or can't be seen
    :param cards: hardware addresses of its network cards, in lower case
    :param updated: when Nova last wrote it down; ISO 8601, UTC
    """

    id: str
    name: str
    project_id: str
    kind: Kind
    state: GuestState
    host_id: str
    volumes: tuple[Volume, ...] = ()
    has_agent: bool | None = None
    flavor: str = ''
    key_name: str = ''
    networks: tuple[str, ...] = ()
    cards: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)
    updated: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Hook:
    """A script that runs before the quiescing, after the release, or both.

    :param path: the file on this machine, also for one run in the guest
    :param pre: arguments of the call before, None if there is no such call
    :param post: arguments of the call after, None if there is no such call
    """

    path: str
    place: Place
    pre: tuple[str, ...] | None = ('pre',)
    post: tuple[str, ...] | None = ('post',)

    def arguments(self, phase: str) -> tuple[str, ...]:
        """What it is called with in a phase, ``pre`` or ``post``."""
        return (self.pre if phase == 'pre' else self.post) or ()


@dataclasses.dataclass(frozen=True, slots=True)
class Companion:
    """A further file that a quiescer needs in the guest.

    :param option: the quiescer's option that is to name it there
    :param path: of the file on this machine
    """

    option: str
    path: str
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Quiescer:
    """A holding hook: one process in the guest whose life is the lock's life.

    :param name: a built-in name (``mysql``) or the path of the user's file
    :param script: the text to run; POSIX sh or anything with a ``#!`` line
    :param options: ``key=value`` arguments after ``hold``; a key may come
        again
    :param gives: the class on one disk when all goes well; for a user's own
        file None until its ``ready`` line declares one
    :param stops_writes: while it holds, the application writes nothing
    """

    name: str
    script: str
    options: tuple[tuple[str, str], ...] = ()
    gives: Consistency | None = Consistency.CRASH
    companions: tuple[Companion, ...] = ()
    stops_writes: bool = True

    @property
    def can_be_examined(self) -> bool:
        """Whether it can be asked before it holds; a user's own is not."""
        return bool(self.script) and self.gives is not None

    @property
    def word(self) -> str:
        """The value of ``--quiesce`` that asks for it."""
        files = ((one.option, one.path) for one in self.companions)
        pairs = (f'{key}={value}' for key, value in (*files, *self.options))
        return ','.join((self.name, *pairs))


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

    :param by_agent: the freeze hook in the guest holds, when Nova calls it
    :param is_auto: the quiescers are still to be chosen, by what runs in the
        guest
    :param catalogue: what auto chooses from, or has; else empty
    :param required: the lowest class that counts as success
    :param group_id: of the servers that are captured at one point in time,
        all or nothing; empty for one that is captured alone
    :param address: where the guest is reached; empty if it is not
    :param login_command: how one would log in there by hand
    """

    target: Target
    run_id: str
    snapshot_name: str
    budget: Budget = Budget()
    quiescers: tuple[Quiescer, ...] = ()
    hooks: tuple[Hook, ...] = ()
    by_agent: bool = False
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
    def suits_hook(self) -> bool:
        """Whether a freeze hook could hold, as far as is known of its agent.

        It is called for the root disk of an image-backed server; attached
        volumes are captured at other moments. In a group all are to be held
        at one moment, and a rehearsal has no point in time.
        """
        return (
            self.target.kind is Kind.IMAGE
            and self.target.has_agent is not False
            and not (self.captured_volumes or self.group_id or self.rehearse)
        )

    @property
    def words(self) -> list[str]:
        """The values of ``--quiesce`` that ask for the same once more.

        What auto chose holds until the next restart (a PID is in it).
        """
        if self.catalogue:
            return ['auto']
        if self.by_agent:
            return ['agent']
        return [one.word for one in self.quiescers]

    @property
    def needs_guest(self) -> bool:
        """Whether anything is to be done inside the guest."""
        return (
            self.is_auto
            or self.by_agent
            or bool(self.quiescers)
            or any(hook.place is Place.GUEST for hook in self.hooks)
        )
