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


"""What is put into a guest, and what is believed of what comes back."""

import re
from importlib import resources

import testtools

from xloudclient.consistency.plan import Consistency, Quiescer
from xloudclient.guest import freeze_hook
from xloudclient.guest.freeze_hook import record
from xloudclient.planning.wanted import built_in

INSTALLED = """installed
nonce n
cap 30
holder fsfreeze by=agent
holder mysql socket=%2Frun%2Fmy%20sql.sock
agent used
process b 77 9
last 4
"""
GOOD = """record 4
n note freeze 10.00

n boot b
n open
n prepared 2
n prepared 1
n part 1 {"gives": "filesystem", "data": [], "frozen": [
n part 1 {"path": "/", "disks": ["vda"]}]}
n ready 1
n note lock 10.20
n part 2 {"gives": "application", "position": "b:1"}
n ready 2
n note held 10.40
n note thaw 10.50
n part 1 {"sectors": ""}
n held 1
n part 2 {"position": "b:1"}
n held 2
n done 2 asked 0 yes
n done 1 asked 0 yes
n lapsed the client asked for it
n note closed 10.70
end
last 4
"""


def freeze(*changes):
    """Read the good record with some of its lines replaced."""
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    [one] = record.read(INSTALLED + text).freezes
    return one


def held(one):
    """Which of its holders held to the end."""
    return [not isinstance(each.held, str) for each in one.testimonies]


class TestStatus(testtools.TestCase):
    def test_a_good_one(self):
        hook = record.read(INSTALLED)
        self.assertTrue(hook.is_used)
        self.assertEqual('b 77 9', hook.process)
        [mysql] = hook.quiescers
        self.assertEqual((('socket', '/run/my sql.sock'),), mysql.options)
        self.assertEqual(Consistency.APPLICATION, mysql.gives)
        self.assertNotEqual('', mysql.script)
        self.assertEqual((30, 4, ()), (hook.cap, hook.last, hook.freezes))

    def test_what_is_not_there_is_not_installed(self):
        for text in ('', 'absent\n', 'no such thing\n' * 9, '\0\n\xff'):
            hook = record.read(text)
            self.assertFalse(hook.is_installed or hook.is_used, text)
        self.assertTrue(record.read('closed\n').is_closed)

    def test_what_others_wrote_is_harmless(self):
        hook = record.read(
            'installed\ncap 9999999999999\nlast x\nagent other \x1b[2J\n'
            'holder fsfreeze\nholder %1B%5B2J%2Fown\n'
            'holder mysql pid=x\nholder mysql rm=-rf\n' + 'holder sync\n' * 99
        )
        self.assertEqual((0, 0), (hook.cap, hook.last))
        self.assertTrue(hook.agent.isprintable())
        own, *ours = hook.quiescers
        self.assertTrue(own.name.isprintable())
        self.assertIsNone(own.gives)
        # options that ours does not take: it is not asked anything
        self.assertEqual(['', ''], [one.script for one in ours[:2]])
        self.assertLess(len(hook.quiescers), 6)


class TestRecord(testtools.TestCase):
    def test_a_good_one(self):
        one = freeze()
        self.assertEqual((4, True, True), (one.number, one.is_held, True))
        self.assertTrue(one.is_over)
        self.assertFalse(one.is_watched)
        self.assertAlmostEqual(0.5, one.seconds)
        watch, mysql = one.testimonies
        self.assertEqual(('vda',), watch.ready.frozen)
        self.assertEqual('b:1', mysql.ready.position)
        self.assertEqual('b:1', mysql.held.position)

    def test_an_answer_counts_after_the_thaw_and_once(self):
        thaw = 'n note thaw 10.50\n'
        for changes, expected in (
            ((), [True, True]),
            # before it was asked
            (((thaw, ''), ('n held 2\n', 'n held 2\n' + thaw)), [False] * 2),
            # never asked
            (((thaw, ''),), [False, False]),
            ((('n held 2\n', 'n held 2\nn held 2\n'),), [True, False]),
            ((('n held 2\n', ''),), [True, False]),
            ((('n held 1\n', 'n exit 1 1\n'),), [False, True]),
            ((('n ready 2\n', 'n exit 2 1\n'),), [True, False]),
        ):
            self.assertEqual(expected, held(freeze(*changes)), changes)

    def test_one_that_was_not_ready_was_never_held(self):
        one = freeze(
            ('n ready 2\n', 'n exit 2 1\n'),
            ('done 2 asked 0 yes', 'done 2 before 1 no'),
        )
        self.assertIsNone(one.testimonies[1].ready)
        self.assertIn('exit status 1', one.testimonies[1].held)

    def test_prepared_is_not_ready(self):
        one = freeze(('n ready 2\n', 'n prepared 2\n'))
        self.assertEqual([True, False], held(one))
        # nor is one held that was not told to hold, as another one failed
        one = freeze(
            ('n ready 1\n', 'n exit 1 1\n'),
            ('n ready 2\n', 'n exit 2 0\n'),
            ('done 2 asked 0 yes', 'done 2 asked 0 no'),
        )
        self.assertEqual([False, False], held(one))
        self.assertIn('not come to it', one.testimonies[1].held)
        self.assertEqual((), one.released)

    def test_a_release_that_was_asked_for_is_known_by_its_words(self):
        script = resources.files('xloudclient.guest') / 'supervisor.sh'
        self.assertIn(f"'{record.ASKED}'", script.read_text())

    def test_why_it_was_lost_is_told(self):
        one = freeze(
            ('n held 1\n', 'n exit 1 1\nn line 1 not seen\x1b\nn end 1 log\n')
        )
        self.assertIn('not seen', one.testimonies[0].held)
        self.assertTrue(one.testimonies[0].held.isprintable())
        one = freeze(
            ('n held 2\n', ''), ('lapsed the client', 'lapsed the longest')
        )
        self.assertIn('released by the guest', one.testimonies[1].held)
        one = freeze(('n held 2\n', ''))
        self.assertEqual('it did not answer', one.testimonies[1].held)
        one = freeze(
            ('n part 2 {"position": "b:1"}\nn held 2\n', ''),
            ('n done 2 asked 0 yes', 'n done 2 terminated 143 no'),
            ('n note closed', 'n line 2 so slow\nn end 2 log\nn note closed'),
        )
        self.assertEqual(
            'it did not answer; it said: so slow', one.testimonies[1].held
        )

    def test_what_others_wrote_is_no_line_of_the_record(self):
        for mark in '\f\v\r\x1c\x1d\x1e\x85\u2028\u2029':
            name = f'/media/{mark}n end 1 log{mark}n held 1'
            one = freeze(
                ('n held 1\n', f'n exit 1 1\nn line 1 {name}\nn end 1 log\n')
            )
            self.assertEqual([False, True], held(one), ascii(mark))
            # and it does not cut what was said
            one = freeze(('{"path": "/", ', f'{{"path": "/{mark}", '))
            is_json = mark >= ' '
            self.assertEqual(is_json, held(one)[0], ascii(mark))

    def test_who_has_ended_holds_no_more(self):
        one = freeze(('n held 1\n', 'n exit 1 1\nn held 1\n'))
        self.assertEqual([False, True], held(one))
        one = freeze(('n ready 2\n', 'n exit 2 1\nn ready 2\n'))
        self.assertEqual([True, False], held(one))

    def test_only_what_has_the_nonce_of_the_installation_counts(self):
        one = freeze(('n held 2\n', 'x held 2\n'))
        self.assertEqual([True, False], held(one))
        for nonce in ('nonce x\n', 'nonce \n', ''):
            text = INSTALLED.replace('nonce n\n', nonce) + GOOD
            [one] = record.read(text).freezes
            self.assertEqual([False, False], held(one), nonce)
            self.assertFalse(one.is_over or one.is_held, nonce)

    def test_what_became_of_each_is_told(self):
        done = 'n done 2 asked 0 yes\n'
        lapsed = 'n lapsed the client asked for it\n'
        closed = 'n note closed 10.70\n'
        ready = 'n ready 2\n'
        never = ((ready, 'n exit 2 1\n'), (done, 'n done 2 before 1 no\n'))
        for changes, expected in (
            ((), [True]),
            (((done, 'n done 2 asked 6 no\n'),), [False]),
            (((done, 'n done 2 stuck unknown no\n'),), [False]),
            (((done, ''),), [False]),
            # no supervisor was there at the end
            (((done, ''), (lapsed, '')), [False]),
            # it can be known before the hook has closed
            (((done, 'n done 2 asked 6 no\n'), (closed, '')), [False]),
            (((done, ''), (lapsed, ''), (closed, '')), []),
            # the hook failed before the freeze
            (never, [True]),
            ((*never[:1], (done, 'n done 2 killed 6 no\n')), [False]),
            # it was being started when the supervisor went
            (((ready, ''), (done, ''), (lapsed, '')), [False]),
            # it never was started
            (((ready, ''), (done, '')), []),
            (((ready, ''), (done, ''), ('n ready 1\n', '')), []),
            # it was prepared, was not told to hold, and had to be killed
            (
                (
                    ('n ready 1\n', 'n exit 1 1\n'),
                    (ready, ''),
                    (done, 'n done 2 killed 137 no\n'),
                ),
                [],
            ),
            # it only watched
            ((('n boot b', 'n note watching 10.1'),), []),
        ):
            one = freeze(*changes)
            free = [each.is_free for each in one.released]
            self.assertEqual(expected, free, changes)

    def test_while_another_run_holds_it_only_watches(self):
        one = freeze(('n boot b', 'n note watching 10.1'))
        self.assertTrue(one.is_watched)
        self.assertEqual(1, len(one.testimonies))

    def test_a_record_that_is_cut_is_none(self):
        for end in range(len(INSTALLED), len(INSTALLED + GOOD) - 7):
            self.assertEqual((), record.read((INSTALLED + GOOD)[:end]).freezes)
        # a freeze that began while the records were told
        hook = record.read(INSTALLED + GOOD.replace('last 4', 'last 5'))
        self.assertEqual((5, 1), (hook.last, len(hook.freezes)))
        self.assertFalse(freeze(('n note closed 10.70\n', '')).is_over)
        self.assertIsNone(freeze(('n note closed 10.70', 'n x')).seconds)
        self.assertFalse(
            freeze(('note closed 10.70', 'note closed x')).is_over
        )


class TestInstallation(testtools.TestCase):
    def test_the_watch_is_the_first_holder(self):
        files = freeze_hook.installation([built_in('mysql')], 20.0)
        self.assertIn(b'hold 1\n', files['holder.1'])
        self.assertIn(b'word by=agent\n', files['holder.1'])
        self.assertIn(b'hold 2\n', files['holder.2'])
        settings = files['settings'].decode()
        self.assertIn('holders 2\n', settings)
        self.assertIn('cap 20\n', settings)
        nonce = settings.partition('nonce ')[2][:16].encode()
        for line in files['holder.2'].splitlines():
            self.assertTrue(line.startswith(nonce + b' '), line)

    def test_what_may_need_another_waits_its_turn(self):
        names = ('mysql', 'redis', 'service', 'postgresql')
        chosen = [built_in(name) for name in names]
        files = freeze_hook.installation(chosen, 20.0)
        self.assertIn(b'ahead 1 2 3 4 5\n', files['settings'])
        self.assertIn(b'at_once 2 3 5\n', files['settings'])

    def test_only_ours_are_started_ahead(self):
        own = Quiescer('/home/me/hook', 'text', (), None)
        chosen = [built_in('redis'), own, built_in('mysql')]
        files = freeze_hook.installation(chosen, 20.0)
        self.assertIn(b'ahead 1 2 4\n', files['settings'])
        verbs = [
            re.findall(rb'word (\w+)\n', files[f'holder.{number}'])[0]
            for number in range(1, 5)
        ]
        expected = [b'prepare', b'prepare', b'hold', b'prepare']
        self.assertEqual(expected, verbs)

    def test_what_is_written_of_a_holder_can_be_read_again(self):
        for one in (
            built_in('redis', (('socket', '/a b=c%\n'),)),
            Quiescer('/home/me/my hook', 'text', (), None),
        ):
            words = freeze_hook.describe(one)
            self.assertEqual(1, len(words.splitlines()))
            self.assertEqual(one.name, freeze_hook.undescribe(words).name)

    def test_what_is_no_refusal_may_be_half_done(self):
        script = freeze_hook.setup_files()['file'].decode()
        said = re.findall(r"""fail ['"](.*)""", script)
        refusals = [
            one
            for one in said
            if any(part in one for part in freeze_hook.REFUSALS)
        ]
        others = [one for one in said if one.startswith("can't ")]
        self.assertEqual(6, len(refusals))
        self.assertEqual(len(said), len(refusals) + len(others))
