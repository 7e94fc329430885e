"""What a search came to: the best, its equals, alarms, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from babysit.recipe.building import Prepared
from babysit.recipe.space import number, searched
from babysit.records import Result
from babysit.search.search import Outcome
from babysit.search.stages import standard_error
from babysit.session.training import best_data


def summary(prepared: Prepared, found: Outcome, final: dict[str, Any] | None) -> dict[str, Any]:
    """The outcome as plain data, for the store, the report and the machine.

    Args:
        prepared: the recipe with its data.
        found: what the stages brought.
        final: what the last stage brought.
    """
    best, examples = found.best, len(prepared.dataset.val)
    ties = found.ties(examples)
    seconds = max(found.seconds, 1e-9)
    return {
        "best": None if best is None else best_data(best),
        "edges": [asdict(edge) for edge in found.edges()],
        "ties": [list(result.trial.key) for result in ties],
        "states": found.states(),
        "wall_seconds": found.seconds,
        "trial_steps_per_second": found.trained_steps / seconds,
        "final": final,
        "advice": _advice(prepared, found, ties, final),
    }


def _advice(
    prepared: Prepared, found: Outcome, ties: Sequence[Result], final: dict[str, Any] | None
) -> list[str]:
    """What to do next, in words; the edge alarms speak for themselves elsewhere."""
    if found.best is None:
        return ["no trial completed: lower the learning rate's upper bound a hundredfold, or run the checks"]
    advice = []
    if len(ties) > 1:
        error = standard_error(found.best.score, len(prepared.dataset.val))
        advice.append(
            f"{len(ties)} trials lie within one standard error ({error:.3f}) of the best on "
            f"{len(prepared.dataset.val)} validation examples: a set of equals, not a winner"
            f"{_spread(found, ties)}"
        )
    advice += [] if final is None else [f"{f['message']}: {f['advice']}" for f in final.get("findings", [])]
    return advice


def _spread(found: Outcome, ties: Sequence[Result]) -> str:
    """Which ranges the equals cover: where one is wide, its knob did not matter."""
    told = []
    for name in searched(found.boxes[ties[0].trial.stage]):
        values = sorted(float(hp[name]) for result in ties if name in (hp := result.trial.hyperparameters))
        if not values:
            continue
        told.append(f"{name} {number(values[0])} to {number(values[-1])}")
    return f" ({', '.join(told)})" if told else ""
