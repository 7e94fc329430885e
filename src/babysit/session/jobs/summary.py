"""What a search came to, as plain data: the best, its equals, alarms, what mattered, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from babysit.recipe.building import Prepared
from babysit.records import Stage
from babysit.session.jobs.train import best_data
from babysit.tuning.advice import judge
from babysit.tuning.importance import WITHOUT_OPTUNA, Importance, has_optuna
from babysit.tuning.search import Outcome


def summary(prepared: Prepared, found: Outcome, final: dict[str, Any] | None) -> dict[str, Any]:
    """The outcome as plain data, for the store, the report and the machine.

    Args:
        prepared: the recipe with its data.
        found: what the stages brought.
        final: what the last stage brought.
    """
    best = found.best
    names, examples = [stage.name for stage in found.stages], len(prepared.dataset.val)
    judged = judge(found.rounds, names, examples, given=found.given)
    causes = [] if final is None or best is None else final.get("causes", [])
    seconds = max(found.seconds, 1e-9)
    return {
        "best": None if best is None else best_data(best),
        "edges": [asdict(edge) for edge in judged.edges],
        "silenced": [asdict(edge) for edge in judged.silenced],
        "ties": [list(result.trial.key) for result in judged.ties],
        "importance": importance_data(found.stages, judged.importance),
        "importance_note": "" if has_optuna() else WITHOUT_OPTUNA,
        "states": found.states(),
        "wall_seconds": found.seconds,
        "trial_steps_per_second": found.trained_steps / seconds,
        "final": final,
        "advice": [*judged.advice, *(f"{each['message']}: {each['advice']}" for each in causes)],
    }


def importance_data(stages: Sequence[Stage], found: Sequence[Sequence[Importance]]) -> list[dict[str, Any]]:
    """Stage by stage, how much each hyperparameter mattered; stages with too few trials are left out."""
    return [
        {"stage": stage.name, "knobs": [{**asdict(each), "matters": each.matters} for each in knobs]}
        for stage, knobs in zip(stages, found, strict=True)
        if knobs
    ]
