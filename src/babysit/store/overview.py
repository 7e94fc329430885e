"""Queries for pages of many trials, straight from the rows: no series is read, no record is built.

A table of a thousand runs is read again and again, so these are plain statements whose rows are used
unchanged: a number is a float or None (the store's NULL for NaN), the sparkline is still bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, NamedTuple

from sqlalchemy import TextClause, text

from babysit.records import State, TrialKey, Value
from babysit.store.failures import reads
from babysit.store.reader import Reader
from babysit.store.schema import from_json, touches, verdicts
from babysit.verdicts import Severity


class TrialLine(NamedTuple):
    """One trial; :class:`babysit.store.queries.RunSummary` explains its numbers.

    Attributes:
        row: the trial's row, the same for as long as the store lives.
        hyperparameters: as JSON text; :func:`choices` reads many at once.
    """

    row: int
    study: int
    stage: int
    number: int
    hyperparameters: Any
    state: str
    epochs: int
    steps: int
    cost: float | None
    first_cost: float | None
    train_accuracy: float | None
    val_accuracy: float | None
    best_val_accuracy: float | None
    best_score: float | None
    learning_rate: float | None
    explosion_step: int | None
    explosion_epoch: int | None
    explosion_cost: float | None
    seconds: float
    message: str
    spark: bytes
    version: int

    @property
    def key(self) -> TrialKey:
        """(stage, number): unique in a study."""
        return (self.stage, self.number)


_FLOAT = (float, int, NoneType)
_WHOLE = (int, NoneType)
_KINDS: tuple[type | tuple[type, ...], ...] = (
    *(int, int, int, int, (str, dict), str, int, int),
    *[_FLOAT] * 7,
    *(_WHOLE, _WHOLE, _FLOAT, _FLOAT, str, bytes, int),
)
"""The types of a line's values."""

_STATES = frozenset(State)


class StateCount(NamedTuple):
    """The number of trials of one study in one state, and the best of them."""

    study: int
    state: str
    trials: int
    best_accuracy: float | None
    best_score: float | None
    epochs: int


_COLUMNS = """select t.id, t.study, t.stage, t.number, t.hyperparameters, s.state, s.epochs, s.steps, s.cost,
    s.first_cost, s.train_accuracy, s.val_accuracy, s.best_val_accuracy, s.best_score, s.learning_rate,
    s.explosion_step, s.explosion_epoch, s.explosion_cost, s.seconds, s.message, s.spark, s.version
    from run_summary s join trials t on t.id = s.trial"""

_OF_STUDY = text(f"{_COLUMNS} where t.study = :study order by t.stage, t.number")
_NEWER = text(f"{_COLUMNS} where s.version > :since order by s.version")
_COUNTS = text(
    """select t.study, s.state, count(*), max(s.best_val_accuracy), max(s.best_score), sum(s.epochs)
    from run_summary s join trials t on t.id = s.trial group by t.study, s.state"""
)
_FINDINGS = """select f.trial, f.severity, count(*) from findings f join trials t on t.id = f.trial
    where t.study = :study"""
_NEW_FINDINGS = """select f.trial, f.severity, count(*)
    from findings f join run_summary s on s.trial = f.trial where s.version > :since"""
_COUNTED = "group by f.trial, f.severity"
_SCALED = text(
    """select t.trial, t.argument from touches t join trials on trials.id = t.trial
    where trials.study = :study and t.kind = 'scale_learning_rate'"""
)
_CURSOR = text("select value from meta where name = 'last_version'")


def lines(reader: Reader, study: int) -> list[TrialLine]:
    """Lists every trial of a study, in the order of stage and number."""
    return _lines(reader, _OF_STUDY, study=study)


def newer_lines(reader: Reader, since: int) -> list[TrialLine]:
    """Lists the trials, of all studies, that changed after a cursor, oldest change first."""
    return _lines(reader, _NEWER, since=since)


def _lines(reader: Reader, statement: TextClause, **values: int) -> list[TrialLine]:
    with reader.connect() as connection:
        found = [TrialLine(*row) for row in connection.execute(statement, values)]
        for line in found:
            right = all(isinstance(value, kind) for value, kind in zip(line, _KINDS, strict=True))
            if not right or line.state not in _STATES or len(line.spark) % 12:
                raise ValueError(f"the summary of trial {line.study}/{line.stage}/{line.number} is damaged")
    return found


def cursor(reader: Reader) -> int:
    """Returns the number of the store's last change."""
    with reader.connect() as connection:
        return int(connection.execute(_CURSOR).scalar_one())


def state_counts(reader: Reader) -> list[StateCount]:
    """Counts the trials of each study by state, with the best of each."""
    with reader.connect() as connection:
        found = [StateCount(*row) for row in connection.execute(_COUNTS)]
        for one in found:
            right = isinstance(one.best_accuracy, _FLOAT) and isinstance(one.best_score, _FLOAT)
            if not right or one.state not in _STATES:
                raise ValueError(f"the summary of some trial of study {one.study} is damaged")
    return found


def cause_counts(reader: Reader, study: int) -> dict[int, dict[str, int]]:
    """Counts the causes of every trial of a study that has any: row of the trial -> severity -> number."""
    return _counted(reader, _FINDINGS, study=study)


def newer_cause_counts(reader: Reader, since: int) -> dict[int, dict[str, int]]:
    """Counts the causes of the trials that changed after a cursor."""
    return _counted(reader, _NEW_FINDINGS, since=since)


def learning_rate_factors(reader: Reader, study: int) -> dict[int, float]:
    """Maps rows of trials to the product of the user's learning rate factors; most trials are not in it."""
    found: dict[int, float] = {}
    if not reader.has(touches):
        return found
    with reader.connect() as connection:
        for trial, factor in connection.execute(_SCALED, {"study": study}):
            found[trial] = found.get(trial, 1.0) * float(factor)
    return found


def _counted(reader: Reader, statement: str, **values: int) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    # In an older store, without verdicts, every finding is a cause.
    causes = "and f.cause is null" if reader.has(verdicts) else ""
    with reader.connect() as connection:
        for trial, severity, count in connection.execute(text(f"{statement} {causes} {_COUNTED}"), values):
            found.setdefault(trial, {})[Severity(severity)] = count
    return found


@reads
def choices(found: Sequence[TrialLine]) -> list[Mapping[str, Value]]:
    """Returns the hyperparameters of some trials, in their order."""
    texts = [line.hyperparameters for line in found]
    if all(isinstance(one, str) for one in texts):  # a server's driver may have read them already
        texts = json.loads(f"[{','.join(texts)}]")
    if len(texts) != len(found) or not all(isinstance(one, dict) for one in texts):
        raise ValueError("the hyperparameters of a trial are not an object")
    return [from_json(one) for one in texts]
