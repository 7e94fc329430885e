"""Reads records from a store.

A :class:`Reader` may be open in one process while a writer writes in another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Column, Row, Select, Table, select

from babysit.errors import StoreError
from babysit.records import (
    Explosion,
    Histogram,
    Result,
    Snapshot,
    Stage,
    State,
    Study,
    TrialKey,
    Value,
)
from babysit.store.active import COST
from babysit.store.failures import reads
from babysit.store.old_names import old_unit
from babysit.store.pictures import histogram_from, snapshot_from
from babysit.store.points import buckets as buckets  # views use the same buckets as the summaries
from babysit.store.points import from_chunks, from_spark
from babysit.store.reader import Reader
from babysit.store.rows import (
    check_from,
    explosion_from,
    must_be,
    reading_from,
    run_from,
    stage_from,
    study_from,
    touch_from,
    trial_from,
)
from babysit.store.schema import checks as checks_table
from babysit.store.schema import findings as findings_table
from babysit.store.schema import fold_scores, readings, run_summary, series, touches, trials
from babysit.store.schema import histograms as histograms_table
from babysit.store.schema import snapshots as snapshots_table
from babysit.store.schema import stages as stages_table
from babysit.store.schema import studies as studies_table
from babysit.store.schema import verdicts as verdicts_table
from babysit.store.verdict_rows import old_verdict_from, verdict_from
from babysit.verdicts import CheckResult, Verdict

Curve = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Steps and the cost at each."""


@dataclass(frozen=True, slots=True, eq=False)
class RunSummary:
    """One trial in one row, as a table of a thousand runs shows it.

    Attributes:
        study, stage, number: the trial.
        hyperparameters: its choice.
        state: its current state.
        epochs, steps: its progress.
        cost: the last mini-batch's cost of its last epoch; NaN before the first.
        first_cost: its first mini-batch's cost; NaN before the first step.
        train_accuracy, val_accuracy: after its last epoch, in [0, 1]; NaN without any.
        best_val_accuracy: the best so far, in [0, 1]; NaN without any.
        best_score: the best value that the search maximizes; minus infinity without any.
        learning_rate: the rate of the last step.
        explosion: the reason of the stop, if it exploded.
        seconds: wall-clock time of its population.
        message: the reason of a failure, in words.
        spark: its costs in at most 60 buckets, shape (buckets, 3): lowest, highest, last.
        version: the number of the last change; greater than every earlier one in the store.
    """

    study: int
    stage: int
    number: int
    hyperparameters: Mapping[str, Value]
    state: State
    epochs: int
    steps: int
    cost: float
    first_cost: float
    train_accuracy: float
    val_accuracy: float
    best_val_accuracy: float
    best_score: float
    learning_rate: float
    explosion: Explosion | None
    seconds: float
    message: str
    spark: NDArray[np.float32]
    version: int

    @property
    def key(self) -> TrialKey:
        """(stage, number): unique in a study."""
        return (self.stage, self.number)


class Changes(NamedTuple):
    """The changes since a cursor.

    Attributes:
        summaries: every run summary that is newer, oldest change first.
        cursor: the argument of the next call.
    """

    summaries: list[RunSummary]
    cursor: int


def studies(reader: Reader) -> list[Study]:
    """Lists all studies, newest first."""
    newest_first = select(studies_table).order_by(studies_table.c.id.desc())
    return [study_from(row) for row in reader.rows(newest_first)]


def study(reader: Reader, number: int) -> Study:
    """Returns one study.

    Raises:
        StoreError: the store has no such study.
    """
    rows = reader.rows(select(studies_table).where(studies_table.c.id == number))
    if not rows:
        known = [one.id for one in studies(reader)]
        raise StoreError(
            f"there is no study {number} in the store", fix=f"choose one of {known}" if known else ""
        )
    return study_from(rows[0])


def find_study(reader: Reader, fingerprint: str, kind: str) -> Study | None:
    """Finds the newest study that the same command made; None when there is none."""
    same = (studies_table.c.fingerprint == fingerprint) & (studies_table.c.kind == kind)
    return _newest(reader, select(studies_table).where(same))


def latest_study(reader: Reader, kind: str | None = None) -> Study | None:
    """Finds the newest study, of one kind or of any; None when there is none."""
    any_kind = select(studies_table)
    return _newest(reader, any_kind if kind is None else any_kind.where(studies_table.c.kind == kind))


def _newest(reader: Reader, statement: Select[Any]) -> Study | None:
    rows = reader.rows(statement.order_by(studies_table.c.id.desc()).limit(1))
    return study_from(rows[0]) if rows else None


def checks(reader: Reader, study: int) -> list[CheckResult]:
    """Lists the answers of a study's checks, in the order in which they were asked."""
    mine = select(checks_table).where(checks_table.c.study == study)
    return [check_from(row) for row in reader.rows(mine.order_by(checks_table.c.position))]


def stages(reader: Reader, study: int) -> list[Stage]:
    """Lists the stages of a study, first to last."""
    mine = select(stages_table).where(stages_table.c.study == study)
    return [stage_from(row) for row in reader.rows(mine.order_by(stages_table.c.position))]


def results(reader: Reader, study: int, key: TrialKey | None = None) -> list[Result]:
    """Lists trials of a study with their runs, exactly as written, in the order of stage and number.

    Args:
        reader: the store.
        study: the study's number.
        key: of the one trial to read. Default: all.
    """

    def rows_of(table: Table, place: Column[Any]) -> dict[TrialKey, list[Row[Any]]]:
        if not reader.has(table):
            return {}
        rows = connection.execute(of_trials(reader, study, table, key).order_by(place))
        return {each: list(mine) for each, mine in groupby(rows, _key)}

    with reader.connect() as connection:  # one view: a run lies in several tables
        runs = list(connection.execute(of_trials(reader, study, run_summary, key)))
        measured = rows_of(readings, readings.c.epoch)
        folds = rows_of(fold_scores, fold_scores.c.fold)
        touched = rows_of(touches, touches.c.position)
    return [
        Result(
            trial_from(row),
            run_from(
                row,
                [reading_from(each) for each in measured.get(_key(row), ())],
                [each.score for each in folds.get(_key(row), ())],
                [touch_from(each) for each in touched.get(_key(row), ())],
            ),
        )
        for row in runs
    ]


def costs(reader: Reader, study: int, key: TrialKey) -> Curve:
    """Returns the cost of every step of one trial, in single precision; empty when none was written."""
    return from_chunks([row.points for row in _cost_chunks(reader, study, key)])


def all_costs(reader: Reader, study: int) -> dict[TrialKey, Curve]:
    """Returns the cost of every step, for every trial of a study that has any."""
    rows = _cost_chunks(reader, study)
    return {key: from_chunks([row.points for row in chunks]) for key, chunks in groupby(rows, _key)}


def _cost_chunks(reader: Reader, study: int, key: TrialKey | None = None) -> list[Row[Any]]:
    chunks = of_trials(reader, study, series, key).where(series.c.name == COST)
    return reader.rows(chunks.order_by(series.c.chunk))


def series_of(reader: Reader, study: int, key: TrialKey) -> dict[str, Curve]:
    """Returns every per-step quantity of one trial except its cost, by name, in single precision.

    Names are ``learning_rate``, ``step_seconds`` (of the whole population), and for layers and parameters
    ``layers/NAME/`` followed by ``update_ratio``, ``gradient_norm``, ``mean``, ``std``, ``dead`` or
    ``saturated``.
    """
    chunks = of_trials(reader, study, series, key).where(series.c.name != COST)
    rows = reader.rows(chunks.order_by(series.c.name, series.c.chunk))
    by_name = groupby(rows, lambda row: str(row.name))
    return {name: from_chunks([row.points for row in found]) for name, found in by_name}


def histograms(reader: Reader, study: int, key: TrialKey) -> dict[str, list[Histogram]]:
    """Returns the histograms of one trial by name, oldest first: ``activations/NAME``, ``gradients/NAME``."""
    found = _pictures(reader, histograms_table, study, key)
    return {name: [histogram_from(row) for row in rows] for name, rows in found.items()}


def snapshots(reader: Reader, study: int, key: TrialKey) -> dict[str, list[Snapshot]]:
    """Returns the snapshots of one trial's first layer by the parameter's name, oldest first."""
    found = _pictures(reader, snapshots_table, study, key)
    return {name: [snapshot_from(row) for row in rows] for name, rows in found.items()}


def _pictures(reader: Reader, table: Table, study: int, key: TrialKey) -> dict[str, list[Row[Any]]]:
    if not reader.has(table):
        return {}
    rows = reader.rows(of_trials(reader, study, table, key).order_by(table.c.name, table.c.step))
    return {name: list(found) for name, found in groupby(rows, lambda row: str(row.name))}


def verdicts(reader: Reader, study: int, key: TrialKey | None = None) -> dict[TrialKey, Verdict]:
    """Reads the verdicts on those trials of a study that have one.

    In a store older than schema 5 every finding is a cause, and the questions are unknown.

    Args:
        reader: the store.
        study: the study's number.
        key: of the one trial to read. Default: all.
    """
    found = of_trials(reader, study, findings_table, key).order_by(findings_table.c.position)
    with reader.connect() as connection:  # one view: a verdict lies in two tables
        rows = {each: list(mine) for each, mine in groupby(connection.execute(found), _key)}
        if not reader.has(verdicts_table):
            kinds = connection.execute(select(studies_table.c.kind).where(studies_table.c.id == study))
            unit = old_unit(kinds.scalar_one_or_none() or "")
            return {each: old_verdict_from(mine, unit) for each, mine in rows.items()}
        heads = {_key(row): row for row in connection.execute(of_trials(reader, study, verdicts_table, key))}
        return {each: verdict_from(heads.get(each), rows.get(each, ())) for each in sorted({*heads, *rows})}


def of_trials(reader: Reader, study: int, table: Table, key: TrialKey | None = None) -> Select[Any]:
    """Selects the rows of a table that belong to trials of a study, in the order of stage and number.

    Args:
        reader: the store, which may be older and lack some columns of the table.
        study: the study's number.
        table: one that refers to trials.
        key: of the one trial to read. Default: all.
    """
    of_trial = (trials.c.study, trials.c.stage, trials.c.number, trials.c.hyperparameters)
    mine = select(*of_trial, *reader.columns(table)).select_from(trials).join(table)
    mine = mine.where(trials.c.study == study).order_by(trials.c.stage, trials.c.number)
    return mine if key is None else mine.where(trials.c.stage == key[0], trials.c.number == key[1])


def run_summaries(reader: Reader, study: int) -> list[RunSummary]:
    """Lists one summary for every trial of a study, in the order of stage and number."""
    return [_summary_from(row) for row in reader.rows(of_trials(reader, study, run_summary))]


def changes(reader: Reader, since: int) -> Changes:
    """Returns the summaries, of all studies, that changed after a cursor.

    Args:
        reader: the store.
        since: the cursor of the last call; 0 for everything.

    Returns:
        The changed summaries and the new cursor.
    """
    newer = select(trials, run_summary).join(run_summary).where(run_summary.c.version > since)
    summaries = [_summary_from(row) for row in reader.rows(newer.order_by(run_summary.c.version))]
    return Changes(summaries, summaries[-1].version if summaries else since)


def _key(row: Row[Any]) -> TrialKey:
    return (row.stage, row.number)


@reads
def _summary_from(row: Row[Any]) -> RunSummary:
    must_be(int, row.stage, row.number, row.epochs, row.steps, row.version)
    must_be(dict, row.hyperparameters)
    return RunSummary(
        study=row.study,
        stage=row.stage,
        number=row.number,
        hyperparameters=row.hyperparameters,
        state=State(row.state),
        epochs=row.epochs,
        steps=row.steps,
        cost=row.cost,
        first_cost=row.first_cost,
        train_accuracy=row.train_accuracy,
        val_accuracy=row.val_accuracy,
        best_val_accuracy=row.best_val_accuracy,
        best_score=row.best_score,
        learning_rate=row.learning_rate,
        explosion=explosion_from(row),
        seconds=row.seconds,
        message=row.message,
        spark=from_spark(row.spark),
        version=row.version,
    )
