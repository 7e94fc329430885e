"""Bringing an older store to today's schema."""

from __future__ import annotations

from typing import NamedTuple

from babysit.store.engine import locate, open_engine
from babysit.store.failures import store_errors
from babysit.store.reader import Reader
from babysit.store.schema import SCHEMA_VERSION
from babysit.store.tables import check_tables, upgrade


class Migrated(NamedTuple):
    """What a migration did.

    Attributes:
        before: the version that the store had.
        after: the version that it has.
        steps: what each step brought, in words; empty when the store was of today.
    """

    before: int
    after: int
    steps: list[str]


def migrate(url: str) -> Migrated:
    """Brings a store to today's schema; in one transaction, so that it is of the old or of the new one.

    Args:
        url: a path, ``sqlite:///path``, or a database server's URL.

    Raises:
        StoreError: there is no such store, or a newer babysit wrote it.
    """
    Reader(url).close()  # says what is wrong, and makes nothing
    location = locate(url)
    engine = open_engine(location, read_only=False)
    try:
        with store_errors(location.text, location.path), engine.begin() as connection:
            before = check_tables(connection, location)
            return Migrated(before, SCHEMA_VERSION, upgrade(connection, before))
    finally:
        engine.dispose()
