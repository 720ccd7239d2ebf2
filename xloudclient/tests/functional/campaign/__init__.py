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

"""The fault campaign: everything that can break, at every step of a run.

A run of ``openstack server snapshot consistent`` is driven into a *phase*
(:mod:`.phases`), where it is kept for a while; then a *fault* strikes
(:mod:`.faults`). What becomes of it is seen from outside only
(:mod:`.observation`): two applications in the guest write all the time and
note when they could (:mod:`.witness`), the cloud's own log tells when the
disk was truly captured, and whatever is left behind is looked for
(:mod:`.leftovers`). :mod:`.judge` says whether that is what we promise:

* nothing is held any longer than a lease after what holds it was lost;
* no class is claimed for a disk that was written to under the lock;
* the exit code is a documented one, and no traceback is shown;
* what is left is cleared by the next run.

``tools/campaign`` runs the table, cell by cell, and writes it into the
documentation. It can be interrupted: cells that have a result are not run
again.
"""
