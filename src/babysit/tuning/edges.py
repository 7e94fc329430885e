"""The edge alarm: the best value of a hyperparameter sits at the border of its searched range.

The optimum may lie outside that range, in the scale of the search. An alarm that was followed once without
gain is silenced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from babysit.recipe.limits import is_natural_limit, within_limits
from babysit.recipe.space import Numeric, Space, number, searched
from babysit.records import Edge, Result, State
from babysit.tuning.ranking import Round, best, grouped, is_conclusive, noise, noise_text, ranked, top_set

EDGE_SHARE = 0.05
"""A best value within this share of the range, in its scale, raises the alarm."""

NEAR_SHARE = 0.1
"""The outer share of the range in which the other best trials are counted."""


def edge_alarms(best: Result, box: Space, top: Sequence[Result] = ()) -> list[Edge]:
    """Finds the hyperparameters whose best value sits near an edge of the box it was drawn from.

    A bound that is a natural limit (0 of a linear range, 1 of a whole number, or a limit that the range
    declares) raises no alarm: there is nothing beyond it to search. Neither does a trial that did not train
    to its end with its own hyperparameters.

    Args:
        best: the best trial with its run.
        box: the ranges of that trial's stage.
        top: the best trials of that stage, including this one, of which those near the edge are counted.

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
    if not is_conclusive(best):
        return []
    alarms = (
        _alarm(name, float(best.trial.hyperparameters[name]), found, values_of(name, top))
        for name, found in searched(box).items()
        if name in best.trial.hyperparameters  # a conditional one may be absent
    )
    return [alarm for alarm in alarms if alarm is not None]


def values_of(name: str, results: Sequence[Result]) -> list[float]:
    """Returns the values of a numeric hyperparameter, of the trials that have it."""
    return [float(hp[name]) for result in results if name in (hp := result.trial.hyperparameters)]


def _alarm(name: str, value: float, found: Numeric, top: Sequence[float]) -> Edge | None:
    position = found.position(value)
    side = "lower" if position < EDGE_SHARE else "upper" if position > 1 - EDGE_SHARE else ""
    if not side or is_natural_limit(name, side, found):
        return None

    depths = [found.position(other) if side == "lower" else 1 - found.position(other) for other in top]
    near = sum(depth < NEAR_SHARE for depth in depths)
    where = f"the {'first' if side == 'lower' else 'last'} {NEAR_SHARE:.0%} of its {found.scale} range"
    if len(top) < 2:
        others = ""
    elif near <= 1:
        others = f" (of the {len(top)} best it alone lies in {where}, which may be chance)"
    else:
        others = f" ({near} of the {len(top)} best lie in {where})"
    message = (
        f"the best {name}, {number(value)}, sits at {position:.1%} of its range "
        f"({number(found.low)} to {number(found.high)}, {found.scale} scale), next to the {side} edge"
        f"{others}: the optimum may lie outside"
    )

    # A range of the same width, with the best value in its middle.
    proposal = [float(f"{float(found.at(position + half)):.3g}") for half in (-0.5, 0.5)]
    low, high = within_limits(name, found, *proposal)
    bounds = (found.low, found.high, found.scale, low, high)
    return Edge(name, value, position, side, *bounds, message, near, len(top))


@dataclass(frozen=True, slots=True)
class FruitlessWidening:
    """An edge beyond which a stage searched without finding anything better.

    Attributes:
        name: the hyperparameter.
        side: "lower" or "upper".
        bound: the value at the edge.
        reason: the result beyond it, in words.
    """

    name: str
    side: str
    bound: float
    reason: str

    def silences(self, edge: Edge) -> bool:
        """Returns True for an alarm at this edge or farther out."""
        if (edge.name, edge.side) != (self.name, self.side):
            return False
        return edge.low <= self.bound if edge.side == "lower" else edge.high >= self.bound


def fruitless_widenings(rounds: Sequence[Round], examples: int, given: int = 0) -> list[FruitlessWidening]:
    """Finds the edges that raised an alarm, beyond which the next stage searched and gained nothing.

    Nothing is gained where the stage's best is not better than the best of the stage before, or where no
    trial beyond the edge is better than those within, by more than one standard error. The second comparison
    is the fairer one when the stages train for different numbers of epochs.

    Args:
        rounds: the stages that were run, in their order.
        examples: validation examples behind a score.
        given: the number of stages that were requested, the rest being repetitions; 0 is all.
    """
    found = []
    for index in range(1, len(rounds)):
        before, after = grouped(rounds[:index], given)[-1], rounds[index]
        first = best(before.results)
        if first is None:
            continue
        for edge in edge_alarms(first, before.box):
            bound = edge.low if edge.side == "lower" else edge.high
            if reason := _no_gain(edge, bound, first, after, examples):
                found.append(FruitlessWidening(edge.name, edge.side, bound, reason))
    return found


def _no_gain(edge: Edge, bound: float, before: Result, after: Round, examples: int) -> str:
    """Describes why a stage gained nothing beyond an edge; empty where it did, or did not search there."""

    def is_beyond(result: Result) -> bool:
        value = result.trial.hyperparameters.get(edge.name)
        if value is None:
            return False
        return float(value) < bound if edge.side == "lower" else float(value) > bound

    def no_better(subject: str, score: float, other: float) -> str:
        shown = f"{number(abs(score))} against {number(abs(other))}"
        return f"{subject} came to {shown}, no better by more than {noise_text(other, examples)}"

    ended = [result for result in after.results if result.run.state not in (State.WAITING, State.RUNNING)]
    beyond = [result for result in ended if is_beyond(result)]
    if not beyond:
        return ""
    trials = "the trial" if len(beyond) == 1 else f"the {len(beyond)} trials"
    there, here = ranked(beyond), ranked([result for result in ended if not is_beyond(result)])
    if not there:
        return f"{trials} beyond {number(bound)} did not complete"
    reached = max(result.score for result in (*there[:1], *here[:1]))
    if reached - before.score <= noise(before.score, examples):
        return no_better(f"a stage that went beyond {number(bound)}", reached, before.score)
    if here and there[0].score - here[0].score <= noise(here[0].score, examples):
        return no_better(f"{trials} beyond {number(bound)}", there[0].score, here[0].score)
    return ""


def alarms_of(rounds: Sequence[Round], examples: int, given: int = 0) -> list[Edge]:
    """Returns the alarms on the best trial of a search; silenced ones carry the reason.

    Args:
        rounds: the stages that were run, in their order.
        examples: validation examples behind a score.
        given: the number of stages that were requested, the rest being repetitions; 0 is all.
    """
    first = best(result for each in rounds for result in each.results)
    home = next((each for each in grouped(rounds, given) if first in each.results), None)
    if first is None or home is None:
        return []
    found = edge_alarms(first, home.box, top_set(home.results, examples))
    return silence(found, fruitless_widenings(rounds, examples, given))


def silence(alarms: Sequence[Edge], fruitless: Sequence[FruitlessWidening]) -> list[Edge]:
    """Returns the alarms, each with the reason for its silence where there is one."""
    reasons = [next((each.reason for each in fruitless if each.silences(edge)), "") for edge in alarms]
    return [replace(edge, silenced=reason) for edge, reason in zip(alarms, reasons, strict=True)]
