"""A store opened for reading, for :mod:`babysit.store.queries` and its neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self

from sqlalchemy import Column, Connection, Row, Select, Table

from babysit.errors import StoreError
from babysit.store.engine import BUSY_SECONDS, locate, open_engine
from babysit.store.failures import reading, store_errors
from babysit.store.schema import ADDED, ADDED_COLUMNS
from babysit.store.tables import check_tables


class Reader:
    """A store opened for reading; use it as a context manager, or close it.

    Args:
        url: a path, ``sqlite:///path``, or a database server's URL.

    Raises:
        StoreError: there is no such store, it is not one, or a newer babysit wrote it.
    """

    def __init__(self, url: str) -> None:
        self._location = locate(url)
        path = self._location.path
        with self._errors():
            exists = path is None or path.is_file()  # raises for a name that is too long
        if not exists:
            raise StoreError(
                f"there is no store {self._location.text}", fix="give the path of an existing store"
            )
        self._engine = open_engine(self._location, read_only=True, busy_seconds=BUSY_SECONDS)
        try:
            with self.connect() as connection:
                self._version = check_tables(connection, self._location)
        except BaseException:
            self._engine.dispose()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file, or the connections to the server."""
        self._engine.dispose()

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Opens one consistent view of the store, for one or more statements."""
        with self._errors(), reading(), self._engine.connect() as connection:
            yield connection

    def has(self, table: Table) -> bool:
        """Tells whether the store has a table: an older store may lack some."""
        return all(table.name not in names for version, names in ADDED.items() if version > self._version)

    def columns(self, table: Table) -> list[Column[Any]]:
        """Lists the columns of a table that the store has: an older store may lack some."""
        later = [names for version, names in ADDED_COLUMNS.items() if version > self._version]
        lacking = frozenset[str]().union(*(names.get(table.name, ()) for names in later))
        return [column for column in table.columns if column.name not in lacking]

    def rows(self, statement: Select[Any]) -> list[Row[Any]]:
        """Reads all rows that a statement selects."""
        with self.connect() as connection:
            return list(connection.execute(statement))

    def _errors(self) -> AbstractContextManager[None]:
        return store_errors(self._location.text, self._location.path)
