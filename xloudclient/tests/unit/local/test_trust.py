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

import os
import pathlib

import fixtures
import testtools

from xloudclient.consistency.errors import ExitCode, HookRefused
from xloudclient.local import trust


class TestTrust(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.folder = self.root / 'hooks'
        self.folder.mkdir(mode=0o755)
        self.file = self.folder / 'freeze'
        self.file.write_text('#!/bin/sh\n')
        self.file.chmod(0o755)

    def refusal(self, path: object = None) -> HookRefused:
        path = self.file if path is None else path
        return self.assertRaises(HookRefused, trust.check, str(path))

    def test_a_file_of_ours_is_trusted(self):
        self.assertEqual(str(self.file), trust.check(str(self.file)))

    def test_a_relative_path_becomes_absolute(self):
        relative = os.path.relpath(self.file)
        self.assertEqual(str(self.file), trust.check(relative))

    def test_a_link_keeps_its_name(self):
        link = self.root / 'link'
        link.symlink_to('hooks/../hooks/freeze')
        self.assertEqual(str(link), trust.check(str(link)))

    def test_a_refusal_is_exit_3(self):
        self.assertEqual(ExitCode.NOT_QUIESCED, self.refusal('/no').exit_code)

    def test_a_missing_file_is_refused(self):
        message = str(self.refusal(self.folder / 'none'))
        self.assertIn('No such file', message)
        self.assertIn('none', message)

    def test_a_folder_is_refused(self):
        self.assertIn('is not a file', str(self.refusal(self.folder)))

    def test_a_pipe_is_refused(self):
        pipe = self.folder / 'pipe'
        os.mkfifo(pipe)
        self.assertIn('is not a file', str(self.refusal(pipe)))

    def test_a_file_that_is_not_executable_is_refused(self):
        self.file.chmod(0o644)
        refusal = self.refusal()
        self.assertIn('is not executable', str(refusal))
        self.assertEqual(f'Run: chmod u+x {self.file}', refusal.advice)

    def test_a_file_that_the_group_can_write_is_refused(self):
        self.file.chmod(0o775)
        refusal = self.refusal()
        self.assertIn(f'can write {self.file}', str(refusal))
        self.assertEqual(f'Run: chmod go-w {self.file}', refusal.advice)

    def test_a_file_that_others_can_write_is_refused(self):
        self.file.chmod(0o757)
        self.assertIn('can write', str(self.refusal()))

    def test_a_folder_that_the_group_can_write_is_refused(self):
        self.folder.chmod(0o775)
        self.assertIn(f'can write {self.folder}', str(self.refusal()))

    def test_a_folder_that_others_can_write_is_refused_even_if_sticky(self):
        self.folder.chmod(0o1777)
        self.assertIn(f'can write {self.folder}', str(self.refusal()))

    def test_a_folder_further_up_may_be_sticky(self):
        self.root.chmod(0o1777)
        trust.check(str(self.file))

    def test_a_folder_further_up_that_others_can_write_is_refused(self):
        self.root.chmod(0o777)
        self.assertIn(f'can write {self.root}', str(self.refusal()))

    def test_the_folder_of_a_link_counts(self):
        shared = self.root / 'shared'
        shared.mkdir()
        shared.chmod(0o777)
        link = shared / 'link'
        link.symlink_to(self.file)
        self.assertIn(f'can write {shared}', str(self.refusal(link)))

    def test_the_folder_that_a_link_leads_through_counts(self):
        shared = self.root / 'shared'
        shared.mkdir()
        shared.chmod(0o777)
        (shared / 'hooks').symlink_to(self.folder)
        link = self.root / 'link'
        link.symlink_to(shared / 'hooks')
        refusal = self.refusal(link / 'freeze')
        self.assertIn(f'can write {shared}', str(refusal))

    def test_links_in_a_circle_are_refused(self):
        (self.root / 'a').symlink_to('b')
        (self.root / 'b').symlink_to('a')
        self.refusal(self.root / 'a')

    def test_somebody_elses_file_is_refused(self):
        # root's files are trusted, so root can't have a refused one of its
        # own: play somebody else
        self.useFixture(fixtures.MonkeyPatch('os.geteuid', lambda: 54321))
        if os.getuid():
            self.assertIn('belongs to', str(self.refusal()))
        else:
            os.chown(self.file, 12345, -1)
            self.assertIn('belongs to user 12345', str(self.refusal()))

    def test_what_belongs_to_root_is_trusted(self):
        self.assertEqual('/bin/true', trust.check('/bin/true'))
