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


"""What a snapshot would run into, said before anything is touched.

Pure rules: from what was seen of the cloud, of this machine and of the guest
to a :class:`~.finding.Finding` each. Where a run has a rule of its own (what
``auto`` means, how long a hold is predicted to be, what a proof is worth) it
is that rule which is asked, with what was seen in place of what happened.

:mod:`xloudclient.planning.checking` does the looking, in the order in which
a run would meet these things: the first failure is what it would end with.
"""
