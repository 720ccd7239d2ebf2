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


"""What copies of disks are made with."""

import dataclasses
from collections.abc import Callable
from typing import Any

from xloudclient.catalog import conversion
from xloudclient.catalog.snapshot import CONVERTED_FROM
from xloudclient.cloud.copies import TemporaryVolumes
from xloudclient.cloud.images import Images
from xloudclient.local.clock import SystemClock

#: For the reply to one request.
REPLY_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Workshop:
    """The services, and what a command has of this machine.

    :param owner: the ID of the project
    :param say: told each step
    """

    images: Images
    volumes: TemporaryVolumes
    clock: SystemClock
    owner: str
    say: Callable[[str], None]

    def copies(self, source: str) -> list[dict[str, Any]]:
        """Return the finished images that are copies of a source."""
        return copies(self.images, source, self.owner)


def copies(images: Images, source: str, owner: str) -> list[dict[str, Any]]:
    """Return a project's finished images that are copies of a source."""
    found = images.matching(
        **{CONVERTED_FROM: source, 'owner': owner, 'status': 'active'}
    )
    return [one for one in found if conversion.is_finished(one)]
