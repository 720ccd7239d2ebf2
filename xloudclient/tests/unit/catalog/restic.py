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


"""What ``restic forget`` keeps, by its own tests.

From https://github.com/restic/restic, 0.19.1-dev (commit a80be147),
``internal/data/snapshot_policy_test.go`` (times and policies) and
``internal/data/testdata/policy_keep_snapshots_*`` (results), Copyright (c)
2014, Alexander Neumann, BSD-2-Clause. Left out are the policies with tags and
those within hours, days and so on. The documented example is from
``doc/060_forget.rst`` there.
"""

import datetime
import re

#: By month; a day without a time is at 10:20:30.
TIMES = """
2014-09: 01, 02, 05, 06, 08, 09, 10, 11, 20, 22
2014-08: 08, 10, 12, 13, 13T10:20:30.1, 15, 18, 20, 21, 22
2014-10: 01, 02, 05, 06, 08, 09, 10, 11, 20, 22
2014-11: 08, 10, 12, 13, 13T10:20:30.1, 15, 18, 20, 21, 22
2015-09: 01, 02, 05, 06, 08, 09, 10, 11, 20, 22
2015-08: 08, 10, 12, 13, 13T10:20:30.1, 15, 18, 20, 21, 22
2015-10: 01, 02, 05, 06, 08, 09, 10, 11, 20, 22, 22, 22, 22, 22
2015-11: 08, 10, 12, 13, 13T10:20:30.1, 15, 18, 20, 21, 22
2016-01: 01T01:02:03, 01T01:03:03, 01T07:08:03, 03T07:02:03,
    04T10:23:03, 04T11:23:03, 04T12:23:03, 04T12:24:03, 04T12:28:03,
    04T12:30:03, 04T16:23:03, 05T09:02:03, 06T08:02:03, 07T10:02:03,
    08T20:02:03, 09T21:02:03, 12T21:02:03, 12T21:08:03, 18T12:02:03
"""

#: The policy, and for each snapshot, newest first, why it is kept: l last,
#: h hourly, d daily, w weekly, m monthly, y yearly, capitals for the oldest
#: of them, i within, - not at all. A number: so many times the same. Those
#: that are not mentioned are not kept.
RESULTS = """
:
last=10: 10l
last=15: 15l
last=99: 99l
last=200: 103l
hourly=20: 2h - 7h 3- 5h - 6h
daily=3: 2d - d
daily=10: 2d - 6d 6- 2d
daily=30: 2d - 6d 6- 2d 2- 6d - 4d 4- 10d
last=5 daily=5: 2ld l 2ld d
last=2 daily=10: 2ld - 6d 6- 2d
weekly=2: 2w
weekly=4: 2w - w 11- w
daily=3 weekly=4: 2dw - dw 11- w
monthly=6: m 18- m 9- m 13- m 9- m 9- m
daily=2 weekly=2 monthly=6: dwm dw 17- m 9- m 13- m 9- m 9- m
yearly=10: y 18- y 43- y 38- Y
daily=7 weekly=2 monthly=3 yearly=10: dwmy dw - 5d 11- my 9- m 33- y 38- Y
within=1d: i
within=2d: i
within=7d: 3i
within=1m: 19i
within=1m14d: 19i
within=1y1d1m: 63i
within=13d23h: 9i
within=2m2h: 23i
within=1y2m3d3h: 68i
last=-1: 103l
last=-1 hourly=-1: 2lh l 7lh 3l 5lh l 6lh l 4lh 4l 25lh l 9lh l 29lh l 3lh
hourly=-1: 2h - 7h 3- 5h - 6h - 4h 4- 25h - 9h - 29h - 3h
daily=3 weekly=2 monthly=-1 yearly=-1: dwmy dw - d 15- my 9- m 13- m
    9- m 9- my 9- m 9- m 9- m 8- MY
"""

#: Every weekday for two weeks, on Fridays twice, and once not at all.
EXAMPLE = """
2025-04: 21T11:00:00, 22T11:00:00, 23T11:00:00, 24T11:00:00,
    25T11:00:00, 25T23:00:00, 28T11:00:00, 29T11:00:00
2025-05: 01T11:00:00, 02T11:00:00, 02T23:00:00
"""
EXAMPLE_DAILY_5 = """
2025-04: 25T23:00:00, 28T11:00:00, 29T11:00:00
2025-05: 01T11:00:00, 02T23:00:00
"""


def moments(text: str) -> list[datetime.datetime]:
    """Return the times that a text lists, in UTC."""
    found = []
    month = ''
    for word in re.findall(r'[^\s,]+', text):
        if word.endswith(':'):
            month = word.rstrip(':')
            continue
        day, _, time = word.partition('T')
        moment = f'{month}-{day}T{time or "10:20:30"}'
        found.append(
            datetime.datetime.fromisoformat(moment).replace(
                tzinfo=datetime.UTC
            )
        )
    return found


def results() -> list[tuple[dict[str, str], list[str]]]:
    """Return policies, as words and values, with what they keep."""
    found = []
    for line in RESULTS.replace('\n    ', ' ').strip().splitlines():
        words, _, runs = line.partition(':')
        policy = dict(word.split('=') for word in words.split())
        kept = []
        for number, why in re.findall(r'(\d*)(\D+?)(?:\s|$)', runs.strip()):
            kept += [why] * int(number or 1)
        found.append((policy, kept))
    return found
