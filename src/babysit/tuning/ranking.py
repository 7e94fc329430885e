"""The order of the results of a search: the best one, and those that tie with it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from babysit.recipe.space import Choice, Numeric, Plain, Range, Space, When, plain
from babysit.records import Result, State


class Round(NamedTuple):
    """One stage that was run: its box and the results of its trials."""

    box: Space
    results: Sequence[Result]


def grouped(rounds: Sequence[Round], given: int = 0) -> list[Round]:
    """Merges the repetitions of the last requested stage with it, since they have the same budget.

    Judged alone, a repetition would see only its own small box. It would narrow down on the first good
    place, or move in small steps where the best lies outside.

    Args:
        rounds: the stages that were run, in their order.
        given: the number of stages that were requested; 0 is all.
    """
    if not given or len(rounds) <= given:
        return list(rounds)
    repeated = rounds[given - 1 :]
    box = {name: _hull([each.box[name] for each in repeated]) for name in repeated[0].box}
    return [*rounds[: given - 1], Round(box, [result for each in repeated for result in each.results])]


def _hull(ranges: Sequence[Range]) -> Range:
    """Returns the smallest range that contains some narrowings and widenings of one range."""
    bare = [plain(found) for found in ranges]
    numeric = [found for found in bare if isinstance(found, Numeric)]
    whole: Plain = bare[-1]
    if numeric:
        low, high = min(found.low for found in numeric), max(found.high for found in numeric)
        whole = replace(numeric[0], low=low, high=high)
    elif isinstance(bare[0], Choice):
        whole = bare[0]  # a later stage only removes options
    return replace(ranges[0], range=whole) if isinstance(ranges[0], When) else whole


def unchanged(results: Sequence[Result]) -> list[Result]:
    """Returns the results of trials whose learning rate the user did not change while they trained.

    A changed trial says nothing about the learning rate that was drawn for it. No box, alarm or importance
    may rest on it.
    """
    return [result for result in results if not result.run.is_touched]


def is_conclusive(result: Result) -> bool:
    """Returns True for a complete trial that trained with the hyperparameters that were drawn for it."""
    return result.run.state is State.COMPLETE and not result.run.is_touched


def state_class(state: State) -> int:
    """Returns the class of a trial by its state: one of a lower class is better, whatever its score."""
    return {State.COMPLETE: 0, State.RUNNING: 0, State.STOPPED: 1, State.PRUNED: 1}.get(state, 2)


def best(results: Iterable[Result]) -> Result | None:
    """Returns the best trial: the one with the highest score, of equal ones the first drawn.

    Complete and running trials with unchanged hyperparameters come first. Only if none of them has a score
    is it a trial that the user changed, then one that was stopped or pruned, then one that failed.

    Returns:
        None where no trial has a score.

    Example:
        >>> from babysit.records import Reading, Run, Trial
        >>> def result(number, state, score):
        ...     return Result(Trial(0, number, {}), Run(state, (Reading(1, 9, 1.0, score, score, 0.1),)))
        >>> results = [result(0, State.STOPPED, 0.9), result(1, State.COMPLETE, 0.5)]
        >>> best(results).trial.key, best(results[:1]).trial.key
        ((0, 1), (0, 0))
    """

    def place(result: Result) -> tuple[int, bool, float, tuple[int, int]]:
        run = result.run
        return state_class(run.state), run.is_touched, -result.score, result.trial.key

    return min((result for result in results if math.isfinite(result.score)), key=place, default=None)


def best_first(results: Sequence[Result]) -> list[Result]:
    """Returns results in the order of a table: the best trial, then the others by falling score.

    Trials that the user changed come after the unchanged ones, those without a score last.
    """
    first = best(results)

    def place(result: Result) -> tuple[bool, int, float, tuple[int, int]]:
        order = int(result.run.is_touched) if math.isfinite(result.score) else 2
        return result is not first, order, -result.score, result.trial.key

    return sorted(results, key=place)


def ranked(results: Sequence[Result]) -> list[Result]:
    """Returns the complete results, best first; equal scores in the order in which they were drawn.

    Trials that the user changed are left out, unless there are no others. Where no trial is complete because
    the time was up, the stopped ones are returned.
    """
    chosen = [result for result in results if result.run.state is State.COMPLETE]
    chosen = chosen or [r for r in results if r.run.state is State.STOPPED and r.run.best is not None]
    return sorted(unchanged(chosen) or chosen, key=lambda result: (-result.score, result.trial.key))


def standard_error(score: float, examples: int) -> float:
    """Returns the standard error of an accuracy over n examples, sqrt(p (1 - p) / n).

    Example:
        >>> round(standard_error(0.531, 1000), 4)
        0.0158
    """
    return math.sqrt(max(score * (1 - score), 0.0) / examples) if 0 <= score <= 1 else 0.0


def error_of(result: Result, examples: int) -> float:
    """Returns the standard error of a result's score: over its folds, or else of its accuracy.

    Args:
        result: the result.
        examples: validation examples behind the score.
    """
    return result.fold_error if result.run.folds else standard_error(result.score, examples)


_SHARE_OF_LOSS = 0.01


def noise(score: float, examples: int) -> float:
    """Returns the smallest rise that counts as better: one standard error, or a hundredth of a loss.

    Example:
        >>> round(noise(0.531, 1000), 4), noise(-4.0, 1000)
        (0.0158, 0.04)
    """
    return standard_error(score, examples) if score >= 0 else -score * _SHARE_OF_LOSS


def noise_text(score: float, examples: int) -> str:
    """Describes the smallest rise that counts as better.

    Example:
        >>> noise_text(0.531, 1000), noise_text(-4.0, 1000)
        ('one standard error (0.0158)', '1% of the loss')
    """
    return "1% of the loss" if score < 0 else f"one standard error ({noise(score, examples):.3g})"


def ties(results: Sequence[Result], examples: int) -> list[Result]:
    """Returns the best result and all within one standard error of it.

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
    """Returns the ties for the best, but at least 5 trials; of fewer than 20 a quarter, but at least 3."""
    order = ranked(results)
    # Five of a hundred trials are all good; five of eleven would include mediocre ones.
    least = min(_LEAST_TOP, max(_FEWEST, len(order) // 4))
    return order[: max(least, len(ties(results, examples)))]
