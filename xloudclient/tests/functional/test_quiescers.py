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

"""The sync, pair and service quiescers, the probe, and their Python side."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from xloudclient.guest import quiescers
from xloudclient.tests.functional import quiescer_hook, quiescer_servers

LEDGER = pathlib.Path(__file__).parents[3] / 'doc/source/user/hold-ledger.sh'

_PAIR = """#!/bin/sh
echo "$1" >>{log}
case $1 in
freeze) sleep {seconds} ;;
broken) echo "the application is ill" >&2; exit 3 ;;
later) exit 75 ;;
esac
echo "$1 is done" >>{log}
"""

_SYSTEMCTL = """#!/bin/sh
# A stand-in for systemctl(1): one unit whose state is in a file.
word=''
for argument; do
    case $argument in
    stop | start | show | cat) word=$argument ;;
    esac
    unit=$argument
done
[ "$unit" = app.service ] || { echo "Unit $unit not found." >&2; exit 4; }
case $word in
stop)
    [ ! -e refuses ] || { echo "Access denied" >&2; exit 4; }
    echo stop >>log
    [ ! -e hangs ] || sleep 60
    if [ -e ill ]; then
        echo failed timeout 7 >state
    else
        echo inactive success 7 >state
    fi
    ;;
start)
    [ ! -e broken ] || { echo "Job failed." >&2; exit 1; }
    echo start >>log
    echo active success 0 >state
    ;;
show)
    case $* in
    *ControlGroup*) cat group; exit ;;
    *StateDirectory*) echo app; exit ;;
    esac
    read -r state result since <state
    printf 'Result=%s\\nActiveState=%s\\n' "$result" "$state"
    echo "InactiveEnterTimestampMonotonic=$since"
    ;;
esac
"""


class TestSync(quiescer_hook.HookTestCase):
    quiescer = 'sync'

    def test_it_holds_nothing(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.hook(shell=shell)
                self.assertEqual('crash', hook.ready()['gives'])
                hook.verify()
                self.assertEqual(0, hook.release())
                self.assertEqual('released', hook.line())


class TestPair(quiescer_hook.HookTestCase):
    quiescer = 'pair'

    def script(self, name='a script', seconds=0):
        folder = quiescer_hook.folder(self)
        self.log = os.path.join(folder, 'log')
        script = os.path.join(folder, name)
        with open(script, 'w') as file:
            file.write(_PAIR.format(log=self.log, seconds=seconds))
        return script

    def pair(self, pre='freeze', *options, seconds=0, post='thaw', **rest):
        script = self.script(seconds=seconds)
        return self.hook(
            f'file={script}', f'pre={pre}', f'post={post}', *options, **rest
        )

    def ran(self):
        with open(self.log) as log:
            return log.read().splitlines()

    def test_pre_and_post_run_once_each(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.pair(shell=shell)
                self.assertEqual('crash', hook.ready()['gives'])
                self.assertEqual(['freeze', 'freeze is done'], self.ran())
                hook.verify()
                self.assertEqual(0, hook.release())
                self.assertEqual(['thaw', 'thaw is done'], self.ran()[2:])
                self.assertEqual(['pair'], hook.scratch_files())

    def test_post_runs_when_the_hook_was_killed(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.pair(shell=shell)
                hook.ready()
                hook.kill()
                self.assertTrue(
                    quiescer_hook.wait_for(
                        lambda: 'thaw is done' in self.ran(),
                        quiescer_hook.FREED_WITHIN,
                    )
                )
                self.assert_output_ends(hook)

    def test_post_waits_for_a_pre_whose_hook_was_killed(self):
        hook = self.pair(seconds=1)
        time.sleep(0.5)
        hook.kill()
        self.assertTrue(
            quiescer_hook.wait_for(lambda: 'thaw is done' in self.ran())
        )
        self.assertEqual(
            ['freeze', 'freeze is done', 'thaw', 'thaw is done'], self.ran()
        )

    def test_a_pre_that_fails_is_followed_by_fail_or_post(self):
        for options, last in (((), 'thaw'), (('fail=undo',), 'undo')):
            hook = self.pair('broken', *options)
            self.assert_refused(
                hook, 1, "'a script broken' failed with code 3: the appl"
            )
            self.assertEqual(['broken', last, f'{last} is done'], self.ran())

    def test_code_75_says_not_now(self):
        hook = self.pair('later')
        self.assert_refused(hook, 75, 'not now')

    def test_a_post_that_fails_is_a_failed_release(self):
        hook = self.pair('freeze', post='broken')
        hook.ready()
        self.assertEqual(6, hook.release())
        self.assertEqual('', hook.line())
        self.assertIn('could not be released', hook.errors())

    def test_several_arguments_arrive_as_they_are(self):
        for shell in quiescer_hook.SHELLS:
            with self.subTest(shell=shell):
                script = self.script()
                with open(script, 'w') as file:
                    file.write(f'#!/bin/sh\nprintf "%s|" "$@" >>{self.log}\n')
                hook = self.hook(
                    f'file={script}', "pre=it's", 'pre=a  $b', 'pre=*',
                    'post=x=y', 'post=-"\\n', shell=shell,
                )  # fmt: skip
                hook.ready()
                self.assertEqual(["it's|a  $b|*|"], self.ran())
                self.assertEqual(0, hook.release())
                self.assertEqual(['it\'s|a  $b|*|x=y|-"\\n|'], self.ran())

    def test_another_script_may_release(self):
        for shell in quiescer_hook.SHELLS:
            for killed in (False, True):
                with self.subTest(shell=shell, killed=killed):
                    self.pre_and_post(shell, killed)

    def pre_and_post(self, shell, killed):
        post = self.script()
        pre = f'{post}-before'
        with open(pre, 'w') as file:
            file.write(f'echo "before $#" >>{self.log}\n')
        hook = self.hook(f'file={pre}', f'post_file={post}', shell=shell)
        hook.ready()
        if killed:
            hook.kill()
        else:
            self.assertEqual(0, hook.release())
        self.assertTrue(quiescer_hook.wait_for(lambda: len(self.ran()) > 1))
        self.assertEqual('before 0', self.ran()[0])

    def test_a_pre_that_fails_names_its_file_and_all_its_arguments(self):
        hook = self.pair('broken', 'pre=well')
        self.assert_refused(hook, 1, "'a script broken well' failed")

    def test_what_a_pre_leaves_in_the_background_lives_until_post(self):
        script = self.script()
        with open(script, 'w') as file:
            file.write(
                '#!/bin/sh\n'
                f'case $1 in freeze) sleep 99 & echo $! >{self.log} ;;\n'
                f'thaw) read -r pid <{self.log}; kill "$pid" ;; esac\n'
            )
        hook = self.hook(f'file={script}', 'pre=freeze', 'post=thaw')
        hook.ready()
        hook.verify()
        self.assertEqual(0, hook.release(), hook.errors())


class TestService(quiescer_hook.HookTestCase):
    quiescer = 'service'

    def setUp(self):
        super().setUp()
        self.need('setsid')
        self.folder = quiescer_hook.folder(self)
        with open(os.path.join(self.folder, 'systemctl'), 'w') as script:
            script.write(
                _SYSTEMCTL.replace(
                    "word=''\n", f"word=''\ncd '{self.folder}' || exit\n"
                )
            )
        os.chmod(script.name, 0o755)
        self.put('state', 'active success 0')

    def put(self, name, text=''):
        with open(os.path.join(self.folder, name), 'w') as file:
            file.write(text + '\n')

    def get(self, name):
        try:
            with open(os.path.join(self.folder, name)) as file:
                return file.read().split()
        except FileNotFoundError:
            return []

    def service(self, *options, **rest):
        return self.hook(
            *(options or ('name=app.service', 'data=/:/dev/shm')),
            PATH=f'{self.folder}:{quiescer_hook.SEARCH_PATH}',
            **rest,
        )

    def test_it_is_stopped_and_started_again(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                self.put('log')
                hook = self.service(shell=shell)
                ready = hook.ready()
                self.assertEqual('application', ready['gives'])
                places = [one['path'] for one in ready['data']]
                self.assertEqual('/', places[0])
                self.assertIn('/dev/shm', places)
                self.assertNotIn('/proc', places)
                self.assertEqual('inactive', hook.verify()['state'])
                self.assertEqual(['stop'], self.get('log'))
                self.assertEqual(0, hook.release())
                self.assertEqual(['stop', 'start'], self.get('log'))

    def test_it_finds_where_its_unit_writes(self):
        place = tempfile.mkdtemp(prefix='quiescer-', dir='/var/tmp')
        self.addCleanup(shutil.rmtree, place)
        group = os.path.join(self.folder, 'group.d')
        os.mkdir(group)
        self.put('group', f'/../../..{group}')
        self.put('group.d/cgroup.procs', str(os.getpid()))
        with open(f'{place}/written', 'w'), open(__file__):
            ready = self.service('name=app.service').ready()
        places = [one['path'] for one in ready['data']]
        self.assertIn(place, places)
        self.assertIn('/var/lib/app', places)
        self.assertNotIn(os.path.dirname(__file__), places)

    def test_what_does_not_run_writes_nowhere(self):
        place = tempfile.mkdtemp(prefix='quiescer-', dir='/var/tmp')
        self.addCleanup(shutil.rmtree, place)
        self.put('group')
        with open(f'{place}/written', 'w'):
            ready = self.service('name=app.service').ready()
        self.assertEqual(
            ['/var/lib/app'], [one['path'] for one in ready['data']]
        )

    def test_killing_the_hook_starts_it_again(self):
        hook = self.service()
        hook.ready()
        hook.kill()
        self.assertTrue(
            quiescer_hook.wait_for(
                lambda: self.get('state')[:1] == ['active'],
                quiescer_hook.FREED_WITHIN,
            )
        )
        self.assert_output_ends(hook)

    def test_verify_fails_when_somebody_started_it(self):
        for state, sentence in (
            ('active success 0', 'does not rest any more'),
            ('inactive success 9', 'ran meanwhile'),
        ):
            self.put('state', 'active success 0')
            hook = self.service()
            hook.ready()
            self.put('state', state)
            self.assert_fails_verify(hook, sentence)
            self.assertEqual('start', self.get('log')[-1])

    def test_one_that_did_not_run_is_not_started(self):
        self.put('state', 'inactive success 7')
        hook = self.service()
        hook.ready()
        hook.verify()
        self.assertEqual(0, hook.release())
        self.assertEqual([], self.get('log'))

    def test_one_that_was_killed_was_not_at_rest(self):
        self.put('ill')
        self.assert_refused(self.service(), 1, 'did not come to rest')
        self.assertEqual('active', self.get('state')[0])

    def test_one_whose_stop_hangs_is_started_again(self):
        self.put('hangs')
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                self.put('log')
                hook = self.service(shell=shell)
                self.assertTrue(
                    quiescer_hook.wait_for(lambda: self.get('log'))
                )
                # as the supervisor ends what is not ready in time
                os.killpg(hook.process.pid, signal.SIGTERM)
                self.assertEqual('', hook.line())
                self.assertEqual(1, hook.end())
                self.assertIn('ended before it was ready', hook.errors())
                self.assertEqual(['stop', 'start'], self.get('log'))

    def test_one_that_can_not_be_started_is_a_failed_release(self):
        hook = self.service()
        hook.ready()
        self.put('broken')
        self.assertEqual(6, hook.release())
        self.assertIn("can't be started again: Job failed.", hook.errors())

    def test_it_says_why_it_can_not(self):
        self.assert_refused(
            self.service('name=other.service'), 1, 'there is no unit'
        )
        self.put('refuses')
        self.assert_refused(
            self.service(), 1, "app.service can't be stopped: Access denied"
        )


class TestTheExampleOfTheDocs(quiescer_hook.HookTestCase):
    """It is said to work as it stands."""

    quiescer = 'hold-ledger'

    def setUp(self):
        super().setUp()
        self.need('flock')
        self.ledger = pathlib.Path(quiescer_hook.folder(self))
        (self.ledger / 'data').write_text('7 bytes')

    def held(self, **rest):
        hook = self.hook(
            f'folder={self.ledger}', text=LEDGER.read_text(), **rest
        )
        self.ready = hook.ready()
        return hook

    def write(self):
        """Begin a write, as the application of the docs does it."""
        writer = subprocess.Popen(
            ['flock', 'lock', 'sh', '-c', 'echo more >>data'], cwd=self.ledger
        )
        self.addCleanup(writer.wait)
        self.addCleanup(writer.kill)
        return writer

    def blocked_write(self):
        writer = self.write()
        time.sleep(0.3)
        self.assertIsNone(writer.poll(), 'it could write under the lock')
        return writer

    def assert_writes(self, writer):
        self.assertEqual(0, writer.wait(quiescer_hook.FREED_WITHIN))

    def test_no_write_between_ready_and_release(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                size = (self.ledger / 'data').stat().st_size
                hook = self.held(shell=shell)
                writer = self.blocked_write()
                evidence = {'position': f'{size} bytes'}
                self.assertEqual(
                    {'gives': 'application', **evidence}, self.ready
                )
                self.assertEqual(evidence, hook.verify())
                self.assertEqual(0, hook.release())
                self.assertEqual('released', hook.line())
                self.assertEqual('', hook.errors())
                self.assert_writes(writer)

    def test_verify_fails_when_the_lock_was_replaced(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            with self.subTest(shell=shell):
                hook = self.held(shell=shell)
                hook.verify()
                (self.ledger / 'lock').unlink()
                self.assert_writes(self.write())
                self.assert_fails_verify(hook, 'the lock file is another one')

    def test_whatever_ends_it_releases(self):
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            for end, _ in quiescer_hook.ENDS:
                with self.subTest(shell=shell):
                    hook = self.held(shell=shell)
                    writer = self.blocked_write()
                    end(hook)
                    self.assert_writes(writer)


_MOUNTS = """20 1 8:1 / / rw - ext4 /dev/vda1 rw
21 20 8:16 / /var/lib/mysql rw shared:1 - xfs /dev/vdb rw
22 20 8:17 /a\\040folder /srv/two\\040words rw - xfs /dev/vdc rw
"""

#: What has been mounted for a server, what it is asked for, what it finds.
_VIEWS = (
    ('', '/etc', '8:1 /etc'),
    ('', '/var/lib/mysql', '8:16 '),
    ('', '/var/lib/mysql/d', '8:16 /d'),
    ('', '/var/lib/mysqld', '8:1 /var/lib/mysqld'),
    ('', '/srv/two words/x', '8:17 /a\\040folder/x'),
    # BindPaths=, ReadWritePaths=: the same, and another place
    ('30 20 8:1 /var/log /var/log rw - ext4 x rw', '/var/log', '8:1 /var/log'),
    ('30 20 8:1 /srv /var/log rw - ext4 x rw', '/var/log/d', '8:1 /srv/d'),
    # TemporaryFileSystem=: what was mounted below is hidden, not gone
    ('30 20 0:9 / /var/lib rw - tmpfs x rw', '/var/lib/mysql', '0:9 /mysql'),
    ('30 21 0:9 / /var/lib/mysql rw - tmpfs x rw', '/var/lib/mysql', '0:9 '),
)


class TestWhereAServerHasItsData(quiescer_hook.HookTestCase):
    def asked(self, words, mounts, path):
        """Give what these words say of a path where there are such mounts."""
        folder = pathlib.Path(quiescer_hook.folder(self))
        for process in ('7', 'self'):
            (folder / process).mkdir()
            (folder / process / 'mountinfo').write_text(mounts)
        text = quiescers.script('sync').replace('/proc/', f'{folder}/')
        text = text.replace('\nhold\n', f'\n{words}\n')
        found = set()
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            done = subprocess.run(
                [*shell, '-c', text, 'sync', 'hold'],
                env={**os.environ, 'ASKED': path},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                cwd=folder,
            )
            self.assertEqual('', done.stderr)
            found.add(done.stdout)
        self.assertEqual(1, len(found))
        return found.pop().removesuffix('\n')

    def place(self, mounts, path):
        return self.asked('place_in 7 "$ASKED"', mounts, path)

    def test_what_is_mounted_below_is_found_behind_a_link(self):
        folder = quiescer_hook.folder(self)
        os.makedirs(f'{folder}/data/below')
        os.symlink('data', f'{folder}/link')
        mount = f'30 20 8:1 / {folder}/data/below rw - ext4 /dev/vda1 rw\n'
        said = self.asked(
            'data "$ASKED"; say "[$DATA]"', _MOUNTS + mount, f'{folder}/link'
        )
        self.assertEqual(
            [f'{folder}/link', f'{folder}/data/below'],
            [one['path'] for one in json.loads(said)],
        )

    def test_mounts_are_followed_from_the_root(self):
        for mounted, path, expected in _VIEWS:
            with self.subTest(mounted=mounted, path=path):
                self.assertEqual(
                    expected, self.place(f'{_MOUNTS}{mounted}\n', path)
                )

    def test_without_a_root_nothing_can_be_told(self):
        """So it is in a folder that is a root (chroot) and no mount."""
        self.assertEqual('', self.place(_MOUNTS.partition('\n')[2], '/srv'))
        self.assertEqual('', self.place('', '/srv'))

    def test_a_server_that_sees_other_mounts_has_its_data_elsewhere(self):
        self.need('unshare', 'setpriv')
        for kind, quiescer, options in (
            (
                quiescer_servers.MariaDB,
                'mysql',
                lambda server: (f'defaults_file={server.defaults}',),
            ),
            (
                quiescer_servers.PostgreSQL,
                'postgresql',
                lambda server: (f'socket={server.folder}', 'user=postgres'),
            ),
            (
                quiescer_servers.Redis,
                'redis',
                lambda server: (f'socket={server.socket}',),
            ),
        ):
            server = kind()
            self.addCleanup(server.remove)
            for script, problem in (
                ('mount --bind data data', 'tmpfs'),
                (
                    'cp -a data was; mount -t tmpfs none data; '
                    'cp -a was/. data; chown --reference=was data; '
                    'chmod --reference=was data',
                    'the server sees another file system there',
                ),
            ):
                server.stop()
                server.apart = quiescer_servers.with_mounts(script)
                server.start()
                self.quiescer = quiescer
                words = options(server)
                if quiescer == 'postgresql':
                    words = (*words, f'port={server.port}')
                with self.subTest(quiescer=quiescer, script=script):
                    hook = self.hook(*words)
                    places = {one['path']: one for one in hook.ready()['data']}
                    self.assertEqual(0, hook.release())
                    self.assertEqual(
                        {
                            'path': server.data,
                            'disks': [],
                            'problem': problem,
                        },
                        places[server.data],
                    )


class TestProbe(quiescer_hook.HookTestCase):
    def probe(self, shell):
        folder = quiescer_hook.folder(self)
        os.chmod(folder, 0o755)
        done = subprocess.run(
            [*shell, '-c', quiescers.script('probe')],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=folder,
        )
        self.assertEqual('', done.stderr)
        self.assertEqual(1, done.stdout.count('\n'))
        return json.loads(done.stdout)

    def line(self, process):
        """Give the process IDs of a process and of its parent."""
        with open(f'/proc/{process}/stat') as stat:
            words = stat.read().rpartition(')')[2].split()
        return process, int(words[1])

    def test_it_finds_servers_and_how_to_reach_them(self):
        for name, kind in (
            ('mysql', quiescer_servers.MariaDB),
            ('postgresql', quiescer_servers.PostgreSQL),
            ('postgresql', quiescer_servers.Postmaster),
            ('redis', quiescer_servers.Redis),
        ):
            server = quiescer_servers.shared(self, kind)
            options = {'socket': server.socket}
            if name == 'postgresql':
                options = {'socket': server.folder, 'port': server.port}
            options['pid'] = str(server.process.pid)
            for shell in quiescer_hook.SHELLS:
                self.need(shell[0])
                found = self.probe(shell)['databases']
                (one,) = (
                    one
                    for one in found
                    if server.process.pid in self.line(one['pid'])
                )
                self.assertEqual(server.process.pid, one['pid'])
                self.assertEqual(name, one['quiescer'])
                self.assertEqual(options, one['options'])
                found = tuple(one['options'].items())
                self.assertIsNone(quiescers.check(name, found))

    def test_a_server_of_another_account_has_its_process_at_least(self):
        server = quiescer_servers.shared(self, quiescer_servers.MariaDB)
        self.need('setpriv')
        account = ('setpriv', '--reuid=nobody', '--clear-groups')
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            found = self.probe((*account, *shell))
            (one,) = (
                one
                for one in found['databases']
                if one['pid'] == server.process.pid
            )
            self.assertEqual({'pid': str(server.process.pid)}, one['options'])

    def test_what_is_in_a_container_is_told_of(self):
        self.need('unshare')
        folder = quiescer_hook.folder(self)
        for name in ('mysqld', 'postgres', 'redis-server', 'mongod'):
            os.symlink('/bin/sleep', f'{folder}/{name}')
            process = subprocess.Popen(
                ['unshare', '-pf', '--kill-child', f'{folder}/{name}', '60'],
            )
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            self.assertTrue(
                quiescer_hook.wait_for(
                    lambda name=name: (
                        f'{name} in a container'
                        in self.probe(quiescer_hook.DASH)['other']
                    )
                ),
                name,
            )
            for shell in quiescer_hook.SHELLS:
                self.need(shell[0])
                found = self.probe(shell)
                self.assertIn(f'{name} in a container', found['other'])
                self.assertIsNotNone(found['hint'])

    def test_it_says_so_when_processes_are_hidden(self):
        self.need('unshare', 'setpriv')
        hidden = (
            'unshare',
            '--mount',
            '--propagation=unchanged',
            'sh',
            '-c',
            'mount -t proc -o hidepid=2 proc /proc || exit; '
            # members of the group root still see everything
            'exec setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"',
            'sh',
        )
        words = 'hidden processes of other accounts'
        for shell in quiescer_hook.SHELLS:
            self.need(shell[0])
            self.assertNotIn(words, self.probe(shell)['other'])
            self.assertIn(words, self.probe((*hidden, *shell))['other'])

    def test_it_names_what_it_can_not_quiesce(self):
        folder = quiescer_hook.folder(self)
        names = ('mongod', 'keydb-server', 'dragonfly')
        for name in names:
            os.symlink('/bin/sleep', f'{folder}/{name}')
            process = subprocess.Popen([f'{folder}/{name}', '60'])
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
        found = self.probe(quiescer_hook.DASH)
        self.assertLessEqual(set(names), set(found['other']))
        self.assertIn('holding hook', found['hint'])


class TestPythonSide(quiescer_hook.HookTestCase):
    def test_every_script_stands_alone(self):
        for name in (*quiescers.NAMES, quiescers.PROBE):
            text = quiescers.script(name)
            self.assertTrue(text.startswith('#!/bin/sh\n'))
            self.assertNotIn('common.sh"', text)
            self.assertLess(len(text), 64 * 1024)
            for shell in quiescer_hook.SHELLS:
                self.need(shell[0])
                subprocess.run([*shell, '-n'], input=text.encode(), check=True)

    def test_every_script_passes_shellcheck(self):
        self.need('shellcheck')
        for name in (*quiescers.NAMES, quiescers.PROBE):
            done = subprocess.run(
                ['shellcheck', '--shell=sh', '--severity=warning', '-'],
                input=quiescers.script(name),
                capture_output=True,
                text=True,
            )
            self.assertEqual('', done.stdout)

    def test_there_is_no_other_script(self):
        for name in ('common', '../supervisor', ''):
            self.assertRaises(KeyError, quiescers.script, name)

    def test_only_arguments_may_be_given_again(self):
        again = (('file', 'f'), ('pre', 'a'), ('pre', 'b'), ('post', 'c'))
        self.assertIsNone(quiescers.check('pair', again))
        for name, key in (('mysql', 'socket'), ('pair', 'file')):
            twice = ((key, '/a'), (key, '/b'))
            self.assertIn('given twice', quiescers.check(name, twice))

    def test_options_are_checked_before_anything_is_sent(self):
        for name, options, expected in (
            ('mysql', {'socket': '/run/my.sock'}, None),
            ('mysql', {'socket': 'my.sock'}, 'socket must be an absolute'),
            ('mysql', {'pid': '812'}, None),
            ('postgresql', {'pid': '812'}, None),
            ('redis', {'pid': '812'}, None),
            ('mysql', {'pid': '0'}, 'pid must be a process ID'),
            ('mysql', {'lock_wait_timeout': '10s'}, 'whole number of seconds'),
            ('mysql', {'colour': 'red'}, "no option 'colour'"),
            ('fsfreeze', {'mounts': '/:/srv'}, None),
            ('fsfreeze', {'mounts': '/:srv'}, 'separated by colons'),
            ('service', {}, 'service needs name=<value>'),
            ('service', {'name': '-x'}, 'systemd unit'),
            ('service', {'name': 'a@b-1.service'}, None),
            ('pair', {'file': 'f', 'pre': 'a'}, 'pair needs post=<value>'),
            ('pair', {'file': 'f', 'post_file': 'g'}, None),
            ('pair', {'post_file': 'g'}, 'pair needs file=<value>'),
            ('sync', {'now': '1'}, 'none'),
            ('mongodb', {}, "no quiescer 'mongodb'"),
        ):
            said = quiescers.check(name, tuple(options.items()))
            if expected is None:
                self.assertIsNone(said)
            else:
                self.assertIn(expected, said)
