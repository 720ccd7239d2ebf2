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

"""The page of the documents that the results make."""

import statistics
from collections.abc import Sequence

from xloudclient.tests.e2e.experiment import arms
from xloudclient.tests.e2e.experiment.result import HELD, STORES, Result
from xloudclient.tests.e2e.experiment.trial import WARM_UP_SECONDS

PICTURE = 'real-machines.svg'
#: Seconds; guest/load.py tells of no shorter one.
SHORTEST_PAUSE = 0.5
COLUMNS = (
    '',
    'Runs',
    'Failed',
    'Lost rows',
    'Later rows',
    'Damaged',
    'Replayed',
    'fsck',
    'Blocked',
    'Recorded as',
)
HEAD = """\
..
      Licensed under the Apache License, Version 2.0 (the "License"); you may
      not use this file except in compliance with the License. You may obtain
      a copy of the License at

          http://www.apache.org/licenses/LICENSE-2.0

      Unless required by applicable law or agreed to in writing, software
      distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
      WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
      License for the specific language governing permissions and limitations
      under the License.

.. Written by tools/e2e experiment; change the words in
   xloudclient/tests/e2e/experiment/page.py

================
On real machines
================

What a snapshot is worth shows when a server is launched from it. So databases
were written to in real guests, these were snapshotted in several ways, and
each snapshot was launched and examined from inside.

.. contents::
   :local:

What came out
=============
"""
READING = """
*Runs* are those that ended in a verdict. *Failed* counts the others: no
snapshot was taken, or one of a lower class than the command requires, or what
was launched could not be examined. They were run again. *Lost rows* are those
that the store had acknowledged before the position (below) and that are not
in the snapshot: the median of the runs, and the most in parentheses.
*Later rows* are those from after the position that are in the snapshot, of
MariaDB's tables and of Redis, which a lock would have kept out: the most of
any run. They tell whether anything was held: InnoDB, Aria, PostgreSQL and
Redis recover what they have acknowledged even if nothing was.
*Damaged* counts the runs in which a store did not start, ``CHECK TABLE`` or
``pg_amcheck`` reported damage, rows were missing between others, or the file
ended in something that was never written. *Replayed* counts the runs in which
ext4 had to replay its journal, so was not at rest; *fsck* those in which
``e2fsck -fn`` or ``xfs_repair -n`` complained. *Blocked* is how long a write
to any store had to wait at the longest, by the guest's clock: the median of
the runs, and the most in parentheses. Of each store the median was, in
seconds:
"""
LARGE = """
The large disk, side by side on one guest, run by run in turn: while it was
mirrored at {rate} MiB/s, a store was blocked for {ssh} s by the locks over
ssh, and for {hook} s by the freeze hook.
"""
FAILURES = """
What failed in earlier series, of earlier versions, had a true class
(``crash``) or no snapshot at all:

* While other programs had the machine's two cores, ``agent-hook``: the guest
  got so little of them that PostgreSQL was not ready within 30 s. That was six
  runs.
* The freeze of the agent, of a tenth of a second, was not noticed in three
  runs of ``agent-hook``, and then in two of nine. Now what waits for it is
  watched without a pause: of freezes of 0.01 to 0.05 s in such a guest 28 of
  28 were noticed, and 26 of 28 before.
* Once Redis, and twice PostgreSQL, did not answer while ``/`` was frozen: a
  Redis that logs a save hangs on its log, and a new session of PostgreSQL may
  have to write a file. Since then ``redis`` saves before the pause what will
  soon be due, and ``postgresql`` keeps a session.

Three runs of ``data-volumes`` were judged to lack all of MariaDB's and
PostgreSQL's data. Volumes that are attached while a guest boots may have each
other's names in it; a server that is launched from a snapshot has them as Nova
names them, and the experiment mounted them by name. It mounts by label now,
and they were run again. In a guest of yours, mount by UUID or label, too.

In an early series one of ``consistent`` was judged to lack rows of Redis. The
judge is thought to have asked a Redis that was still loading; it now waits for
that.
"""
PICTURE_TEXT = """
One run of each, in seconds:

.. image:: real-machines.svg
   :alt: When each store could be written to, around each kind of snapshot
"""
ODD_CASES = """
When Nova or the guest is at its worst
======================================

``tools/e2e test_odd_cases`` does this to a guest while it is snapshotted. The
times are those of one run.

.. list-table::
   :header-rows: 1

   * - What happened
     - What became of the guest
     - Recorded as
   * - The agent hangs, and Nova with it; ``--quiesce mysql --quiesce sync
       --max-freeze 30s``
     - MariaDB was released 30.7 s after its lock was asked for, while Nova
       still waited; exit 7 once the agent went on
     - crash
   * - The agent is killed when the snapshot is requested; the image has
       ``os_require_quiesce=yes``; ``--quiesce agent``
     - Nova took the snapshot without a freeze, and told the client nothing;
       exit 5, as the hook was not called
     - crash
   * - ``/`` is frozen already, by ``fsfreeze``
     - it stayed frozen; exit 75, no snapshot
     - –
   * - ``/`` is frozen already, through the agent
     - Nova's own freeze failed, and so it did not thaw: it stayed frozen;
       exit 0 with ``--quiesce sync``
     - crash
   * - The mirror copies 1 MiB/s; ``--quiesce fsfreeze --max-freeze 20s``
     - ``/`` could be written to 20.1 s after the first lock was asked for,
       while the mirror went on; exit 7 once it was done
     - crash
   * - The client is killed (``kill -9``) while ``/`` is frozen and the disk
       is copied
     - ``/`` could be written to 3.0 s later: its ssh ends with the client,
       and the holder with that
     - none
   * - The snapshot is a cold one, as of a disk on LVM: Nova has the guest put
       to sleep, and with it its end of the connection; ``--quiesce fsfreeze``
     - the client gave the guest up 19.2 s after the first lock was asked for;
       0.9 s later ``/`` could be written to; exit 5
     - crash

The freeze hook outlives a reboot (``openstack server reboot --hard``) and an
installation of the agent's package over itself: the next ``--quiesce agent``
had the class ``application``. When it was removed, every file and folder below
``/etc``, ``/usr`` and ``/root`` was there that had been there before, and no
other (``tools/e2e test_freeze_hook``).

In guests that are run by systemd (``tools/e2e test_systemd``), ``hook
install`` restarts the agent's unit, and so does its package; it is used after
both, and the unit runs as before when the hook was removed. A unit that
``--quiesce service`` stopped is started again also when the client is killed.
A login that is ended with all its processes, also by SIGKILL to all at once,
while ``/`` is frozen, thaws it, and starts what was stopped.
The unit that is stopped while it is frozen does not end before it is thawed,
or for 90 s, which is the agent's own way; our locks are released at once
then, and the next snapshot has the class ``application`` again.

Where RBD makes the snapshot, Nova calls no agent; there is no Ceph here, so
that was tried with the embedded driver only
(:doc:`/contributor/embedded-cloud`).

So a snapshot that was taken while the agent did not do its part looks like
any other, to Nova and to Glance. Nova has no time limit for the agent: the
server keeps its task, and nothing else can be done with it, until the agent
goes on. libvirt gives up after 5 seconds, but only on an agent that never
answered it before.
"""
METHOD = """
How it was done
===============

The cloud is the one of the functional tests with Nova's own libvirt driver.
The guests are Debian 12 with MariaDB, PostgreSQL and Redis (with an
append-only file) as Debian configures them. A program in the guest writes a
row after the other to an InnoDB, an Aria and a MyISAM table, to PostgreSQL
and to Redis, each on a connection of its own, and lines to a file that it
never syncs, and remembers when each was acknowledged. It writes for
{warm_up:.0f} seconds before each snapshot. The tables stay from run to run.

What is done in each row of the table:

{arms}

The *position* is the number of acknowledged rows of each store at the moment
from which one takes them to be in the snapshot: for ``server snapshot
consistent``, when all locks are held, which with ``--quiesce agent`` is when
the freeze hook says so in the guest; in the recipe, after its ``FLUSH
TABLES``; without any lock, before the command is begun.

The launched guest starts no database by itself. Its initial RAM disk runs
``e2fsck -fn`` on the root disk before that is mounted; other disks are
checked before they are mounted, but XFS afterwards: it replays its log after
each freeze, by design, so a replay says nothing there. Then the databases are
started, with MariaDB's automatic repair off, and the tables are checked and
counted. That InnoDB reports crash recovery is no fault, and not looked at: a
read lock does not close its files.

.. important:: The guests' processors were emulated (QEMU's TCG, no KVM), on
   two cores that the cloud had to share: they are ten times and more slower
   than real ones. Times show what happens in which order. They are no measure
   of what to expect.

That goes for ``agent-hook`` above all: it runs scripts and the databases'
clients between the first lock and the thaw, and each start of a process takes
25 to 45 ms there. How long it holds on this machine's own processors, in the
embedded cloud, where a script stands for the agent, is in :doc:`performance`.

``tools/e2e experiment`` does all this. It needs root and an hour and twenty
minutes. It keeps its results, and goes on where it was interrupted: to do all
of it again, give ``--results`` the name of a new file.
"""


def render(results: Sequence[Result]) -> str:
    """Return the page's text.

    :param results: all attempts, also those that were run again
    """
    return ''.join(
        [
            HEAD,
            _table(results),
            READING,
            _blocked(results),
            _large(results),
            FAILURES,
            PICTURE_TEXT,
            ODD_CASES,
            METHOD.format(warm_up=WARM_UP_SECONDS, arms=_meanings()),
            _commits(results),
        ]
    )


def _commits(results: Sequence[Result]) -> str:
    commits = ', '.join(sorted({one.commit for one in results} - {''}))
    return f'\nThe runs are of commit {commits}.\n' if commits else ''


def chosen(results: Sequence[Result]) -> list[Result]:
    """Return the trials for the picture: the median of each arm."""
    found = []
    for arm in arms.ARMS:
        mine = sorted(_of(results, arm.name), key=_longest_pause)
        if mine:
            found.append(mine[len(mine) // 2])
    return found


def _of(results: Sequence[Result], arm: str) -> list[Result]:
    return [one for one in results if one.arm == arm and not one.note]


def _failed(results: Sequence[Result], arm: str) -> int:
    return sum(one.arm == arm and bool(one.note) for one in results)


def _longest_pause(result: Result) -> float:
    return max(result.blocked(store) for store in STORES)


def _meanings() -> str:
    return '\n\n'.join(
        f'``{arm.name}``\n   {arm.meaning}' for arm in arms.ARMS
    )


def _table(results: Sequence[Result]) -> str:
    rows = [
        _row(arm.name, _of(results, arm.name), _failed(results, arm.name))
        for arm in arms.ARMS
    ]
    return _listed(COLUMNS, *filter(None, rows))


def _blocked(results: Sequence[Result]) -> str:
    rows = []
    for arm in arms.ARMS:
        if mine := _of(results, arm.name):
            cells = [
                statistics.median(one.blocked(store) for one in mine)
                for store in STORES
            ]
            rows.append((f'``{arm.name}``', *map(_seconds, cells)))
    return _listed(('', *STORES), *rows)


def _large(results: Sequence[Result]) -> str:
    """Say what the hook is worth; nothing if it was not measured."""
    ssh, hook = (
        sorted(map(_longest_pause, _of(results, name)))
        for name in ('large-disk', 'large-disk-hook')
    )
    if not ssh or not hook:
        return ''
    return LARGE.format(
        rate=arms.MIRROR_RATE,
        ssh=f'{ssh[0]:.1f} to {ssh[-1]:.1f}',
        hook=f'{_seconds(hook[0])} to {_seconds(hook[-1])}',
    )


def _listed(*rows: Sequence[str]) -> str:
    lines = ['', '.. list-table::', '   :header-rows: 1', '']
    for row in rows:
        for index, cell in enumerate(row):
            lines.append(f'   {"  -" if index else "* -"} {cell}'.rstrip())
    return '\n'.join(lines) + '\n'


def _row(name: str, results: Sequence[Result], failed: int) -> tuple[str, ...]:
    """Return the cells of an arm; none if it was not run."""
    if not results and not failed:
        return ()
    begin = (f'``{name}``', str(len(results)), str(failed or 'none'))
    if not results:
        return begin + ('–',) * (len(COLUMNS) - len(begin))
    runs = len(results)
    damaged = [one for one in results if one.torn]
    tables = sorted({store for one in damaged for store in one.torn})
    return (
        *begin,
        _losses(results),
        _later(results),
        _count(damaged, runs) + (f' ({", ".join(tables)})' if tables else ''),
        _count([one for one in results if one.replayed], runs),
        _count([one for one in results if one.unclean], runs),
        _blocked_longest([_longest_pause(one) for one in results]),
        ', '.join(sorted({one.claimed or '–' for one in results})),
    )


def _blocked_longest(seconds: Sequence[float]) -> str:
    median = _seconds(statistics.median(seconds))
    return f'{median} s ({_seconds(max(seconds))})'


def _seconds(blocked: float) -> str:
    return f'{blocked:.2f}' if blocked else f'< {SHORTEST_PAUSE}'


def _losses(results: Sequence[Result]) -> str:
    found = []
    for store in STORES:
        rows = [one.lost(store) for one in results]
        if any(rows):
            found.append(
                f'{store} {statistics.median(rows):.0f} ({max(rows)})'
            )
    return ', '.join(found) or 'none'


def _later(results: Sequence[Result]) -> str:
    rows = {one: max(each.beyond(one) for each in results) for one in HELD}
    found = [f'{store} {count}' for store, count in rows.items() if count]
    return ', '.join(found) or 'none'


def _count(bad: Sequence[Result], runs: int) -> str:
    return f'{len(bad)} of {runs}' if bad else 'none'
