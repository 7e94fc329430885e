"""The first schema: a store is never older."""

from __future__ import annotations

revision = "1"
down_revision = None


def upgrade() -> None:
    """Makes no change: new stores get today's tables, see :mod:`babysit.store.schema`."""
