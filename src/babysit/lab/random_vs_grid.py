"""Random search against grid search: the same trials, more values of what matters.

CS231n lecture 6, 'Random Search vs. Grid Search'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from babysit.lab import figures
from babysit.lab.datasets import features, unit_data
from babysit.lab.experiment import Experiment, Options, Outcome, Table, number
from babysit.lab.sweeps import Member, finish, ladder, single_threaded, trainer_of
from babysit.nn.networks import two_layer
from babysit.seeding import numpy_generator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

TOP = 0.05
TRIALS = 60
SIDES = (2, 3, 4, 5, 6, 7, 8)
_GOOD = 0.95  # of the way to the best value


class Landscape(NamedTuple):
    """Validation accuracy over a lattice of learning rates (important) and l2 (not important)."""

    rates: Sequence[float]
    strengths: Sequence[float]
    accuracy: Array  # [strengths, rates]


class Race(NamedTuple):
    """For every number of trials, how often each way came within 5% of the best value, and its mean best."""

    trials: Sequence[int]
    found: Mapping[str, Array]
    best: Mapping[str, Array]


def grid(side: int) -> Array:
    """side x side points in the unit square, [side * side, 2], each in the middle of its cell."""
    ticks = (np.arange(side) + 0.5) / side
    return np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)


def hit_share(trials: int, options: Options) -> float:
    """How often the best of so many random trials lies in the top 5%; theory 1 - 0.95^trials."""
    repeats = options.pick(100_000, 5_000)
    draws = numpy_generator(options.seed, "top").random((repeats, trials))
    return float((draws.max(1) > 1 - TOP).mean())


def peak(points: Array, centre: Array) -> Array:
    """A score with one important axis: a narrow peak along the first, a gentle slope along the second.

    Args:
        points: [..., trials, 2] in the unit square.
        centre: [..., 1] where the peak is.
    """
    return 0.9 * np.exp(-(((points[..., 0] - centre) / 0.06) ** 2)) + 0.1 * points[..., 1]


def race(options: Options) -> Race:
    """Both ways on the same peaks, whose places are drawn anew every time."""
    repeats = options.pick(4000, 400)
    generator = numpy_generator(options.seed, "race")
    centres = generator.random((repeats, 1))
    ways: dict[str, Callable[[int], Array]] = {
        "grid": lambda side: np.broadcast_to(grid(side), (repeats, side * side, 2)),
        "random": lambda side: generator.random((repeats, side * side, 2)),
    }
    best = {way: np.array([peak(draw(side), centres).max(1) for side in SIDES]) for way, draw in ways.items()}
    return Race(
        [side * side for side in SIDES],
        {way: (scores >= _GOOD * 0.9).mean(1) for way, scores in best.items()},
        {way: scores.mean(1) for way, scores in best.items()},
    )


def typical_draw(landscape: Landscape, options: Options) -> Array:
    """Of 101 draws of nine trials the one whose best accuracy on the landscape is the median."""
    draws = list(numpy_generator(options.seed, "dots").random((101, 9, 2)))
    ticks, mean = np.linspace(0, 1, len(landscape.rates)), landscape.accuracy.mean(0)
    scores = [float(np.interp(points[:, 0], ticks, mean).max()) for points in draws]
    median: Array = draws[int(np.argsort(scores)[50])]
    return median


def measure(options: Options) -> Landscape:
    """Trains the lattice as one population."""
    dataset = unit_data(options, options.pick(3000, 300))
    rates = ladder(1e-3, 100.0, options.pick(21, 6))
    strengths = ladder(1e-6, 1e-3, options.pick(9, 3))
    make = partial(two_layer, features(dataset), 50, dataset.num_classes)
    members = [Member(make, {"learning_rate": rate, "l2": l2}) for l2 in strengths for rate in rates]
    traces = finish(trainer_of(members, dataset, seed=options.seed, epochs=options.pick(3, 1)))
    chance = 1 / dataset.num_classes
    scores = [trace.run.best.val_accuracy if trace.run.best else chance for trace in traces]
    return Landscape(rates, strengths, np.array(scores).reshape(len(strengths), len(rates)))


@single_threaded
def run(options: Options) -> Outcome:
    """Coverage, the chance of the top 5%, the race, and a landscape measured on the data."""
    landscape, found, share = measure(options), race(options), hit_share(TRIALS, options)
    dots = {"grid": grid(3), "random": typical_draw(landscape, options)}
    distinct = {way: len(np.unique(points[:, 0].round(9))) for way, points in dots.items()}
    theory = 1 - (1 - TOP) ** TRIALS
    data = {
        "distinct_values_of_nine_trials": distinct,
        "top_share_of_sixty": share,
        "top_share_theory": theory,
        "race": _as_data(found),
        "landscape": {**landscape._asdict(), "accuracy": landscape.accuracy.tolist()},
    }
    lines = [
        f"9 trials see {distinct['grid']} distinct learning rates on a grid, {distinct['random']} at random",
        f"P(one of {TRIALS} random trials in the top 5%) = {share:.3f} (theory {theory:.3f})",
    ]
    return Outcome(
        data,
        lines,
        [_table(found)],
        {"random-vs-grid": lambda: draw(landscape, dots, found)},
        "A grid spends its trials on repeating the same few values of the one hyperparameter that matters. "
        "Random trials never do, at the price of an answer that differs from draw to draw; on a grid fine "
        "enough to resolve the peak the advantage is gone.",
    )


def _as_data(found: Race) -> dict[str, Any]:
    parts = {"found": found.found, "mean_best": found.best}
    return {"trials": list(found.trials)} | {
        name: {way: values.tolist() for way, values in part.items()} for name, part in parts.items()
    }


def _table(found: Race) -> Table:
    rows = [
        [str(trials)]
        + [number(values[index], 3) for part in (found.found, found.best) for values in part.values()]
        for index, trials in enumerate(found.trials)
    ]
    headings = ["trials", "grid finds the peak", "random finds it", "grid's mean best", "random's mean best"]
    return Table("The race on a function with one important axis", headings, rows)


@figures.styled
def draw(landscape: Landscape, dots: Mapping[str, Array], found: Race) -> Figure:
    """Nine trials either way on the measured landscape, under the accuracy that they see; and the race."""
    canvas, flat = figures.canvas(
        2, 3, height=3.9, height_ratios=[0.45, 1], width_ratios=[1, 1, 1.05], sharex="col"
    )
    for column, (way, points) in enumerate(dots.items()):
        _marginal(flat[column], landscape, points, way)
        _map(flat[3 + column], landscape, points)
    grid_of = flat[2].get_gridspec()
    assert grid_of is not None
    flat[2].remove()
    flat[5].remove()
    _race(canvas.add_subplot(grid_of[:, 2]), found)
    return canvas


def _place(points: Array, values: Sequence[float], axis: int) -> Array:
    low, high = np.log10(values[0]), np.log10(values[-1])
    placed: Array = 10 ** (low + points[:, axis] * (high - low))
    return placed


def _marginal(axes: Axes, landscape: Landscape, points: Array, way: str) -> None:
    mean = 100 * landscape.accuracy.mean(0)
    xs = _place(points, landscape.rates, 0)
    seen = np.interp(np.log10(xs), np.log10(landscape.rates), mean)
    axes.fill_between(landscape.rates, mean, color=figures.GREEN, alpha=0.18, lw=0)
    axes.plot(landscape.rates, mean, color=figures.GREEN, lw=1.4)
    axes.plot(xs, seen, "o", color=figures.INK, ms=4)
    axes.set(xscale="log", ylim=(0, 105), yticks=[0, 50, 100])
    count = len(np.unique(xs.round(12)))
    figures.name_axes(axes, "", "accuracy (%)", f"{way}: 9 trials, {count} learning rates")


def _map(axes: Axes, landscape: Landscape, points: Array) -> None:
    shades: dict[str, Any] = {
        "shading": "gouraud",
        "cmap": "Greens",
        "vmin": 0,
        "vmax": 140,
        "rasterized": True,
    }
    axes.pcolormesh(landscape.rates, landscape.strengths, 100 * landscape.accuracy, **shades)
    xs, ys = _place(points, landscape.rates, 0), _place(points, landscape.strengths, 1)
    axes.plot(xs, ys, "o", color=figures.INK, ms=5)
    axes.grid(visible=False)
    axes.set(xscale="log", yscale="log")
    figures.name_axes(axes, "learning rate (important)", "l2 (not important)")


def _race(axes: Axes, found: Race) -> None:
    for (way, values), colour in zip(found.found.items(), (figures.VERMILLION, figures.BLUE), strict=True):
        axes.plot(found.trials, 100 * values, "o-", ms=4, color=colour)
        figures.beside(axes, found.trials[3], 100 * values[3], way, colour, xytext=(8, -6))
    axes.set(ylim=(0, 105), xticks=list(found.trials)[1:])
    figures.name_axes(axes, "trials", "searches that find the peak (%)", "one axis matters")


EXPERIMENT = Experiment(
    "random-vs-grid",
    "Random search against grid search",
    "Nine random trials see nine values of the hyperparameter that matters; nine on a grid see three.",
    "'Random Search vs. Grid Search'",
    needs_data=True,
    run=run,
)
