"""Reads one run of a store, without the others of its study."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select

from babysit.errors import StoreError
from babysit.records import Result, TrialKey
from babysit.store import queries
from babysit.store.active import COST
from babysit.store.points import from_chunks
from babysit.store.queries import Curve, of_trials
from babysit.store.reader import Reader
from babysit.store.schema import run_summary, series, trials
from babysit.verdicts import Verdict


def result(reader: Reader, study: int, key: TrialKey) -> Result:
    """Returns one trial with its run.

    Raises:
        StoreError: the study has no such trial.
    """
    found = queries.results(reader, study, key)
    if not found:
        raise StoreError(
            f"study {study} has no trial {key[0]}/{key[1]}", fix="choose one of the study's trials"
        )
    return found[0]


def verdict(reader: Reader, study: int, key: TrialKey) -> Verdict:
    """Reads the verdict on one trial; an empty one if it has none."""
    return queries.verdicts(reader, study, key).get(key, Verdict())


def version(reader: Reader, study: int, key: TrialKey) -> int:
    """Returns the number of a trial's last change; 0 for a trial that is not there."""
    mine = select(run_summary.c.version).join(trials, trials.c.id == run_summary.c.trial)
    rows = reader.rows(_one(mine.where(trials.c.study == study), key))
    return int(rows[0].version) if rows else 0


def series_names(reader: Reader, study: int, key: TrialKey) -> list[str]:
    """Lists the quantities that were recorded step by step, the cost first."""
    mine = select(series.c.name).join(trials, trials.c.id == series.c.trial).distinct()
    names = [row.name for row in reader.rows(_one(mine.where(trials.c.study == study), key))]
    return sorted(names, key=lambda name: (name != COST, name))


def series_between(reader: Reader, study: int, key: TrialKey, name: str, first: int, last: int) -> Curve:
    """Reads one quantity in a range of steps, both ends included; only the chunks it needs are read.

    Args:
        reader: the store.
        study, key: the run.
        name: the quantity, "cost" or one of :func:`series_names`.
        first, last: the steps.

    Returns:
        Steps and values; both empty where there are none.
    """
    mine = of_trials(reader, study, series, key).where(series.c.name == name)
    inside = mine.where(series.c.last_step >= first, series.c.first_step <= last).order_by(series.c.chunk)
    steps, values = from_chunks([row.points for row in reader.rows(inside)])
    kept = (steps >= first) & (steps <= last)
    return steps[kept], values[kept]


def _one(statement: Select[Any], key: TrialKey) -> Select[Any]:
    return statement.where(trials.c.stage == key[0], trials.c.number == key[1])
