"""The clock of heartbeats and requests: the server's if there is one, else this machine's.

So machines that share a store need not agree on the time; readers and writers of a file are on one machine.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, literal, type_coerce

from babysit.store.schema import Number


def now(connection: Connection) -> ColumnElement[Any]:
    """Returns the time as an SQL expression, in seconds since 1970.

    Args:
        connection: to the database that evaluates the expression.

    Example:
        >>> from sqlalchemy import create_engine, select
        >>> with create_engine("sqlite://").connect() as connection:
        ...     abs(connection.execute(select(now(connection))).scalar() - time.time()) < 10
        True
    """
    if connection.dialect.name == "postgresql":
        # Not now(), which is constant in a transaction.
        return type_coerce(func.date_part("epoch", func.clock_timestamp()), Number)
    return literal(time.time(), Number)
