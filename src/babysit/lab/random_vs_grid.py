"""Random search against grid search: as many trials, more values of the important hyperparameter.

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
from babysit.lab.experiment import Experiment, ExperimentResult, Options, Table, number
from babysit.lab.sweeps import SweepMember, finish, ladder, single_threaded, trainer_of
from babysit.nn.networks import two_layer
from babysit.seeding import numpy_generator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

TOP = 0.05
TRIALS = 60
SIDES = (2, 3, 4, 5, 6, 7, 8)
_GOOD = 0.95  # of the best value


class Landscape(NamedTuple):
    """Validation accuracy over a lattice of learning rates (important) and l2 (not important)."""

    rates: Sequence[float]
    strengths: Sequence[float]
    accuracy: Array  # [strengths, rates]


class SearchRace(NamedTuple):
    """For every number of trials, the share of searches within 5% of the best value, and the mean best."""

    trials: Sequence[int]
    found: Mapping[str, Array]
    best: Mapping[str, Array]


def grid(side: int) -> Array:
    """Returns side x side points in the unit square, [side * side, 2], each in the middle of its cell."""
    ticks = (np.arange(side) + 0.5) / side
    return np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)


def hit_share(trials: int, options: Options) -> float:
    """Estimates the probability that the best of ``trials`` random trials is in the top 5%."""
    repeats = options.pick(100_000, 5_000)
    draws = numpy_generator(options.seed, "top").random((repeats, trials))
    return float((draws.max(1) > 1 - TOP).mean())


def peak(points: Array, centre: Array) -> Array:
    """Scores points with one important axis: a narrow peak along the first, a gentle slope along the second.

    Args:
        points: [..., trials, 2] in the unit square.
        centre: [..., 1], the position of the peak.
    """
    return 0.9 * np.exp(-(((points[..., 0] - centre) / 0.06) ** 2)) + 0.1 * points[..., 1]


def race(options: Options) -> SearchRace:
    """Runs both searches on the same peaks, at random positions."""
    repeats = options.pick(4000, 400)
    generator = numpy_generator(options.seed, "race")
    centres = generator.random((repeats, 1))
    ways: dict[str, Callable[[int], Array]] = {
        "grid": lambda side: np.broadcast_to(grid(side), (repeats, side * side, 2)),
        "random": lambda side: generator.random((repeats, side * side, 2)),
    }
    best = {way: np.array([peak(draw(side), centres).max(1) for side in SIDES]) for way, draw in ways.items()}
    return SearchRace(
        [side * side for side in SIDES],
        {way: (scores >= _GOOD * 0.9).mean(1) for way, scores in best.items()},
        {way: scores.mean(1) for way, scores in best.items()},
    )


def typical_draw(landscape: Landscape, options: Options) -> Array:
    """Returns, of 101 draws of nine trials, the one whose best accuracy on the landscape is the median."""
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
    members = [SweepMember(make, {"learning_rate": rate, "l2": l2}) for l2 in strengths for rate in rates]
    traces = finish(trainer_of(members, dataset, seed=options.seed, epochs=options.pick(3, 1)))
    chance = 1 / dataset.num_classes
    scores = [trace.run.best.val_accuracy if trace.run.best else chance for trace in traces]
    return Landscape(rates, strengths, np.array(scores).reshape(len(strengths), len(rates)))


@single_threaded
def run(options: Options) -> ExperimentResult:
    """Measures coverage, the probability of the top 5%, the race, and a landscape on the data."""
    landscape, found, share = measure(options), race(options), hit_share(TRIALS, options)
    dots = {"grid": grid(3), "random": typical_draw(landscape, options)}
    distinct = {way: len(np.unique(points[:, 0].round(9))) for way, points in dots.items()}
    theory = 1 - (1 - TOP) ** TRIALS
    data = {
        "distinct_values_of_nine_trials": distinct,
        "top_share_of_sixty": share,
        "top_share_theory": theory,
        "race": {
            "trials": list(found.trials),
            "found": {way: shares.tolist() for way, shares in found.found.items()},
            "mean_best": {way: scores.tolist() for way, scores in found.best.items()},
        },
        "landscape": {**landscape._asdict(), "accuracy": landscape.accuracy.tolist()},
    }
    lines = [
        f"9 trials see {distinct['grid']} distinct learning rates on a grid, {distinct['random']} at random",
        f"P(one of {TRIALS} random trials in the top 5%) = {share:.3f} (theory {theory:.3f})",
    ]
    return ExperimentResult(
        data,
        lines,
        [_table(found)],
        {"random-vs-grid": lambda: draw(landscape, dots, found)},
        "A grid spends its trials on repeating the same few values of the one hyperparameter that matters. "
        "Random trials never do, at the price of an answer that differs from draw to draw; on a grid fine "
        "enough to resolve the peak the advantage is gone.",
    )


def _table(found: SearchRace) -> Table:
    rows = [
        [str(trials)]
        + [number(values[index], 3) for part in (found.found, found.best) for values in part.values()]
        for index, trials in enumerate(found.trials)
    ]
    headings = ["trials", "grid finds the peak", "random finds it", "grid's mean best", "random's mean best"]
    return Table("The race on a function with one important axis", headings, rows)


@figures.styled
def draw(landscape: Landscape, dots: Mapping[str, Array], found: SearchRace) -> Figure:
    """Draws nine trials of both searches on the measured landscape, below their accuracy, and the race."""
    canvas, flat = figures.canvas(
        2, 3, height=3.9, height_ratios=[0.45, 1], width_ratios=[1, 1, 1.05], sharex="col"
    )
    for column, (way, points) in enumerate(dots.items()):
        _draw_trials(flat[column], flat[3 + column], landscape, points, way)
    grid_of = flat[2].get_gridspec()
    assert grid_of is not None
    flat[2].remove()
    flat[5].remove()
    axes = canvas.add_subplot(grid_of[:, 2])
    for (way, values), colour in zip(found.found.items(), (figures.VERMILLION, figures.BLUE), strict=True):
        axes.plot(found.trials, 100 * values, "o-", ms=4, color=colour)
        figures.beside(axes, found.trials[3], 100 * values[3], way, colour, xytext=(8, -6))
    axes.set(ylim=(0, 105), xticks=list(found.trials)[1:])
    figures.name_axes(axes, "trials", "searches that find the peak (%)", "one axis matters")
    return canvas


def _place(points: Array, values: Sequence[float], axis: int) -> Array:
    low, high = np.log10(values[0]), np.log10(values[-1])
    placed: Array = 10 ** (low + points[:, axis] * (high - low))
    return placed


def _draw_trials(above: Axes, plane: Axes, landscape: Landscape, points: Array, way: str) -> None:
    """Draws nine trials in the plane of both hyperparameters, and above it the accuracy that they measure."""
    mean = 100 * landscape.accuracy.mean(0)
    xs, ys = _place(points, landscape.rates, 0), _place(points, landscape.strengths, 1)
    measured = np.interp(np.log10(xs), np.log10(landscape.rates), mean)
    above.fill_between(landscape.rates, mean, color=figures.GREEN, alpha=0.18, lw=0)
    above.plot(landscape.rates, mean, color=figures.GREEN, lw=1.4)
    above.plot(xs, measured, "o", color=figures.INK, ms=4)
    above.set(xscale="log", ylim=(0, 105), yticks=[0, 50, 100])
    count = len(np.unique(xs.round(12)))
    figures.name_axes(above, "", "accuracy (%)", f"{way}: 9 trials, {count} learning rates")

    shades: dict[str, Any] = {"shading": "gouraud", "cmap": "Greens", "vmin": 0, "vmax": 140}
    accuracy = 100 * landscape.accuracy
    plane.pcolormesh(landscape.rates, landscape.strengths, accuracy, rasterized=True, **shades)
    plane.plot(xs, ys, "o", color=figures.INK, ms=5)
    plane.grid(visible=False)
    plane.set(xscale="log", yscale="log")
    figures.name_axes(plane, "learning rate (important)", "l2 (not important)")


EXPERIMENT = Experiment(
    "random-vs-grid",
    "Random search against grid search",
    "Nine random trials see nine values of the hyperparameter that matters; nine on a grid see three.",
    "'Random Search vs. Grid Search'",
    needs_data=True,
    run=run,
)
