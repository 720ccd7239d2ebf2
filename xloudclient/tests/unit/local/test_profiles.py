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

import fixtures
import jsonschema
import testtools

from xloudclient.consistency.errors import ExitCode, HookRefused, Misuse
from xloudclient.local import profiles

#: A profile's text -> place and words of what is wrong with it.
WRONG = {
    '': ('1:1', 'nothing is in it'),
    '# only this\n': ('1:1', 'nothing is in it'),
    '- wait': ('1:1', 'expected options, each with its value, not a list'),
    'wait': ('1:1', "expected options, each with its value, not 'wait'"),
    '{}': ('1:1', 'expected options, each with its value, not a mapping'),
    'wait: true\nmax-freez: 9': ('2:1', 'did you mean max-freeze'),
    'max_freeze: 9': ('1:1', 'did you mean max-freeze'),
    'colour: red': ('1:1', "no option 'colour' here (there are name, "),
    'profile: other': ('1:1', "no option 'profile'"),
    'dry-run: true': ('1:1', "no option 'dry-run'"),
    'max-freeze:   soon': ('1:15', 'max-freeze: expected a duration: 30s'),
    'max-freeze: 0': ('1:13', "2m or 1h, not '0'"),
    'max-freeze: 1:30': ('1:13', "a duration: 30s, 2m or 1h, not '1:30'"),
    'wait: yes': ('1:7', "wait: expected true or false, not 'yes'"),
    'wait: "true"': ('1:7', "expected true or false, not 'true'"),
    'wait:\nname: a': ('1:6', 'expected true or false, not nothing'),
    'name: true': ('1:7', 'a template with {server}, '),
    "name: '{sever}'": ('1:7', "not '{sever}'"),
    'require: best': ('1:10', 'one of none, crash, filesystem, application'),
    'tag: [a, [b]]': ('1:10', 'tag: expected a text in one line'),
    'tag: []': ('1:6', 'expected a text or a list of texts, not a list'),
    'property: [a=b]': ('1:11', 'expected keys, each with its value'),
    'property: {xloud_image: a}': ('1:12', "not 'xloud_image'"),
    'ssh-option: {-x: a}': ('1:14', 'expected a key of ssh_config'),
    'port: 65536': ('1:7', 'a port number, 1 to 65535'),
    'hook: {pre: a}': ('1:7', 'hook: expected a file, or file with the arg'),
    'hook:\n- file: a\n  pst: b': ('3:3', "no option 'pst' here (did you"),
    'pre-hook: {file: a, post: b}': ('1:21', '(there are file, pre)'),
    'hook: {file: a, pre: ""}': ('1:22', 'hook.pre: expected a text'),
    'quiesce: {mysql: a}': ('1:18', 'options of the quiescer, each with'),
    'quiesce: {mysql: {}, sync: {}}': ('1:10', 'expected a quiescer, or one'),
    'wait: true\nwait: false': ('2:1', 'wait is in line 1 already'),
    'tag: &a [b]\nhook-env: *a': ('1:6', 'anchors (&, *) are not allowed'),
    'tag: !!str a': ('1:6', 'tags (!) are not allowed'),
    'tag: !!python/name:os.system a': ('1:6', 'tags (!) are not allowed'),
    'wait: true\n---\nwait: true': ('2:1', 'a second document begins'),
    '[' * 60000: ('1:10', 'nested too deeply'),
    '{a: ' * 10: ('1:37', 'nested too deeply'),
    '? [a]\n: b': ('1:3', 'a key is a word'),
    'name: a: b': ('1:8', 'not YAML: mapping values are not allowed here'),
    'wait: true\n\tname: a': ('2:1', 'not YAML: '),
    'name: "a': ('1:9', 'not YAML: '),
    'name: a\ntag: \x00': ('2:6', 'the character U+0000 is not allowed'),
    'tag: "a\\eb"': ('1:6', 'a text in one line, of 1 to 255 characters'),
    f'tag: {"a" * 256}': ('1:6', 'a text in one line, of 1 to 255'),
}


class ProfilesTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.home = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.environ = {'HOME': str(self.home)}
        self.folder = profiles.folder(self.environ)
        self.folder.mkdir(parents=True)

    def write(self, text, name='db.yaml'):
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def load(self, text, name='db'):
        self.write(text)
        return profiles.load(name, self.environ)

    def refusal(self, name='db', error=Misuse):
        return str(self.assertRaises(error, profiles.load, name, self.environ))


class TestWhatIsRead(ProfilesTestCase):
    def test_options_keep_their_order_and_their_text(self):
        read = self.load(
            'wait: true\nmax-freeze: 90\nlogin: 007\nname: 2026-01-01\n'
            'tag: [on, 1.10, "true", ~]\nproperty: {a: null}\n4: true\n'
        )
        self.assertEqual(
            [
                ('wait', True),
                ('max-freeze', '90'),
                ('login', '007'),
                ('name', '2026-01-01'),
                ('tag', ['on', '1.10', 'true', '~']),
                ('property', {'a': 'null'}),
                ('4', True),
            ],
            list(read),
        )
        self.assertEqual(5, read.line('tag'))

    def test_a_mistake_is_told_with_file_line_column_and_what_was_expected(
        self,
    ):
        for text, (place, words) in WRONG.items():
            path = self.write(text)
            message = self.refusal()
            self.assertTrue(message.startswith(f'{path}:{place}: '), message)
            self.assertIn(words, message)
            self.assertNotIn('\n', message)

    def test_the_first_mistake_in_the_file_is_told(self):
        self.write('wait: maybe\nname: "{x}"\ncolour: red\n')
        self.assertIn('db.yaml:1:7:', self.refusal())

    def test_a_text_that_is_not_utf_8(self):
        path = self.write('wait: true\nname: a\xe4'.encode('latin-1'))
        self.assertEqual(f'{path}:2:8: the text is not UTF-8', self.refusal())

    def test_a_huge_file(self):
        self.write(b'#' * (profiles.LONGEST + 1))
        self.assertIn('longer than 65536 bytes', self.refusal())

    def test_paths_start_at_its_folder(self):
        read = self.load('wait: true')
        self.assertEqual(str(self.folder / 'x/y'), read.file('x/y'))
        self.assertEqual('/x', read.file('/x'))
        self.useFixture(fixtures.EnvironmentVariable('HOME', '/home/me'))
        self.assertEqual('/home/me/key', read.file('~/key'))

    def test_the_schema_is_one(self):
        jsonschema.Draft202012Validator.check_schema(profiles.schema())


class TestWhichFile(ProfilesTestCase):
    def test_a_name_is_a_file_in_the_folder_of_profiles(self):
        path = self.write('wait: true')
        self.assertEqual(path, profiles.load('db', self.environ).path)
        environ = {'XDG_CONFIG_HOME': str(self.home / '.config')}
        self.assertEqual(path, profiles.load('db', environ).path)
        environ['XDG_CONFIG_HOME'] = 'relative'
        environ['HOME'] = str(self.home)
        self.assertEqual(path, profiles.load('db', environ).path)

    def test_a_slash_or_the_suffix_makes_it_a_file(self):
        path = self.write('wait: true')
        self.assertEqual(path, profiles.load(str(path), {}).path)
        self.write('wait: true', 'x.yml')
        self.useFixture(fixtures.MonkeyPatch('os.getcwd', lambda: '/nowhere'))
        self.assertIn('/nowhere/x.yml', self.refusal('x.yml'))
        self.assertIn('/nowhere/sub/x', self.refusal('sub/x'))

    def test_no_other_name_leads_anywhere(self):
        for name in ('', '..', '.', '-x', 'a b', '*', 'a\0b', 'x\n'):
            self.assertIn('is no name of a profile', self.refusal(name))

    def test_one_that_is_missing_is_a_usage_error_that_names_the_others(self):
        self.write('wait: true', 'web.yaml')
        error = self.assertRaises(Misuse, profiles.load, 'db', self.environ)
        self.assertEqual(ExitCode.USAGE, error.exit_code)
        self.assertIn(f'there is no {self.folder}/db.yaml', str(error))
        self.assertIn('(there are web)', str(error))

    def test_what_others_can_write_is_refused_as_a_hook_is(self):
        path = self.write('wait: true')
        for one in (path, self.folder):
            mode = one.stat().st_mode
            one.chmod(0o777)
            error = self.assertRaises(
                HookRefused, profiles.load, 'db', self.environ
            )
            self.assertIn(f'the profile {path} is refused', str(error))
            self.assertEqual(ExitCode.NOT_QUIESCED, error.exit_code)
            one.chmod(mode)

    def test_a_folder_is_none(self):
        (self.folder / 'db.yaml').mkdir()
        self.assertIn('is not a file', self.refusal(error=HookRefused))
