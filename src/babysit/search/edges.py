"""The edge alarm: "this best cross-validation result is worrying. Why?"

Because the best value sits at the border of the range that was searched, in the scale of the search, and
the optimum may well lie outside.
"""

from __future__ import annotations

from babysit.recipe.limits import is_natural_limit, within_limits
from babysit.recipe.space import Numeric, Space, number, searched
from babysit.records import Edge, Result

EDGE_SHARE = 0.05
"""How near to an edge, as a share of the range in its scale, raises the alarm."""


def edge_alarms(best: Result, box: Space) -> list[Edge]:
    """The hyperparameters whose best value sits near an edge of the box it was drawn from.

    A bound that is a natural limit (0 of a linear range, 1 of a whole number, what a range itself calls one)
    raises no alarm: there is nothing beyond it to search.

    Args:
        best: the best trial with its run.
        box: the ranges of that trial's stage.

    Returns:
        One alarm a hyperparameter, with a proposed range of the same width centred on the best value.

    Example:
        >>> from babysit.records import Run, State, Trial
        >>> from babysit.recipe.space import log_uniform
        >>> trial = Trial(1, 14, {"learning_rate": 9.471549e-4, "l2": 1.433895e-3})
        >>> best = Result(trial, Run(State.COMPLETE))
        >>> box = {"learning_rate": log_uniform(1e-4, 1e-3), "l2": log_uniform(1e-4, 1)}
        >>> [(edge.name, edge.side, round(edge.position, 3)) for edge in edge_alarms(best, box)]
        [('learning_rate', 'upper', 0.976)]

    Source: CS231n lecture 6, rows 101-103: 53.1% at 9.47e-4 of a range that ends at 1e-3.
    """
    alarms = (
        _alarm(name, float(best.trial.hyperparameters[name]), found)
        for name, found in searched(box).items()
        if name in best.trial.hyperparameters  # a conditional one need not be
    )
    return [alarm for alarm in alarms if alarm is not None]


def _alarm(name: str, value: float, found: Numeric) -> Edge | None:
    position = found.position(value)
    side = "lower" if position < EDGE_SHARE else "upper" if position > 1 - EDGE_SHARE else ""
    if not side or is_natural_limit(name, side, found):
        return None
    low, high = _proposal(name, position, found)
    message = (
        f"the best {name}, {number(value)}, sits at {position:.1%} of its range "
        f"({number(found.low)} to {number(found.high)}, {found.scale} scale), next to the {side} edge: "
        f"the optimum may lie outside. Search {number(low)} to {number(high)} next"
    )
    return Edge(name, value, position, side, found.low, found.high, found.scale, low, high, message)


def _proposal(name: str, position: float, found: Numeric) -> tuple[float, float]:
    """A range of the same width with the best value in its middle, within what makes sense."""
    low, high = float(found.at(position - 0.5)), float(found.at(position + 0.5))
    return within_limits(name, found, _round(low), _round(high))


def _round(value: float) -> float:
    return float(f"{value:.3g}")
