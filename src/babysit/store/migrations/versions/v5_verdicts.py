"""The whole verdict of a trial: causes with their symptoms, questions and facts; problems renamed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from babysit.store.old_names import MISMATCH, MISMATCHES, NEW_NAMES, OLD_CONFIDENCE, new_name, old_unit

revision = "5"
down_revision = "4"

_FINDINGS = sa.table(
    "findings", sa.column("trial"), sa.column("rule"), sa.column("message"), sa.column("unit")
)
_TRIALS = sa.table("trials", sa.column("id"), sa.column("study"))
_STUDIES = sa.table("studies", sa.column("id"), sa.column("kind"))


def upgrade() -> None:
    """Adds the table and the columns, and renames the problems of old findings."""
    op.create_table(
        "verdicts",
        sa.Column("trial", sa.Integer, sa.ForeignKey("trials.id"), primary_key=True),
        sa.Column("when", sa.Text, nullable=False),
        sa.Column("steps", sa.BigInteger, nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("questions", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    columns = (
        sa.Column("unit", sa.String(20), nullable=False, server_default=old_unit("")),
        sa.Column("confidence", sa.Double, server_default=str(OLD_CONFIDENCE)),
        sa.Column("cause", sa.Integer),
        sa.Column("distinguish", sa.Text, nullable=False, server_default=""),
    )
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("findings")}
    for column in columns:
        if column.name not in there:
            op.add_column("findings", column)
    steps = old_unit("watch")
    watched = sa.select(_TRIALS.c.id).join(_STUDIES, _STUDIES.c.id == _TRIALS.c.study)
    mine = _FINDINGS.c.trial.in_(watched.where(_STUDIES.c.kind == "watch"))
    op.execute(_FINDINGS.update().where(mine).values(unit=steps))
    for old, new in NEW_NAMES.items():
        op.execute(_FINDINGS.update().where(_FINDINGS.c.rule == old).values(rule=new))
    mismatch = _FINDINGS.c.rule == MISMATCH
    for words, new in MISMATCHES:
        op.execute(_FINDINGS.update().where(mismatch, _FINDINGS.c.message.contains(words)).values(rule=new))
    op.execute(_FINDINGS.update().where(mismatch).values(rule=new_name(MISMATCH, "")))
