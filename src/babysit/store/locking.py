"""The lock on a store: one writer at a time, on SQLite and on PostgreSQL.

A writer takes the lock with the first statement of its transaction and holds it until its commit is visible.
So a version number is visible before any later one is given out, which makes versions a cursor that misses no
change. Writers cannot deadlock, since each takes this one lock first.
"""

from __future__ import annotations

from sqlalchemy import Engine, event

# Stores in other schemas of the same database have locks of their own.
_ADVISORY_LOCK = (
    "SELECT set_config('lock_timeout', '{milliseconds}', true), "
    "pg_advisory_xact_lock(20170420, hashtext(coalesce(current_schema(), '')))"
)


def lock_transactions(engine: Engine, *, read_only: bool, busy_seconds: float) -> None:
    """Makes every transaction of an engine that writes start with the lock.

    Args:
        engine: of SQLite or PostgreSQL.
        read_only: True for an engine that takes no lock.
        busy_seconds: the time to wait for another writer; on SQLite its connections have the timeout.
    """
    if engine.dialect.name == "sqlite":
        # A transaction that reads before it writes cannot wait for a lock, it fails; so writers lock at once.
        statement = "BEGIN" if read_only else "BEGIN IMMEDIATE"
    elif not read_only:
        statement = _ADVISORY_LOCK.format(milliseconds=max(1, round(busy_seconds * 1000)))
    else:
        return
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(statement))
