"""The trials of a study as plain rows, one dictionary a trial, for other tools."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from babysit.records import Result, Stage
from babysit.views.data.formatting import touches_text

HYPERPARAMETER = "hyperparameter_"
"""The prefix of a hyperparameter that has the name of a measured column."""

MEASURED = (
    "stage",
    "number",
    "state",
    "epochs",
    "best_epoch",
    "val_accuracy",
    "val_loss",
    "train_accuracy",
    "cost",
    "first_cost",
    "steps",
    "seconds",
    "message",
)
"""The columns of every study, in their order; those of the hyperparameters follow."""


def trial_rows(results: Sequence[Result], stages: Sequence[Stage] = ()) -> list[dict[str, Any]]:
    """Returns every trial with the measurements at its best epoch, and its hyperparameters.

    Accuracies are shares in [0, 1]; a missing or infinite number is None. Every row has every column.

    Args:
        results: the trials.
        stages: their stages, for their names. Default: none, and a stage is its index.

    Example:
        >>> from babysit.records import Run, State, Trial
        >>> rows = trial_rows([Result(Trial(0, 3, {"l2": 0.1}), Run(State.FAILED, message="no memory"))])
        >>> rows[0]["number"], rows[0]["state"], rows[0]["val_accuracy"], rows[0]["l2"]
        (3, 'failed', None, 0.1)
    """
    names = list(dict.fromkeys(name for result in results for name in result.trial.hyperparameters))
    called = {stage.index: stage.name for stage in stages}
    return [
        {
            **_measured(result, called.get(result.trial.stage, str(result.trial.stage))),
            **{column(name): result.trial.hyperparameters.get(name) for name in names},
        }
        for result in results
    ]


def column(name: str) -> str:
    """Returns the column of a hyperparameter.

    Example:
        >>> column("l2"), column("seconds")
        ('l2', 'hyperparameter_seconds')
    """
    return f"{HYPERPARAMETER}{name}" if name in MEASURED else name


def _measured(result: Result, stage: str) -> dict[str, Any]:
    run = result.run
    best = run.best
    cost = run.explosion.cost if run.explosion else run.last.cost if run.last else math.nan
    values = (
        stage,
        result.trial.number,
        str(run.state),
        len(run.readings),
        None if best is None else best.epoch,
        None if best is None else finite(best.val_accuracy),
        None if best is None else finite(best.val_loss),
        None if best is None else finite(best.train_accuracy),
        finite(cost),
        finite(run.first_cost),
        run.steps,
        finite(run.seconds),
        "; ".join(filter(None, (run.message, touches_text(run)))),
    )
    return dict(zip(MEASURED, values, strict=True))


def finite(value: float) -> float | None:
    """Returns a finite number unchanged, and None for NaN or infinity."""
    return value if math.isfinite(value) else None
