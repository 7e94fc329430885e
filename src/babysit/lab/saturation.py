"""Saturated tanh: local gradients vanish, and yet the backpropagated gradient explodes.

CS231n lecture 6, 'Weight Initialization'.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from babysit.lab import figures
from babysit.lab.experiment import Experiment, ExperimentResult, Options, Table, number
from babysit.lab.sweeps import ladder, single_threaded
from babysit.lab.ten_layers import WIDTH, Case, passage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROWTH_THEORY = 3.48
"""sqrt(500 E[f'^2]) with E[f'^2] = 0.02422, for weights of standard deviation 1."""

VANISHED = 0.02


class ScaleMeasurement(NamedTuple):
    """Measurements at one weight scale.

    Attributes:
        scale: standard deviation of every weight.
        slopes: the local derivatives 1 - h^2 of the last layer, one per activation.
        gradients: standard deviation of the gradient at each layer's input, layer 1 first.
        growth: factor by which the gradient grows through one layer, geometric mean.
        theory: sqrt(500 scale^2 E[f'^2]) with the measured E[f'^2] of every layer, geometric mean.
    """

    scale: float
    slopes: NDArray[np.float64]
    gradients: Sequence[float]
    growth: float
    theory: float


def measure_scale(scale: float, seed: int) -> ScaleMeasurement:
    """Passes signal and noise through ten tanh layers at one weight scale."""
    found = passage(Case("", "small_random", "tanh", (("scale", scale),)), seed)
    outputs = [layer.output.flatten().numpy() for layer in found.layers]
    slopes = [(1 - h) * (1 + h) for h in outputs]  # 1 - h^2, with fewer digits lost near 1
    gradients = [layer.gradient_std for layer in found.layers]
    growth = (gradients[0] / gradients[-1]) ** (1 / (len(gradients) - 1))
    squares = [float(np.mean(own**2)) for own in slopes[:-1]]
    theory = math.exp(float(np.mean([0.5 * math.log(WIDTH * scale**2 * square) for square in squares])))
    return ScaleMeasurement(scale, slopes[-1], gradients, growth, theory)


@single_threaded
def run(options: Options) -> ExperimentResult:
    """Measures the lecture's weight scale 1, and scales from 0.01 up to it."""
    saturated = measure_scale(1.0, options.seed)
    sweep = [measure_scale(scale, options.seed) for scale in ladder(0.01, 1.0, options.pick(13, 3))]
    vanished = float(np.mean(saturated.slopes < VANISHED))
    extreme = float(np.mean(saturated.slopes < 1 - 0.99**2))
    data = {
        "local_below_0.02": vanished,
        "saturated_share": extreme,
        "local_median": float(np.median(saturated.slopes)),
        "gradients": list(saturated.gradients),
        "growth_per_layer": saturated.growth,
        "growth_theory": GROWTH_THEORY,
        "sweep": [{"scale": own.scale, "growth": own.growth, "theory": own.theory} for own in sweep],
    }
    return ExperimentResult(
        data,
        [
            f"{extreme:.1%} of the activations have |h| > 0.99; {vanished:.1%} of the local gradients are "
            "below 0.02",
            f"and yet the gradient grows x{saturated.growth:.2f} per layer on its way back "
            f"(theory x{GROWTH_THEORY}): its std is {saturated.gradients[-1]:.3g} at layer 10's input and "
            f"{saturated.gradients[0]:.3g} at layer 1's",
        ],
        _tables(saturated, vanished, extreme, sweep),
        {"saturation": lambda: draw(saturated, sweep)},
        'The slide\'s "gradients will be all zero" holds for the local gradients, not for the full one: '
        "the few units that are not saturated pass on so much through large weights that it explodes.",
    )


def _tables(
    found: ScaleMeasurement, vanished: float, extreme: float, sweep: Sequence[ScaleMeasurement]
) -> list[Table]:
    at_one = [
        ["share of |h| > 0.99", number(extreme, 3), "0.904", "almost all"],
        ["share of local gradients below 0.02", number(vanished, 3), "0.904", "all zero"],
        ["median local gradient", number(float(np.median(found.slopes)), 2), "5.5e-13", "all zero"],
        ["growth of the full gradient per layer", number(found.growth, 3), str(GROWTH_THEORY), "all zero"],
        ["gradient std at layer 10's input", number(found.gradients[-1], 3), "3.49", "all zero"],
        ["gradient std at layer 1's input", number(found.gradients[0], 3), "2.6e+05", "all zero"],
    ]
    by_scale = [
        [
            number(own.scale, 3),
            number(own.growth, 3),
            number(own.theory, 3),
            number(float(np.median(own.slopes)), 2),
        ]
        for own in sweep
    ]
    of_scales = ["weight std", "growth per layer", "theory", "median local gradient, layer 10"]
    return [
        Table("tanh, weights of standard deviation 1", ["quantity", "measured", "theory", "lecture"], at_one),
        Table("From too small to too large", of_scales, by_scale),
    ]


@figures.styled
def draw(found: ScaleMeasurement, sweep: Sequence[ScaleMeasurement]) -> Figure:
    """Draws local gradients, the full gradient layer by layer, and its growth against the weight scale."""
    canvas, axes = figures.canvas(1, 3, height=3.1)
    local, full, growth = axes

    counts, edges = np.histogram(found.slopes, bins=50, range=(0, 1))
    local.stairs(100 * counts / found.slopes.size, edges, fill=True, color=figures.VERMILLION)
    local.set(xlim=(-0.02, 1.02), ylim=(0, 100))
    figures.name_axes(
        local, "local gradient 1 − h²", "activations of layer 10 (%)", "local gradients vanish …"
    )

    layers = np.arange(1, len(found.gradients) + 1)
    full.plot(layers, found.gradients, "o", ms=5, color=figures.VERMILLION)
    full.plot(layers, GROWTH_THEORY ** (len(layers) + 1.0 - layers), color=figures.INK, lw=1, zorder=1)
    full.text(1, 3, f"line: theory,\n× {GROWTH_THEORY} per layer", color=figures.INK, fontsize=8)
    full.set(yscale="log", xticks=[2, 4, 6, 8, 10], ylim=(1, 3e6), xlim=(0.4, 10.6))
    figures.name_axes(full, "layer", "std of the gradient at its input", "… the full one explodes")

    scales = [own.scale for own in sweep]
    growth.plot(scales, [own.growth for own in sweep], "o", ms=5, color=figures.BLUE)
    growth.plot(scales, [own.theory for own in sweep], color=figures.INK, lw=1, zorder=1)
    growth.axhline(1, color=figures.MUTED, lw=1, ls=(0, (4, 3)))
    xavier = 1 / math.sqrt(WIDTH)
    growth.axvline(xavier, color=figures.MUTED, lw=1, ls=(0, (4, 3)))
    growth.text(xavier * 1.1, 0.24, "Xavier", color=figures.MUTED, fontsize=8)
    growth.set(xscale="log", yscale="log", yticks=[0.25, 0.5, 1, 2, 4], ylim=(0.18, 4.5))
    growth.set_yticklabels(["0.25", "0.5", "1", "2", "4"])
    growth.minorticks_off()
    figures.name_axes(growth, "std of the weights", "growth per layer", "growth (line: theory)")
    return canvas


EXPERIMENT = Experiment(
    "saturation",
    "Saturation, locally and in full",
    "Large weights saturate tanh: its local gradients vanish while the backpropagated gradient explodes.",
    "'Weight Initialization'",
    needs_data=False,
    run=run,
)
