"""The clock by which heartbeats and requests age: the server's where there is one, else this machine's.

Machines that share a store need not agree on the time then; only a file's readers and writers use their own
clock, and they are on one machine.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, literal, type_coerce

from babysit.store.schema import Number


def now(connection: Connection) -> ColumnElement[Any]:
    """The time as an expression, in seconds since 1970.

    Args:
        connection: to the database that will be asked.

    Example:
        >>> from sqlalchemy import create_engine, select
        >>> with create_engine("sqlite://").connect() as connection:
        ...     abs(connection.execute(select(now(connection))).scalar() - time.time()) < 10
        True
    """
    if connection.dialect.name == "postgresql":
        # Not now(), which stands still in a transaction.
        return type_coerce(func.date_part("epoch", func.clock_timestamp()), Number)
    return literal(time.time(), Number)
