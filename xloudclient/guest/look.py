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

"""A look into a guest: nothing is held, and it is in no run's way."""

import json
from collections.abc import Sequence

from xloudclient.consistency.answers import Evidence, FreezeHook
from xloudclient.consistency.errors import NotQuiesced
from xloudclient.consistency.plan import Quiescer
from xloudclient.consistency.proof import read_line
from xloudclient.guest import freeze_hook
from xloudclient.guest.errands import Errands, unable
from xloudclient.guest.session import parcel


class Look(Errands):
    """A session that takes no lock: a run may be at work, or begin."""

    _role = 'look'

    def install_freeze_hook(
        self,
        chosen: Sequence[Quiescer],
        max_freeze: float,
        timeout: float,
    ) -> FreezeHook:
        """Put the freeze hook into the guest, or put another in its place.

        :param chosen: what it is to hold, in order
        :param max_freeze: seconds after which it releases
        :raises NotQuiesced: it can't be
        """
        files = freeze_hook.installation(chosen, max_freeze)
        words = freeze_hook.setup_words('install')
        return self._set_up(files, words, timeout)

    def remove_freeze_hook(self, timeout: float) -> FreezeHook:
        """Leave no trace of it; raises NotQuiesced if that can't be done."""
        words = freeze_hook.setup_words('remove')
        return self._set_up(freeze_hook.setup_files(), words, timeout)

    def examine(self, quiescer: Quiescer, timeout: float) -> Evidence:
        """Ask a quiescer of ours what its ``ready`` line would say.

        It asks all that it asks before it holds anything.

        :raises NotQuiesced: it could not quiesce; Busy: not now
        :raises TimeoutError: it took too long; GuestLost
        """
        files, words = parcel(quiescer, 'check')
        child = self._run(quiescer.name, files, words, {}, timeout)
        if child.is_late:
            raise TimeoutError(f'it took longer than {timeout:g} s')
        if child.status != 0:
            raise unable(child)
        try:
            line = json.loads(child.text.get('out', ''))
        except (ValueError, RecursionError) as error:
            raise NotQuiesced(
                f'the answer of {quiescer.name} is not JSON'
            ) from error
        return read_line(line if isinstance(line, dict) else {})
