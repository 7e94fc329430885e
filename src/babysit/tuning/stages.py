"""Coarse to fine: the budget of each stage, its trials, and the next box from the last one's results."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from babysit.errors import InputError, SpaceError
from babysit.recipe.limits import within_limits
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import Choice, Fixed, Numeric, Plain, Range, Space, When, number, plain, sample
from babysit.records import Result, Trial, Value
from babysit.seeding import numpy_generator
from babysit.tuning.edges import FruitlessWidening, edge_alarms, fruitless_widenings, silence, values_of
from babysit.tuning.ranking import Round, grouped, noise, noise_text, top_set
from babysit.tuning.ranking import ranked as ranked
from babysit.tuning.ranking import standard_error as standard_error
from babysit.tuning.ranking import ties as ties
from babysit.tuning.settings import SearchSettings

FINAL = "final"
"""The stage of this name retrains the best trials instead of drawing new ones."""


MOST = 1_000_000
"""More trials or epochs than this are a typing error: drawn trials are kept in memory."""


class Budget(NamedTuple):
    """The budget of one stage: its name, its number of trials, and the epochs of each."""

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
        # Python itself refuses to read thousands of digits.
        if match is None or not all(len(match[at]) < 20 and 1 <= int(match[at]) <= MOST for at in (2, 3)):
            raise SpaceError(
                f"cannot read the stage {part.strip()!r}",
                fix="write name:TRIALSxEPOCHS, e.g. --stages coarse:100x5,fine:50x10,final:1x30, "
                f"numbers up to {MOST}",
            )
        budgets.append(Budget(match[1], int(match[2]), int(match[3])))
    names = [budget.name for budget in budgets]
    if len(set(names)) < len(names):
        raise SpaceError(f"two stages of {text!r} have the same name", fix="name each stage differently")
    if FINAL in names[:-1] or names == [FINAL]:
        raise SpaceError("the stage 'final' must come last, after another", fix="put a coarse stage first")
    return budgets


def budgets_of(recipe: Recipe, settings: SearchSettings) -> list[Budget]:
    """Returns the stages that the settings name, else the recipe's, else 100 coarse and 50 fine trials.

    Raises:
        InputError: for stages that cannot be read, or a first one with fewer trials than enqueued points.

    Example:
        >>> from babysit.recipe.loading import load_recipe
        >>> [budget.trials for budget in budgets_of(load_recipe("digits"), SearchSettings())]
        [100, 50, 1]
    """
    usual = f"coarse:100x{recipe.epochs},fine:50x{recipe.epochs}"
    budgets = parse_stages(settings.stages or recipe.stages or usual)
    if settings.trials > MOST:
        raise InputError(f"--trials {settings.trials} are too many", fix=f"ask for {MOST} at most")
    if settings.trials:
        last = max(index for index, budget in enumerate(budgets) if budget.name != FINAL)
        budgets[last] = budgets[last]._replace(trials=settings.trials)
    if len(recipe.enqueue) > budgets[0].trials:
        raise InputError(
            f"{len(recipe.enqueue)} points are enqueued, but the stage {budgets[0].name!r} has only "
            f"{budgets[0].trials} trials",
            fix="enqueue fewer points or give the first stage more trials, e.g. --stages coarse:40x5",
        )
    return budgets


def draw_trials(
    space: Space, *, stage: int, count: int, seed: int, enqueue: Sequence[Mapping[str, Value]] = ()
) -> list[Trial]:
    """Draws the trials of a stage; trial n is the same for every count and every engine.

    Args:
        space: the stage's box.
        stage: its index.
        count: number of trials.
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


_MARGIN = 0.1
_BEYOND = 0.25
_FEWEST = 3
_CHANCE = 0.05


def next_box(
    results: Sequence[Result], box: Space, examples: int, vain: Sequence[FruitlessWidening] = ()
) -> tuple[dict[str, Range], str]:
    """Returns the box round the best results of a stage, for the next one.

    The top set is everything within one standard error of the best, but at least 5 trials (a quarter of the
    complete ones, and never under 3, where they are few). Its extent in each range, in the range's scale, is
    padded by a tenth of the range (a quarter of the extent if that is more; one step at least) and clipped
    to the range. Beyond an edge that raised the alarm it is widened by a quarter of the range, unless that
    was in vain before. Of a choice, an option goes only on evidence: none of the best has it, and by chance
    its own best would come so late among all trials in fewer than one of twenty searches.

    Args:
        results: the stage's results.
        box: the stage's ranges.
        examples: validation examples behind a score.
        vain: edges that were widened in vain before.

    Returns:
        The new box, and the reason for it in words. Without a complete trial the box stays as it is.
    """
    order, top = ranked(results), top_set(results, examples)
    if not order:
        return dict(box), "no trial completed: the same box again"
    alarms = silence(edge_alarms(order[0], box), vain)
    alarmed = {(edge.name, edge.side) for edge in alarms if not edge.silenced}
    narrowed = {name: _narrow(name, found, results, top, alarmed) for name, found in box.items()}
    what = "accuracies" if top[0].score >= 0 else "losses"  # scores are accuracies, or minus losses
    words = [
        f"round the {len(top)} best of {len(results)} "
        f"(validation {what} {number(abs(top[-1].score))} to {number(abs(top[0].score))})"
    ]
    widened = [f"{name} beyond its {side} edge" for name, side in sorted(alarmed)]
    words += [f"widened: {', '.join(widened)}"] if widened else []
    words += [f"{e.name} not widened again: {e.silenced}" for e in alarms if e.silenced]
    for name, found in box.items():
        old, new = plain(found), plain(narrowed[name])
        if isinstance(old, Choice) and isinstance(new, Choice):
            gone = [str(option) for option in old.options if option not in new.options]
            words += [f"dropped: {name} {' and '.join(gone)}"] if gone else []
    return narrowed, "; ".join(words)


def _narrow(
    name: str, found: Range, results: Sequence[Result], top: Sequence[Result], alarmed: set[tuple[str, str]]
) -> Range:
    bare = plain(found)
    having = [result for result in results if name in result.trial.hyperparameters]
    best = [result for result in top if name in result.trial.hyperparameters]
    if isinstance(bare, Fixed) or not best:
        return found
    if len(best) < _FEWEST:  # a conditional name: one or two say little of it
        best = ranked(having)[:_FEWEST]
    narrowed: Plain
    if isinstance(bare, Choice):
        # An option stays unless there is evidence that it is worse.
        seen = {result.trial.hyperparameters[name] for result in best}
        order = [result.trial.hyperparameters[name] for result in ranked(having)]
        tried = [result.trial.hyperparameters[name] for result in having]
        kept = (o for o in bare.options if o in seen or chance_of_coming_late(o, order, tried) >= _CHANCE)
        narrowed = Choice(tuple(kept))
    else:
        narrowed = _narrow_numeric(name, bare, values_of(name, best), alarmed)
    return replace(found, range=narrowed) if isinstance(found, When) else narrowed


def chance_of_coming_late(option: Value, order: Sequence[Value], tried: Sequence[Value]) -> float:
    """Returns the chance that the best trial of an option comes so late, or later, if options do not matter.

    Exact: of N trials in random order, n of them the option's, none is among the first r with the
    probability C(N - n, r) / C(N, r).

    Args:
        option: the option.
        order: the option of each complete trial, best first.
        tried: the option of every trial, also of those that did not complete and so come last.

    Example:
        >>> round(chance_of_coming_late("tanh", ["relu"] * 5 + ["tanh"] * 5, ["relu"] * 5 + ["tanh"] * 5), 4)
        0.004
    """
    before = order.index(option) if option in order else len(order)
    count, own = len(tried), tried.count(option)
    return math.prod((count - own - place) / (count - place) for place in range(before))


def _narrow_numeric(
    name: str, found: Numeric, values: Sequence[float], alarmed: set[tuple[str, str]]
) -> Plain:
    positions = [found.position(value) for value in values]
    low, high = min(positions), max(positions)
    pad = max(_MARGIN, 0.25 * (high - low))
    step = found.step or (1 if found.whole else 0)
    # The neighbours of a whole number stay: that none of the best has them is no evidence.
    low = min(low - pad, _at_step(found, min(values) - step))
    high = max(high + pad, _at_step(found, max(values) + step))
    low = min(low, -_BEYOND) if (name, "lower") in alarmed else max(low, 0.0)
    high = max(high, 1 + _BEYOND) if (name, "upper") in alarmed else min(high, 1.0)
    bounds = [_rounded(found, position, low, high) for position in (low, high)]
    lowest, highest = within_limits(name, found, *bounds)
    if lowest >= highest:
        return Fixed(int(lowest) if found.whole else lowest)
    return replace(found, low=lowest, high=highest)


def _at_step(found: Numeric, value: float) -> float:
    """Returns the position of a neighbour; outside a logarithmic range's reach, the end of the range."""
    return found.position(value) if value > 0 or not found.log else 0.0


def _rounded(found: Numeric, position: float, low: float, high: float) -> float:
    """Rounds a bound to three digits, unless that moves it by a hundredth of the new width."""
    if position in (0, 1):
        return found.high if position else found.low
    exact = float(found.at(position))
    rounded = float(f"{exact:.3g}")
    if 0 <= position <= 1:
        rounded = min(max(rounded, found.low), found.high)
    moved = abs(found.position(rounded) - position)
    return exact if found.whole or found.step or moved > 0.01 * (high - low) else rounded


def planned(
    budgets: Sequence[Budget], rounds: Callable[[], Sequence[Round]], examples: int, extra: int
) -> Iterator[tuple[Budget, str]]:
    """Yields the given stages, then repetitions of the last one as necessary.

    Args:
        budgets: the stages that are given; a final one is left out.
        rounds: returns the stages that were run so far; called before each repetition.
        examples: validation examples behind a score.
        extra: most repetitions.

    Yields:
        Each budget, and the reason for a repetition; empty for a given stage.
    """
    given = [budget for budget in budgets if budget.name != FINAL]
    yield from ((budget, "") for budget in given)
    for count in range(1, extra + 1):
        why = repetition_reason(rounds(), examples, len(given))
        if not why:
            return
        yield given[-1]._replace(name=f"{given[-1].name}+{count}"), f"once more, as {why}"


def following_box(rounds: Sequence[Round], examples: int, given: int = 0) -> tuple[dict[str, Range], str]:
    """Returns the next stage's box, from the last stage; of repetitions, from all of them together.

    Args:
        rounds: the stages that were run, in their order.
        examples: validation examples behind a score.
        given: the number of them that were requested, the rest being repetitions; 0 is all.
    """
    last = grouped(rounds, given)[-1]
    return next_box(last.results, last.box, examples, fruitless_widenings(rounds, examples, given))


def repetition_reason(rounds: Sequence[Round], examples: int, given: int = 0) -> str:
    """Returns the reason for another stage: an edge alarm, or an improvement in the last one; else empty.

    Args:
        rounds: the stages that were run, in their order.
        examples: validation examples behind a score.
        given: the number of them that were requested, the rest being repetitions; 0 is all.
    """
    newest = ranked(rounds[-1].results)[:1]
    if not newest:
        return ""
    last = grouped(rounds, given)[-1]
    alarms = silence(
        edge_alarms(ranked(last.results)[0], last.box), fruitless_widenings(rounds, examples, given)
    )
    ringing = [f"the best {edge.name} lies at its {edge.side} edge" for edge in alarms if not edge.silenced]
    if ringing:
        return " and ".join(ringing)
    before = ranked([result for each in rounds[:-1] for result in each.results])[:1]
    if not before:
        return "one stage alone cannot tell whether another would be better"
    if newest[0].score - before[0].score <= noise(before[0].score, examples):
        return ""
    scores = f"{number(abs(before[0].score))} to {number(abs(newest[0].score))}"
    return f"the best went from {scores}, by more than {noise_text(before[0].score, examples)}"
