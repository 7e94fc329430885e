"""The score of each fold, where a search had folds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"


def upgrade() -> None:
    """Adds the table."""
    op.create_table(
        "fold_scores",
        sa.Column("trial", sa.Integer, sa.ForeignKey("trials.id"), primary_key=True),
        sa.Column("fold", sa.Integer, primary_key=True),
        sa.Column("score", sa.Double),
        if_not_exists=True,
    )
