"""Which results are best, and which of them cannot be told apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from babysit.recipe.space import Choice, Numeric, Plain, Range, Space, When, plain
from babysit.records import Result, State


class Round(NamedTuple):
    """One stage that was run: its box and what came of its trials."""

    box: Space
    results: Sequence[Result]


def grouped(rounds: Sequence[Round], given: int = 0) -> list[Round]:
    """The stages, the last given one and all its repetitions taken as one: they have the same budget.

    Judged by itself, every repetition would see only its own small box: it would narrow down on the first
    good place, and creep along where the best lies outside.

    Args:
        rounds: the stages that were run, in their order.
        given: how many of them were asked for; 0 is all.
    """
    if not given or len(rounds) <= given:
        return list(rounds)
    repeated = rounds[given - 1 :]
    box = {name: _hull([each.box[name] for each in repeated]) for name in repeated[0].box}
    return [*rounds[: given - 1], Round(box, [result for each in repeated for result in each.results])]


def _hull(ranges: Sequence[Range]) -> Range:
    """The smallest range that holds some narrowings and widenings of one range."""
    bare = [plain(found) for found in ranges]
    numeric = [found for found in bare if isinstance(found, Numeric)]
    whole: Plain = bare[-1]
    if numeric:
        low, high = min(found.low for found in numeric), max(found.high for found in numeric)
        whole = replace(numeric[0], low=low, high=high)
    elif isinstance(bare[0], Choice):
        whole = bare[0]  # options only ever go
    return replace(ranges[0], range=whole) if isinstance(ranges[0], When) else whole


def as_tried(results: Sequence[Result]) -> list[Result]:
    """The results of trials that trained with their own hyperparameters from end to end.

    One whose learning rate was changed by hand says nothing of the rate it was drawn with, so no box, no
    alarm and no importance may rest on it.
    """
    return [result for result in results if not result.run.is_touched]


def ranked(results: Sequence[Result]) -> list[Result]:
    """The complete results, best first; equal scores in the order they were drawn.

    Trials that were touched are left out, unless there are no others. Where none is complete because the
    time was up, those that were stopped half-way.
    """
    complete = [result for result in results if result.run.state is State.COMPLETE]
    complete = as_tried(complete) or complete
    complete = complete or [r for r in results if r.run.state is State.STOPPED and r.run.best is not None]
    return sorted(complete, key=lambda result: (-result.score, result.trial.key))


def standard_error(score: float, examples: int) -> float:
    """The standard error of an accuracy measured on so many examples, sqrt(p (1 - p) / n).

    Example:
        >>> round(standard_error(0.531, 1000), 4)
        0.0158
    """
    return math.sqrt(max(score * (1 - score), 0.0) / examples) if 0 <= score <= 1 else 0.0


def error_of(result: Result, examples: int) -> float:
    """The standard error of a result's score: over its folds, else of an accuracy on so many examples.

    Args:
        result: the result.
        examples: validation examples behind the score.
    """
    return result.fold_error if result.run.folds else standard_error(result.score, examples)


_SHARE_OF_LOSS = 0.01


def noise(score: float, examples: int) -> float:
    """What a score must rise by to be better: one standard error, or a hundredth of a loss.

    Example:
        >>> round(noise(0.531, 1000), 4), noise(-4.0, 1000)
        (0.0158, 0.04)
    """
    return standard_error(score, examples) if score >= 0 else -score * _SHARE_OF_LOSS


def noise_text(score: float, examples: int) -> str:
    """The same in words.

    Example:
        >>> noise_text(0.531, 1000), noise_text(-4.0, 1000)
        ('one standard error (0.0158)', '1% of the loss')
    """
    return "1% of the loss" if score < 0 else f"one standard error ({noise(score, examples):.3g})"


def ties(results: Sequence[Result], examples: int) -> list[Result]:
    """The best result and all within one standard error of it: a set, not a winner.

    Source: CS231n lecture 6, 'Hyperparameter Optimization: now run finer search':
    0.531 beside 0.530 on 1,000 images is a tie.
    """
    order = ranked(results)
    if not order:
        return []
    floor = order[0].score - error_of(order[0], examples)
    return [result for result in order if result.score >= floor]


_LEAST_TOP = 5
_FEWEST = 3


def top_set(results: Sequence[Result], examples: int) -> list[Result]:
    """The ties for the best, but at least 5 trials: a quarter of the complete ones, never under 3, of few."""
    order = ranked(results)
    # Five of a hundred are the best; five of eleven would bring the mediocre in.
    least = min(_LEAST_TOP, max(_FEWEST, len(order) // 4))
    return order[: max(least, len(ties(results, examples)))]
