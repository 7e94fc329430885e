"""The tables of a store, and the two column types that keep numbers exact.

meta          the schema's version, and the last version number given to a run summary
studies       one row per search or training
checks        the checks before training
stages        the boxes of ranges of a search
trials        the tried hyperparameters
run_summary   one row per trial: enough for a table of a thousand runs without touching a series
readings      one row per trial and epoch, in full precision: a resumed search rebuilds the identical run
series        one row per 256 points of a per-step quantity, in single precision: "cost", and, with watched
              layers, "learning_rate", "layers/0.weight/update_ratio", "layers/1/dead" and others
histograms    the distributions of activations and gradients at some steps, a bounded number for each name
snapshots     the first layer's weights at some steps, drawn as images, a bounded number
findings      the findings in a trial: causes and their symptoms
verdicts      the rest of a trial's verdict: its questions, its measurements, its number of steps
fold_scores   the validation score of each fold, in a search with folds
commands      requests to live runs, and their answers
heartbeats    the last heartbeat of the process of a running study
touches       the changes that the user made to a run while it trained: "stop", "scale_learning_rate"
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

SCHEMA_VERSION = 5
"""The version of the tables, raised whenever an older babysit cannot read the new ones.

1: the first. 2: histograms and snapshots. 3: fold_scores. 4: commands, heartbeats and touches. 5: verdicts,
and the columns of findings for them. A writer adds missing tables and columns to an older store; a
reader treats them as empty.
"""

_NOT_FINITE = "$float"


class Number(TypeDecorator[float]):
    """A double that may be NaN or infinite.

    SQLite turns NaN into NULL, so NULL stands for NaN on every database and no number column is nullable
    in any other sense.
    """

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        """Converts NaN to NULL."""
        return None if value is None or math.isnan(value) else float(value)

    def process_result_value(self, value: float | None, dialect: Dialect) -> float:
        """Converts NULL to NaN."""
        return math.nan if value is None else float(value)


class Words(TypeDecorator[str]):
    """Any text: no database keeps a lone surrogate, and PostgreSQL no NUL.

    Both occur in names of files and in messages of programs. They become ``?`` and ``\u2400``.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replaces the characters that the database cannot keep."""
        if value is None:
            return None
        kept = value.encode("utf-8", "replace").decode()
        return kept if dialect.name == "sqlite" else kept.replace("\0", "\u2400")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Refuses anything but text: SQLite keeps anything in any column, so a damaged row may hold none."""
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{str(value)[:80]!r} is not a text")
        return value


class Plain(TypeDecorator[Any]):
    """Plain data as standard JSON, which has no NaN and no infinity: both travel as ``{"$float": "nan"}``."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Converts plain data to JSON data."""
        return to_json(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Converts JSON data to plain data."""
        return from_json(value)


def to_json(value: Any) -> Any:
    """Converts data to standard JSON: NumPy becomes Python, NaN and infinity become tagged text.

    Args:
        value: numbers, text, lists, mappings, dataclasses or NumPy values, nested at will; anything else
            is kept as its text.

    Returns:
        The same, of ``dict``, ``list``, ``str``, ``int``, finite ``float``, ``bool`` and ``None`` only.

    Example:
        >>> to_json({"rate": float("inf"), "sizes": (1, 2)})
        {'rate': {'$float': 'inf'}, 'sizes': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {str(name): to_json(inner) for name, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return to_json(value.tolist())
    if isinstance(value, list | tuple):
        return [to_json(inner) for inner in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_json(dataclasses.asdict(value))
    if isinstance(value, float) and not math.isfinite(value):
        return {_NOT_FINITE: repr(float(value))}
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def from_json(value: Any) -> Any:
    """Converts JSON data back to plain data, the inverse of :func:`to_json`.

    Example:
        >>> from_json({"rate": {"$float": "-inf"}})
        {'rate': -inf}
    """
    if isinstance(value, dict):
        if value.keys() == {_NOT_FINITE}:
            return float(value[_NOT_FINITE])
        return {name: from_json(inner) for name, inner in value.items()}
    return [from_json(inner) for inner in value] if isinstance(value, list) else value


metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

studies = Table(
    "studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Words, nullable=False),
    Column("recipe", Words, nullable=False),
    Column("kind", String(20), nullable=False),
    # As text: a seed is any integer, and no integer column holds more than 64 bits.
    Column("seed", Words, nullable=False),
    Column("fingerprint", String(200), nullable=False),
    Column("settings", Plain, nullable=False),
    Column("state", String(20), nullable=False),
    Column("created", Number, nullable=False),
    Column("outcome", Plain, nullable=False),
    Index("studies_fingerprint", "fingerprint", "kind"),
)

checks = Table(
    "checks",
    metadata,
    Column("study", ForeignKey("studies.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", Words, nullable=False),
    Column("status", String(20), nullable=False),
    Column("value", Number),
    Column("expected", Words, nullable=False),
    Column("advice", Words, nullable=False),
    Column("details", Plain, nullable=False),
)

stages = Table(
    "stages",
    metadata,
    Column("study", ForeignKey("studies.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", Words, nullable=False),
    Column("box", Plain, nullable=False),
    Column("trials", Integer, nullable=False),
    Column("epochs", Integer, nullable=False),
    Column("reason", Words, nullable=False),
)

trials = Table(
    "trials",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study", ForeignKey("studies.id"), nullable=False),
    Column("stage", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("hyperparameters", Plain, nullable=False),
    UniqueConstraint("study", "stage", "number"),
)

run_summary = Table(
    "run_summary",
    metadata,
    Column("trial", ForeignKey("trials.id"), primary_key=True),
    Column("state", String(20), nullable=False),
    Column("epochs", Integer, nullable=False),
    Column("steps", BigInteger, nullable=False),
    Column("cost", Number),
    Column("first_cost", Number),
    Column("train_accuracy", Number),
    Column("val_accuracy", Number),
    Column("best_val_accuracy", Number),
    Column("best_score", Number),
    Column("learning_rate", Number),
    # NULL in explosion_step says that the run did not explode.
    Column("explosion_step", BigInteger),
    Column("explosion_epoch", Integer),
    Column("explosion_cost", Number),
    Column("explosion_first_cost", Number),
    Column("seconds", Number, nullable=False),
    Column("message", Words, nullable=False),
    Column("spark", LargeBinary, nullable=False),
    Column("version", BigInteger, nullable=False, index=True),
)

readings = Table(
    "readings",
    metadata,
    Column("trial", ForeignKey("trials.id"), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("step", BigInteger, nullable=False),
    Column("cost", Number),
    Column("train_accuracy", Number),
    Column("val_accuracy", Number),
    Column("learning_rate", Number),
    Column("val_loss", Number),
)

series = Table(
    "series",
    metadata,
    Column("trial", ForeignKey("trials.id"), primary_key=True),
    # As text: it holds the name of a layer, which a model may nest as deep as it likes.
    Column("name", Words, primary_key=True),
    Column("chunk", Integer, primary_key=True),
    Column("first_step", BigInteger, nullable=False),
    Column("last_step", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("points", LargeBinary, nullable=False),
)

histograms = Table(
    "histograms",
    metadata,
    Column("trial", ForeignKey("trials.id"), primary_key=True),
    Column("name", Words, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    # Little-endian: float32 edges, one more than the int32 counts.
    Column("edges", LargeBinary, nullable=False),
    Column("counts", LargeBinary, nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("trial", ForeignKey("trials.id"), primary_key=True),
    Column("name", Words, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("shape", Plain, nullable=False),
    # Little-endian float16.
    Column("weights", LargeBinary, nullable=False),
)

findings = Table(
    "findings",
    metadata,
    Column("trial", ForeignKey("trials.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("rule", Words, nullable=False),
    Column("severity", String(20), nullable=False),
    Column("place", Words, nullable=False),
    Column("since", Integer, nullable=False),
    Column("message", Words, nullable=False),
    Column("evidence", Plain, nullable=False),
    Column("advice", Words, nullable=False),
    Column("source", Words, nullable=False),
    Column("unit", String(20), nullable=False),
    Column("confidence", Number),
    # The position of the cause that explains it; NULL for a cause.
    Column("cause", Integer),
    Column("distinguish", Words, nullable=False),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("trial", ForeignKey("trials.id"), primary_key=True),
    Column("when", Words, nullable=False),
    Column("steps", BigInteger, nullable=False),
    Column("facts", Plain, nullable=False),
    Column("questions", Plain, nullable=False),
)

fold_scores = Table(
    "fold_scores",
    metadata,
    Column("trial", ForeignKey("trials.id"), primary_key=True),
    Column("fold", Integer, primary_key=True),
    Column("score", Number),
)

commands = Table(
    "commands",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study", ForeignKey("studies.id"), nullable=False),
    # NULL: the whole study.
    Column("trial", ForeignKey("trials.id")),
    Column("kind", String(40), nullable=False),
    Column("argument", Number),
    Column("asked_by", Words, nullable=False),
    Column("asked", Number, nullable=False),
    Column("state", String(20), nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("detail", Words, nullable=False),
    Column("answered", Number),
    Column("version", BigInteger, nullable=False, index=True),
    Index("commands_state", "study", "state"),
)

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("study", ForeignKey("studies.id"), primary_key=True),
    Column("time", Number, nullable=False),
)

touches = Table(
    "touches",
    metadata,
    Column("trial", ForeignKey("trials.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("argument", Number),
)

ADDED = {
    2: frozenset({"histograms", "snapshots"}),
    3: frozenset({"fold_scores"}),
    4: frozenset({"commands", "heartbeats", "touches"}),
    5: frozenset({"verdicts"}),
}
"""Schema version -> the tables that it brought."""

ADDED_COLUMNS = {5: {"findings": frozenset({"unit", "confidence", "cause", "distinguish"})}}
"""Schema version -> table -> the columns that it brought."""
