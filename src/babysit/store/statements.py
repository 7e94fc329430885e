"""The statements that every part of the writer uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, insert


def append(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows, if there are any."""
    if rows:
        connection.execute(insert(table), rows)


def replace(
    connection: Connection, table: Table, key: tuple[str, ...], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Inserts rows, and replaces those with the same key."""
    if rows:
        where = [table.c[name] == bindparam(f"_{name}") for name in key]
        keys = [{f"_{name}": row[name] for name in key} for row in rows]
        connection.execute(delete(table).where(*where), keys)
        connection.execute(insert(table), rows)


def forget(connection: Connection, trials: Iterable[int], tables: Sequence[Table]) -> None:
    """Deletes all rows of some trials."""
    keys = [{"_trial": trial} for trial in trials]
    for table in tables if keys else ():
        connection.execute(delete(table).where(table.c.trial == bindparam("_trial")), keys)
