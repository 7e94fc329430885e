"""Giving back the room that a store no longer needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Engine, Table, delete, func, select, text

from babysit.store.engine import locate, open_engine
from babysit.store.failures import store_errors
from babysit.store.reader import Reader
from babysit.store.verifying import orphans_of, references, tables_of


class Compacted(NamedTuple):
    """What was given back.

    Attributes:
        orphans: rows of studies or trials that are not there, now deleted.
        before, after: bytes.
    """

    orphans: int
    before: int
    after: int


def compact(url: str) -> Compacted:
    """Deletes rows that belong to nothing, and rewrites the store without its gaps.

    Others may read and write meanwhile; on SQLite they wait until it is done.

    Args:
        url: a path, ``sqlite:///path``, or a database server's URL.

    Raises:
        StoreError: there is no such store, or another program holds it.
    """
    location = locate(url)
    with Reader(url) as reader:
        columns, tables = list(references(reader)), tables_of(reader)
    engine = open_engine(location, read_only=False)
    try:
        with store_errors(location.text, location.path):
            before = _bytes(engine, tables)
            with engine.begin() as connection:
                gone = _drop_orphans(connection, columns)
            _vacuum(engine, tables)
            return Compacted(gone, before, _bytes(engine, tables))
    finally:
        engine.dispose()


def _drop_orphans(connection: Connection, columns: Sequence[Column[Any]]) -> int:
    if connection.dialect.name == "sqlite":
        connection.execute(text("PRAGMA defer_foreign_keys = ON"))
    # The second time for what belonged to an orphan.
    return sum(
        connection.execute(delete(column.table).where(orphans_of(column))).rowcount
        for column in (*columns, *columns)
    )


def _vacuum(engine: Engine, tables: Sequence[Table]) -> None:
    statements = (
        ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"]
        if engine.dialect.name == "sqlite"
        else [f"VACUUM (ANALYZE) {table.name}" for table in tables]
    )
    raw = engine.raw_connection()  # a transaction, which the engine would begin, refuses these
    try:
        driver: Any = raw.driver_connection
        if engine.dialect.name != "sqlite":
            driver.autocommit = True
        for statement in statements:
            driver.execute(statement)
    finally:
        raw.invalidate()


def _bytes(engine: Engine, tables: Sequence[Table]) -> int:
    with engine.connect() as connection:
        return _file_size(connection) if engine.dialect.name == "sqlite" else _table_sizes(connection, tables)


def _file_size(connection: Connection) -> int:
    pages, size = (connection.execute(text(f"PRAGMA page_{what}")).scalar_one() for what in ("count", "size"))
    return int(pages * size)


def _table_sizes(connection: Connection, tables: Sequence[Table]) -> int:
    sizes = [func.pg_total_relation_size(table.name) for table in tables]
    return sum(connection.execute(select(*sizes)).one())
