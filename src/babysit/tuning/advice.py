"""What the trials of a search add up to: alarms, equals, what mattered, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from babysit.recipe.space import Numeric, number, searched
from babysit.records import Edge, Reading, Result, State, score
from babysit.tuning.edges import alarms_of, values_of
from babysit.tuning.importance import Importance, importances
from babysit.tuning.ranking import Round, error_of, noise, noise_text, ranked, ties, top_set
from babysit.tuning.stages import unrest


@dataclass(frozen=True, slots=True)
class Judgement:
    """What to think of a search.

    Attributes:
        edges: alarms for a best value at an edge.
        silenced: alarms that ring no more, each with its reason.
        ties: the best result and all within one standard error of it, best first.
        importance: of each stage, how much every hyperparameter mattered in its box, the greatest first.
        advice: what to do next, in sentences; the alarms speak for themselves.
    """

    edges: tuple[Edge, ...]
    silenced: tuple[Edge, ...]
    ties: tuple[Result, ...]
    importance: tuple[tuple[Importance, ...], ...]
    advice: tuple[str, ...]


def judge(
    rounds: Sequence[Round], names: Sequence[str], examples: int, *, given: int = 0, fanova: bool = True
) -> Judgement:
    """Judges the stages that were run.

    Args:
        rounds: the stages, in their order.
        names: what they are called.
        examples: validation examples behind a score.
        given: how many of them were asked for, the rest being repetitions; 0 is all.
        fanova: ask Optuna for importances too, where it is installed.
    """
    alarms = alarms_of(rounds, examples, given)
    ringing = tuple(edge for edge in alarms if not edge.silenced)
    equals = ties([result for each in rounds for result in each.results], examples)
    home = next((each for each in rounds if equals and equals[0] in each.results), None)
    at_rest = len(rounds) > 1 and not unrest(rounds, examples, given)
    if home is None:
        told = ["no trial completed: lower the learning rate's upper bound a hundredfold, or run the checks"]
    else:
        told = [
            _equals(home, equals, examples),
            _explosions(rounds, names),
            _more_of_what(home, ringing, at_rest, examples),
        ]
    return Judgement(
        edges=ringing,
        silenced=tuple(edge for edge in alarms if edge.silenced),
        ties=tuple(equals),
        importance=tuple(tuple(importances(each, fanova=fanova)) for each in rounds),
        advice=tuple(line for line in told if line),
    )


def _equals(home: Round, equals: Sequence[Result], examples: int) -> str:
    if len(equals) < 2:
        return ""
    error = error_of(equals[0], examples)
    within = f" within one standard error ({error:.3g}) of" if error else " level with"
    folds = len(equals[0].run.folds)
    measured = f"{folds} folds" if folds else f"{examples} validation examples"
    return (
        f"{len(equals)} trials lie{within} the best on {measured}: a set of equals, "
        f"not a winner{_spread(home, equals)}"
    )


def _spread(home: Round, equals: Sequence[Result]) -> str:
    """Which ranges the equals cover: where one is wide, its knob did not matter."""
    covered = ((name, sorted(values_of(name, equals))) for name in searched(home.box))
    told = [f"{name} {number(values[0])} to {number(values[-1])}" for name, values in covered if values]
    return f" ({', '.join(told)})" if told else ""


_WASTE = 0.1
_FEWEST_EXPLOSIONS = 3
_MOSTLY = 0.8


class _Cut(NamedTuple):
    """An upper bound that would have spared explosions: of the ``trials`` above it ``exploded`` did."""

    name: str
    high: float
    exploded: int
    trials: int


def _explosions(rounds: Sequence[Round], names: Sequence[str]) -> str:
    """How much of a range's budget went into explosions, and the bound that would have spared them."""
    counts = [sum(result.run.state is State.EXPLODED for result in each.results) for each in rounds]
    worst = max(range(len(rounds)), key=lambda index: counts[index])
    stage, count = rounds[worst], counts[worst]
    if count < _FEWEST_EXPLOSIONS or count < _WASTE * len(stage.results):
        return ""
    wasted = (
        f"the ranges of stage {names[worst]} waste {count / len(stage.results):.0%} of its trials on "
        f"explosions ({count} of {len(stage.results)}): "
    )
    cut = _best_cut(stage)
    if cut is None or 2 * cut.exploded < count:
        return wasted + "no single bound accounts for them; lower the learning rate's and the penalty's"
    old = searched(stage.box)[cut.name].high
    return wasted + (
        f"lower the upper bound of {cut.name} from {number(old)} to {number(cut.high)}; "
        f"above it {cut.exploded} of {cut.trials} trials exploded"
    )


def _best_cut(stage: Round) -> _Cut | None:
    cuts = [cut for name in searched(stage.box) if (cut := _cut(stage, name))]
    return max(cuts, key=lambda cut: (cut.exploded, cut.name == "learning_rate"), default=None)


def _cut(stage: Round, name: str) -> _Cut | None:
    """The lowest bound above which nearly all trials explode, and that keeps every one of the best."""
    order = ranked(stage.results)
    kept, best = sorted(values_of(name, order)), values_of(name, order[: max(1, len(order) // 4)])
    burst = values_of(name, [result for result in stage.results if result.run.state is State.EXPLODED])
    for high in (value for value in kept if best and value >= max(best)):
        exploded = sum(value > high for value in burst)
        count = exploded + sum(value > high for value in kept)
        if count and exploded >= _MOSTLY * count:
            return _Cut(name, float(f"{high:.3g}"), exploded, count)
    return None


def _more_of_what(home: Round, ringing: Sequence[Edge], at_rest: bool, examples: int) -> str:
    """ "More trials or more epochs?" """
    top = top_set(home.results, examples)
    rising = _rising(top, examples)
    if rising:
        return f"more epochs before more trials: {rising}"
    if ringing:
        where = " and ".join(f"{edge.name} beyond its {edge.side} edge" for edge in ringing)
        levelled = "; the best have levelled off, so not more epochs" if _is_known(top) else ""
        return f"more trials with {where}{levelled}"
    if at_rest:
        return (
            f"stop here: the last stage brought no more than {noise_text(top[0].score, examples)}, and no "
            "edge alarm remains; only a larger validation split could tell the equals apart"
        )
    return _on_the_top(home, top, examples)


def _is_known(top: Sequence[Result]) -> bool:
    return all(len(result.run.readings) >= _FEWEST_EPOCHS for result in top)


_FEWEST_EPOCHS = 3


def _rising(top: Sequence[Result], examples: int) -> str:
    """Whether most of the best were still improving when they ended, in words; else empty."""
    if not _is_known(top):
        return ""
    span = [math.ceil(len(result.run.readings) / 3) for result in top]
    gains = [_gain(result.run.readings, count) for result, count in zip(top, span, strict=True)]
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


def _gain(readings: Sequence[Reading], epochs: int) -> float:
    return score(readings[-1]) - score(readings[-1 - epochs])


_FLAT = 0.25
_FEWEST_TRIALS = 10


def _on_the_top(home: Round, top: Sequence[Result], examples: int) -> str:
    """What the best of the best one's stage say of the trials round them."""
    order = ranked(home.results)
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
    if _is_scattered(home, top):
        return (
            f"more trials in the same ranges before narrowing: the {len(top)} best are scattered over them "
            "as if at random"
        )
    return ""


def _is_scattered(home: Round, top: Sequence[Result]) -> bool:
    """Whether the best lie no closer together than so many random points, in any of the ranges."""
    extents = [_extent(found, values_of(name, top)) for name, found in searched(home.box).items()]
    return bool(extents) and all(extent >= (len(top) - 1) / (len(top) + 1) for extent in extents)


def _extent(found: Numeric, values: Sequence[float]) -> float:
    positions = [found.position(value) for value in values]
    return max(positions) - min(positions) if positions else 0.0
