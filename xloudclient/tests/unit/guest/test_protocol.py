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

"""The words on the wire, and what is made of what the guest says."""

import os
import pathlib
import subprocess

import fixtures
import testtools

from xloudclient.consistency.answers import Released
from xloudclient.consistency.errors import GuestUnreachable, HostKeyUnknown
from xloudclient.guest import protocol
from xloudclient.guest.access import Access
from xloudclient.guest.child import Child
from xloudclient.guest.conversation import Conversation
from xloudclient.guest.refusal import explain
from xloudclient.guest.ssh import SshGuest

EVERY_BYTE = bytes(range(256))


class NotationTest(testtools.TestCase):
    def test_every_byte_survives_a_shell(self) -> None:
        words = ['sh', '-c', 'printf %b "$1"', 'x']
        done = subprocess.run(
            [*words, protocol.encode(EVERY_BYTE)], capture_output=True
        )
        self.assertEqual(EVERY_BYTE, done.stdout)

    def test_chunks_fit_and_add_up(self) -> None:
        pieces = list(protocol.chunks(EVERY_BYTE * 20))
        self.assertLessEqual(max(map(len, pieces)), protocol.CHUNK_BYTES)
        self.assertEqual(protocol.encode(EVERY_BYTE * 20), ''.join(pieces))

    def test_the_command_is_one_harmless_word(self) -> None:
        command = protocol.remote_command('sh', ('main', 'n', 15))
        self.assertNotIn('\n', command)
        self.assertNotIn('!', command)
        self.assertEqual(6, command.count("'"))
        # MAX_ARG_STRLEN of execve(2) is 128 KiB.
        self.assertLess(len(command), 64 * 1024)


class LineSplitterTest(testtools.TestCase):
    def feed(self, *blocks: bytes) -> list[str]:
        splitter = protocol.LineSplitter(limit=10)
        return [line for block in blocks for line in splitter.feed(block)]

    def test_lines_are_put_together(self) -> None:
        self.assertEqual(['ab', 'c'], self.feed(b'a', b'b\nc', b'\nd'))

    def test_long_lines_are_dropped_and_the_next_one_is_not(self) -> None:
        self.assertEqual(
            ['ok'], self.feed(b'x' * 50, b'x' * 50, b'x\nok\n', b'y' * 11)
        )
        self.assertEqual(['ok'], self.feed(b'x' * 50 + b'\nok\n'))

    def test_a_character_may_be_cut(self) -> None:
        cut = self.feed(b'\xc3\n\xa9\n')
        self.assertEqual('é', protocol.mend(''.join(cut)))


def released(name: str, line: str) -> Released:
    talk = Conversation()
    child = talk.add(name)
    talk.hear('ready 1')
    talk.hear(f'done 1 {line}')
    return child.released()


class JudgementTest(testtools.TestCase):
    def assert_free(self, name: str, line: str, was_held: bool) -> None:
        found = released(name, line)
        self.assertTrue(found.is_free, found)
        self.assertEqual(was_held, found.was_held)

    def assert_not_free(self, name: str, line: str) -> None:
        found = released(name, line)
        self.assertFalse(found.is_free, found)
        self.assertNotEqual('', found.reason)

    def test_one_that_released_is_free(self) -> None:
        self.assertEqual(Released('x', True), released('x', 'asked 0 yes'))
        self.assert_free('x', 'asked 0 no', True)
        self.assert_free('x', 'terminated 0 yes', True)
        self.assert_free('x', 'asked unknown yes', True)

    def test_one_that_ended_before_was_not_held(self) -> None:
        self.assert_free('x', 'before 1 no', False)

    def test_one_that_failed_to_release_is_not_free(self) -> None:
        self.assert_not_free('x', 'asked 1 no')
        self.assert_not_free('mysql', 'asked 6 no')
        self.assert_not_free('x', 'before 6 no')

    def test_one_that_was_killed_is_free_if_its_lock_was_the_process(
        self,
    ) -> None:
        for line in ('killed 137 no', 'before 137 no', 'asked unknown no'):
            self.assert_not_free('fsfreeze', line)
            self.assertTrue(released('mysql', line).is_free)

    def test_one_that_was_ended_by_force_and_says_no_more_is_told_so(
        self,
    ) -> None:
        for line, how in (
            ('killed 137 no', 'it had to be killed'),
            ('terminated 143 no', 'it had to be terminated'),
            ('terminated 1 no', 'it had to be terminated'),
            ('asked 137 no', 'it was ended by signal 9'),
        ):
            self.assertEqual(
                f'{how}, and only it knows whether it released',
                released('x', line).reason,
            )

    def test_one_that_ends_before_it_was_ready_says_that_it_holds_nothing(
        self,
    ) -> None:
        for line, is_free in (
            ('terminated 1 no', True),
            ('asked 75 no', True),
            ('terminated 6 no', False),
            ('terminated 143 no', False),
            ('killed 137 no', False),
        ):
            talk = Conversation()
            child = talk.add('redis')
            talk.hear(f'done 1 {line}')
            self.assertEqual(is_free, child.released().is_free, line)

    def test_a_stuck_one_is_not_free(self) -> None:
        self.assert_not_free('mysql', 'stuck unknown no')

    def test_one_of_whom_nothing_was_heard_is_not_free(self) -> None:
        self.assertFalse(Child(1, 'mysql').released().is_free)

    def test_garbage_changes_nothing(self) -> None:
        talk = Conversation()
        for words in (
            '',
            'done',
            'done 7 asked 0 yes',
            'ready x',
            'boot',
            'exit 1',
            '\0',
            'used',
            'serial',
            'root',
        ):
            talk.hear(words)
        self.assertFalse(talk.is_open or talk.children)
        self.assertEqual(0, talk.guest_facts('').used_bytes)

    def test_a_file_is_read_once_and_others_never(self) -> None:
        talk = Conversation()
        child = talk.add('x')
        for number in range(100):
            talk.hear(f'text 1 {number}')
            talk.hear('end 1 log')
            talk.hear(f'end 1 {number}')
        self.assertEqual({'log': '0'}, child.text)

    def test_an_answer_that_nobody_asked_for_is_noticed(self) -> None:
        talk = Conversation()
        child = talk.add('x')
        talk.hear('held 1')
        self.assertTrue(child.is_talkative)

    def test_the_report_of_another_run_is_not_ours(self) -> None:
        talk = Conversation()
        child = talk.add('x')
        lines = ['run other', 'why w', 'done 1 asked 0 yes']
        self.assertFalse(talk.apply_report('mine', lines))
        self.assertEqual('', child.ended)
        self.assertTrue(talk.apply_report('other', lines))
        self.assertTrue(child.released().is_free)

    def test_what_the_guest_did_for_an_earlier_run_is_told(self) -> None:
        talk = Conversation()
        self.assertEqual('', talk.guest_facts('').earlier)
        stuck = 'done 2 killed 137 no'
        for line in ('run other', 'why w\x1b', 'done 1 asked 0 yes', stuck):
            talk.hear(f'report {line}')
        told = 'w\\x1b; of 1 of 2 holders it is not known whether they let go'
        self.assertEqual(told, talk.guest_facts('').earlier)
        talk.report.remove(stuck)
        self.assertEqual('w\\x1b', talk.guest_facts('').earlier)

    def test_one_that_the_report_does_not_know_never_started(self) -> None:
        talk = Conversation()
        held, unheard = talk.add('x'), talk.add('y')
        talk.hear('ready 1')
        talk.apply_report('mine', ['run mine', 'why w'])
        self.assertFalse(held.released().is_free)
        self.assertEqual(
            (True, False),
            (unheard.released().is_free, unheard.released().was_held),
        )


class RefusalTest(testtools.TestCase):
    access = Access('10.0.0.5', 2222, 'debian')

    def test_an_unknown_key(self) -> None:
        failure = explain(self.access, 255, 'Host key verification failed.\n')
        self.assertIsInstance(failure, HostKeyUnknown)
        self.assertIn(
            'ssh -o StrictHostKeyChecking=ask -p 2222 -l debian -- 10.0.0.5',
            failure.advice,
        )

    def test_a_changed_key(self) -> None:
        failure = explain(
            self.access,
            255,
            '@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n'
            'Offending ED25519 key in /home/x/.ssh/known_hosts:3\n'
            'Host key verification failed.\n',
        )
        self.assertIsInstance(failure, HostKeyUnknown)
        self.assertIn("ssh-keygen -R '[10.0.0.5]:2222'", failure.advice)

    def test_what_a_guest_says_is_not_taken_for_what_ssh_says(self) -> None:
        program = self.useFixture(fixtures.TempDir()).join('ssh')
        said = 'echo "Host key verification failed." >&2; exit 255'
        for noise, is_believed in (('', True), ('echo; ', False)):
            pathlib.Path(program).write_text(f'#!/bin/sh\n{noise}{said}\n')
            os.chmod(program, 0o700)
            guest = SshGuest(self.access, program=program)
            failure = self.assertRaises(GuestUnreachable, guest.open, 20)
            self.assertEqual(is_believed, isinstance(failure, HostKeyUnknown))

    def test_only_a_file_that_is_there_is_named_in_a_command(self) -> None:
        folder = self.useFixture(fixtures.TempDir())
        path = folder.join('known_hosts')
        said = (
            'WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\n'
            f'Offending ED25519 key in {path}:3\n'
            'Host key verification failed.\n'
        )
        self.assertNotIn(path, explain(self.access, 255, said).advice)
        pathlib.Path(path).touch()
        self.assertIn(f'-f {path}', explain(self.access, 255, said).advice)

    def test_what_ssh_says_is_escaped(self) -> None:
        failure = explain(self.access, 255, 'no route\x1b[2J\n')
        self.assertIsInstance(failure, GuestUnreachable)
        self.assertIn('no route\\x1b[2J', str(failure))
        self.assertIn('debian@10.0.0.5 port 2222', str(failure))
