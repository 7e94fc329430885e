"""Upgrades an older store to today's schema."""

from __future__ import annotations

from typing import NamedTuple

from babysit.store.engine import locate, open_engine
from babysit.store.failures import store_errors
from babysit.store.reader import Reader
from babysit.store.schema import SCHEMA_VERSION
from babysit.store.tables import check_tables, upgrade


class Migrated(NamedTuple):
    """The result of a migration.

    Attributes:
        before: the version of the store before.
        after: its version now.
        steps: the changes of each step, in words; empty if the store had today's schema.
    """

    before: int
    after: int
    steps: list[str]


def migrate(url: str) -> Migrated:
    """Upgrades a store to today's schema, in one transaction.

    Args:
        url: a path, ``sqlite:///path``, or a database server's URL.

    Raises:
        StoreError: there is no such store, or a newer babysit wrote it.
    """
    Reader(url).close()  # raises if the store is missing or damaged, and creates nothing
    location = locate(url)
    engine = open_engine(location, read_only=False)
    try:
        with store_errors(location.text, location.path), engine.begin() as connection:
            before = check_tables(connection, location)
            return Migrated(before, SCHEMA_VERSION, upgrade(connection, before))
    finally:
        engine.dispose()
