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


"""What other people write: names, metadata, properties, recipes."""

import time

from xloudclient.tests.functional import base
from xloudclient.tests.functional.writer import Writer

MARK = 'touched-by-a-hostile-value'
EVIL = '\x1b[2J\r\nforged | $(touch x)'
SHOWN = (
    'xloud_server_name', 'xloud_run', 'xloud_group', 'xloud_captured_at',
    'xloud_quiesced', 'xloud_reason', 'xloud_position', 'xloud_flavor',
    'xloud_networks', 'xloud_key_name', 'xloud_security_groups',
)  # fmt: skip
#: The vendor's guide, as a pair of hooks: the lock goes with its client.
RECIPE = """#!/bin/sh
case $1 in
pre) sync; mariadb -e 'FLUSH TABLES WITH READ LOCK' ;;
post) mariadb -e 'UNLOCK TABLES' ;;
esac
"""


class TestHostile(base.FunctionalTestCase):
    def test_metadata_that_would_be_an_option_or_a_command(self):
        mark = self.home / MARK
        for key, value in (
            ('xloud:ssh_host', f'-oProxyCommand=touch {mark}'),
            ('xloud:ssh_host', f'$(touch {mark})'),
            ('xloud:ssh_host', f'h`touch {mark}`'),
            ('xloud:ssh_host', 'h\x1b[2J'),
            ('xloud:ssh_port', '22 -oProxyCommand=x'),
            ('xloud:ssh_port', '٢٢'),
            ('xloud:ssh_login', f'root;touch {mark}'),
            ('xloud:ssh_login', '-oProxyCommand=x'),
        ):
            server = self.place.server(metadata={key: value})
            result = self.openstack(
                'server', 'snapshot', 'consistent', server.id,
                '--quiesce', 'sync', '-f', 'json',
            )  # fmt: skip
            self.assertIn(result.code, (2, 3), (key, value, result.stderr))
            self.assertNotIn('\x1b', result.stderr + result.stdout)
            self.assertFalse(mark.exists(), value)
            self.assertEqual([], self.cloud.events(server.id))
            self.cloud.delete(server)

    def test_an_address_that_leads_to_another_server(self):
        other = self.place.server(name='web')
        guest = self.cloud.guest(other)
        server = self.place.server(
            name='db', metadata={'xloud:ssh_host': guest.address}
        )
        reach = self.reach(other)
        for words in (
            ('consistent', '--quiesce', 'sync'),
            ('check', '--quiesce', 'sync'),
            ('hook', 'install', '--quiesce', 'none'),
            ('consistent', '--quiesce', 'agent'),
        ):
            result = self.openstack(
                'server', 'snapshot', *words, server.id, *reach
            )
            said = ' '.join((result.stdout + result.stderr).split())
            self.assertIn('is not this server', said)
            self.assertEqual(3, result.code, said)
        self.assertEqual([], self.cloud.events(server.id))
        own = ['--ssh-host', self.cloud.guest(server).address]
        self.snapshot(
            'consistent', server.id, '--quiesce', 'sync', '--wait',
            *self.reach(server), *own,
        )  # fmt: skip

    def test_metadata_may_name_built_in_quiescers_only(self):
        other = self.place.server(metadata={'xloud:quiesce': 'none'})
        for word in (
            '/bin/sh',
            './x',
            'pair,file=/etc/passwd,pre=a,post=b',
            'mysqld',
            'mysql,\x1b[2J=1',
        ):
            server = self.place.server(metadata={'xloud:quiesce': word})
            refused, planned = self.snapshot(
                'consistent', server.id, other.id, '--dry-run', expect=3
            )[:2]
            self.assertEqual(
                [(server.name, 'refused'), (other.name, 'capture')],
                [(one['Server'], one['Step']) for one in (refused, planned)],
            )
            for text in (self.last.stderr, refused['What']):
                self.assertIn('xloud:quiesce=', text)
                self.assertNotIn('\x1b', text)
            self.assertIn('or give --quiesce', self.last.stderr)
            self.cloud.delete(server)

    def test_a_server_whose_name_is_a_command(self):
        mark = self.home / MARK
        name = f'--x;touch {mark};$(touch {mark}) "\' [bold]red[/bold] :bomb:'
        server = self.place.server(name=name)
        hook = self.script(
            'hook', '#!/bin/sh\nprintf %s "$XLOUD_SERVER_NAME" > "$0.seen"\n'
        )
        [row] = self.snapshot(
            'consistent', server.id, '--quiesce', 'none', '--hook', hook,
            '--wait', '--name', '{server}',
        )  # fmt: skip
        self.assertEqual(name, row['Server'])
        self.assertEqual(name, row['Snapshot Name'])
        self.assertEqual(name, (self.home / 'hook.seen').read_text())
        self.assertIn(name, self.last.stderr)
        self.assertFalse(mark.exists())

    def test_properties_that_were_handed_on(self):
        image = self.place.image(
            name='forged',
            xloud_image='22222222-2222-4222-8222-222222222222',
            xloud_consistency='application',
            xloud_frozen_ms='9' * 200,
            xloud_volumes_3='33333333-3333-4333-8333-333333333333',
        )
        server = self.place.server(image=image)
        [row] = self.snapshot('create', server.id, '--wait')
        made = self.image(row['Snapshot ID'])
        self.assertEqual('crash', made['xloud_consistency'])
        self.assertEqual('', made['xloud_volumes_3'])

    def test_properties_that_another_project_forged(self):
        server = self.place.server(name='web')
        image = self.place.image(
            name=f'web $(touch x);`x` {EVIL}', user='other',
            image_type='snapshot', instance_uuid=server.id,
            xloud_consistency='application', xloud_frozen_ms='9' * 9,
            **dict.fromkeys(SHOWN, EVIL),
        )  # fmt: skip
        theirs, ours = map(self.cloud.connection, ('other', 'demo'))
        theirs.image.update_image(image, xloud_image=image)
        for visibility in ('shared', 'community'):
            theirs.image.update_image(image, visibility=visibility)
            if visibility == 'shared':
                project = ours.current_project_id
                theirs.image.add_member(image, member_id=project)
                ours.image.update_member(project, image, status='accepted')
                shared = ['list', '--shared', '--server', 'web', '--long']
                self.assertIn(' unknown ', self.harmless(*shared))
                self.harmless(*shared, '--consistency', 'none', absent=image)
            self.harmless('list', '--server', 'web', absent=image)
            said = self.harmless('show', image)
            self.assertRegex(said, r'\n\| consistency +\| unknown +\|')
            self.assertIn("another project recorded it as 'application'", said)
            self.assertIn('\\x1b[2J\\r\\nforged', said)
        # nor is its hold, as if of a good run, what the next is predicted from
        planned = {'xloud_reason': '', 'xloud_group': ''}
        theirs.image.update_image(image, visibility='shared', **planned)
        self.snapshot(
            'consistent', 'web', '--quiesce', 'sync', '--rehearse',
            *self.reach(server),
        )  # fmt: skip

    def harmless(self, *words, absent='a traceback') -> str:
        """Run a snapshot command; return its table."""
        result = self.openstack('snapshot', *words)
        self.assertEqual(0, result.code, result.stderr)
        said = result.stdout + result.stderr
        self.assertNotIn('\x1b', said)
        self.assertNotRegex(said, '(?m)^forged')
        self.assertNotIn(absent, said)
        return result.stdout

    def test_the_vendors_recipe_holds_nothing_and_gets_crash(self):
        server = self.place.server(name='db')
        guest = self.cloud.guest(server)
        guest.start_mariadb()
        self.addCleanup(guest.stop_mariadb)
        recipe = self.script('recipe', RECIPE)
        [row] = self.snapshot(
            'consistent', 'db', '--quiesce', 'none', '--guest-hook', recipe,
            '--wait', *self.reach(server),
        )  # fmt: skip
        self.assertEqual('crash', row['Consistency'])
        [row] = self.snapshot(
            'consistent', 'db', '--quiesce',
            f'pair,file={recipe},pre=pre,post=post', '--wait',
            '--require', 'application', *self.reach(server), expect=5,
        )  # fmt: skip
        self.assertEqual('crash', row['Consistency'])

    def test_the_vendors_recipe_is_discarded_when_a_class_is_required(self):
        for volume_backed, event in (
            (False, 'captured'),
            (True, 'volume-captured'),
        ):
            server = self.place.server(volume_backed=volume_backed)
            guest = self.cloud.guest(server)
            guest.start_mariadb()
            self.addCleanup(guest.stop_mariadb)
            writer = Writer(guest)
            self.addCleanup(writer.stop)
            before, began = self.counts(), time.time()
            recipe = self.script('recipe', RECIPE)
            [row] = self.snapshot(
                'consistent', server.id, '--quiesce',
                f'pair,file={recipe},pre=pre,post=post', '--wait',
                '--require', 'application', '--discard-lower',
                *self.reach(server), expect=5,
            )  # fmt: skip
            self.assertEqual('discarded', row['Status'])
            happened = [one.event for one in self.cloud.events(since=began)]
            self.assertIn(event, happened)
            self.assertEqual(before, self.counts())
            writer.await_rows(2, 5)
