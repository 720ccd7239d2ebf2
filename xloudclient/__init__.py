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

"""Application-consistent snapshots of OpenStack servers.

A snapshot of a running server shows its disks at some moment. Whether the
database on them starts again from it, and with what, depends on what was
being written then. A *consistent* snapshot is one whose moment was arranged:
the applications in the guest were brought to rest (*quiesced*), the disks
were *captured* while they rested, that they had rested throughout was
*proven*, and then they were *released*, whatever else happened.

This package adds it to the ``openstack`` command. Where to read first:

* :mod:`xloudclient.consistency` tells the story of one run, with a diagram;
* :mod:`xloudclient.consistency.ports` is what a run needs of the world, and
  ``cloud/``, ``guest/`` and ``local/`` are the world;
* :mod:`xloudclient.wiring` puts them together for ``commands/``.

Nothing may be imported here: every ``openstack`` command would pay for it.
"""
