"""Coarse to fine: the budget of each stage, its trials, and how the next box comes from the last."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from babysit.errors import SpaceError
from babysit.recipe.limits import within_limits
from babysit.recipe.space import Choice, Fixed, Numeric, Plain, Range, Space, When, number, sample
from babysit.records import Result, State, Trial, Value
from babysit.search.edges import edge_alarms
from babysit.seeding import numpy_generator

FINAL = "final"
"""The stage of this name retrains the best trials instead of drawing new ones."""


class Budget(NamedTuple):
    """What one stage may cost: its name, how many trials, how many epochs each."""

    name: str
    trials: int
    epochs: int


def parse_stages(text: str) -> list[Budget]:
    """Reads "coarse:100x5,fine:50x10,final:1x30".

    Raises:
        SpaceError: when it cannot be read.

    Example:
        >>> parse_stages("coarse:100x5,final:1x30")
        [Budget(name='coarse', trials=100, epochs=5), Budget(name='final', trials=1, epochs=30)]
    """
    budgets = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([A-Za-z][\w-]*)\s*:\s*(\d+)\s*x\s*(\d+)\s*", part)
        if match is None or int(match[2]) < 1 or int(match[3]) < 1:
            raise SpaceError(
                f"cannot read the stage {part.strip()!r}",
                cure="write name:TRIALSxEPOCHS, e.g. --stages coarse:100x5,fine:50x10,final:1x30",
            )
        budgets.append(Budget(match[1], int(match[2]), int(match[3])))
    names = [budget.name for budget in budgets]
    if len(set(names)) < len(names):
        raise SpaceError(f"two stages of {text!r} have the same name", cure="name each stage differently")
    if FINAL in names[:-1] or names == [FINAL]:
        raise SpaceError("the stage 'final' must come last, after another", cure="put a coarse stage first")
    return budgets


def draw_trials(
    space: Space, *, stage: int, count: int, seed: int, enqueue: Sequence[Mapping[str, Value]] = ()
) -> list[Trial]:
    """The trials of a stage; trial n is the same whatever the count and whoever trains it.

    Args:
        space: the stage's box.
        stage: its index.
        count: how many trials.
        seed: the one seed.
        enqueue: points that the first trials take; what a point leaves out is drawn.

    Example:
        >>> from babysit.recipe.space import log_uniform
        >>> box = {"l2": log_uniform(1e-3, 1)}
        >>> draw_trials(box, stage=0, count=5, seed=0)[:2] == draw_trials(box, stage=0, count=2, seed=0)
        True
    """
    points = [*enqueue[:count], *({} for _ in range(count - len(enqueue)))]
    return [
        Trial(stage, number, sample(space, numpy_generator(seed, "trial", stage, number), point))
        for number, point in enumerate(points)
    ]


def ranked(results: Sequence[Result]) -> list[Result]:
    """The complete results, best first; equal scores in the order they were drawn."""
    complete = [result for result in results if result.run.state is State.COMPLETE]
    return sorted(complete, key=lambda result: (-result.score, result.trial.key))


def standard_error(score: float, examples: int) -> float:
    """The standard error of an accuracy measured on so many examples, sqrt(p (1 - p) / n).

    Example:
        >>> round(standard_error(0.531, 1000), 4)
        0.0158
    """
    return math.sqrt(max(score * (1 - score), 0.0) / examples) if 0 <= score <= 1 else 0.0


def ties(results: Sequence[Result], examples: int) -> list[Result]:
    """The best result and all within one standard error of it: a set, not a winner.

    Source: CS231n lecture 6, row 104: 0.531 beside 0.530 on 1,000 images is a tie.
    """
    order = ranked(results)
    if not order:
        return []
    floor = order[0].score - standard_error(order[0].score, examples)
    return [result for result in order if result.score >= floor]


_MARGIN = 0.1
_LEAST_TOP = 5
_FEWEST = 3


def next_box(results: Sequence[Result], box: Space, examples: int) -> tuple[dict[str, Range], str]:
    """The box round the best results of a stage, for the next one.

    The top set is everything within one standard error of the best, but at least 5 trials (a quarter of the
    complete ones, and never under 3, where they are few). Its extent in each range, in the range's scale, is
    padded by a tenth of the range (a quarter of the extent if that is more) and clipped to the range, except
    beyond an edge that raised the alarm. Of a choice, the options that occur in the top set remain.

    Args:
        results: the stage's results.
        box: the stage's ranges.
        examples: validation examples behind a score.

    Returns:
        The new box, and the reason for it in words. Without a complete trial the box stays as it is.
    """
    order = ranked(results)
    if not order:
        return dict(box), "no trial completed: the same box again"
    # Five of a hundred are the best; five of eleven would bring the mediocre in.
    least = min(_LEAST_TOP, max(_FEWEST, len(order) // 4))
    top = order[: max(least, len(ties(results, examples)))]
    alarmed = {(edge.name, edge.side) for edge in edge_alarms(order[0], box)}
    narrowed = {name: _narrow(name, found, top, alarmed) for name, found in box.items()}
    reason = (
        f"round the {len(top)} best of {len(results)} "
        f"(validation {_what(top[0])} {number(abs(top[-1].score))} to {number(abs(top[0].score))})"
    )
    widened = [f"{name} beyond its {side} edge" for name, side in sorted(alarmed)]
    return narrowed, reason + (f"; widened: {', '.join(widened)}" if widened else "")


def _what(result: Result) -> str:
    """Scores are accuracies, or minus losses."""
    return "accuracies" if result.score >= 0 else "losses"


def _narrow(name: str, found: Range, top: Sequence[Result], alarmed: set[tuple[str, str]]) -> Range:
    values = [hp[name] for result in top if name in (hp := result.trial.hyperparameters)]
    if isinstance(found, When):
        return replace(found, range=_narrow_plain(name, found.range, values, alarmed)) if values else found
    return _narrow_plain(name, found, values, alarmed)


def _narrow_plain(name: str, found: Plain, values: Sequence[Value], alarmed: set[tuple[str, str]]) -> Plain:
    if isinstance(found, Fixed):
        return found
    if isinstance(found, Choice):
        return Choice(tuple(option for option in found.options if option in values))
    positions = [found.position(float(value)) for value in values]
    low, high = min(positions), max(positions)
    pad = max(_MARGIN, 0.25 * (high - low))
    low = low - pad if (name, "lower") in alarmed else max(low - pad, 0.0)
    high = high + pad if (name, "upper") in alarmed else min(high + pad, 1.0)
    return _between(name, found, low, high)


def _between(name: str, found: Numeric, low: float, high: float) -> Plain:
    bounds = [_rounded(found, position, low, high) for position in (low, high)]
    lowest, highest = within_limits(name, found, *bounds)
    if lowest >= highest:
        return Fixed(int(lowest) if found.whole else lowest)
    return replace(found, low=lowest, high=highest)


def _rounded(found: Numeric, position: float, low: float, high: float) -> float:
    """A bound as people write it, unless so few digits would move it by a hundredth of the new width."""
    exact = float(found.at(position))
    rounded = float(f"{exact:.3g}")
    if 0 <= position <= 1:
        rounded = min(max(rounded, found.low), found.high)
    moved = abs(found.position(rounded) - position)
    return exact if found.whole or found.step or moved > 0.01 * (high - low) else rounded
