"""A store on a PostgreSQL server: its engine, and how writers take turns there.

SQLite lets one writer in at a time. Here an advisory lock does, held from a transaction's first statement
until its commit is visible. So a version that was given out is seen before any later one is given out, which
makes versions a cursor that misses no change; and writers that hold one lock, taken first, cannot deadlock.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from babysit.errors import StoreError

CONNECT_SECONDS = 5
"""How long a server may take to answer before it counts as away, in seconds."""

SILENT_SECONDS = 30
"""How long a network may swallow what was sent before the connection counts as lost, in seconds."""

# Stores in other schemas of the same database have turns of their own.
_TAKE_TURN = (
    "SELECT set_config('lock_timeout', '{milliseconds}', true), "
    "pg_advisory_xact_lock(20170420, hashtext(coalesce(current_schema(), '')))"
)


def server_engine(url: str, shown: str, *, read_only: bool, busy_seconds: float) -> Engine:
    """The engine for a store on a server; no connection is made yet.

    Args:
        url: of the database; ``postgresql://`` means ``postgresql+psycopg://``.
        shown: the same, fit to be shown.
        read_only: refuse every write; each connection then sees one state of the store.
        busy_seconds: how long to wait for another writer.

    Raises:
        StoreError: the driver is missing, or the server is none of PostgreSQL's.
    """
    parts = make_url(url)
    if parts.drivername == "postgresql":
        parts = parts.set(drivername="postgresql+psycopg")
    try:
        engine = create_engine(
            parts, pool_pre_ping=True, execution_options=_options(read_only), connect_args=_arguments(parts)
        )
    except (ImportError, ArgumentError) as error:
        raise StoreError(
            f"the store {shown} needs a driver that is not installed ({error})",
            fix="pip install 'babysit[postgres]' and give postgresql+psycopg://..., or give a path",
        ) from error
    if engine.dialect.name != "postgresql":
        raise StoreError(
            f"a store cannot be kept in {engine.dialect.name}",
            fix="give a path, or a PostgreSQL database: postgresql+psycopg://user@host/database",
        )
    if not read_only:
        turn = _TAKE_TURN.format(milliseconds=max(1, round(busy_seconds * 1000)))
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(turn))
    return engine


def _options(read_only: bool) -> dict[str, Any]:
    # A writer must see, after its turn has come, what was committed while it waited.
    if not read_only:
        return {"isolation_level": "READ COMMITTED"}
    return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


def _arguments(parts: URL) -> dict[str, Any]:
    if not parts.drivername.endswith("+psycopg"):
        return {}
    usual = {
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": SILENT_SECONDS * 1000,
        "keepalives_idle": SILENT_SECONDS,
        "application_name": "babysit",
        "client_encoding": "utf8",
    }
    return {name: value for name, value in usual.items() if name not in parts.query}


def require_unicode(connection: Connection, shown: str) -> None:
    """Refuses a database that cannot keep every text.

    Raises:
        StoreError: its encoding is not UTF-8.
    """
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise StoreError(
            f"{shown} keeps text as {encoding}, which lacks most characters",
            fix="make a database with createdb --encoding UTF8 --template template0",
        )
