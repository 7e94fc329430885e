"""Compacts a store: deletes orphaned rows and returns unused space to the disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Engine, Table, delete, func, select, text

from babysit.store.engine import locate, open_engine
from babysit.store.failures import store_errors
from babysit.store.reader import Reader
from babysit.store.verifying import orphans_of, references, tables_of


class Compacted(NamedTuple):
    """The result of compacting a store.

    Attributes:
        orphans: the number of deleted rows that belonged to no study or trial.
        before, after: bytes.
    """

    orphans: int
    before: int
    after: int


def compact(url: str) -> Compacted:
    """Deletes rows without an owner, and rewrites the store without its gaps.

    Other processes may read and write meanwhile; on SQLite they wait.

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
                if connection.dialect.name == "sqlite":
                    connection.execute(text("PRAGMA defer_foreign_keys = ON"))
                # Twice: the second time for rows that belonged to an orphan.
                orphans = sum(
                    connection.execute(delete(column.table).where(orphans_of(column))).rowcount
                    for column in (*columns, *columns)
                )
            _vacuum(engine, tables)
            return Compacted(orphans, before, _bytes(engine, tables))
    finally:
        engine.dispose()


def _vacuum(engine: Engine, tables: Sequence[Table]) -> None:
    statements = (
        ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"]
        if engine.dialect.name == "sqlite"
        else [f"VACUUM (ANALYZE) {table.name}" for table in tables]
    )
    raw = engine.raw_connection()  # a transaction, which the engine would start, refuses these
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
        if engine.dialect.name != "sqlite":
            sizes = [func.pg_total_relation_size(table.name) for table in tables]
            return sum(connection.execute(select(*sizes)).one())
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        return int(pages * connection.execute(text("PRAGMA page_size")).scalar_one())
