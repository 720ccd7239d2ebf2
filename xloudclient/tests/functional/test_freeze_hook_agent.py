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


"""The real guest agent calls the hook, and freezes a real file system.

It is only ever asked for the mount point of a test's own file system, which
is thawed again whatever happens.
"""

import json
import os
import socket
import subprocess

import fixtures

from xloudclient.consistency.plan import Consistency, Quiescer
from xloudclient.guest import freeze_hook
from xloudclient.guest.freeze_hook import record
from xloudclient.planning.wanted import built_in
from xloudclient.tests.functional import (
    quiescer_hook,
    test_quiescers_fsfreeze,
)

REFUSES = '#!/bin/sh\necho "not today" >&2\nexit 1\n'


class TestAgent(test_quiescers_fsfreeze.MountsTestCase):
    def setUp(self):
        super().setUp()
        self.need('qemu-ga')
        watch = Quiescer(
            'fsfreeze',
            freeze_hook.watch().script,
            (('by', 'agent'), ('mounts', self.first)),
            Consistency.FILESYSTEM,
        )
        self.useFixture(
            fixtures.MonkeyPatch(
                'xloudclient.guest.freeze_hook.watch', lambda: watch
            )
        )
        self.root = self.useFixture(fixtures.TempDir()).path
        self.useFixture(
            fixtures.MonkeyPatch(
                'xloudclient.guest.freeze_hook.ROOT', self.root
            )
        )

    def set_up(self, verb, *chosen, **more):
        """Run what an installation runs in a guest; return what it tells."""
        folder = self.useFixture(fixtures.TempDir())
        for name, content in freeze_hook.installation(chosen, 20).items():
            with open(folder.join(name), 'wb') as file:
                file.write(content)
        done = subprocess.run(
            [
                'sh',
                folder.join('file'),
                *freeze_hook.setup_words(verb, **more),
            ],
            cwd=folder.path,
            env={**os.environ, 'PATH': f'{self.root}:{os.environ["PATH"]}'},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        self.assertEqual(0, done.returncode, done.stderr)
        return record.read(done.stdout)

    def start_agent(self):
        place = os.path.join(self.root, 'agent')
        process = subprocess.Popen(
            ['qemu-ga', '-m', 'unix-listen', '-p', place, '-t', self.root,
             '-f', os.path.join(self.root, 'pid')],
            env={
                **os.environ,
                'PATH': f'{os.environ["PATH"]}:/usr/sbin',
                'QGA_CONF': os.path.join(self.root, 'etc/qemu/qemu-ga.conf'),
            },
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.addCleanup(process.wait, 10)
        self.addCleanup(process.kill)
        self.process = process
        # other tests' agents are none of this guest's
        with open(os.path.join(self.root, 'ps'), 'w') as file:
            os.fchmod(file.fileno(), 0o755)
            file.write(f'#!/bin/sh\necho {process.pid}\n')
        quiescer_hook.wait_for(lambda: os.path.exists(place))
        self.agent = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.agent.close)
        self.agent.settimeout(60)
        self.agent.connect(place)

    def ask(self, command, **arguments):
        question = {'execute': command, 'arguments': arguments}
        self.agent.sendall(json.dumps(question).encode() + b'\n')
        with self.agent.makefile() as answers:
            return json.loads(answers.readline())

    def freeze(self):
        # with no list it would be every file system of this machine
        self.assertIn('quiescer-', self.first)
        return self.ask('guest-fsfreeze-freeze-list', mountpoints=[self.first])

    def freezes(self, since):
        return self.set_up('status', since=since).freezes

    def test_a_freeze_is_seen_and_a_refusal_keeps_it_from_freezing(self):
        since = self.set_up('install', built_in('sync')).last
        self.start_agent()
        self.assertEqual({'return': 1}, self.freeze())
        writer = self.write(self.first)
        self.assertIsNone(writer.poll())
        self.assertEqual({'return': 1}, self.ask('guest-fsfreeze-thaw'))
        self.assertEqual(0, writer.wait(10))
        [one] = self.freezes(since)
        self.assertTrue(one.is_held and one.is_over)
        for each in one.testimonies:
            self.assertNotIsInstance(each.held, str, each)

        bad = Quiescer('/bad', REFUSES, (), None)
        since = self.set_up('install', built_in('sync'), bad).last
        self.assertIn('error', self.freeze())
        status = self.ask('guest-fsfreeze-status')
        self.assertEqual({'return': 'thawed'}, status)
        self.assertEqual(0, self.write(self.first).wait(10))
        [one] = self.freezes(since)
        self.assertFalse(one.is_held)
        self.assertTrue(one.is_over)
        self.assertIn('not today', one.testimonies[-1].held)

        # the agent that runs goes on to call it
        self.assertEqual('stale', self.set_up('remove').agent)
        self.assertEqual({'return': 1}, self.freeze())
        self.assertEqual({'return': 1}, self.ask('guest-fsfreeze-thaw'))
        self.process.kill()
        self.process.wait(10)
        self.set_up('remove')
        self.assertEqual([], os.listdir(os.path.join(self.root, 'etc')))
        library = os.path.join(self.root, 'usr/local/lib')
        self.assertEqual([], os.listdir(library))
