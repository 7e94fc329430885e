"""Inputs that are all positive make the weights zig-zag ('Activation Functions').

One linear neuron f = w·x learns w* from noiseless examples, one example a step. Its gradient is
(f - target) x: if every component of x is positive, every component of the gradient has the same sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from babysit.lab import figures
from babysit.lab.experiment import Experiment, Options, Outcome, Table, number
from babysit.seeding import numpy_generator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

TARGET = (1.0, -1.0)  # seen from the origin, it lies in a quadrant that positive inputs forbid
NEAR = 0.05  # of the first distance: the target counts as reached
_RATES = tuple(float(rate) for rate in np.round(np.geomspace(0.1, 12, 25), 3))
_SHADE = "#F1EEE2"
_SIGN_CASES = ((2, 1), (5, 1), (2, 10), (2, 100))  # dimensions, examples a step


class Race(NamedTuple):
    """What one kind of input did at every learning rate: mean steps to the target, infinite if it failed."""

    rates: Sequence[float]
    steps: Array

    @property
    def best(self) -> int:
        """The index of the learning rate that needs the fewest steps."""
        return int(np.argmin(self.steps))


class Signs(NamedTuple):
    """How often all components of a gradient had one sign."""

    kind: str
    dimensions: int
    batch: int
    share: float

    @property
    def theory(self) -> float | None:
        """1 for one positive example, 2^(1 - D) for centred inputs; None where no formula is at hand."""
        if self.kind == "centred":
            return 2.0 ** (1 - self.dimensions)
        return 1.0 if self.batch == 1 else None


def inputs(kind: str, count: int, generator: np.random.Generator) -> Array:
    """Examples [count, 2]: uniform in the unit square, or the same with their mean taken away."""
    x = generator.random((count, 2))
    return x if kind == "positive" else x - 0.5


def path(x: Array, rate: float) -> Array:
    """The weights after every step of gradient descent on one example at a time, [steps + 1, 2]."""
    weights = np.zeros(2)
    visited = [weights]
    for example in x:
        error = (weights - TARGET) @ example
        weights = weights - rate * error * example
        visited.append(weights)
    return np.array(visited)


def typical_path(kind: str, rate: float, options: Options) -> Array:
    """Of 51 paths to the target the one of median length, up to where it arrives."""
    generator = numpy_generator(options.seed, "path", kind)
    found = [_until_near(path(inputs(kind, 400, generator), rate)) for _ in range(51)]
    return sorted(found, key=len)[len(found) // 2]


def race(kind: str, options: Options) -> Race:
    """Steps to the target for every learning rate, averaged over many orders of examples."""
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
    return Race(_RATES, steps.mean(1))


def same_sign_share(kind: str, dimensions: int, batch: int, options: Options) -> float:
    """How often all components of a mini-batch's gradient have one sign."""
    trials = options.pick(4000, 1000)
    generator = numpy_generator(options.seed, "signs", kind, dimensions, batch)
    x = generator.random((trials, batch, dimensions)) - (0.0 if kind == "positive" else 0.5)
    errors = generator.standard_normal((trials, batch, 1))
    gradient = (errors * x).sum(1)
    return float(np.mean((gradient > 0).all(1) | (gradient < 0).all(1)))


def run(options: Options) -> Outcome:
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
        "races": {kind: _as_data(found) for kind, found in races.items()},
        "paths": {kind: found.round(6).tolist() for kind, found in paths.items()},
    }
    ratio = float(races["positive"].steps.min() / races["centred"].steps.min())
    return Outcome(
        data | {"steps_ratio": ratio},
        [
            f"{kind} inputs: {found.steps.min():.1f} steps to the target at their best learning rate "
            f"{found.rates[found.best]:g}"
            for kind, found in races.items()
        ],
        [_sign_table(signs)],
        {"zigzag": lambda: draw(races, paths)},
        "With positive inputs every single example pushes all weights the same way, and the best learning "
        f"rate needs {ratio:.1f} times the steps. A mini-batch already mixes the signs, so the lecture's "
        "quadrants bind strictly only for one example at a time; what remains is the worse conditioning.",
    )


def _as_data(found: Race) -> dict[str, object]:
    steps = [float(value) if np.isfinite(value) else None for value in found.steps]
    return {"rates": list(found.rates), "mean_steps": steps, "best_rate": found.rates[found.best]}


def _until_near(visited: Array) -> Array:
    near = np.linalg.norm(visited - TARGET, axis=1) <= NEAR * np.linalg.norm(TARGET)
    return visited[: int(np.argmax(near)) + 1] if near.any() else visited


def _sign_table(signs: Sequence[Signs]) -> Table:
    return Table(
        "How often all components of the gradient have one sign",
        ["inputs", "dimensions", "examples a step", "measured", "theory"],
        [
            [found.kind, str(found.dimensions), str(found.batch), number(found.share), number(found.theory)]
            for found in signs
        ],
    )


@figures.styled
def draw(races: dict[str, Race], paths: dict[str, Array]) -> Figure:
    """The w-plane with positive and with centred inputs, and steps against learning rate."""
    canvas, axes = figures.canvas(1, 3, height=2.9, width_ratios=[1, 1, 1])
    for place, (kind, visited) in zip(axes, paths.items(), strict=False):
        _plane(place, visited, kind)
    _steps(axes[2], races)
    return canvas


def _plane(axes: Axes, visited: Array, kind: str) -> None:
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


def _steps(axes: Axes, races: dict[str, Race]) -> None:
    axes.set_box_aspect(1)
    for (kind, found), colour in zip(races.items(), (figures.VERMILLION, figures.BLUE), strict=True):
        fine = np.isfinite(found.steps)
        rates = np.array(found.rates)[fine]
        axes.plot(rates, found.steps[fine], "o-", ms=3, color=colour)
        figures.beside(axes, rates[-1], found.steps[fine][-1], kind, colour, xytext=(0, 9), ha="center")
    axes.set(xscale="log", yscale="log", xlim=(0.08, 20), ylim=(5, 600))
    figures.name_axes(axes, "learning rate", "mean steps to the target", "mean of many orders")


EXPERIMENT = Experiment(
    "zigzag",
    "Positive inputs zig-zag",
    "With inputs that are all positive the gradient's components share one sign, and the path zig-zags.",
    "'Activation Functions'",
    needs_data=False,
    run=run,
)
