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


"""What the setup of the freeze hook changes in a guest, and what it refuses.

A folder stands for the guest, and there is no agent but what a test starts.
"""

import os
import shutil
import subprocess

import fixtures
import testtools

from xloudclient.guest import freeze_hook
from xloudclient.guest.freeze_hook import record
from xloudclient.tests.functional import quiescer_hook

#: Root's home for what runs belongs to the machine; others have their own.
NOBODY = 65534
#: The setup is killed before the Nth of its moves and removals.
INTERRUPTION = """steps=$((1 + $(cat {count})))
echo $steps >{count}
[ $steps != {number} ] || kill -KILL 0
exec /bin/{program} "$@"
"""
RUNNER = '#!/bin/sh\n# runs what is in fsfreeze-hook.d\n'


class SetupTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir())
        self.root = self.folder.join('root')
        self.useFixture(
            fixtures.MonkeyPatch(
                'xloudclient.guest.freeze_hook.ROOT', self.root
            )
        )
        self.place = self.root + freeze_hook.PLACE
        self.hook = f'{self.place}/hook'
        self.user = os.geteuid() or NOBODY
        self.own(self.folder.path)
        for name in ('bin', 'runtime', 'root/etc/qemu', 'root/usr/local/lib'):
            os.makedirs(self.folder.join(name))
        for folder, _, _ in os.walk(self.folder.path):
            self.own(folder)
        self.stand_in('ps', 'true')
        files = freeze_hook.installation([], 20)
        for name, content in files.items():
            self.write(self.folder.join(name), content.decode())

    def own(self, path):
        if os.geteuid() == 0:
            os.chown(path, self.user, self.user)

    def write(self, path, text, mode=0o644):
        with open(path, 'w') as file:
            file.write(text)
        os.chmod(path, mode)
        self.own(path)

    def read(self, path):
        with open(path) as file:
            return file.read()

    def stand_in(self, name, text):
        """Have the setup find this instead of a program."""
        path = self.folder.join('bin', name)
        self.write(path, f'#!/bin/sh\n{text}\n', 0o755)

    def run_setup(self, verb, shell=('sh',)):
        return self.run_in_guest(
            *shell, 'file', *freeze_hook.setup_words(verb)
        )

    def run_in_guest(self, *command):
        search = f'{self.folder.join("bin")}:{quiescer_hook.SEARCH_PATH}'
        return subprocess.run(
            command,
            cwd=self.folder.path,
            env={'PATH': search,
                 'XDG_RUNTIME_DIR': self.folder.join('runtime')},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
            **({} if self.user == os.geteuid() else
               {'user': self.user, 'group': self.user, 'extra_groups': ()}),
        )  # fmt: skip

    def set_up(self, verb, **rest):
        done = self.run_setup(verb, **rest)
        self.assertEqual(0, done.returncode, done.stderr)
        return record.read(done.stdout)

    def refused(self, verb, code=1):
        done = self.run_setup(verb)
        self.assertEqual(code, done.returncode, done.stdout)
        self.assertEqual(1, done.stderr.count('\n'), done.stderr)
        return done.stderr

    def tree(self):
        """All files of the guest with their content."""
        return {
            path: os.path.isfile(path) and self.read(path)
            for folder, folders, files in os.walk(self.root)
            for path in (os.path.join(folder, one) for one in folders + files)
        }

    @property
    def configuration(self):
        return f'{self.root}/etc/qemu/qemu-ga.conf'

    def runner(self, name='etc/qemu/fsfreeze-hook'):
        """Return the path of a stock runner with its folder."""
        path = f'{self.root}/{name}'
        self.write(path, RUNNER, 0o755)
        os.mkdir(f'{path}.d')
        self.own(f'{path}.d')
        return path

    def start_agent(self, *arguments, user=None, mode=0o755):
        """Start what looks like the guest agent, and is none."""
        program = self.folder.join('qemu-ga')
        if not os.path.exists(program):
            shutil.copy('/bin/sh', program)
        os.chmod(program, mode)
        user = self.user if user is None else user
        process = subprocess.Popen(
            [program, '-c', 'read line', *arguments],
            stdin=subprocess.PIPE,
            **({} if user == os.geteuid() else
               {'user': user, 'group': user}),
        )  # fmt: skip
        self.addCleanup(process.wait, 10)
        self.addCleanup(process.stdin.close)
        quiescer_hook.wait_for(
            lambda: self.read(f'/proc/{process.pid}/comm') == 'qemu-ga\n'
        )
        self.stand_in('ps', f'echo {process.pid}')
        return process


class TestAgent(SetupTestCase):
    def test_only_the_guest_s_own_agent_is_believed(self):
        self.set_up('install')
        self.start_agent('-F/elsewhere')
        self.assertEqual('other /elsewhere', self.set_up('status').agent)
        # anybody could have put anything in its place
        self.start_agent('-F/elsewhere', mode=0o757)
        self.assertEqual('absent', self.set_up('status').agent)
        if os.geteuid() == 0:
            self.start_agent('-F/elsewhere', user=0)
            self.assertEqual('absent', self.set_up('status').agent)

    def test_nothing_is_put_where_others_can_write(self):
        runner = self.runner()
        self.start_agent(f'-F{runner.removeprefix(self.root)}')
        before = self.tree()
        for path in (runner, f'{runner}.d', f'{self.root}/etc/qemu'):
            os.chmod(path, 0o777)
            self.assertIn('others than root', self.refused('install'))
            os.chmod(path, 0o755)
        os.rename(f'{runner}.d', f'{runner}.real')
        os.symlink(f'{runner}.real', f'{runner}.d')
        self.assertIn('is a link', self.refused('install'))
        os.remove(f'{runner}.d')
        os.rename(f'{runner}.real', f'{runner}.d')
        self.assertEqual(before, self.tree())

    def test_a_link_in_the_runner_s_folder_is_not_written_through(self):
        runner = self.runner()
        self.start_agent(f'-F{runner.removeprefix(self.root)}')
        victim = self.folder.join('victim')
        self.write(victim, 'mine')
        for name in ('xloudclient', '.xloudclient'):
            os.symlink(victim, f'{runner}.d/{name}')
        self.set_up('install')
        self.assertEqual('used', self.set_up('status').agent)
        self.assertEqual('mine', self.read(victim))
        self.assertEqual(['xloudclient'], os.listdir(f'{runner}.d'))

    def test_it_leaves_a_runner_wherever_that_is(self):
        runner = self.runner('usr/fsfreeze-hook')
        before = self.tree()
        agent = self.start_agent(f'-F{runner.removeprefix(self.root)}')
        self.set_up('install')
        self.assertTrue(self.set_up('status').is_used)
        self.set_up('remove')
        self.stand_in('ps', 'true')
        self.set_up('remove')
        self.assertEqual(before, self.tree())
        # the same guest, now without -F: our hook calls the runner
        self.stand_in('ps', f'echo {agent.pid}')
        self.set_up('install')
        self.write(self.configuration, f'[general]\nfsfreeze-hook={runner}\n')
        self.stand_in('ps', 'true')
        self.set_up('install')
        self.assertEqual([], os.listdir(f'{runner}.d'))
        settings = self.read(f'{self.place}/settings')
        self.assertIn(f'previous {runner}\n', settings)


class TestInterruption(SetupTestCase):
    """What is killed halfway is finished, or undone, by what comes next."""

    def setUp(self):
        super().setUp()
        own = f'{self.root}/own'
        self.write(self.configuration, f'[general]\nfsfreeze-hook={own}\n')
        self.before = self.tree()

    def interrupted(self, verb):
        """Kill it at each of its steps in turn; yields after each."""
        number, is_over = 0, False
        count = self.folder.join('count')
        programs = 'mv', 'rm'
        while not is_over:
            number += 1
            self.write(count, '0')
            for program in programs:
                self.stand_in(
                    program,
                    INTERRUPTION.format(
                        count=count, number=number, program=program
                    ),
                )
            shell = quiescer_hook.SHELLS[number % len(quiescer_hook.SHELLS)]
            is_over = self.run_setup(verb, shell).returncode == 0
            for program in programs:
                os.remove(self.folder.join('bin', program))
            yield number
        self.assertGreater(number, 4)

    def is_key_ours(self):
        return f'={self.hook}\n' in self.read(self.configuration)

    def test_an_install(self):
        self.start_agent()
        for number in self.interrupted('install'):
            hook = self.set_up('status')
            # that agent was started before
            self.assertFalse(hook.is_used, number)
            if self.is_key_ours():
                self.assertTrue(os.access(self.hook, os.X_OK), number)
                self.assertEqual('stale', hook.agent, number)
            self.set_up('remove')
            self.assertEqual(self.before, self.tree(), number)

    def test_another_install(self):
        self.set_up('install')
        self.start_agent()
        for number in self.interrupted('install'):
            self.assertTrue(self.set_up('status').is_used, number)
            self.assertTrue(self.set_up('install').is_used, number)
        self.stand_in('ps', 'true')
        self.set_up('remove')
        self.assertEqual(self.before, self.tree())

    def test_a_removal(self):
        self.set_up('install')
        self.start_agent()
        for number in self.interrupted('remove'):
            # the agent goes on to call it
            self.assertEqual('stale', self.set_up('remove').agent, number)
            self.assertFalse(self.is_key_ours())
            self.assertTrue(os.access(self.hook, os.X_OK), number)
            self.set_up('install')
            self.assertTrue(self.set_up('status').is_used, number)
        self.stand_in('ps', 'true')
        for number in self.interrupted('remove'):
            self.set_up('remove')
            self.assertEqual(self.before, self.tree(), number)
            self.set_up('install')

    def test_what_is_left_is_removed_without_the_hook(self):
        self.set_up('install')
        shutil.rmtree(self.place)
        self.set_up('remove')
        self.assertFalse(self.is_key_ours())


class TestConfiguration(SetupTestCase):
    def test_a_full_disk_costs_nothing(self):
        if os.geteuid():
            self.skipTest('only root can mount a file system')
        folder = os.path.dirname(self.configuration)
        # with our key it needs one more page
        text = '[general]\n' + '# mine\n' * 580
        codes = set()
        for pages in range(2, 6):
            subprocess.run(
                ['mount', '-t', 'tmpfs', '-o', f'size={pages * 4}k,mode=755',
                 'none', folder], check=True,
            )  # fmt: skip
            try:
                self.own(folder)
                self.write(self.configuration, text)
                done = self.run_setup('install')
                codes.add(done.returncode)
                if done.returncode == 0:
                    self.assertIn(self.hook, self.read(self.configuration))
                    self.set_up('remove')
                else:
                    self.assertIn('is as it was', done.stderr)
                self.assertEqual(text, self.read(self.configuration))
                self.assertEqual(['qemu-ga.conf'], os.listdir(folder))
                self.set_up('remove')
                self.assertFalse(os.path.exists(self.place))
            finally:
                subprocess.run(['umount', folder], check=True)
        self.assertEqual({0, 1}, codes)

    def test_a_link_stays_one(self):
        kept = f'{self.root}/etc/kept.conf'
        self.write(kept, '[general]\nverbose=true\n')
        os.symlink('../kept.conf', self.configuration)
        before = self.tree()
        self.set_up('install')
        self.assertTrue(os.path.islink(self.configuration))
        self.assertIn(self.hook, self.read(kept))
        self.set_up('remove')
        self.assertTrue(os.path.islink(self.configuration))
        self.assertEqual(before, self.tree())


class TestFreeze(SetupTestCase):
    def refused_all(self):
        before = self.tree()
        for verb in 'install', 'remove':
            self.assertIn('a freeze is on', self.refused(verb, 75))
        self.assertEqual(before, self.tree())

    def test_nothing_is_changed_while_a_freeze_is_on(self):
        self.set_up('install')
        self.start_agent('-t', self.root)
        frozen = f'{self.root}/qga.state.isfrozen'
        self.write(frozen, '')
        self.refused_all()
        os.remove(frozen)
        # a freeze by somebody else: what writes there waits
        self.stand_in('rmdir', 'exec sleep 10')
        self.refused_all()
        self.stand_in('rmdir', 'exec /bin/rmdir "$@"')
        frozen = self.run_in_guest(self.hook, 'freeze')
        self.assertEqual(0, frozen.returncode, self.set_up('status'))
        self.refused_all()
        self.run_in_guest(self.hook, 'thaw')
        self.set_up('install')

    def test_a_freeze_that_ended_without_a_thaw_is_none(self):
        self.set_up('install')
        agent = self.folder.join('runtime/xloudclient/agent')
        os.makedirs(agent)
        for folder in os.path.dirname(agent), agent:
            self.own(folder)
        self.write(f'{agent}/open', '1 2\n')
        self.set_up('install')
        self.assertFalse(os.path.exists(f'{agent}/open'))
        self.write(f'{agent}/open', '1 2\n')
        self.set_up('remove')
        self.assertFalse(os.path.exists(agent))
