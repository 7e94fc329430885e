"""The edge alarm: "this best cross-validation result is worrying. Why?"

Because the best value sits at the border of the range that was searched, in the scale of the search, and
the optimum may well lie outside. An alarm that was followed once, in vain, rings no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from babysit.recipe.limits import is_natural_limit, within_limits
from babysit.recipe.space import Numeric, Space, number, searched
from babysit.records import Edge, Result
from babysit.tuning.ranking import Round, grouped, noise, noise_text, ranked, top_set

EDGE_SHARE = 0.05
"""How near to an edge, as a share of the range in its scale, raises the alarm."""

NEAR_SHARE = 0.1
"""The outer share of the range in which the best trials beside the very best are counted."""


def edge_alarms(best: Result, box: Space, top: Sequence[Result] = ()) -> list[Edge]:
    """The hyperparameters whose best value sits near an edge of the box it was drawn from.

    A bound that is a natural limit (0 of a linear range, 1 of a whole number, what a range itself calls one)
    raises no alarm: there is nothing beyond it to search.

    Args:
        best: the best trial with its run.
        box: the ranges of that trial's stage.
        top: the best trials of that stage, this one among them, to count how many sit there.

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

    Source: CS231n lecture 6, 'Hyperparameter Optimization: now run finer search':
    53.1% at 9.47e-4 of a range that ends at 1e-3.
    """
    alarms = (
        _alarm(name, float(best.trial.hyperparameters[name]), found, values_of(name, top))
        for name, found in searched(box).items()
        if name in best.trial.hyperparameters  # a conditional one need not be
    )
    return [alarm for alarm in alarms if alarm is not None]


def values_of(name: str, results: Sequence[Result]) -> list[float]:
    """The values of a numeric hyperparameter, of the trials that have it."""
    return [float(hp[name]) for result in results if name in (hp := result.trial.hyperparameters)]


def _alarm(name: str, value: float, found: Numeric, top: Sequence[float]) -> Edge | None:
    position = found.position(value)
    side = "lower" if position < EDGE_SHARE else "upper" if position > 1 - EDGE_SHARE else ""
    if not side or is_natural_limit(name, side, found):
        return None
    near = sum(_depth(found, other, side) < NEAR_SHARE for other in top)
    low, high = _proposal(name, position, found)
    message = (
        f"the best {name}, {number(value)}, sits at {position:.1%} of its range "
        f"({number(found.low)} to {number(found.high)}, {found.scale} scale), next to the {side} edge"
        f"{_company(near, len(top), side, found.scale)}: the optimum may lie outside"
    )
    bounds = (found.low, found.high, found.scale, low, high)
    return Edge(name, value, position, side, *bounds, message, near, len(top))


def _depth(found: Numeric, value: float, side: str) -> float:
    """How far inside an edge a value lies, as a share of the range; below 0 outside."""
    position = found.position(value)
    return position if side == "lower" else 1 - position


def _company(near: int, top: int, side: str, scale: str) -> str:
    """How many of the best sit there too; one alone may be there by chance."""
    if top < 2:
        return ""
    where = f"the {'first' if side == 'lower' else 'last'} {NEAR_SHARE:.0%} of its {scale} range"
    if near <= 1:
        return f" (of the {top} best it alone lies in {where}, which may be chance)"
    return f" ({near} of the {top} best lie in {where})"


def _proposal(name: str, position: float, found: Numeric) -> tuple[float, float]:
    """A range of the same width with the best value in its middle, within what makes sense."""
    low, high = float(found.at(position - 0.5)), float(found.at(position + 0.5))
    return within_limits(name, found, _round(low), _round(high))


def _round(value: float) -> float:
    return float(f"{value:.3g}")


@dataclass(frozen=True, slots=True)
class Vain:
    """An edge beyond which a stage looked, and found nothing better.

    Attributes:
        name: the hyperparameter.
        side: "lower" or "upper".
        bound: where the edge was.
        reason: what came of it, in words.
    """

    name: str
    side: str
    bound: float
    reason: str

    def silences(self, edge: Edge) -> bool:
        """True for an alarm at this edge or farther out; one farther in is another matter."""
        if (edge.name, edge.side) != (self.name, self.side):
            return False
        return edge.low <= self.bound if edge.side == "lower" else edge.high >= self.bound


def vain_widenings(rounds: Sequence[Round], examples: int, given: int = 0) -> list[Vain]:
    """The edges that raised an alarm, beyond which the next stage tried something, and gained nothing.

    Nothing is gained where the stage's best is not better than the best of the stage before, or where no
    trial beyond the edge is better than those within, by more than one standard error. The second is the
    fairer question when the stages train for different numbers of epochs.

    Args:
        rounds: the stages that were run, in their order.
        examples: validation examples behind a score.
        given: how many of them were asked for, the rest being repetitions; 0 is all.
    """
    return [
        vain
        for index in range(1, len(rounds))
        for vain in _vain(grouped(rounds[:index], given)[-1], rounds[index], examples)
    ]


def _vain(before: Round, after: Round, examples: int) -> list[Vain]:
    best = ranked(before.results)[:1]
    alarms = edge_alarms(best[0], before.box) if best else []
    return [
        Vain(edge.name, edge.side, edge.low if edge.side == "lower" else edge.high, reason)
        for edge in alarms
        if (reason := _in_vain(edge, best[0], after, examples))
    ]


def _in_vain(edge: Edge, best: Result, after: Round, examples: int) -> str:
    """Why a stage's look beyond an edge was in vain; empty where it was not, or where it did not look."""
    beyond = [result for result in after.results if _lies_beyond(edge, result)]
    if not beyond:
        return ""
    bound = number(edge.low if edge.side == "lower" else edge.high)
    trials = "the trial" if len(beyond) == 1 else f"the {len(beyond)} trials"
    there, here = ranked(beyond), ranked([result for result in after.results if result not in beyond])
    if not there:
        return f"{trials} beyond {bound} did not complete"
    reached = max(result.score for result in (*there[:1], *here[:1]))
    if reached - best.score <= noise(best.score, examples):
        return _no_better(f"a stage that went beyond {bound}", reached, best.score, examples)
    if here and there[0].score - here[0].score <= noise(here[0].score, examples):
        return _no_better(f"{trials} beyond {bound}", there[0].score, here[0].score, examples)
    return ""


def _no_better(who: str, score: float, other: float, examples: int) -> str:
    shown = f"{number(abs(score))} against {number(abs(other))}"
    return f"{who} came to {shown}, no better by more than {noise_text(other, examples)}"


def _lies_beyond(edge: Edge, result: Result) -> bool:
    value = result.trial.hyperparameters.get(edge.name)
    if value is None:
        return False
    return float(value) < edge.low if edge.side == "lower" else float(value) > edge.high


def alarms_of(rounds: Sequence[Round], examples: int, given: int = 0) -> list[Edge]:
    """The alarms on the best trial of a search; those that a vain widening silenced say why.

    Args:
        rounds: the stages that were run, in their order.
        examples: validation examples behind a score.
        given: how many of them were asked for, the rest being repetitions; 0 is all.
    """
    best = ranked([result for each in rounds for result in each.results])[:1]
    home = next((each for each in grouped(rounds, given) if best and best[0] in each.results), None)
    if home is None:
        return []
    found = edge_alarms(best[0], home.box, top_set(home.results, examples))
    return silence(found, vain_widenings(rounds, examples, given))


def silence(alarms: Sequence[Edge], vain: Sequence[Vain]) -> list[Edge]:
    """The alarms, each with the reason for its silence where there is one."""
    reasons = [next((each.reason for each in vain if each.silences(edge)), "") for edge in alarms]
    return [replace(edge, silenced=reason) for edge, reason in zip(alarms, reasons, strict=True)]
