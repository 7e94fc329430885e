"""The outcome of a search as plain data: the best trial, ties, alarms, importances, and what to do next."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from babysit.recipe.building import Prepared
from babysit.session.jobs.train import best_data
from babysit.tuning.importance import WITHOUT_OPTUNA, has_optuna, importances
from babysit.tuning.search import Outcome
from babysit.tuning.standing import standing


def summary(prepared: Prepared, found: Outcome, final: dict[str, Any] | None) -> dict[str, Any]:
    """Returns the outcome as plain data, for the store, the report and ``--json``.

    Args:
        prepared: the recipe with its data.
        found: the results of the stages.
        final: the outcome of the final stage; None without one.
    """
    names, examples = [stage.name for stage in found.stages], len(prepared.dataset.val)
    stands = standing(found.rounds, names, examples, given=found.given)
    importance = [
        {"stage": name, "knobs": [{**asdict(each), "matters": each.matters} for each in knobs]}
        for name, stage in zip(names, found.rounds, strict=True)
        if (knobs := importances(stage))  # empty with too few trials
    ]
    causes = [] if final is None or found.best is None else final.get("causes", [])
    return {
        "best": None if found.best is None else best_data(found.best),
        "edges": [asdict(edge) for edge in stands.edges],
        "silenced": [asdict(edge) for edge in stands.silenced],
        "ties": [list(result.trial.key) for result in stands.ties],
        "importance": importance,
        "importance_note": "" if has_optuna() else WITHOUT_OPTUNA,
        "states": found.states(),
        "wall_seconds": found.seconds,
        "trial_steps_per_second": found.trained_steps / max(found.seconds, 1e-9),
        "final": final,
        "advice": [*stands.advice, *(f"{each['message']}: {each['advice']}" for each in causes)],
    }
