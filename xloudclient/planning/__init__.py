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


"""From options to plans: everything that is decided before a run begins.

:mod:`.wanted` reads the options: what can be refused without a request is
refused there. :mod:`.planner` asks the cloud about the servers. :mod:`.steps`
tells what a plan would do; :mod:`.checking` and :mod:`.looking` tell what it
would run into. Nothing is changed, in the cloud or in a guest.
"""
