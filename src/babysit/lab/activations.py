"""Activation functions: curves, derivatives, statistics on unit gaussian input, and time.

CS231n lecture 6, 'Activation Functions'.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from babysit.lab import figures
from babysit.lab.experiment import Experiment, ExperimentResult, Options, Table, number, plain
from babysit.lab.sweeps import single_threaded
from babysit.nn.activations import ACTIVATIONS, Activation, activation
from babysit.seeding import seeded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GALLERY = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "maxout")
"""The six of the lecture's overview slide."""

PROBES = (-10.0, 0.0, 10.0)


class Statistics(NamedTuple):
    """Statistics of f(z) for z ~ N(0, 1); maxout takes the larger of two independent z."""

    mean: float
    std: float
    mean_square: float


def statistics(name: str, z: torch.Tensor) -> Statistics:
    """Measures f(z) on two independent columns of samples, [N, 2]."""
    row = ACTIVATIONS[name]
    values = z.amax(1) if row.value is None else row.value(z[:, 0])
    exact = values.double()
    return Statistics(float(exact.mean()), float(exact.std()), float(exact.square().mean()))


def local_gradients(row: Activation) -> list[float] | None:
    """Computes f'(-10), f'(0), f'(10), the three points of the slide."""
    if row.derivative is None:
        return None
    return [float(value) for value in row.derivative(torch.tensor(PROBES, dtype=torch.float64))]


def seconds_of(name: str, options: Options) -> float:
    """Measures forward and backward of one million numbers: the median of several runs on this machine."""
    size = options.pick(1000, 100)
    layer = activation(name, in_features=size, out_features=size) if name == "maxout" else activation(name)
    x = torch.ones(size, size).uniform_(-3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    taken = []
    for _ in range(options.pick(15, 2)):
        started = time.perf_counter()
        layer(x).sum().backward()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))


@single_threaded
def run(options: Options) -> ExperimentResult:
    """Measures every activation of the table."""
    with seeded(options.seed, "activations"):
        z = torch.randn(options.pick(2_000_000, 100_000), 2)
    found = {name: statistics(name, z) for name in ACTIVATIONS}
    # Maxout has weights: its time would be that of a matrix product.
    cost = {name: seconds_of(name, options) for name in ACTIVATIONS if name != "maxout"}
    data: dict[str, Any] = {
        "samples": len(z),
        "activations": {},
        "seconds": cost,
    }
    for name, own in found.items():
        row, gradients = ACTIVATIONS[name], local_gradients(ACTIVATIONS[name])
        data["activations"][name] = {
            **own._asdict(),
            "mean_theory": row.mean,
            "std_theory": row.std,
            "gain": row.gain,
            "local_gradients": None if gradients is None else [plain(value) for value in gradients],
        }
    cheapest = min(cost, key=lambda name: cost[name])
    return ExperimentResult(
        data,
        [f"{row.name}: {row.formula}; for hidden layers: {row.grade}" for row in ACTIVATIONS.values()],
        _tables(found, cost),
        {"activations": draw, "activations-cost": lambda: draw_cost(cost)},
        "Only the statistics and gradients are properties of the function; the time belongs to this machine, "
        f"where {cheapest} is the fastest. Memory traffic can hide exp(), so ReLU need not win by much.",
    )


def _tables(found: dict[str, Statistics], cost: dict[str, float]) -> list[Table]:
    moments = []
    for name, own in found.items():
        row = ACTIVATIONS[name]
        values = (own.mean, row.mean, own.std, row.std, own.mean_square, 1 / row.gain**2)
        moments.append([name, *(f"{value:.4f}" for value in values)])
    gradients = [
        [row.name, *(number(value, 6) for value in slopes), row.saturates, "yes" if row.dies else "no"]
        for row in ACTIVATIONS.values()
        if (slopes := local_gradients(row)) is not None
    ]
    times = [[name, f"{1000 * value:.2f}", f"{value / cost['relu']:.2f}"] for name, value in cost.items()]
    of_moments = ["activation", "mean", "theory", "std", "theory", "mean square", "theory"]
    of_gradients = ["activation", "x = -10", "x = 0", "x = 10", "saturates", "can die"]
    return [
        Table("f(z) for z from N(0, 1)", of_moments, moments),
        Table("The local gradient at the slide's three points", of_gradients, gradients),
        Table(
            "Forward and backward on this machine",
            ["activation", "ms for 1e6 numbers", "times ReLU"],
            times,
        ),
    ]


@figures.styled
def draw() -> Figure:
    """Draws six panels, as on the overview slide: the function and its derivative."""
    canvas, axes = figures.canvas(2, 3, height=4.8, sharex=True)
    x = torch.linspace(-5, 5, 2001, dtype=torch.float64)
    for place, name in zip(axes, GALLERY, strict=True):
        value, slope = _curves(name, x)
        place.plot(x, slope, color=figures.VERMILLION, lw=1.3)
        place.plot(x, value, color=figures.BLUE, lw=2)
        place.axhline(0, color=figures.MUTED, lw=0.6)
        place.set(xlim=(-5, 5), ylim=_LIMITS.get(name, (-1.6, 5)))
        if name == "sigmoid":
            place.text(-4.7, 0.93, "f(x)", color=figures.BLUE, fontsize=8, transform=place.transData)
            place.text(-4.7, 0.80, "derivative", color=figures.VERMILLION, fontsize=8)
        figures.name_axes(place, "x", "f(x), f′(x)", _NAMES[name])
    return canvas


_NAMES = {
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "relu": "ReLU",
    "leaky_relu": "Leaky ReLU, slope 0.1",
    "elu": "ELU, α = 1",
    "maxout": "Maxout, two pieces",
}
_LIMITS = {"sigmoid": (-0.15, 1.25), "tanh": (-1.3, 1.5)}


def _curves(name: str, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if name == "maxout":
        # Pieces 0.9 x + 0.5 and -0.4 x - 0.6: convex, and neither of them flat.
        first, second = 0.9 * x + 0.5, -0.4 * x - 0.6
        return torch.maximum(first, second), torch.where(first > second, 0.9, -0.4)
    if name == "leaky_relu":
        return torch.where(x > 0, x, 0.1 * x), torch.where(x > 0, 1.0, 0.1)
    row = ACTIVATIONS[name]
    assert row.value is not None
    assert row.derivative is not None
    return row.value(x), row.derivative(x)


@figures.styled
def draw_cost(cost: dict[str, float]) -> Figure:
    """Draws the milliseconds for one million numbers, forward and backward."""
    canvas, (axes,) = figures.canvas(height=2.8)
    names = sorted(cost, key=lambda name: cost[name], reverse=True)
    values = [1000 * cost[name] for name in names]
    axes.barh(names, values, color=figures.BLUE, height=0.62)
    for place, value in enumerate(values):
        figures.beside(axes, value, place, f"{value:.2f}", figures.INK)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, max(values) * 1.1)
    figures.name_axes(axes, "milliseconds for 10⁶ numbers, forward and backward, one thread", "")
    return canvas


EXPERIMENT = Experiment(
    "activations",
    "Activation functions",
    "Curves, derivatives, statistics on unit gaussian input beside theory, and what each costs here.",
    "'Activation Functions'",
    needs_data=False,
    run=run,
)
