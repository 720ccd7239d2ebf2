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

"""The machines that play the servers: a real sshd each, and what runs in it.

account.py   which user a guest is
machine.py   Nova's side: make, start, stop and suspend a guest; its disks
login.py     what its sshd needs
init.py      the guest's first process, which adopts all others
guest.py     the test's side: ssh and databases
bin/         the commands that show a guest its disks
"""
