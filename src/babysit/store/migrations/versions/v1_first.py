"""The first schema: a store is never older."""

from __future__ import annotations

revision = "1"
down_revision = None


def upgrade() -> None:
    """Nothing: stores are made of today's tables, see :mod:`babysit.store.schema`."""
