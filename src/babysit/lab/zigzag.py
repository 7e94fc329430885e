"""Inputs that are all positive make the weights zig-zag ('Activation Functions').

One linear neuron f = w·x learns w* from noiseless examples, one example per step. Its gradient is
(f - target) x: if every component of x is positive, every component of the gradient has the same sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from babysit.lab import figures
from babysit.lab.experiment import Experiment, ExperimentResult, Options, Table, number
from babysit.seeding import numpy_generator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

TARGET = (1.0, -1.0)  # from the origin it is in a quadrant that positive inputs forbid
NEAR = 0.05  # of the first distance: the target counts as reached
_RATES = tuple(float(rate) for rate in np.round(np.geomspace(0.1, 12, 25), 3))
_SHADE = "#F1EEE2"
_SIGN_CASES = ((2, 1), (5, 1), (2, 10), (2, 100))  # dimensions, examples a step


class StepRace(NamedTuple):
    """Mean steps to the target at every learning rate, for one kind of input; infinite if not reached."""

    rates: Sequence[float]
    steps: Array

    @property
    def best(self) -> int:
        """The index of the learning rate that needs the fewest steps."""
        return int(np.argmin(self.steps))


class Signs(NamedTuple):
    """Share of gradients whose components all have one sign."""

    kind: str
    dimensions: int
    batch: int
    share: float

    @property
    def theory(self) -> float | None:
        """1 for one positive example, 2^(1 - D) for centred inputs; None without a formula."""
        if self.kind == "centred":
            return 2.0 ** (1 - self.dimensions)
        return 1.0 if self.batch == 1 else None


def inputs(kind: str, count: int, generator: np.random.Generator) -> Array:
    """Draws examples [count, 2]: uniform in the unit square, or the same minus their mean."""
    x = generator.random((count, 2))
    return x if kind == "positive" else x - 0.5


def path(x: Array, rate: float) -> Array:
    """Computes the weights after every step of gradient descent on one example at a time, [steps + 1, 2]."""
    weights = np.zeros(2)
    visited = [weights]
    for example in x:
        error = (weights - TARGET) @ example
        weights = weights - rate * error * example
        visited.append(weights)
    return np.array(visited)


def typical_path(kind: str, rate: float, options: Options) -> Array:
    """Returns, of 51 paths to the target, the one of median length, up to its arrival."""
    generator = numpy_generator(options.seed, "path", kind)
    found = []
    for _ in range(51):
        visited = path(inputs(kind, 400, generator), rate)
        near = np.linalg.norm(visited - TARGET, axis=1) <= NEAR * np.linalg.norm(TARGET)
        found.append(visited[: int(np.argmax(near)) + 1] if near.any() else visited)
    return sorted(found, key=len)[len(found) // 2]


def race(kind: str, options: Options) -> StepRace:
    """Counts the steps to the target at every learning rate, averaged over many orders of examples."""
    runs, limit = options.pick(200, 40), options.pick(400, 300)
    x = inputs(kind, runs * limit, numpy_generator(options.seed, "zigzag", kind)).reshape(limit, runs, 2)
    rates = np.array(_RATES)[:, None]
    gap = np.tile(-np.array(TARGET), (len(_RATES), runs, 1))  # w - w*, for every rate and run
    steps = np.full(gap.shape[:2], np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        for step, examples in enumerate(x, start=1):
            gap = gap - (rates * (gap * examples).sum(2))[..., None] * examples
            near = np.linalg.norm(gap, axis=2) <= NEAR * np.linalg.norm(TARGET)
            steps = np.where(near & np.isinf(steps), step, steps)
    return StepRace(_RATES, steps.mean(1))


def same_sign_share(kind: str, dimensions: int, batch: int, options: Options) -> float:
    """Estimates the probability that all components of a mini-batch's gradient have one sign."""
    trials = options.pick(4000, 1000)
    generator = numpy_generator(options.seed, "signs", kind, dimensions, batch)
    x = generator.random((trials, batch, dimensions)) - (0.0 if kind == "positive" else 0.5)
    errors = generator.standard_normal((trials, batch, 1))
    gradient = (errors * x).sum(1)
    return float(np.mean((gradient > 0).all(1) | (gradient < 0).all(1)))


def run(options: Options) -> ExperimentResult:
    """Races both kinds of input and counts the signs."""
    races = {kind: race(kind, options) for kind in ("positive", "centred")}
    signs = [
        Signs(kind, dimensions, batch, same_sign_share(kind, dimensions, batch, options))
        for kind in races
        for dimensions, batch in _SIGN_CASES
    ]
    paths = {kind: typical_path(kind, found.rates[found.best], options) for kind, found in races.items()}
    data = {
        "signs": [entry._asdict() for entry in signs],
        "races": {
            kind: {
                "rates": list(found.rates),
                "mean_steps": [float(value) if np.isfinite(value) else None for value in found.steps],
                "best_rate": found.rates[found.best],
            }
            for kind, found in races.items()
        },
        "paths": {kind: found.round(6).tolist() for kind, found in paths.items()},
    }
    ratio = float(races["positive"].steps.min() / races["centred"].steps.min())
    return ExperimentResult(
        data | {"steps_ratio": ratio},
        [
            f"{kind} inputs: {found.steps.min():.1f} steps to the target at their best learning rate "
            f"{found.rates[found.best]:g}"
            for kind, found in races.items()
        ],
        [
            Table(
                "How often all components of the gradient have one sign",
                ["inputs", "dimensions", "examples a step", "measured", "theory"],
                [
                    [own.kind, str(own.dimensions), str(own.batch), number(own.share), number(own.theory)]
                    for own in signs
                ],
            )
        ],
        {"zigzag": lambda: draw(races, paths)},
        "With positive inputs every single example pushes all weights the same way, and the best learning "
        f"rate needs {ratio:.1f} times the steps. A mini-batch already mixes the signs, so the lecture's "
        "quadrants bind strictly only for one example at a time; what remains is the worse conditioning.",
    )


@figures.styled
def draw(races: dict[str, StepRace], paths: dict[str, Array]) -> Figure:
    """Draws the w-plane with positive and with centred inputs, and steps against learning rate."""
    canvas, axes = figures.canvas(1, 3, height=2.9, width_ratios=[1, 1, 1])
    for place, (kind, visited) in zip(axes, paths.items(), strict=False):
        _draw_plane(place, visited, kind)

    axes[2].set_box_aspect(1)
    for (kind, found), colour in zip(races.items(), (figures.VERMILLION, figures.BLUE), strict=True):
        fine = np.isfinite(found.steps)
        rates, steps = np.array(found.rates)[fine], found.steps[fine]
        axes[2].plot(rates, steps, "o-", ms=3, color=colour)
        figures.beside(axes[2], rates[-1], steps[-1], kind, colour, xytext=(0, 9), ha="center")
    axes[2].set(xscale="log", yscale="log", xlim=(0.08, 20), ylim=(5, 600))
    figures.name_axes(axes[2], "learning rate", "mean steps to the target", "mean of many orders")
    return canvas


def _draw_plane(axes: Axes, visited: Array, kind: str) -> None:
    from matplotlib.patches import Rectangle

    axes.set(xlim=(-0.75, 1.6), ylim=(-1.75, 0.6), aspect="equal")
    if kind == "positive":
        axes.add_patch(Rectangle((0, 0), 3, 3, color=_SHADE, lw=0, zorder=0))
        axes.add_patch(Rectangle((-3, -3), 3, 3, color=_SHADE, lw=0, zorder=0))
        axes.text(1.55, 0.5, "allowed", ha="right", va="top", color=figures.MUTED, fontsize=8)
        axes.text(-0.7, -1.7, "allowed", ha="left", va="bottom", color=figures.MUTED, fontsize=8)
    axes.annotate("", TARGET, (0, 0), arrowprops={"arrowstyle": "-|>", "color": figures.BLUE, "lw": 1.4})
    axes.plot(visited[:, 0], visited[:, 1], ".-", color=figures.VERMILLION, lw=1.1, ms=3.5)
    axes.plot(*TARGET, "*", color=figures.BLUE, ms=11, zorder=5)
    figures.beside(axes, *TARGET, "w*", figures.BLUE, xytext=(-4, -12))
    figures.beside(axes, 0, 0, "start", figures.INK, xytext=(-4, 8), ha="right")
    name_of = {"positive": "inputs all positive", "centred": "inputs zero-centred"}[kind]
    figures.name_axes(axes, "weight w₁", "weight w₂", f"{name_of}: {len(visited) - 1} steps")


EXPERIMENT = Experiment(
    "zigzag",
    "Positive inputs zig-zag",
    "With inputs that are all positive the gradient's components share one sign, and the path zig-zags.",
    "'Activation Functions'",
    needs_data=False,
    run=run,
)
