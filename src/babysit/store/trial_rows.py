"""The rows of trials and their states; rows of new trials are created."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, insert, select

from babysit.errors import StoreError
from babysit.records import CommandKind, Run, State, Trial, TrialKey
from babysit.store.active import next_versions, save_summaries
from babysit.store.rows import summary_values
from babysit.store.schema import (
    findings,
    fold_scores,
    from_json,
    histograms,
    readings,
    run_summary,
    series,
    snapshots,
    to_json,
    touches,
    trials,
    verdicts,
)
from babysit.store.statements import append, forget

FINAL_STATES = [state.value for state in State if state.is_final]


def ensure_trials(connection: Connection, study: int, wanted: Sequence[Trial]) -> dict[TrialKey, int]:
    """Returns the rows of trials, and makes those that are missing.

    Args:
        connection: in a transaction.
        study: the study's number.
        wanted: the trials.

    Returns:
        The key of a trial -> its row of ``trials``.

    Raises:
        StoreError: the store has one of them with other hyperparameters.
    """
    mine = (trials.c.study == study) & trials.c.stage.in_({trial.stage for trial in wanted})
    stored = {(row.stage, row.number): row for row in connection.execute(select(trials).where(mine))}
    known: dict[TrialKey, int] = {}
    for trial in wanted:
        if trial.key not in stored:
            continue
        row = stored[trial.key]
        known[trial.key] = int(row.id)
        # Through JSON and back, so that a NumPy number equals the number it was stored as.
        asked = from_json(to_json(trial.hyperparameters))
        # As text, since NaN differs from itself.
        if repr(sorted(asked.items())) != repr(sorted(row.hyperparameters.items())):
            raise StoreError(
                f"trial {trial.key} is in the store with {row.hyperparameters}, and was started with {asked}",
                fix="start a new study: the recipe or its space has changed since the stored one",
            )

    new = list({trial.key: trial for trial in wanted if trial.key not in stored}.values())
    if not new:
        return known
    rows = [
        {
            "study": study,
            "stage": trial.stage,
            "number": trial.number,
            "hyperparameters": dict(trial.hyperparameters),
        }
        for trial in new
    ]
    inserted = insert(trials).returning(trials.c.id, sort_by_parameter_order=True)
    ids = [int(row) for row in connection.execute(inserted, rows).scalars()]
    blank = summary_values(Run(State.WAITING), b"")
    versions = next_versions(connection, len(ids))
    summaries = [
        {"trial": row, **blank, "version": version} for row, version in zip(ids, versions, strict=True)
    ]
    append(connection, run_summary, summaries)
    return known | dict(zip((trial.key for trial in new), ids, strict=True))


def unfinished(connection: Connection, rows: Collection[int]) -> list[int]:
    """Selects the rows of ``trials`` whose run is not final; a run that the user stopped is final."""
    by_user = select(touches.c.trial).where(touches.c.kind == CommandKind.STOP.value)
    stopped = (run_summary.c.state == State.STOPPED.value) & run_summary.c.trial.in_(by_user)
    final = select(run_summary.c.trial).where(run_summary.c.state.in_(FINAL_STATES) | stopped)
    done = set(connection.execute(final.where(run_summary.c.trial.between(min(rows), max(rows)))).scalars())
    return [row for row in rows if row not in done]


def start_over(connection: Connection, rows: Sequence[int], state: State) -> None:
    """Deletes the measurements of some trials and sets their state."""
    measured = (readings, series, histograms, snapshots, findings, verdicts, fold_scores, touches)
    forget(connection, rows, measured)
    save_summaries(connection, {row: summary_values(Run(state), b"") for row in rows})
