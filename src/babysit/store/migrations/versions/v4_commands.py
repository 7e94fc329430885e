"""Requests to live runs, heartbeats of running studies, and changes that the user made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "4"
down_revision = "3"


def upgrade() -> None:
    """Adds the tables."""
    op.create_table(
        "commands",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study", sa.Integer, sa.ForeignKey("studies.id"), nullable=False),
        sa.Column("trial", sa.Integer, sa.ForeignKey("trials.id")),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("argument", sa.Double),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("asked", sa.Double, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("answered", sa.Double),
        sa.Column("version", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_commands_version", "commands", ["version"], if_not_exists=True)
    op.create_index("commands_state", "commands", ["study", "state"], if_not_exists=True)
    op.create_table(
        "heartbeats",
        sa.Column("study", sa.Integer, sa.ForeignKey("studies.id"), primary_key=True),
        sa.Column("time", sa.Double, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "touches",
        sa.Column("trial", sa.Integer, sa.ForeignKey("trials.id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("argument", sa.Double),
        if_not_exists=True,
    )
