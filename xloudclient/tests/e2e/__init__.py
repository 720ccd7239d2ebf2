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

"""Real machines: guests with a kernel and disks, under QEMU, driven by Nova's
own libvirt driver in the embedded cloud.

The command is ``tools/e2e``; it is apart from ``tools/test`` since it needs
root, and minutes. The modules, outside in::

    __main__.py    the command
    test_*.py      the tests
    experiment/    databases under load, snapshotted in several ways
    fixture.py     the cloud that the tests share
    estate.py      the cloud, its image and its servers
    machine.py     one guest, by ssh
    image.py       the guests' disk, built once
    guest/         what is in it: init, settings; programs that are sent there
"""
