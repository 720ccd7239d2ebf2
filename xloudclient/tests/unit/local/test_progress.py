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


import pathlib
import re
import string

import testtools

import xloudclient
from xloudclient.local import progress

ROOT = pathlib.Path(xloudclient.__file__).parents[1]
PAGE = ROOT / 'doc' / 'source' / 'user' / 'scripts-and-cron.rst'
#: A row: the event, then its fields, which may be none.
ROW = re.compile(r'^   \* - ``([\w-]+)``\n     -(.*)$', re.MULTILINE)


class TestEvents(testtools.TestCase):
    def setUp(self):
        super().setUp()
        text = PAGE.read_text(encoding='utf-8')
        self.documented = {
            event: re.findall(r'``(\w+)``', fields)
            for event, fields in ROW.findall(text)
        }

    def test_the_page_has_each_step(self):
        self.assertEqual(sorted(progress.STEPS), sorted(self.documented))

    def test_the_page_has_the_fields_that_a_step_is_told_with(self):
        for event, text in progress.STEPS.items():
            told = {field for _, field, _, _ in string.Formatter().parse(text)}
            missing = told - {None, *self.documented[event]}
            self.assertEqual(set(), missing, event)
