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


"""What a consistent snapshot is, and how one is made.

A snapshot shows a server's disks as they were at one moment. Whether an
application can start from it depends on what was on the disks, and not in
memory, at that moment. So the guest is *quiesced*: applications flush and
stop writing, file systems freeze, until the moment has passed. Three things
make it right, and each has its module:

* :mod:`.capture`: the moment is not when the API replies. What is seen of
  the image and the volume snapshots decides when it has passed.
* :mod:`.proof`: the hold is *proven*. Each holder is asked between the
  capture and its release whether it still holds what it locked. What is
  written on the image (:mod:`.evidence`) is what was shown, never what was
  asked for.
* :mod:`.hold`: everything that was started is released, in reverse, whatever
  happens. :mod:`.run` is the only loop, and every way out goes through it.

::

    prepare ─> pre hooks ─> guest pre hooks ─> holders, in order
                                                    │
       a failure, a signal,                      request
       --max-freeze: from                           │
       anywhere ──────────┐                      captured
                          │                         │
                          │                      verify
                          v                         v
                       release in reverse <─────────┘
                          │
                       record, or clean up ─> posts, in reverse ─> done

Several servers are captured at one point in time by as many runs, which wait
for each other on the way (:mod:`.group`): all of them get there, or none.

A :class:`~.plan.Plan` says what to do, a :class:`~.ports.World` what to do
it with, an :class:`~.outcome.Outcome` how it ended. Nothing here knows
OpenStack, ssh, argparse, the clock or a file.
"""
