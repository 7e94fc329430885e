"""Bringing an older store to today's schema, with Alembic.

The version of a store is the one in its table ``meta``, which every babysit reads; Alembic's own table of
versions would be a second truth and is not made.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, update

from babysit.store.engine import check_tables, locate, open_engine
from babysit.store.failures import store_errors
from babysit.store.queries import Reader
from babysit.store.schema import SCHEMA_VERSION, meta

SCRIPTS = Path(__file__).parent / "migrations"


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


def upgrade(connection: Connection, version: int) -> list[str]:
    """Runs the scripts that a store of some version lacks.

    Args:
        connection: in a transaction.
        version: of the store.

    Returns:
        What each brought, in words.
    """
    missing = [script for script in scripts() if int(script.revision) > version]
    with Operations.context(MigrationContext.configure(connection)):
        for script in missing:
            script.module.upgrade()
    if missing:
        mine = meta.c.name == "schema_version"
        connection.execute(update(meta).where(mine).values(value=SCHEMA_VERSION))
    return [script.doc for script in missing]


def scripts() -> list[Script]:
    """All scripts, the oldest first."""
    return list(ScriptDirectory(str(SCRIPTS)).walk_revisions())[::-1]
