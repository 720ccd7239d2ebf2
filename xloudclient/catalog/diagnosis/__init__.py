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

"""What is wrong with a snapshot or a server, why, and what cures it.

Pure: facts that were gathered in, findings out. :mod:`.facts` is what is
known of one, :mod:`.snapshot` and :mod:`.server` judge it. What services do
when they fail is in ``nova/compute/manager.py`` (``delete_image_on_error``,
``reverts_task_state``), ``nova/compute/api.py`` (``snapshot_volume_backed``)
and ``glance/api/v2/image_data.py``: mostly they say nothing, and the failed
snapshot is gone.
"""
