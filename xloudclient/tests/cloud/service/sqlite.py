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

"""Make oslo.db's SQLite engines fit for services with many threads.

Stock oslo.db on SQLite fails under four parallel boots, for three reasons:

* BEGIN is deferred: two threads which first read and then write both hold a
  snapshot, and the second fails with "database is locked" at once; no busy
  timeout helps.  So writers BEGIN IMMEDIATE.  Readers stay deferred: under
  WAL they never wait, and Placement opens an "independent" reader inside a
  writer, which would wait for itself.
* SQLite's busy handler sleeps and is unfair.  All writers of one database
  are in this process: they queue on a lock.
* NullPool for files makes each transaction open the file and parse the whole
  schema.  So a pool.
"""

import threading
import types
from typing import Any

import sqlalchemy
from oslo_db.sqlalchemy import enginefacade, engines
from sqlalchemy import pool

READER = 'embedded_reader'
LOCK = 'embedded_lock'
_locks: dict[str, threading.Lock] = {}


class _BigPool(pool.QueuePool):
    """A pool no set of request threads exhausts."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.update(pool_size=64, max_overflow=64)
        super().__init__(*args, **kwargs)


def install() -> None:
    """Change oslo.db and SQLAlchemy in this process."""
    engines.pool = types.SimpleNamespace(
        NullPool=_BigPool,
        QueuePool=pool.QueuePool,
        StaticPool=pool.StaticPool,
        SingletonThreadPool=pool.SingletonThreadPool,
    )
    listen = sqlalchemy.event.listen
    listen(
        sqlalchemy.engine.Engine, 'before_cursor_execute', _begin, retval=True
    )
    # just before the commit itself: the busy handler covers the rest
    for event in ('commit', 'rollback'):
        listen(sqlalchemy.engine.Engine, event, lambda c: _release(c.info))
    for event in ('checkin', 'close'):
        listen(pool.Pool, event, lambda _, record: _release(record.info))
    _mark_readers()


def _begin(
    conn: Any,
    cursor: Any,
    statement: str,
    parameters: Any,
    context: Any,
    many: bool,
) -> tuple[str, Any]:
    is_reader = conn.get_execution_options().get(READER)
    if statement == 'BEGIN' and not is_reader:
        lock = _locks.setdefault(str(conn.engine.url), threading.Lock())
        if lock.acquire(timeout=60):
            conn.info[LOCK] = lock
        statement = 'BEGIN IMMEDIATE'
    return statement, parameters


def _release(info: dict[str, Any]) -> None:
    lock = info.pop(LOCK, None)
    if lock:
        lock.release()


def _mark_readers() -> None:
    factory = enginefacade._TransactionFactory
    create = factory._create_session

    def create_session(self: Any, mode: Any, bind: Any = None) -> Any:
        if mode is not enginefacade._WRITER and bind is None:
            if not self._started:
                self._start()
            bind = self._writer_engine.execution_options(**{READER: True})
        return create(self, mode, bind)

    factory._create_session = create_session
