"""Converts records to rows, and rows back to records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from types import UnionType
from typing import Any

from sqlalchemy import Row

from babysit.records import (
    Command,
    CommandKind,
    CommandState,
    Explosion,
    Reading,
    Run,
    Stage,
    State,
    Study,
    Touch,
    Trial,
    score,
)
from babysit.store.failures import reads
from babysit.verdicts import CheckResult, Status

Values = dict[str, Any]
"""The values of one row, by column."""


def must_be(kind: type | UnionType, *values: object) -> None:
    """Raises TypeError for a value of another type: SQLite keeps anything in any column."""
    for value in values:
        if not isinstance(value, kind):
            raise TypeError(f"{str(value)[:80]!r} is not of type {getattr(kind, '__name__', kind)}")


@reads
def study_from(row: Row[Any]) -> Study:
    """Builds the study from a row of ``studies``."""
    must_be(dict, row.settings, row.outcome)
    must_be(str, row.name, row.recipe, row.kind, row.fingerprint)
    return Study(
        id=row.id,
        name=row.name,
        recipe=row.recipe,
        kind=row.kind,
        seed=int(row.seed),
        fingerprint=row.fingerprint,
        settings=row.settings,
        state=State(row.state),
        created=row.created,
        outcome=row.outcome,
    )


def check_values(study: int, position: int, check: CheckResult) -> Values:
    """Builds the row of a check."""
    return {
        "study": study,
        "position": position,
        "name": check.name,
        "status": check.status.value,
        "value": check.value,
        "expected": check.expected,
        "advice": check.advice,
        "details": check.details,
    }


@reads
def check_from(row: Row[Any]) -> CheckResult:
    """Builds the check from a row of ``checks``."""
    return CheckResult(row.name, Status(row.status), row.value, row.expected, row.advice, row.details)


def stage_values(study: int, stage: Stage) -> Values:
    """Builds the row of a stage."""
    return {
        "study": study,
        "position": stage.index,
        "name": stage.name,
        "box": stage.box,
        "trials": stage.trials,
        "epochs": stage.epochs,
        "reason": stage.reason,
    }


@reads
def stage_from(row: Row[Any]) -> Stage:
    """Builds the stage from a row of ``stages``."""
    must_be(dict, row.box, *row.box.values())
    must_be(int, row.position, row.trials, row.epochs)
    return Stage(row.position, row.name, row.box, row.trials, row.epochs, row.reason)


def reading_values(trial: int, readings: Sequence[Reading]) -> list[Values]:
    """Builds the rows of a run's readings."""
    return [{"trial": trial, **asdict(reading)} for reading in readings]


@reads
def trial_from(row: Row[Any]) -> Trial:
    """Builds the trial from a row of ``trials``."""
    must_be(int, row.stage, row.number)
    must_be(dict, row.hyperparameters)
    must_be(bool | int | float | str, *row.hyperparameters.values())
    return Trial(row.stage, row.number, row.hyperparameters)


@reads
def reading_from(row: Row[Any]) -> Reading:
    """Builds the reading from a row of ``readings``."""
    must_be(int, row.epoch, row.step)
    return Reading(
        epoch=row.epoch,
        step=row.step,
        cost=row.cost,
        train_accuracy=row.train_accuracy,
        val_accuracy=row.val_accuracy,
        learning_rate=row.learning_rate,
        val_loss=row.val_loss,
    )


def summary_values(run: Run, spark: bytes) -> Values:
    """Builds the columns of ``run_summary`` that follow from a run.

    An exploded run has no accuracies: the argmax of NaN scores is class 0, so they mean nothing.
    """
    last, best, explosion = run.last, run.best, run.explosion
    accurate = last if run.state is not State.EXPLODED else None
    return {
        "state": run.state.value,
        "epochs": last.epoch if last else 0,
        "steps": run.steps,
        "cost": last.cost if last else math.nan,
        "first_cost": run.first_cost,
        "train_accuracy": accurate.train_accuracy if accurate else math.nan,
        "val_accuracy": accurate.val_accuracy if accurate else math.nan,
        "best_val_accuracy": best.val_accuracy if best else math.nan,
        "best_score": score(best) if best else -math.inf,
        "learning_rate": last.learning_rate if last else math.nan,
        "explosion_step": explosion.step if explosion else None,
        "explosion_epoch": explosion.epoch if explosion else None,
        "explosion_cost": explosion.cost if explosion else None,
        "explosion_first_cost": explosion.first_cost if explosion else None,
        "seconds": run.seconds,
        "message": run.message,
        "spark": spark,
    }


@reads
def explosion_from(row: Row[Any]) -> Explosion | None:
    """Builds the explosion from a row of ``run_summary``; None without one."""
    if row.explosion_step is None:
        return None
    must_be(int, row.explosion_step, row.explosion_epoch)
    return Explosion(row.explosion_step, row.explosion_epoch, row.explosion_cost, row.explosion_first_cost)


@reads
def run_from(
    row: Row[Any], readings: Sequence[Reading], folds: Sequence[float] = (), touches: Sequence[Touch] = ()
) -> Run:
    """Builds the run from a row of ``run_summary``, its readings, fold scores and changes by the user."""
    must_be(int, row.steps)
    return Run(
        state=State(row.state),
        readings=tuple(readings),
        first_cost=row.first_cost,
        explosion=explosion_from(row),
        seconds=row.seconds,
        steps=row.steps,
        message=row.message,
        folds=tuple(folds),
        touches=tuple(touches),
    )


@reads
def touch_from(row: Row[Any]) -> Touch:
    """Builds the touch from a row of ``touches``."""
    must_be(int, row.step)
    return Touch(CommandKind(row.kind), row.step, row.argument)


@reads
def command_from(row: Row[Any]) -> Command:
    """Builds the command from a row of ``commands`` joined with its trial's stage and number."""
    must_be(int, row.id, row.study, row.step, row.version)
    return Command(
        id=row.id,
        study=row.study,
        trial=None if row.stage is None else (row.stage, row.number),
        kind=CommandKind(row.kind),
        argument=row.argument,
        by=row.asked_by,
        asked=row.asked,
        state=CommandState(row.state),
        step=row.step,
        detail=row.detail,
        answered=row.answered,
        version=row.version,
    )
