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


"""What becomes of a snapshot that was asked for: claimed or discarded.

This is the way back: no signal ends a call here.
"""

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import TypeVar

from xloudclient.consistency.errors import (
    CaptureFailed,
    CloudError,
    Failure,
)
from xloudclient.consistency.outcome import Progress
from xloudclient.consistency.plan import Kind, Plan
from xloudclient.consistency.ports import World
from xloudclient.consistency.taking import CALL_SECONDS, Taking

T = TypeVar('T')

#: All is released, so a slow one is; without the line there is no group.
PROOF_SECONDS = 10.0


class Settling:
    """Settles one snapshot in the cloud."""

    def __init__(
        self, plan: Plan, world: World, progress: Progress, taking: Taking
    ) -> None:
        self.plan = plan
        self.world = world
        self.progress = progress
        self.taking = taking

    def prove(self, properties: Mapping[str, str]) -> bool:
        """Write down what is to be claimed, before it is.

        :returns: whether it is on the disk
        """
        journal = self.world.journal
        return journal.write(
            'proven',
            image=self.taking.requested.image_id,
            properties=dict(properties),
            tags=self.plan.tags,
        ) or journal.is_written(PROOF_SECONDS)

    def prove_as_member(self, properties: Mapping[str, str]) -> None:
        """Write down what is to be claimed once the group is whole.

        If the process dies, this line alone tells the next run to claim it:
        without it that one would discard this member's, and claim the others'.

        :raises Failure: it is not on the disk
        """
        if not self.prove(properties):
            raise unsafe()

    def agree(self) -> None:
        """Write down that the group is whole: what is proven counts.

        :raises Failure: it is not on the disk
        """
        agree = functools.partial(
            self.world.journal.agree, self.plan.group_id, PROOF_SECONDS
        )
        with contextlib.suppress(TimeoutError):
            if self.world.clock.bounded(agree, PROOF_SECONDS + 1, True):
                return
        raise unsafe()

    def claim(self, properties: Mapping[str, str]) -> None:
        """Write the evidence on the image, and whose its parts are.

        Only on an active image: at the end of an upload Glance writes back
        all properties as it read them at its beginning (``glance/api/v2/
        image_data.py`` ``upload``, ``glance/db/__init__.py`` ``save`` with
        ``purge_props``; seen with Glance 33).

        :raises Failure: it could not be written
        """
        image_id = self.taking.requested.image_id
        cloud = self.world.cloud
        self._return(
            functools.partial(
                cloud.record, image_id, properties, self.plan.tags
            )
        )
        if self.plan.target.kind is Kind.VOLUME:
            self._return(
                functools.partial(
                    cloud.own_volume_snapshots,
                    self.plan,
                    self.taking.requested,
                )
            )
        self.progress.is_recorded = True
        self.world.reporter.step(
            'recorded', consistency=properties['xloud_consistency']
        )

    def defer(self, properties: Mapping[str, str]) -> None:
        """Leave the evidence to be written when the upload has ended."""
        self.world.recorder.defer(
            self.taking.requested.image_id, properties, self.plan.tags
        )
        self.progress.is_deferred = True
        self.world.reporter.step(
            'deferred', consistency=properties['xloud_consistency']
        )

    def protect(self) -> None:
        """Protect the image; raises Failure."""
        protect = self.world.cloud.protect
        self._return(
            functools.partial(protect, self.taking.requested.image_id)
        )

    def was_started(self) -> bool:
        """Whether the guest was made to run meanwhile; raises Failure."""
        look = self.world.cloud.was_started
        return self._return(functools.partial(look, self.plan.target))

    def has_other_volumes(self) -> bool:
        """Whether a volume came, went or is elsewhere, too; raises Failure."""
        target = self.plan.target
        look = self.world.cloud.volumes_now
        now = self._return(functools.partial(look, target.id))
        return set(now) != set(target.volumes)

    def discard_unproven(self) -> None:
        """Delete what was begun, also what a lost request may have made."""
        if self.progress.is_unsure:
            with contextlib.suppress(CaptureFailed):
                self.taking.find('', ignore_signals=True)
        if self.progress.pending_volume:
            self._find_parts()
        if self.progress.requested:
            self.discard()

    def _find_parts(self) -> None:
        """Look for a volume snapshot that may have been made meanwhile.

        If it is still to come, the journal stays and the next run removes it.
        """
        with contextlib.suppress(CaptureFailed):
            self.taking.find('', ignore_signals=True)
        volume = self.progress.pending_volume
        self.progress.unfound = (
            'A snapshot of a volume may still appear; this finds it: '
            f'openstack volume snapshot list --volume {volume}'
        )

    def forsake(self) -> None:
        """Delete what there is of it, as its group is not whole."""
        self.progress.is_forsaken = True
        self.progress.is_active = False
        self.progress.proof = None
        self.discard_unproven()

    def discard(self) -> None:
        """Delete the snapshot; what can't be deleted is named."""
        discard = functools.partial(
            self.world.cloud.discard, self.plan, self.taking.requested
        )
        # what is not known to be gone counts as left, whatever is raised
        self.progress.leftovers = self._deletions()
        with contextlib.suppress(Failure):
            self.progress.leftovers = self._return(discard)
        self.progress.is_discarded = not self.progress.leftovers
        self.world.journal.write(
            'discarded',
            left=self.progress.leftovers,
            pending=self.progress.pending_volume,
        )
        self.world.reporter.step('discarded')

    def _deletions(self) -> tuple[str, ...]:
        return (
            f'openstack image delete {self.taking.requested.image_id}',
            *(
                f'openstack volume snapshot delete {one}'
                for one in self.taking.requested.volume_snapshots
            ),
        )

    def _return(self, call: Callable[[], T]) -> T:
        """Make a call on the way back.

        :raises Failure: it failed or took too long
        """
        try:
            return self.world.clock.bounded(call, CALL_SECONDS, True)
        except (CloudError, TimeoutError) as error:
            raise Failure(str(error) or 'the cloud does not answer') from error


def unsafe() -> Failure:
    """Why a group is given up although all of it may be proven."""
    return Failure(
        "the journal can't be written, and without it a group is not safe "
        'from being kept in part',
        'Make room or set XDG_STATE_HOME.',
    )
