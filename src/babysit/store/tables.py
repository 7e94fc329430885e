"""Creates, checks and upgrades the tables of a store, with Alembic.

The version of a store is the one in its table ``meta``, which every babysit reads; Alembic's own table of
versions would duplicate it and is not created.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, inspect, select, update

from babysit.errors import StoreError
from babysit.store.engine import Location
from babysit.store.schema import ADDED, SCHEMA_VERSION, meta, metadata
from babysit.store.server import require_unicode

if TYPE_CHECKING:  # loaded only where an older store is upgraded
    from alembic.script import Script

SCRIPTS = Path(__file__).parent / "migrations"


def create_tables(connection: Connection, location: Location) -> None:
    """Creates the tables of an empty database; upgrades an older store; refuses anything else."""
    if inspect(connection).get_table_names():
        upgrade(connection, check_tables(connection, location))
        return
    if location.path is None:
        require_unicode(connection, location.text)
    metadata.create_all(connection)
    rows = [{"name": "schema_version", "value": SCHEMA_VERSION}, {"name": "last_version", "value": 0}]
    connection.execute(insert(meta), rows)


def check_tables(connection: Connection, location: Location) -> int:
    """Refuses a database that is not a babysit store, or that a newer babysit wrote.

    Returns:
        The version of its schema, at most this babysit's.

    Raises:
        StoreError: it says which of the two.
    """
    present = set(inspect(connection).get_table_names())
    missing = set(metadata.tables) - frozenset().union(*ADDED.values()) - present
    if not present:
        raise StoreError(
            f"the store {location.text} is empty: nothing has been written to it yet",
            fix="run `babysit demo`, or wait a moment if a search has just started",
        )
    if missing:
        raise StoreError(
            f"{location.text} is a database, but not a babysit store (it has no table {min(missing)!r})",
            fix="name another file"
            if location.path
            else "give babysit a database of its own, or a schema with ?options=-csearch_path%3DNAME",
        )
    stored = select(meta.c.value).where(meta.c.name == "schema_version")
    version: int = connection.execute(stored).scalar_one()
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{location.text} was written by a newer babysit "
            f"(schema {version}; this one reads up to {SCHEMA_VERSION})",
            fix="pip install --upgrade babysit, or name another file",
        )
    return version


def upgrade(connection: Connection, version: int) -> list[str]:
    """Runs the scripts from a store's version to today's.

    Args:
        connection: in a transaction.
        version: the version of the store.

    Returns:
        The change of each script, in words.
    """
    if version == SCHEMA_VERSION:
        return []
    from alembic.migration import MigrationContext  # takes long to load, and today's stores do not need it
    from alembic.operations import Operations

    missing = [script for script in scripts() if int(script.revision) > version]
    with Operations.context(MigrationContext.configure(connection)):
        for script in missing:
            script.module.upgrade()
    mine = meta.c.name == "schema_version"
    connection.execute(update(meta).where(mine).values(value=SCHEMA_VERSION))
    return [script.doc for script in missing]


def scripts() -> list[Script]:
    """Lists all scripts, the oldest first."""
    from alembic.script import ScriptDirectory

    return list(ScriptDirectory(str(SCRIPTS)).walk_revisions())[::-1]
