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

"""The experiment: databases under load, snapshotted in several ways, and
judged from inside what is launched from the snapshots.

``tools/e2e experiment`` appends a line to the results for each trial, leaves
out those that are there, and renders the page with the table and the picture.

    __main__.py  the command
    trial.py     one trial: load, snapshot, launch, judge
    arms.py      the ways to take a snapshot, under comparison
    kinds.py     the kinds of servers
    load.py      the load, as seen from here
    result.py    what is kept of a trial, and what follows from it
    page.py      the page; picture.py its picture
"""
