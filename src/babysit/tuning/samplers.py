"""Samplers of the trials of a stage: random, from a grid, quasi-random, or learning from results.

Random, grid and quasi-random trials are known before anything trains: trial n is a function of the seed, the
stage and n (of the grid, of the stage's budget too). Optuna's samplers learn (``tuning.adaptive``): they draw
a round of trials, and get its results before the next.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from babysit.errors import SpaceError
from babysit.recipe.space import Choice, Fixed, Numeric, Plain, Space, existing, plain
from babysit.records import Result, Trial, Value
from babysit.seeding import derive, numpy_generator
from babysit.tuning.adaptive import ADAPTIVE, Adaptive
from babysit.tuning.settings import RANDOM, check_sampler
from babysit.tuning.stages import draw_trials

ROUND = 16
"""Trials that a learning sampler draws at once."""

Point = dict[str, Value]
Points = Sequence[Mapping[str, Value]]


class Sampler(Protocol):
    """A source of the trials of one stage, in their order."""

    @property
    def count(self) -> int:
        """The number of trials of the stage."""
        ...

    @property
    def round(self) -> int:
        """The number of trials that can be drawn at once."""
        ...

    def ask(self, first: int, count: int) -> list[Trial]:
        """Draws trials, from number ``first`` on."""
        ...

    def tell(self, results: Sequence[Result]) -> None:
        """Reports the results of all trials that were drawn last, in their order."""
        ...


@dataclass(frozen=True, slots=True)
class Known:
    """A sampler whose trials are all known before anything trains."""

    trials: Sequence[Trial]

    @property
    def count(self) -> int:
        """The number of trials."""
        return len(self.trials)

    @property
    def round(self) -> int:
        """The number of trials: all can be drawn at once."""
        return len(self.trials)

    def ask(self, first: int, count: int) -> list[Trial]:
        """Draws trials, from number ``first`` on."""
        return list(self.trials[first : first + count])

    def tell(self, results: Sequence[Result]) -> None:
        """Ignores the results."""


def sampler_of(
    name: str, space: Space, *, stage: int, count: int, seed: int, enqueue: Points = (), round_size: int = 0
) -> Sampler:
    """Makes the sampler of that name for one stage.

    Args:
        name: one of ``SAMPLERS``.
        space: the stage's box.
        stage: its index.
        count: most trials; a grid may have fewer.
        seed: the one seed.
        enqueue: points that the first trials take; what a point leaves out is drawn at random.
        round_size: trials that a learning sampler draws at once; 0 for ``ROUND``.

    Raises:
        InputError: for another name, or without Optuna where it is needed.
        SpaceError: when the choices alone make more combinations than a grid has trials.

    Example:
        >>> from babysit.recipe.space import choice, log_uniform
        >>> box = {"l2": log_uniform(1e-3, 1), "act": choice("relu", "tanh")}
        >>> for trial in sampler_of("grid", box, stage=0, count=5, seed=0).ask(0, 4):
        ...     print(trial.hyperparameters)
        {'l2': 0.001, 'act': 'relu'}
        {'l2': 1.0, 'act': 'relu'}
        {'l2': 1.0, 'act': 'tanh'}
        {'l2': 0.001, 'act': 'tanh'}
    """
    check_sampler(name)
    drawn = draw_trials(space, stage=stage, count=count, seed=seed, enqueue=enqueue)
    if name == RANDOM:
        return Known(drawn)
    first = drawn[: len(enqueue)]
    if name in ADAPTIVE:
        return Adaptive(name, space, first, stage=stage, count=count, seed=seed, size=round_size or ROUND)
    rest = count - len(first)
    points = (grid if name == "grid" else quasi_random)(space, rest, stage=stage, seed=seed)
    return Known([*first, *(Trial(stage, number, point) for number, point in enumerate(points, len(first)))])


def quasi_random(space: Space, count: int, *, stage: int, seed: int) -> list[Point]:
    """Returns points of a scrambled Sobol sequence: more even than random ones in every few dimensions.

    Args:
        space: the box; conditional names take their coordinate whether they exist or not.
        count: number of points; those of a smaller number are the first of a larger one.
        stage, seed: the scrambling is a function of them.

    Source: Owen, "Scrambling Sobol' and Niederreiter-Xing points", 1998.
    """
    names = sorted(name for name, found in space.items() if not isinstance(plain(found), Fixed))
    if not names or not count:
        return [existing(space, {name: found.middle() for name, found in space.items()})] * count
    scramble = derive(seed, "qmc", stage) % 2**63
    engine = torch.quasirandom.SobolEngine(len(names), scramble=True, seed=scramble)  # type: ignore[no-untyped-call]
    points = []
    for row in engine.draw(count, dtype=torch.float64).tolist():
        shares = {
            name: min(share, 1 - 2**-53) for name, share in zip(names, row, strict=True)
        }  # 1 by rounding
        values: dict[str, Value] = {}
        for name, found in space.items():
            bare, share = plain(found), shares.get(name, 0.0)
            if isinstance(bare, Numeric):
                values[name] = bare.quantile(share)
            else:
                values[name] = (
                    bare.options[int(share * len(bare.options))] if isinstance(bare, Choice) else bare.value
                )
        points.append(existing(space, values))
    return points


def grid(space: Space, budget: int, *, stage: int, seed: int) -> list[Point]:
    """Returns the finest full grid within a budget, in an order drawn from the seed.

    Every option of every choice, and of every numeric range as many values as the budget allows, evenly in
    its scale, both bounds among them (its middle where there is one only); the ranges get a further value in
    turn, in the order of spelling. Points that differ only in names that do not exist there are one.

    Args:
        space: the box.
        budget: most points.
        stage, seed: the order is a function of them.

    Raises:
        SpaceError: when the choices alone make more points.
    """
    counts = dict.fromkeys((name for name in sorted(space) if isinstance(plain(space[name]), Numeric)), 1)
    points = _grid(space, counts, budget)
    if points is None:
        raise SpaceError(
            f"the choices alone make more than {budget} combinations, the trials of stage {stage}",
            fix="give the stage more trials, fix some of the choices, or take --sampler random",
        )
    growing = list(counts)
    while growing:
        name = min(growing, key=counts.__getitem__)
        finer = _grid(space, {**counts, name: counts[name] + 1}, budget)
        if finer is None or counts[name] >= 2 * budget:  # a range of few integers cannot fill a budget
            growing.remove(name)
        else:
            counts[name], points = counts[name] + 1, finer
    order = numpy_generator(seed, "grid", stage).permutation(len(points))
    return [points[index] for index in order]


def _grid(space: Space, counts: Mapping[str, int], most: int) -> list[Point] | None:
    """Returns the grid with a number of values of each numeric range; None if it has too many points."""
    found: dict[tuple[tuple[str, Value], ...], Point] = {}
    for values in itertools.product(
        *(_spread(plain(each), counts.get(name, 1)) for name, each in space.items())
    ):
        point = existing(space, dict(zip(space, values, strict=True)))
        found[tuple(point.items())] = point
        if len(found) > most:
            return None
    return list(found.values())


def _spread(found: Plain, count: int) -> list[Value]:
    if isinstance(found, Choice):
        return list(found.options)
    if not isinstance(found, Numeric) or count == 1:
        return [found.middle()]
    return list(dict.fromkeys(found.at(index / (count - 1)) for index in range(count)))
