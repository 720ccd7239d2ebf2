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


"""Broken servers: check names the reason, and consistent ends as it said.

Each row of the tables is one test: the method that breaks something, which
returns the options of the commands; the finding that names it, and a part of
its text; the exit code of both commands; and the class that the snapshot of
``consistent`` has. Servers are shared by the tests of a class, so what is
broken is mended again.
"""

import re
import subprocess
import time

import testscenarios

from xloudclient.tests.cloud import fixture
from xloudclient.tests.functional import base

APPLICATION, CRASH, NONE = 'application', 'crash', 'none'
#: What a check may do: read, and ask for a token.
READING = ('GET', 'HEAD')


def table(*rows):
    """The rows of a table as scenarios."""
    names = ('broken', 'finding', 'text', 'code', 'level')
    return [(row[0], dict(zip(names, row, strict=True))) for row in rows]


class CheckTestCase(testscenarios.WithScenarios, base.FunctionalTestCase):
    """Has what the tests of a class share."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stage = fixture.CloudFixture()
        cls.stage.setUp()
        cls.addClassCleanup(cls.stage.cleanUp)
        cls.make(cls.stage)

    @classmethod
    def make(cls, stage):
        raise NotImplementedError

    def setUp(self):
        super().setUp()
        self.await_idle()

    def assert_consistent(self, words, verdict):
        """What was said comes true."""
        result = self.run_it('consistent', *words)
        self.assertEqual(self.code, result.code, result.stderr)
        [row] = result.rows
        self.assertEqual(self.level, row['Consistency'])
        # "crash: why", "none, required is ...", "no snapshot ..."
        said = re.match(r'\w+', verdict)[0]
        self.assertEqual(self.level or 'no', said)

    def assert_untouched(self, began):
        wrote = [
            one
            for one in self.cloud.requests(began)
            if one.user_agent.startswith('openstacksdk')
            and one.method not in READING
            and not one.path.endswith('/auth/tokens')
        ]
        self.assertEqual([], wrote)

    def run_it(self, command, *words):
        return self.openstack(
            'server', 'snapshot', command, *words, '-f', 'json', **self.more
        )

    @property
    def more(self):
        """Further variables of the environment."""
        return {}

    @property
    def compute(self):
        return self.cloud.connection().compute

    @property
    def guest(self):
        return self.cloud.guest(self.server)

    def hang(self, server):
        """Have a capture of a server under way until the end of the test."""
        self.cloud.control(server.id, hang='capture')
        image = self.compute.create_server_image(server, 'hanging')
        self.addCleanup(self.cloud.wait, lambda: self.task_of(server) is None)
        self.addCleanup(self.cloud.reset)
        self.addCleanup(self.cloud.connection().image.delete_image, image)
        self.cloud.wait(lambda: self.task_of(server) == 'image_pending_upload')

    def task_of(self, server):
        return self.compute.get_server(server).task_state

    @classmethod
    def await_idle(cls):
        """A capture that was given up may still be on its way out."""
        compute = cls.stage.cloud.connection().compute
        cls.stage.cloud.wait(
            lambda: compute.get_server(cls.server).task_state is None
        )

    def quota(self, **limits):
        """Give the project a volume quota, until the end of the test."""
        storage = self.cloud.connection('admin').block_storage
        project = self.cloud.connection().current_project_id
        storage.update_quota_set(project, **limits)
        self.addCleanup(storage.revert_quota_set, project)


class Promise:
    """Breaks a server, checks it, and takes its snapshot."""

    def test_check_says_what_consistent_then_does(self):
        words = [self.server.name, *getattr(self, self.broken)()]
        before, began = self.counts(), time.time()
        result = self.run_it('check', *words)
        self.assert_untouched(began)
        self.assertEqual(before, self.counts())
        self.assertEqual(self.code, result.code, result.stderr)
        said = [
            row['Finding']
            for row in result.rows
            if row['Check'] == self.finding
        ]
        self.assertRegex('\n'.join(said) or str(result.rows), self.text)
        self.assertEqual('class', result.rows[-1]['Check'])
        self.assert_consistent(words, result.rows[-1]['Finding'])


class TestGuests(Promise, CheckTestCase):
    """A server with a database, and whatever goes wrong in it."""

    scenarios = table(
        ('nothing', 'mysql', r'MariaDB.*; /\S+ on vda', 0, APPLICATION),
        ('other_key', 'login', 'refuses the login', 3, None),
        ('unknown_host_key', 'login', 'host key .* is not known', 3, None),
        ('no_root', 'fsfreeze', "can't be frozen", 3, None),
        ('refused_login', 'mysql', "can't log in to MariaDB", 3, None),
        ('poor_account', 'mysql', 'ERROR 1227', 3, None),
        ('long_statement', 'mysql', r'running too long .* DO \(', 75, None),
        ('unknown_database', 'auto', 'etcd', 3, None),
        ('missing_database', 'postgresql', "can't log in", 3, None),
        ('missing_service', 'service', "can't quiesce", 3, None),
        ('too_little', 'class', 'crash, required is appl', 5, CRASH),
        ('dropped', 'mysql', 'would be dropped', 5, CRASH),
        ('long_hold', 'hold', '--max-freeze is 0.1 s', 3, None),
        ('own_run', 'run', 'is at work on this server', 75, None),
        ('run_of_another', 'login', 'another run is at work', 75, None),
        ('dead_run', 'run', 'is not finished', 0, APPLICATION),
        ('no_journal', 'run', "can't be written", 1, None),
        ('queue', 'host', 'captures check-other now', 0, APPLICATION),
        ('image_quota', 'image quota', 'images is used up', 3, None),
    )

    @classmethod
    def make(cls, stage):
        cls.server = stage.server(name='check-db')
        stage.cloud.guest(cls.server).start_mariadb()

    def setUp(self):
        super().setUp()
        self.variables = {}

    @property
    def more(self):
        return self.variables

    def with_option(self, option, value):
        """The options that reach the guest, but for one."""
        words = self.reach(self.server)
        words[words.index(option) + 1] = str(value)
        return words

    def nothing(self):
        return self.reach(self.server)

    def other_key(self):
        key = self.home / 'key'
        subprocess.run(
            ['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', str(key)],
            check=True,
        )
        return self.with_option('--identity', key)

    def unknown_host_key(self):
        return self.with_option(
            '--ssh-option', f'UserKnownHostsFile={self.home / "none"}'
        )

    def no_root(self):
        return [*self.reach(self.server), '--quiesce', 'fsfreeze']

    def refused_login(self):
        options = self.guest.home / '.my.cnf'
        text = options.read_text()
        self.addCleanup(options.write_text, text)
        options.write_text(text.replace('user=root', 'user=nobody'))
        return self.reach(self.server)

    def poor_account(self):
        self.ask("CREATE USER poor@localhost IDENTIFIED BY ''")
        self.addCleanup(self.ask, 'DROP USER poor@localhost')
        options = self.guest.home / '.my.cnf'
        text = options.read_text()
        self.addCleanup(options.write_text, text)
        options.write_text(text.replace('user=root', 'user=poor'))
        return self.reach(self.server)

    def ask(self, sql):
        return self.guest.run(
            'mariadb', '-u', 'root', '-Ne', sql, check=True
        ).stdout.strip()

    def long_statement(self):
        process = subprocess.Popen(
            self.guest.ssh("mariadb -e 'DO SLEEP(600)'"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(process.wait)
        find = (
            'SELECT id FROM information_schema.processlist '
            "WHERE info = 'DO SLEEP(600)' AND time > 1"
        )
        number = self.cloud.wait(lambda: self.ask(find), 30, 'statement')
        self.addCleanup(self.ask, f'KILL {number}')
        return [*self.reach(self.server), '--quiesce', 'mysql,long_query=1']

    def unknown_database(self):
        self.guest.run(
            'sh', '-c', 'cp /bin/sleep etcd && exec setsid ./etcd 600 '
            '</dev/null >/dev/null 2>&1 &', check=True,
        )  # fmt: skip
        self.addCleanup(self.guest.run, 'pkill', '-x', 'etcd')
        self.cloud.wait(
            lambda: 'etcd' in self.guest.run('ps', '-o', 'comm').stdout
        )
        return self.reach(self.server)

    def missing_database(self):
        return [*self.reach(self.server), '--quiesce', 'postgresql']

    def missing_service(self):
        return [
            *self.reach(self.server), '--quiesce', 'service,name=none.service'
        ]  # fmt: skip

    def too_little(self):
        return [
            *self.reach(self.server),
            '--quiesce', 'sync', '--require', 'application',
        ]  # fmt: skip

    def dropped(self):
        return [
            *self.with_option('--login', self.guest.user),
            '--quiesce', 'mysql,socket=/nonexistent', '--quiesce', 'sync',
            '--on-error', 'continue',
        ]  # fmt: skip

    def long_hold(self):
        return [*self.reach(self.server), '--max-freeze', '0.1']

    def begin(self, **environ):
        """Begin a run that is at work in the guest and holds nothing."""
        mark = self.home / 'mark'
        hook = self.script('hook', f'#!/bin/sh\necho x >{mark}\nsleep 600\n')
        process = self.start(
            'server', 'snapshot', 'consistent', self.server.name,
            '--quiesce', 'sync', '--pre-hook', hook, '--hook-timeout', '10m',
            *self.reach(self.server), **environ,
        )  # fmt: skip
        self.await_file(mark, 60)
        return process

    def own_run(self):
        self.begin()
        return self.reach(self.server)

    def run_of_another(self):
        self.begin(XDG_STATE_HOME=str(self.home / 'other'))
        return self.reach(self.server)

    def dead_run(self):
        process = self.begin()
        process.kill()
        process.wait(10)
        # its supervisor goes with its connection
        self.cloud.wait(
            lambda: (
                'xloud-supervisor'
                not in self.guest.run('ps', '-o', 'args').stdout
            ),
            30,
        )
        return self.reach(self.server)

    def no_journal(self):
        file = self.home / 'file'
        file.touch()
        self.variables = {'XDG_STATE_HOME': str(file)}
        return self.reach(self.server)

    def queue(self):
        other = self.place.server(name='check-other')
        self.hang(other)
        return self.reach(self.server)

    def image_quota(self):
        self.cloud.limit_images(image_count_total=0)
        return self.reach(self.server)


class TestVolumes(Promise, CheckTestCase):
    """A server with a database on a data volume, which another has, too."""

    scenarios = table(
        ('not_frozen', 'class', 'several disks', 5, NONE),
        ('left_out', 'class', r'is on vdb, which was not captured', 5, NONE),
        ('shared', 'disks', 'attached to 2 servers', 5, NONE),
        ('snapshot_quota', 'volume quota', 'volume snapshots', 3, None),
        ('type_quota', 'volume quota', 'gigabytes of type', 3, None),
    )

    @classmethod
    def make(cls, stage):
        cloud = stage.cloud
        cls.server = stage.server(name='check-volumes')
        admin = cloud.connection('admin').block_storage
        kind = admin.create_type(
            name='shared',
            extra_specs={
                'multiattach': '<is> True',
                'volume_backend_name': 'files',
            },
        )
        stage.addCleanup(admin.delete_type, kind)
        volumes = cloud.connection().block_storage.volumes
        stage.addCleanup(
            cloud.wait,
            lambda: all(one.volume_type != 'shared' for one in volumes()),
        )
        cls.volume = stage.volume(volume_type='shared')
        cloud.attach(cls.server, cls.volume)
        stage.addCleanup(cloud.detach, cls.server, cls.volume)
        stage.addCleanup(cls.await_idle)
        guest = cloud.guest(cls.server)
        guest.start_mariadb(guest.mount(cls.volume) / 'db')

    def not_frozen(self):
        return self.reach(self.server)

    def left_out(self):
        return [*self.reach(self.server), '--no-data-volumes']

    def shared(self):
        other = self.place.server()
        # without multi-attach Nova would refuse it
        self.compute.create_volume_attachment(other, volume_id=self.volume)
        self.cloud.wait(self.is_shared)
        self.addCleanup(self.cloud.wait, lambda: not self.is_shared())
        self.addCleanup(
            self.compute.delete_volume_attachment, other, self.volume
        )
        return self.reach(self.server)

    def is_shared(self):
        storage = self.cloud.connection().block_storage
        return len(storage.get_volume(self.volume).attachments) == 2

    def snapshot_quota(self):
        self.quota(snapshots=0)
        return self.reach(self.server)

    def type_quota(self):
        self.quota(gigabytes_shared=1)
        return self.reach(self.server)


class TestVolumeBacked(Promise, CheckTestCase):
    """A volume-backed server whose image asks for an agent it has not."""

    scenarios = table(
        ('snapshot_quota', 'volume quota', 'volume snapshots', 3, None),
        ('agent', 'agent', 'os_require_quiesce is set', 3, None),
    )

    @classmethod
    def make(cls, stage):
        image = stage.image(os_require_quiesce='yes')
        cls.server = stage.server(
            name='check-root', volume_backed=True, image=image
        )

    def snapshot_quota(self):
        self.quota(snapshots=0)
        return ['--quiesce', 'none']

    def agent(self):
        return ['--quiesce', 'none']


class TestStates(Promise, CheckTestCase):
    """A server in the states that it can be in."""

    scenarios = table(
        ('stopped', 'server', 'stopped: nothing will be held', 0, CRASH),
        ('paused', 'class', 'crash: paused', 0, CRASH),
        ('task', 'server', 'another task is under way', 75, None),
        ('error', 'server', "is ERROR can't be snapshotted", 1, None),
        ('metadata', 'server', 'xloud:ssh_port', 3, None),
        ('agent', 'agent', 'os_require_quiesce is set', 4, None),
    )

    @classmethod
    def make(cls, stage):
        image = stage.image(os_require_quiesce='yes')
        cls.server = stage.server(name='check-states', image=image)

    def state(self, act, undo, status):
        compute = self.compute

        def change(verb, wanted):
            getattr(compute, verb)(self.server)
            compute.wait_for_server(
                compute.get_server(self.server), wanted, interval=0.2
            )

        change(act, status)
        self.addCleanup(change, undo, 'ACTIVE')

    def stopped(self):
        self.state('stop_server', 'start_server', 'SHUTOFF')
        return []

    def paused(self):
        self.state('pause_server', 'unpause_server', 'PAUSED')
        return []

    def task(self):
        self.hang(self.server)
        return ['--quiesce', 'none']

    def error(self):
        admin = self.cloud.connection('admin').compute
        admin.reset_server_state(self.server, 'error')
        self.addCleanup(admin.reset_server_state, self.server, 'active')
        return ['--quiesce', 'none']

    def metadata(self):
        self.compute.set_server_metadata(
            self.server, **{'xloud:ssh_port': 'x'}
        )
        self.addCleanup(
            self.compute.delete_server_metadata,
            self.server,
            ['xloud:ssh_port'],
        )
        return []

    def agent(self):
        return ['--quiesce', 'none']
