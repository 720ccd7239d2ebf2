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

import argparse
import io
import json
import types

import testtools
from cliff.formatters import table

from xloudclient.catalog.pruning import Action
from xloudclient.catalog.snapshot import Snapshot
from xloudclient.commands import snapshot_rows
from xloudclient.upkeep.showing import Part, Shown

ID = '11111111-1111-4111-8111-111111111111'
TIME = '2026-03-18T10:00:00Z'
#: It sets the title of a terminal, and clears it.
ESCAPE = '\x1b]0;owned\x07\x1b[2J'
TEXTS = (
    'name',
    'instance_uuid',
    'xloud_run',
    'xloud_group',
    'xloud_server_name',
    'xloud_captured_at',
    'xloud_frozen_ms',
    'xloud_quiesced',
    'xloud_reason',
    'xloud_position',
    'xloud_volumes',
)


def forged(**more):
    """An image in which all that others can write sends escapes."""
    device = {'snapshot_id': ESCAPE, 'device_name': ESCAPE, 'volume_size': 1}
    image = {
        'id': ID,
        'owner': 'p',
        'status': 'active',
        'visibility': 'shared',
        'created_at': TIME,
        'updated_at': TIME,
        'image_type': 'snapshot',
        'xloud_image': ID,
        'xloud_consistency': 'application',
        'tags': [ESCAPE],
        'block_device_mapping': json.dumps([device]),
        **dict.fromkeys(TEXTS, ESCAPE),
    }
    return Snapshot({**image, **more}, 'p')


class TestForged(testtools.TestCase):
    def table(self, columns, row):
        """Show a row to people; return it as it was, for programs."""
        out = io.StringIO()
        formatter = table.TableFormatter()
        parser = argparse.ArgumentParser()
        formatter.add_argument_group(parser)
        formatter.emit_list(columns, [row], out, parser.parse_args([]))
        self.assertNotIn('\x1b', out.getvalue())
        self.assertIn('\\x1b', out.getvalue())
        return [
            one.machine_readable() if hasattr(one, 'machine_readable') else one
            for one in row
        ]

    def both(self):
        """One that is made of volumes, and one that has them beside it."""
        return forged(), forged(block_device_mapping='')

    def test_a_list_sends_nothing_to_the_terminal(self):
        for long in (False, True):
            columns = snapshot_rows.columns_of(long)
            for snapshot in self.both():
                row = snapshot_rows.row(snapshot, ESCAPE, long)
                self.assertIn(ESCAPE, self.table(columns, row))

    def test_one_that_is_shown_sends_nothing_to_the_terminal(self):
        part = Part(ESCAPE, ESCAPE, 'available', 1, TIME)
        for snapshot in self.both():
            shown = Shown(snapshot, ESCAPE, (part,))
            fields = snapshot_rows.fields(shown)
            exact = self.table(tuple(fields), tuple(fields.values()))
            self.assertIn(
                [
                    {
                        'id': ESCAPE,
                        'device': ESCAPE,
                        'status': 'available',
                        'size': 1,
                    }
                ],
                exact,
            )

    def test_a_verdict_sends_nothing_to_the_terminal(self):
        judged = types.SimpleNamespace(
            snapshot=forged(), action=next(iter(Action)), reason=ESCAPE
        )
        row = snapshot_rows.verdict(judged, ESCAPE)
        self.table(snapshot_rows.PRUNE_COLUMNS, row)
