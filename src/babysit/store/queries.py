"""Reading a store: rows to records. Nothing here writes.

Every function takes a :class:`Reader`. A reader may be open in one process while a writer writes in another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    Reading,
    Result,
    Run,
    Snapshot,
    Stage,
    State,
    Study,
    Touch,
    Value,
)
from babysit.store.active import COST
from babysit.store.details import histogram_from, snapshot_from
from babysit.store.failures import reads
from babysit.store.old_names import old_unit
from babysit.store.points import buckets as buckets  # views draw the same buckets that the summaries hold
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

Key = tuple[int, int]
"""Stage and number of a trial."""

Curve = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Steps and the cost at each."""


@dataclass(frozen=True, slots=True, eq=False)
class RunSummary:
    """One trial in one row: what a table of a thousand runs shows.

    Attributes:
        study, stage, number: which trial.
        hyperparameters: its choice.
        state: where it stands.
        epochs, steps: how far it has come.
        cost: the last mini-batch's cost of its last epoch; NaN before the first.
        first_cost: its first mini-batch's cost; NaN before the first step.
        train_accuracy, val_accuracy: after its last epoch, in [0, 1]; NaN where there are none.
        best_val_accuracy: the best so far, in [0, 1]; NaN where there is none.
        best_score: what the search maximizes, at its best; minus infinity where there is none.
        learning_rate: the rate of the last step.
        explosion: why it was stopped, if it exploded.
        seconds: wall-clock time of its population.
        message: why it failed, in words.
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
    def key(self) -> Key:
        """(stage, number): unique in a study."""
        return (self.stage, self.number)


class Changes(NamedTuple):
    """What changed since a cursor.

    Attributes:
        summaries: every run summary that is newer, oldest change first.
        cursor: give it the next time.
    """

    summaries: list[RunSummary]
    cursor: int


def studies(reader: Reader) -> list[Study]:
    """All studies, newest first."""
    newest_first = select(studies_table).order_by(studies_table.c.id.desc())
    return [study_from(row) for row in reader.rows(newest_first)]


def study(reader: Reader, number: int) -> Study:
    """One study.

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
    """The newest study that the same command made; None when there is none."""
    same = (studies_table.c.fingerprint == fingerprint) & (studies_table.c.kind == kind)
    return _newest(reader, select(studies_table).where(same))


def latest_study(reader: Reader, kind: str | None = None) -> Study | None:
    """The newest study, of one kind or of any; None when there is none."""
    any_kind = select(studies_table)
    return _newest(reader, any_kind if kind is None else any_kind.where(studies_table.c.kind == kind))


def _newest(reader: Reader, statement: Select[Any]) -> Study | None:
    rows = reader.rows(statement.order_by(studies_table.c.id.desc()).limit(1))
    return study_from(rows[0]) if rows else None


def checks(reader: Reader, study: int) -> list[CheckResult]:
    """The answers of a study's checks, in the order in which they were asked."""
    mine = select(checks_table).where(checks_table.c.study == study)
    return [check_from(row) for row in reader.rows(mine.order_by(checks_table.c.position))]


def stages(reader: Reader, study: int) -> list[Stage]:
    """The stages of a study, first to last."""
    mine = select(stages_table).where(stages_table.c.study == study)
    return [stage_from(row) for row in reader.rows(mine.order_by(stages_table.c.position))]


def results(reader: Reader, study: int) -> list[Result]:
    """Every trial of a study with its run, exactly as it was written, in the order of stage and number."""
    runs = trials_of(study, run_summary).join(run_summary)
    measured = trials_of(study, readings).join(readings).order_by(readings.c.epoch)
    with reader.connect() as connection:
        run_rows = list(connection.execute(runs))
        reading_rows = list(connection.execute(measured))
    by_key = {key: [reading_from(row) for row in rows] for key, rows in groupby(reading_rows, _key)}
    by_fold, by_hand = _fold_scores(reader, study), _touches(reader, study)
    return [
        Result(
            trial_from(row),
            _run_of(row, by_key, by_fold, by_hand),
        )
        for row in run_rows
    ]


def _run_of(
    row: Row[Any],
    by_key: Mapping[Key, Sequence[Reading]],
    by_fold: Mapping[Key, Sequence[float]],
    by_hand: Mapping[Key, Sequence[Touch]],
) -> Run:
    key = _key(row)
    return run_from(row, by_key.get(key, ()), by_fold.get(key, ()), by_hand.get(key, ()))


def _fold_scores(reader: Reader, study: int) -> dict[Key, list[float]]:
    """The scores of the folds, by trial, for those that had any."""
    if not reader.has(fold_scores):
        return {}
    mine = trials_of(study, fold_scores).join(fold_scores).order_by(fold_scores.c.fold)
    return {key: [row.score for row in rows] for key, rows in groupby(reader.rows(mine), _key)}


def _touches(reader: Reader, study: int) -> dict[Key, list[Touch]]:
    """What was done by hand, by trial, to those to which anything was."""
    if not reader.has(touches):
        return {}
    mine = trials_of(study, touches).join(touches).order_by(touches.c.position)
    return {key: [touch_from(row) for row in rows] for key, rows in groupby(reader.rows(mine), _key)}


def costs(reader: Reader, study: int, key: Key) -> Curve:
    """The cost of every step of one trial, in single precision; empty when none was written."""
    one = _chunks_of(study).where(trials.c.stage == key[0], trials.c.number == key[1])
    return from_chunks([row.points for row in reader.rows(one)])


def all_costs(reader: Reader, study: int) -> dict[Key, Curve]:
    """The cost of every step, for every trial of a study that has any."""
    rows = reader.rows(_chunks_of(study))
    return {key: from_chunks([row.points for row in chunks]) for key, chunks in groupby(rows, _key)}


def series_of(reader: Reader, study: int, key: Key) -> dict[str, Curve]:
    """Every per-step quantity of one trial but its cost, by name, in single precision.

    Names are ``learning_rate``, ``step_seconds`` (of the whole population), and for layers and parameters
    ``layers/NAME/`` followed by ``update_ratio``, ``gradient_norm``, ``mean``, ``std``, ``dead`` or
    ``saturated``.
    """
    chunks = trials_of(study, series).join(series).where(series.c.name != COST)
    one = chunks.where(trials.c.stage == key[0], trials.c.number == key[1])
    rows = reader.rows(one.order_by(series.c.name, series.c.chunk))
    by_name = groupby(rows, lambda row: str(row.name))
    return {name: from_chunks([row.points for row in found]) for name, found in by_name}


def histograms(reader: Reader, study: int, key: Key) -> dict[str, list[Histogram]]:
    """The histograms of one trial by name, oldest first: ``activations/LAYER``, ``gradients/PARAMETER``."""
    rows = _pictures(reader, histograms_table, study, key)
    return {
        name: [histogram_from(row) for row in found]
        for name, found in groupby(rows, lambda row: str(row.name))
    }


def snapshots(reader: Reader, study: int, key: Key) -> dict[str, list[Snapshot]]:
    """The snapshots of one trial's first layer by the parameter's name, oldest first."""
    rows = _pictures(reader, snapshots_table, study, key)
    return {
        name: [snapshot_from(row) for row in found]
        for name, found in groupby(rows, lambda row: str(row.name))
    }


def _pictures(reader: Reader, table: Table, study: int, key: Key) -> list[Row[Any]]:
    if not reader.has(table):
        return []
    one = trials_of(study, table).join(table).where(trials.c.stage == key[0], trials.c.number == key[1])
    return reader.rows(one.order_by(table.c.name, table.c.step))


def _chunks_of(study: int) -> Select[Any]:
    wanted = trials_of(study, series).join(series).where(series.c.name == COST)
    return wanted.order_by(series.c.chunk)


def verdicts(reader: Reader, study: int, key: Key | None = None) -> dict[Key, Verdict]:
    """Reads the verdicts on the trials of a study, on those that have one.

    Of a store older than schema 5 every finding is a cause, and nothing is known of what was asked.

    Args:
        reader: the store.
        study: the study's number.
        key: of the one trial to read. Default: all.
    """
    found = _of_trials(reader, study, findings_table, key).order_by(findings_table.c.position)
    with reader.connect() as connection:  # one view: a verdict lies in two tables
        rows = {each: list(mine) for each, mine in groupby(connection.execute(found), _key)}
        if not reader.has(verdicts_table):
            kinds = connection.execute(select(studies_table.c.kind).where(studies_table.c.id == study))
            unit = old_unit(kinds.scalar_one_or_none() or "")
            return {each: old_verdict_from(mine, unit) for each, mine in rows.items()}
        heads = {_key(row): row for row in connection.execute(_of_trials(reader, study, verdicts_table, key))}
        return {each: verdict_from(heads.get(each), rows.get(each, ())) for each in sorted({*heads, *rows})}


def _of_trials(reader: Reader, study: int, table: Table, key: Key | None) -> Select[Any]:
    """Selects the rows of a table that belong to trials of a study, in the columns that the store knows."""
    mine = trials_of(study, *reader.columns(table)).join(table)
    return mine if key is None else mine.where(trials.c.stage == key[0], trials.c.number == key[1])


def run_summaries(reader: Reader, study: int) -> list[RunSummary]:
    """One summary for every trial of a study, in the order of stage and number."""
    return [_summary_from(row) for row in reader.rows(trials_of(study, run_summary).join(run_summary))]


def changes(reader: Reader, since: int) -> Changes:
    """The summaries, of all studies, that changed after a cursor.

    Args:
        reader: the store.
        since: the cursor of the last call; 0 for everything.

    Returns:
        The changed summaries and the new cursor.
    """
    newer = select(trials, run_summary).join(run_summary).where(run_summary.c.version > since)
    summaries = [_summary_from(row) for row in reader.rows(newer.order_by(run_summary.c.version))]
    return Changes(summaries, summaries[-1].version if summaries else since)


def trials_of(study: int, *wanted: Table | Column[Any]) -> Select[Any]:
    """Selects every trial of a study, in the order of stage and number; the caller joins the table.

    Args:
        study: the study's number.
        wanted: a table, or those of its columns that are wanted.
    """
    columns = select(trials.c.study, trials.c.stage, trials.c.number, trials.c.hyperparameters, *wanted)
    mine = columns.select_from(trials).where(trials.c.study == study)
    return mine.order_by(trials.c.stage, trials.c.number)


def _key(row: Row[Any]) -> Key:
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
