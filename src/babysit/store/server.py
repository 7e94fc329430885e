"""The engine of a store on a PostgreSQL server."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from babysit.errors import StoreError
from babysit.store.locking import lock_transactions

CONNECT_SECONDS = 5
"""The time after which a server that does not answer counts as unreachable, in seconds."""

SILENT_SECONDS = 30
"""The time without a reply after which a connection counts as lost, in seconds."""


def server_engine(url: str, shown: str, *, read_only: bool, busy_seconds: float) -> Engine:
    """Creates the engine for a store on a server; no connection is made yet.

    Args:
        url: of the database; ``postgresql://`` means ``postgresql+psycopg://``.
        shown: the URL without its password.
        read_only: refuse every write; each connection then sees one state of the store.
        busy_seconds: the time to wait for another writer.

    Raises:
        StoreError: the driver is missing, or the server is not PostgreSQL.
    """
    parts = make_url(url)
    if parts.drivername == "postgresql":
        parts = parts.set(drivername="postgresql+psycopg")
    # A writer must see, once it has the lock, what was committed while it waited.
    options: dict[str, Any] = {"isolation_level": "READ COMMITTED"}
    if read_only:
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    arguments = {
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": SILENT_SECONDS * 1000,
        "keepalives_idle": SILENT_SECONDS,
        "application_name": "babysit",
        "client_encoding": "utf8",
    }
    is_psycopg = parts.drivername.endswith("+psycopg")
    chosen = {name: value for name, value in arguments.items() if is_psycopg and name not in parts.query}
    try:
        engine = create_engine(parts, pool_pre_ping=True, execution_options=options, connect_args=chosen)
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
    lock_transactions(engine, read_only=read_only, busy_seconds=busy_seconds)
    return engine


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
