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


"""The freeze hook in a guest that Nova freezes, with a real database.

How a guest is frozen that has no file systems: agent_guest.py.
"""

import json
import subprocess
import time

import fixtures

from xloudclient.guest import freeze_hook
from xloudclient.tests.functional import agent_guest, base
from xloudclient.tests.functional.writer import Writer

#: A holding hook that fails, and writes more than is told of all together.
TALKATIVE = """#!/bin/sh
yes 'and on and on and on' | head -n 4000 >&2
exit 1
"""
#: A holding hook that does not come to an end.
SLOW = '#!/bin/sh\nsleep 300\n'
#: A holding hook that is asked, and does not answer.
SILENT = """#!/bin/sh
echo 'ready {"gives": "application", "data": []}'
read -r word
exec sleep 300
"""
#: What was the agent's hook before; it calls ours, as a runner may.
PREVIOUS = """#!/bin/sh
echo "$1" >>{home}/called
[ ! -e {home}/hang ] || sleep 300
{hook} "$1"
"""
#: A holding hook that knows no other word.
OWN = """#!/bin/sh
[ "$1" = hold ] || exit 2
echo 'ready {"gives": "application", "data": []}'
while read -r word && [ "$word" = verify ]; do echo held; done
"""
#: Holding hooks that have lost it when they are asked; and that take their
#: time to answer, and to release.
LOST = """#!/bin/sh
echo 'ready {"gives": "application", "data": []}'
read -r word
echo 'it is gone' >&2
exit 1
"""
UNHURRIED = """#!/bin/sh
trap '' TERM
echo 'ready {"gives": "application", "data": []}'
read -r word
sleep 3
echo held
read -r word
sleep 8
echo released
"""
#: sync(1) that fails in one holder.
FAILS_THE_THIRD = """#!/bin/sh
case $XLOUD_RUN_FOLDER in */d.3) exit 1 ;; esac
exec /bin/sync
"""
#: sync(1) that hangs, but for holders.
HANGS_AHEAD = """#!/bin/sh
[ -n "$XLOUD_RUN_FOLDER" ] || exec sleep 60
exec /bin/sync
"""
#: A holding hook that could not release.
STUCK = """#!/bin/sh
echo 'ready {"gives": "application", "data": []}'
while read -r word && [ "$word" = verify ]; do echo held; done
exit 6
"""


class FreezeHookTestCase(base.FunctionalTestCase):
    def setUp(self):
        super().setUp()
        image = self.place.image(**agent_guest.PROPERTIES)
        self.server = self.place.server(name='db', image=image)
        self.guest = self.cloud.guest(self.server)
        self.agent = agent_guest.AgentGuest(self.guest)
        self.root, self.hook = self.agent.root, self.agent.hook
        self.useFixture(
            fixtures.MonkeyPatch(
                'xloudclient.guest.freeze_hook.ROOT', self.root
            )
        )
        self.guest.start_mariadb()
        self.addCleanup(self.guest.stop_mariadb)
        self.agent.prepare()
        self.addCleanup(self.agent.stop_agent)

    @property
    def configuration(self):
        return f'{self.root}/etc/qemu/qemu-ga.conf'

    def manage(self, verb, *words, expect=0):
        result = self.openstack(
            'server', 'snapshot', 'hook', verb, 'db', *words,
            *self.reach(self.server), '-f', 'json',
        )  # fmt: skip
        self.last = result
        self.assertEqual(expect, result.code, result.stderr)
        return result.rows[0] if result.stdout else None

    def install(self, *words):
        self.manage('install', *words)
        self.agent.restart_agent()

    def consistent(self, *words, expect=0):
        return self.snapshot(
            'consistent', 'db', *words, *self.reach(self.server),
            expect=expect,
        )[0]  # fmt: skip

    def check(self):
        """What is found of each thing that is checked."""
        result = self.openstack(
            'server', 'snapshot', 'check', 'db', *self.reach(self.server),
            '-f', 'json',
        )  # fmt: skip
        self.assertEqual(0, result.code, result.stdout)
        return {row['Check']: row['Finding'] for row in result.rows}

    def files(self):
        """What a hook could leave behind in the guest, with its content."""
        found = self.guest.run(
            'sh', '-c',
            'find etc usr bin /dev/shm/xloudclient-$(id -u)/agent -type f '
            '-exec cksum {} + | sort; find etc usr -type d | sort',
        )  # fmt: skip
        return found.stdout

    def write(self):
        writer = Writer(self.guest)
        self.addCleanup(writer.stop)
        return writer

    def own(self, name, text):
        """Return the path of a user's own holding hook."""
        path = self.home / name
        path.write_text(text)
        path.chmod(0o700)
        return str(path)

    def by_hand(self, verb, expect=0):
        """Call the hook as an agent does."""
        done = self.guest.run(self.hook, verb)
        self.assertEqual(expect, done.returncode, done.stderr)


class TestFreezeHook(FreezeHookTestCase):
    def test_it_holds_while_nova_captures_and_leaves_no_trace(self):
        before = self.files()
        row = self.manage('install')
        self.assertEqual('installed', row['Hook'])
        self.assertEqual(['mysql'], row['Quiesces'])
        self.assertEqual('stale', row['Agent'])
        self.consistent('--quiesce', 'agent', expect=3)
        self.assertIn('restart', self.last.stderr)
        self.install()
        self.cloud.control(self.server.id, capture=8, upload=2)
        writer = self.write()
        for words in (('--quiesce', 'agent'), ()):
            row = self.consistent(*words, '--wait', '--max-freeze', '20')
            self.assertEqual('application', row['Consistency'])
            names = ['agent', 'fsfreeze', 'mysql']
            self.assertEqual(names, row['Quiesced'])
            # nothing is held while the disk is copied
            began, ended = writer.longest_gap
            self.assertLess(ended - began, 5)
            image = self.image(row['Snapshot ID'])
            self.assertEqual(','.join(names), image['xloud_quiesced'])
            self.assertNotEqual('', image['xloud_position'])
        row = self.manage('list')
        self.assertEqual(2, row['Freezes'])
        found = self.check()
        self.assertIn('installed: mysql', found['hook'])
        self.assertEqual('chose agent', found['auto'])
        self.assertEqual('application', found['class'])
        self.assertEqual('used', row['Agent'])
        row = self.manage('remove')
        self.assertEqual('not installed', row['Hook'])
        # the agent that runs would freeze nothing if it were gone
        self.assertEqual('stale', row['Agent'])
        self.assertIn('systemctl restart', self.last.stderr)
        self.by_hand('freeze')
        self.by_hand('thaw')
        self.agent.restart_agent()
        self.assertIsNone(self.manage('remove')['Agent'])
        self.assertEqual(before, self.files())
        self.manage('remove')
        self.consistent('--quiesce', 'agent', expect=3)
        self.assertIn('hook install', self.last.stderr)

    def test_what_was_not_held_is_not_claimed(self):
        self.install()
        agent = ('--quiesce', 'agent')
        for mode in ('cold', 'direct'):
            self.cloud.control(self.server.id, mode=mode)
            row = self.consistent(*agent, expect=5)
            self.assertEqual('crash', row['Consistency'])
            self.assertIn('was not called', row['Reason'])
        self.cloud.control(self.server.id, mode=None)
        self.guest.run('touch', 'unable', check=True)
        row = self.consistent(*agent, expect=5)
        self.assertEqual('crash', row['Consistency'])
        self.assertIn('was not seen to freeze /', row['Reason'])
        self.guest.run('rm', 'unable', check=True)
        # it waits for something else, as for a slow disk
        self.agent.write_rmdir('/bin/sh')
        row = self.consistent(*agent, expect=5)
        self.assertEqual('crash', row['Consistency'])
        self.assertIn('was not seen to freeze /', row['Reason'])
        self.agent.write_rmdir(f'{self.root}/unseen')
        self.guest.stop_mariadb()
        row = self.consistent(*agent, expect=5)
        self.assertEqual('crash', row['Consistency'])
        self.assertIn("can't log in", row['Reason'])
        self.guest.start_mariadb()

    def test_what_the_hook_did_not_release_is_an_alarm(self):
        self.install('--quiesce', self.own('stuck', STUCK))
        self.consistent('--quiesce', 'agent', expect=6)
        self.assertIn('MAY STILL BE BLOCKED', self.last.stderr)
        row = self.manage('list')
        self.assertIn('MAY STILL BE BLOCKED', row['Reason'])

    def test_a_holder_that_says_too_much_is_quoted(self):
        self.install('--quiesce', self.own('talkative', TALKATIVE))
        row = self.consistent('--quiesce', 'agent', expect=5)
        self.assertIn('and on and on', row['Reason'])

    def test_each_has_its_time_to_answer_and_then_to_release(self):
        self.install(
            '--quiesce', self.own('unhurried', UNHURRIED),
            '--quiesce', self.own('lost', LOST),
        )  # fmt: skip
        row = self.consistent('--quiesce', 'agent', expect=5)
        self.assertIn('exit status 1; it said: it is gone', row['Reason'])
        self.assertNotIn('unhurried', row['Reason'])

    def test_nova_s_thaw_releases_what_is_held_over_ssh(self):
        self.install()
        writer = self.write()
        # the upload begins late, and is still seen when it has begun
        self.cloud.control(self.server.id, upload=16)
        self.cloud.fault('glance', method='PUT', path='/file$', delay=10)
        events = self.home / 'events'
        row = self.consistent('--quiesce', 'mysql', '--events', str(events))
        self.assertEqual('application', row['Consistency'])
        self.assertEqual(['mysql'], row['Quiesced'])
        steps = [json.loads(one) for one in events.read_text().splitlines()]
        names = [one['event'] for one in steps]
        self.assertLess(names.index('verified'), names.index('released'))
        self.assertLess(names.index('released'), names.index('captured'))
        began, ended = writer.longest_gap
        self.assertLess(ended - began, row['Frozen For'] + 1)

    def test_nothing_is_held_before_all_are_prepared(self):
        options = self.guest.home / '.my.cnf'
        other = self.guest.home / 'other.cnf'
        other.write_text(options.read_text())
        own = self.own('own', OWN)
        self.install(
            '--quiesce', 'mysql', '--quiesce', own,
            '--quiesce', f'mysql,defaults_file={other}',
        )  # fmt: skip
        self.by_hand('freeze')
        self.by_hand('thaw')
        said = self.record(1)
        order = ['prepared 1', 'prepared 2', 'prepared 4', 'ready 1']
        order += ['note lock', 'ready 2', 'ready 3', 'ready 4', 'note held']
        found = [one for one in said if one in order]
        self.assertEqual(order, sorted(found[:3]) + found[3:])
        other.unlink()
        self.by_hand('freeze', expect=1)
        said = self.record(2)
        self.assertNotIn('note lock', said)
        self.assertIn('prepared 2', said)
        self.assertIn('exit 4 1', said)
        self.assertIn('done 2 asked 0 no', said)
        row = self.manage('list')
        self.assertNotIn('MAY STILL BE BLOCKED', row['Reason'])

    def test_databases_are_locked_at_once(self):
        self.install('--quiesce', 'mysql', '--quiesce', 'sync')
        # what it waits for until it gives up
        words = self.guest.ssh(
            "mariadb -e 'LOCK TABLES mysql.plugin WRITE; SELECT SLEEP(300)'"
        )
        locked = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        self.addCleanup(locked.wait)
        self.addCleanup(locked.kill)
        time.sleep(1)
        self.by_hand('freeze', expect=1)
        said = self.record(1)
        self.assertIn('ready 3', said)
        self.assertNotIn('ready 2', said)
        self.assertLess(said.index('ready 3'), said.index('exit 2 75'))
        # nor is one waited for once another one failed
        self.agent.write_script('bin/sync', FAILS_THE_THIRD)
        self.by_hand('freeze', expect=1)
        said = self.record(2)
        self.assertIn('exit 3 1', said)
        self.assertNotIn('exit 2 75', said)
        row = self.manage('list')
        self.assertNotIn('MAY STILL BE BLOCKED', row['Reason'])

    def record(self, number):
        """What was said in a freeze, the notes without their times."""
        found = self.guest.run(
            'sh', '-c',
            f'cat /dev/shm/xloudclient-$(id -u)/agent/record.{number}',
            check=True,
        )  # fmt: skip
        lines = [one[17:] for one in found.stdout.splitlines()]
        return [
            ' '.join(one.split()[:2]) if one.startswith('note ') else one
            for one in lines
        ]

    def test_a_run_that_was_killed_expects_nothing(self):
        self.install('--quiesce', 'none')
        home = '/dev/shm/xloudclient-$(id -u)'
        self.guest.run(
            'sh', '-c',
            f'mkdir -p {home}/run.left/d.1; '
            f'true >{home}/run.left/d.1/agent-expected', check=True,
        )  # fmt: skip
        self.by_hand('freeze')
        # it holds with the lock of a run, not beside one
        found = self.guest.run('sh', '-c', f'ls -d {home}/agent/run.*')
        self.assertEqual('', found.stdout)
        found = self.guest.run('sh', '-c', f'ls -d {home}/run.*')
        self.assertEqual(1, len(found.stdout.split()), found.stdout)
        self.assertNotIn('run.left', found.stdout)
        self.by_hand('thaw')

    def test_no_thaw_and_no_supervisor_is_a_release(self):
        self.install('--max-freeze', '8')
        writer = self.write()
        self.by_hand('freeze')
        self.assertTrue(writer.is_blocked)
        writer.await_rows(2, 20)
        # as after a freeze whose thaw never came
        self.by_hand('freeze')
        self.assertTrue(writer.is_blocked)
        self.guest.run(
            'sh', '-c', 'kill -9 $(ps -e -o pid=,args= | '
            "awk '/xloud-(supervisor|timer|beats)/ && !/awk/ {print $1}')",
        )  # fmt: skip
        writer.await_rows(2, 20)
        self.by_hand('thaw')
        self.manage('remove')
        self.assertFalse(writer.is_blocked)

    def test_what_could_not_hold_is_not_installed(self):
        before = self.files()
        self.manage('install', '--quiesce', 'postgresql', expect=3)
        self.assertIn("postgresql can't quiesce", self.last.stderr)
        self.assertIn('Nothing was changed', self.last.stderr)
        # auto sees it, and it lets nobody in
        options = self.guest.home / '.my.cnf'
        text = options.read_text()
        self.addCleanup(options.write_text, text)
        options.write_text(text.replace('user=root', 'user=nobody'))
        self.manage('install', expect=3)
        self.assertIn("can't log in to MariaDB", self.last.stderr)
        self.assertEqual(before, self.files())

    def test_a_change_that_was_not_seen_through_can_be_made_again(self):
        before = self.files()
        folder = f'{self.root}/usr/local/lib'
        self.guest.run('chmod', '555', folder, check=True)
        self.manage('install', expect=1)
        self.assertIn("can't write", self.last.stderr)
        self.assertIn('hook remove', self.last.stderr)
        self.guest.run('chmod', '755', folder, check=True)
        # the files are in their place then, and the agent is not told of them
        self.agent.write_script('bin/tail', '#!/bin/sh\nexec sleep 60\n')
        with fixtures.MonkeyPatch(
            'xloudclient.planning.freeze_hooks.SETUP_SECONDS', 1.0
        ):
            self.manage('install', '--quiesce', 'none', expect=1)
        self.assertIn('the guest was reached', self.last.stderr)
        self.assertIn('hook remove', self.last.stderr)
        self.guest.run('rm', 'bin/tail', check=True)
        self.assertEqual('stale', self.manage('install')['Agent'])
        self.agent.restart_agent()
        self.assertEqual('', self.manage('list')['Reason'])
        self.cloud.connection().image.delete_image(self.server.image.id)
        self.assertIn("can't see the image", self.manage('list')['Reason'])
        self.manage('remove')
        self.agent.restart_agent()
        self.manage('remove')
        self.assertEqual(before, self.files())

    def test_what_may_not_be_seen_is_not_said_to_be_absent(self):
        place = self.root + freeze_hook.PLACE
        self.guest.run('mkdir', '-p', place, check=True)
        self.guest.run('chmod', '0', place, check=True)
        row = self.manage('list', expect=1)
        self.assertEqual('failed', row['Hook'])
        self.assertIn('only root can see', self.last.stderr)
        self.guest.run('rmdir', place, check=True)

    def test_a_hook_that_is_ended_is_a_release(self):
        self.agent.write_script(
            'own', PREVIOUS.format(home=self.root, hook=self.hook)
        )
        self.agent.write_script(
            'etc/qemu/qemu-ga.conf',
            f'[general]\nfsfreeze-hook={self.root}/own\n',
        )
        self.manage(
            'install', '--quiesce', 'mysql', '--quiesce',
            self.own('slow', SLOW), '--max-freeze', '200',
        )  # fmt: skip
        called = self.guest.home / 'called'
        writer = self.write()
        for signal, expected in (
            ('TERM', 'freeze\nthaw\n'),
            ('KILL', 'freeze\nthaw\nfreeze\nthaw\n'),
        ):
            started = self.guest.run(
                'sh', '-c', f'"{self.hook}" freeze >/dev/null 2>&1 & echo $!'
            )
            for _ in range(300):
                if writer.is_blocked:
                    break
                time.sleep(0.1)
            self.assertTrue(writer.is_blocked, signal)
            self.guest.run('kill', f'-{signal}', started.stdout.strip())
            writer.await_rows(2, 60)
            # it releases first, and then calls what was there before
            self.cloud.wait(
                lambda expected=expected: called.read_text() == expected,
                what=f'{expected!r} after SIG{signal}',
            )

    def test_a_thaw_that_is_killed_is_a_release(self):
        self.install(
            '--quiesce', 'mysql', '--quiesce', self.own('silent', SILENT),
            '--max-freeze', '200',
        )  # fmt: skip
        writer = self.write()
        self.by_hand('freeze')
        self.assertTrue(writer.is_blocked)
        self.guest.run(
            'sh', '-c',
            f'"{self.hook}" thaw >/dev/null 2>&1 & sleep 2; kill -KILL $!',
        )  # fmt: skip
        self.assertTrue(writer.is_blocked)
        writer.await_rows(2, 60)
        self.cloud.wait(self.is_closed, what='end of the freeze')

    def test_what_is_written_ahead_is_no_condition_and_costs_no_time(self):
        # longer than all may be held; nothing is held yet
        self.install('--max-freeze', '8')
        self.agent.write_script('bin/sync', HANGS_AHEAD)
        writer = self.write()
        self.by_hand('freeze')
        self.assertTrue(writer.is_blocked)
        self.by_hand('thaw')
        writer.await_rows(2, 20)
        self.assertIn('done 2 asked 0 yes', self.record(1))

    def test_a_thaw_waits_for_no_supervisor_that_was_killed(self):
        self.install()
        writer = self.write()
        self.by_hand('freeze')
        self.guest.run(
            'sh', '-c',
            'kill -9 $(ps -e -o pid=,args= | '
            "awk '/xloud-supervisor/ && !/awk/ {print $1}')",
        )  # fmt: skip
        writer.await_rows(2, 20)
        began = time.monotonic()
        self.by_hand('thaw')
        self.assertLess(time.monotonic() - began, 8)
        self.assertTrue(self.is_closed())

    def is_closed(self):
        """Whether no freeze is under way."""
        gone = '[ ! -e /dev/shm/xloudclient-$(id -u)/agent/open ]'
        return self.guest.run('sh', '-c', gone).returncode == 0

    def test_without_room_for_a_record_nothing_is_held(self):
        self.install('--quiesce', 'none')
        folder = '/dev/shm/xloudclient-$(id -u)/agent'
        for name in ('last', 'open'):
            # what can't be written
            place = f'{folder}/{name}.new'
            self.guest.run('sh', '-c', f'mkdir -p {place}/x', check=True)
            began = time.monotonic()
            self.by_hand('freeze', expect=1)
            self.assertLess(time.monotonic() - began, 8)
            self.guest.run('sh', '-c', f'rm -r {place}', check=True)
        self.guest.run('sh', '-c', f'true >{folder}/open', check=True)
        self.by_hand('thaw')
        found = self.guest.run('sh', '-c', f'ls {folder}')
        self.assertNotIn('input', found.stdout)

    def test_a_hook_that_was_there_is_called_and_comes_back(self):
        own = f'{self.root}/own'
        self.agent.write_script(
            'own', PREVIOUS.format(home=self.root, hook=self.hook)
        )
        configuration = (
            f'# mine\n[general]\nverbose=false\nfsfreeze-hook={own}\n'
        )
        self.agent.write_script('etc/qemu/qemu-ga.conf', configuration)
        before = self.files()
        words = ('--quiesce', 'none', '--max-freeze', '3')
        self.manage('install', *words)
        self.manage('install', *words)
        shown = self.guest.run(
            'env',
            f'QGA_CONF={self.configuration}',
            'qemu-ga',
            '--dump-conf',
            check=True,
        )
        self.assertIn(f'fsfreeze-hook={self.hook}\n', shown.stdout)
        self.by_hand('freeze')
        self.by_hand('thaw')
        called = self.guest.home / 'called'
        self.assertEqual('freeze\nthaw\n', called.read_text())
        # it gets as long as we would hold, and is thawed then
        self.guest.run('touch', 'hang', check=True)
        self.by_hand('freeze', expect=1)
        self.guest.run('rm', 'hang', check=True)
        called.unlink()
        self.by_hand('thaw')
        called.unlink()
        self.manage('remove')
        self.assertEqual(before, self.files())


class TestUsage(base.FunctionalTestCase):
    def test_what_makes_no_sense_is_refused(self):
        install = ('server', 'snapshot', 'hook', 'install', 'db')
        consistent = ('server', 'snapshot', 'consistent', 'db')
        agent = ('--quiesce', 'agent')
        for words, part in (
            ((*install, *agent), 'freezes the file systems itself'),
            ((*install, '--quiesce', 'fsfreeze'), 'itself'),
            ((*install, '--max-freeze', 'x'), 'not a duration'),
            ((*consistent, *agent, '--rehearse'), '--rehearse'),
            ((*consistent, *agent, '--group'), '--group'),
            ((*consistent, *agent, '--quiesce', 'sync'), 'stand alone'),
        ):
            result = self.openstack(*words)
            self.assertEqual(2, result.code, words)
            self.assertIn(part, result.stderr)
