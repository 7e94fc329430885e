"""Advice at the end of a search: more trials, more epochs, other ranges, or nothing more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from babysit.recipe.space import Numeric, number, searched
from babysit.records import Edge, Result, State, score
from babysit.tuning.edges import values_of
from babysit.tuning.ranking import Round, error_of, noise, noise_text, ranked, ties, top_set
from babysit.tuning.stages import repetition_reason


def advice(
    rounds: Sequence[Round],
    names: Sequence[str],
    examples: int,
    equals: Sequence[Result],
    edges: Sequence[Edge],
    *,
    given: int = 0,
) -> list[str]:
    """Says what to do next, in sentences; the edge alarms carry their own advice.

    Args:
        rounds: the stages that were run, in their order.
        names: their names.
        examples: validation examples behind a score.
        equals: the best result and those that tie with it.
        edges: the alarms that are not silenced.
        given: the number of stages that were requested, the rest being repetitions; 0 is all.
    """
    home = next((each for each in rounds if equals and equals[0] in each.results), None)
    if home is None:
        return ["no trial completed: lower the learning rate's upper bound a hundredfold, or run the checks"]
    is_settled = len(rounds) > 1 and not repetition_reason(rounds, examples, given)
    lines = [
        _on_equals(home, equals, examples),
        _on_explosions(rounds, names),
        _on_trials_and_epochs(home, edges, is_settled, examples),
    ]
    return [line for line in lines if line]


def _on_equals(home: Round, equals: Sequence[Result], examples: int) -> str:
    """Says how many trials tie, and the ranges that they cover: one that they fill did not matter."""
    if len(equals) < 2:
        return ""
    error = error_of(equals[0], examples)
    within = f" within one standard error ({error:.3g}) of" if error else " level with"
    folds = len(equals[0].run.folds)
    measured = f"{folds} folds" if folds else f"{examples} validation examples"
    values = {name: found for name in searched(home.box) if (found := values_of(name, equals))}
    covered = [f"{name} {number(min(found))} to {number(max(found))}" for name, found in values.items()]
    return f"{len(equals)} trials lie{within} the best on {measured}: a set of equals, not a winner" + (
        f" ({', '.join(covered)})" if covered else ""
    )


_WASTE = 0.1
_FEWEST_EXPLOSIONS = 3
_MOSTLY = 0.8


class _Cut(NamedTuple):
    """An upper bound that would have avoided explosions: of the ``trials`` above it ``exploded`` did."""

    name: str
    high: float
    exploded: int
    trials: int


def _on_explosions(rounds: Sequence[Round], names: Sequence[str]) -> str:
    """Says how many trials of a stage exploded, and which bound would have avoided it."""
    counts = [sum(result.run.state is State.EXPLODED for result in each.results) for each in rounds]
    worst = max(range(len(rounds)), key=lambda index: counts[index])
    stage, count = rounds[worst], counts[worst]
    if count < _FEWEST_EXPLOSIONS or count < _WASTE * len(stage.results):
        return ""
    wasted = (
        f"the ranges of stage {names[worst]} waste {count / len(stage.results):.0%} of its trials on "
        f"explosions ({count} of {len(stage.results)}): "
    )
    cuts = [cut for name in searched(stage.box) if (cut := _cut(stage, name))]
    cut = max(cuts, key=lambda cut: (cut.exploded, cut.name == "learning_rate"), default=None)
    if cut is None or 2 * cut.exploded < count:
        return wasted + "no single bound accounts for them; lower the learning rate's and the penalty's"
    old = searched(stage.box)[cut.name].high
    return wasted + (
        f"lower the upper bound of {cut.name} from {number(old)} to {number(cut.high)}; "
        f"above it {cut.exploded} of {cut.trials} trials exploded"
    )


def _cut(stage: Round, name: str) -> _Cut | None:
    """Finds the lowest bound above which nearly all trials explode, and that keeps every one of the best."""
    order = ranked(stage.results)
    kept, best = sorted(values_of(name, order)), values_of(name, order[: max(1, len(order) // 4)])
    burst = values_of(name, [result for result in stage.results if result.run.state is State.EXPLODED])
    for high in (value for value in kept if best and value >= max(best)):
        exploded = sum(value > high for value in burst)
        count = exploded + sum(value > high for value in kept)
        if count and exploded >= _MOSTLY * count:
            return _Cut(name, float(f"{high:.3g}"), exploded, count)
    return None


_FEWEST_EPOCHS = 3
_FLAT = 0.25
_FEWEST_TRIALS = 10


def _on_trials_and_epochs(home: Round, edges: Sequence[Edge], is_settled: bool, examples: int) -> str:
    """Says whether more epochs, more trials, other ranges or nothing more would help."""
    order, top = ranked(home.results), top_set(home.results, examples)
    is_long = all(len(result.run.readings) >= _FEWEST_EPOCHS for result in top)
    if is_long and (rising := _rising(top, examples)):
        return f"more epochs before more trials: {rising}"
    if edges:
        where = " and ".join(f"{edge.name} beyond its {edge.side} edge" for edge in edges)
        return f"more trials with {where}" + (
            "; the best have levelled off, so not more epochs" if is_long else ""
        )
    if is_settled:
        return (
            f"stop here: the last stage brought no more than {noise_text(top[0].score, examples)}, and no "
            "edge alarm remains; only a larger validation split could tell the equals apart"
        )
    if len(order) < _FEWEST_TRIALS:
        return ""
    if order[0].score - order[1].score > noise(order[0].score, examples):
        return (
            f"more trials round the best: the next one is at {number(abs(order[1].score))}, farther off than "
            f"{noise_text(order[0].score, examples)}, so good choices are rare in these ranges"
        )
    equals = len(ties(home.results, examples))
    if equals >= _FLAT * len(order):
        return (
            f"the top is flat: {equals} of {len(order)} trials are equals, so more trials in these ranges "
            "bring no more; change what is fixed, e.g. the network, or enlarge the validation split"
        )
    # As many random points would lie as far apart in every range.
    extents = [_extent(found, values_of(name, top)) for name, found in searched(home.box).items()]
    if extents and all(extent >= (len(top) - 1) / (len(top) + 1) for extent in extents):
        return (
            f"more trials in the same ranges before narrowing: the {len(top)} best are scattered over them "
            "as if at random"
        )
    return ""


def _rising(top: Sequence[Result], examples: int) -> str:
    """Says that most of the best were still improving when they ended; empty where they were not."""
    span = [math.ceil(len(result.run.readings) / 3) for result in top]
    gains = [
        score(result.run.readings[-1]) - score(result.run.readings[-1 - count])
        for result, count in zip(top, span, strict=True)
    ]
    rising = sum(
        gain > 0 and result.run.best is result.run.last for gain, result in zip(gains, top, strict=True)
    )
    mean = sum(gains) / len(gains)
    if 2 * rising <= len(top) or mean <= noise(top[0].score, examples):
        return ""
    return (
        f"{rising} of the {len(top)} best were still improving at their last epoch, by {mean:.3g} on average "
        f"over the last {span[0]} of {len(top[0].run.readings)} epochs"
    )


def _extent(found: Numeric, values: Sequence[float]) -> float:
    positions = [found.position(value) for value in values]
    return max(positions) - min(positions) if positions else 0.0
