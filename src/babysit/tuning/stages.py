"""Coarse to fine: the budget of each stage, its trials, and how the next box comes from the last."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from babysit.errors import SpaceError
from babysit.recipe.limits import within_limits
from babysit.recipe.space import Choice, Fixed, Numeric, Plain, Range, Space, When, number, plain, sample
from babysit.records import Result, Trial, Value
from babysit.seeding import numpy_generator
from babysit.tuning.edges import Vain, edge_alarms, silence, vain_widenings, values_of
from babysit.tuning.ranking import Round, grouped, noise, noise_text, top_set
from babysit.tuning.ranking import ranked as ranked
from babysit.tuning.ranking import standard_error as standard_error
from babysit.tuning.ranking import ties as ties

FINAL = "final"
"""The stage of this name retrains the best trials instead of drawing new ones."""


MOST = 1_000_000
"""More trials or epochs than this are a slip of the finger: drawn trials are kept in memory."""


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
        if match is None or not all(1 <= _count(match[place]) <= MOST for place in (2, 3)):
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


def _count(digits: str) -> int:
    """The number; Python itself refuses to read thousands of digits."""
    return int(digits) if len(digits) < 20 else MOST + 1


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


_MARGIN = 0.1
_BEYOND = 0.25
_FEWEST = 3
_CHANCE = 0.05


def next_box(
    results: Sequence[Result], box: Space, examples: int, vain: Sequence[Vain] = ()
) -> tuple[dict[str, Range], str]:
    """The box round the best results of a stage, for the next one.

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
    words = [
        f"round the {len(top)} best of {len(results)} "
        f"(validation {_what(top[0])} {number(abs(top[-1].score))} to {number(abs(top[0].score))})"
    ]
    widened = [f"{name} beyond its {side} edge" for name, side in sorted(alarmed)]
    words += [f"widened: {', '.join(widened)}"] if widened else []
    words += [f"{e.name} not widened again: {e.silenced}" for e in alarms if e.silenced]
    words += [f"dropped: {text}" for name in box if (text := _dropped(name, box[name], narrowed[name]))]
    return narrowed, "; ".join(words)


def _what(result: Result) -> str:
    """Scores are accuracies, or minus losses."""
    return "accuracies" if result.score >= 0 else "losses"


def _dropped(name: str, before: Range, after: Range) -> str:
    """The options that a choice lost, in words."""
    old, new = plain(before), plain(after)
    if not isinstance(old, Choice) or not isinstance(new, Choice):
        return ""
    gone = [str(option) for option in old.options if option not in new.options]
    return f"{name} {' and '.join(gone)}" if gone else ""


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
        narrowed = _with_evidence(name, bare, having, best)
    else:
        narrowed = _narrow_numeric(name, bare, values_of(name, best), alarmed)
    return replace(found, range=narrowed) if isinstance(found, When) else narrowed


def _with_evidence(name: str, found: Choice, having: Sequence[Result], best: Sequence[Result]) -> Choice:
    """The choice without the options that proved worse."""
    seen = {result.trial.hyperparameters[name] for result in best}
    order = [result.trial.hyperparameters[name] for result in ranked(having)]
    tried = [result.trial.hyperparameters[name] for result in having]
    kept = (
        option
        for option in found.options
        if option in seen or chance_of_coming_late(option, order, tried) >= _CHANCE
    )
    return Choice(tuple(kept))


def chance_of_coming_late(option: Value, order: Sequence[Value], tried: Sequence[Value]) -> float:
    """How likely the best trial of an option comes so late, or later, if options did not matter.

    Exact: of N trials in random order, n of them the option's, none is among the first r with the
    probability C(N - n, r) / C(N, r).

    Args:
        option: which.
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
    # The neighbours of a whole number stay: that nobody tried them among the best is no evidence.
    low = min(low - pad, _at_step(found, min(values) - step))
    high = max(high + pad, _at_step(found, max(values) + step))
    low = min(low, -_BEYOND) if (name, "lower") in alarmed else max(low, 0.0)
    high = max(high, 1 + _BEYOND) if (name, "upper") in alarmed else min(high, 1.0)
    return _between(name, found, low, high)


def _at_step(found: Numeric, value: float) -> float:
    """A neighbour's position; outside a logarithmic range's reach, the range's own end."""
    return found.position(value) if value > 0 or not found.log else 0.0


def _between(name: str, found: Numeric, low: float, high: float) -> Plain:
    bounds = [_rounded(found, position, low, high) for position in (low, high)]
    lowest, highest = within_limits(name, found, *bounds)
    if lowest >= highest:
        return Fixed(int(lowest) if found.whole else lowest)
    return replace(found, low=lowest, high=highest)


def _rounded(found: Numeric, position: float, low: float, high: float) -> float:
    """A bound as people write it, unless so few digits would move it by a hundredth of the new width."""
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
    """The stages to run, and after those that are given as many more as it takes ("repeat as necessary").

    Args:
        budgets: the stages that are given; a final one is left out.
        rounds: tells what was run so far, when asked for the next stage.
        examples: validation examples behind a score.
        extra: further stages at most, of the last one's budget.

    Yields:
        Each budget, and why it was added; empty for a given one.
    """
    given = [budget for budget in budgets if budget.name != FINAL]
    yield from ((budget, "") for budget in given)
    for count in range(1, extra + 1):
        why = unrest(rounds(), examples, len(given))
        if not why:
            return
        yield given[-1]._replace(name=f"{given[-1].name}+{count}"), f"once more, as {why}"


def following_box(rounds: Sequence[Round], examples: int, given: int = 0) -> tuple[dict[str, Range], str]:
    """The next stage's box, from the last stage; of repetitions, from all of them together.

    Args:
        rounds: the stages that were run, in their order.
        examples: validation examples behind a score.
        given: how many of them were asked for, the rest being repetitions; 0 is all.
    """
    last = grouped(rounds, given)[-1]
    return next_box(last.results, last.box, examples, vain_widenings(rounds, examples, given))


def unrest(rounds: Sequence[Round], examples: int, given: int = 0) -> str:
    """Why another stage is due: an edge alarm remains, or the last stage improved the best; else empty.

    Args:
        rounds: the stages that were run, in their order.
        examples: validation examples behind a score.
        given: how many of them were asked for, the rest being repetitions; 0 is all.
    """
    newest = ranked(rounds[-1].results)[:1]
    if not newest:
        return ""
    last = grouped(rounds, given)[-1]
    alarms = silence(edge_alarms(ranked(last.results)[0], last.box), vain_widenings(rounds, examples, given))
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
