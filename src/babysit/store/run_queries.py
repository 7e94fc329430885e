"""Reading one run of a store, without touching the others of its study."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Row, Select, Table, select

from babysit.errors import StoreError
from babysit.records import Result
from babysit.store import queries
from babysit.store.active import COST
from babysit.store.points import from_chunks
from babysit.store.queries import Curve, Key, trials_of
from babysit.store.reader import Reader
from babysit.store.rows import reading_from, run_from, touch_from, trial_from
from babysit.store.schema import fold_scores, readings, run_summary, series, touches, trials
from babysit.verdicts import Verdict


def result(reader: Reader, study: int, key: Key) -> Result:
    """One trial with its run.

    Raises:
        StoreError: the study has no such trial.
    """
    rows = reader.rows(_one(trials_of(study, run_summary).join(run_summary), key))
    if not rows:
        raise StoreError(
            f"study {study} has no trial {key[0]}/{key[1]}", fix="choose one of the study's trials"
        )
    measured = reader.rows(_one(trials_of(study, readings).join(readings), key).order_by(readings.c.epoch))
    folds = _kept(reader, fold_scores, fold_scores.c.fold, study, key)
    by_hand = _kept(reader, touches, touches.c.position, study, key)
    row = rows[0]
    run = run_from(
        row,
        [reading_from(each) for each in measured],
        [each.score for each in folds],
        [touch_from(each) for each in by_hand],
    )
    return Result(trial_from(row), run)


def _kept(reader: Reader, table: Table, place: Column[Any], study: int, key: Key) -> list[Row[Any]]:
    """The rows of one trial in a table that an older store may lack."""
    if not reader.has(table):
        return []
    return reader.rows(_one(trials_of(study, table).join(table).order_by(place), key))


def verdict(reader: Reader, study: int, key: Key) -> Verdict:
    """Reads the verdict on one trial; an empty one where it was not judged."""
    return queries.verdicts(reader, study, key).get(key, Verdict())


def version(reader: Reader, study: int, key: Key) -> int:
    """The number of a trial's last change; 0 for a trial that is not there."""
    mine = select(run_summary.c.version).join(trials, trials.c.id == run_summary.c.trial)
    rows = reader.rows(_one(mine.where(trials.c.study == study), key))
    return int(rows[0].version) if rows else 0


def series_names(reader: Reader, study: int, key: Key) -> list[str]:
    """The quantities that were recorded step by step, the cost first."""
    mine = select(series.c.name).join(trials, trials.c.id == series.c.trial).distinct()
    names = [row.name for row in reader.rows(_one(mine.where(trials.c.study == study), key))]
    return sorted(names, key=lambda name: (name != COST, name))


def series_between(reader: Reader, study: int, key: Key, name: str, first: int, last: int) -> Curve:
    """One quantity in a range of steps, both ends included; only the chunks that it needs are read.

    Args:
        reader: the store.
        study, key: which run.
        name: the quantity, "cost" or one of :func:`series_names`.
        first, last: the steps.

    Returns:
        Steps and values; both empty where there are none.
    """
    mine = trials_of(study, series).join(series).where(series.c.name == name)
    inside = mine.where(series.c.last_step >= first, series.c.first_step <= last).order_by(series.c.chunk)
    steps, values = from_chunks([row.points for row in reader.rows(_one(inside, key))])
    kept = (steps >= first) & (steps <= last)
    return steps[kept], values[kept]


def _one(statement: Select[Any], key: Key) -> Select[Any]:
    return statement.where(trials.c.stage == key[0], trials.c.number == key[1])
