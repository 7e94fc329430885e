"""The size of updates relative to the weights: about one thousandth is healthy.

CS231n lecture 6, 'Track the ratio of weight updates / weight magnitudes'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from babysit.lab import figures
from babysit.lab.datasets import features, unit_data
from babysit.lab.experiment import Experiment, ExperimentResult, Options, Table, number, plain
from babysit.lab.sweeps import SweepMember, finish, single_threaded, smoothed, trainer_of
from babysit.nn.networks import two_layer
from babysit.training.gradients import Gradient, Rates
from babysit.training.updates import UPDATES, UpdateRule, UpdateState

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TARGET = 1e-3
LOW, HIGH = 1e-4, 1e-2
"""Bounds of healthy ratios, a proposal: a factor ten below and above the target."""

Series = NDArray[np.float64]

LEARNING_RATES = (1e-4, 3e-3, 3e-1)
EARLY = 10
"""Epochs that the tables cover: once everything is learned, the updates shrink at any rate."""

_TENSORS = ("1.weight", "1.bias", "3.weight", "3.bias")
_NAMES = ("W1", "b1", "W2", "b2")
_PARTS = ("ratio", "weight_low", "weight_high", "update_low", "update_high")


@dataclass
class UpdateRecorder:
    """Update rule that records how large its changes are: the actual ones, momentum included.

    The trainer calls it for one tensor after another, in the same order every step.

    Attributes:
        rule: the recorded rule; it computes the same updates.
        count: the number of members at the start.
        members: returns the members still alive; the numbers of the others are NaN.
        rows: one row per call: for each member the norm ratio, and the extremes of weights and change.
    """

    rule: UpdateRule
    count: int
    members: Callable[[], list[int]]
    rows: list[Tensor] = field(default_factory=list)

    def watched(self) -> UpdateRule:
        """Returns the rule to train with."""
        return self.rule._replace(update=self._update)

    def _update(self, parameter: Tensor, gradient: Gradient, state: UpdateState, rates: Rates) -> None:
        before = parameter.detach().clone()
        self.rule.update(parameter, gradient, state, rates)
        weights, step = before.flatten(1), (parameter.detach() - before).flatten(1)
        # A tensor that is still zero, as biases are at the start, has no ratio.
        ratio = step.norm(dim=1) / weights.norm(dim=1)
        extremes = [*weights.aminmax(dim=1), *step.aminmax(dim=1)]
        row = torch.full((len(_PARTS), self.count), torch.nan)
        row[:, self.members()] = torch.stack([ratio, *extremes])
        self.rows.append(torch.where(row.isfinite(), row, torch.nan))

    def series(self) -> Series:
        """Returns [tensors, parts, members, steps]; parts are the ratio and the four extremes."""
        steps = [self.rows[start :: len(_TENSORS)] for start in range(len(_TENSORS))]
        return np.array([torch.stack(rows, -1).double().numpy() for rows in steps])


@single_threaded
def run(options: Options) -> ExperimentResult:
    """Trains at three learning rates and records every update."""
    dataset = unit_data(options, options.pick(5000, 500))
    make = partial(two_layer, features(dataset), 50, dataset.num_classes, weight_scale=1e-2)
    members = [SweepMember(make, {"learning_rate": rate, "momentum": 0.9}) for rate in LEARNING_RATES]
    recorder = UpdateRecorder(UPDATES["momentum"], len(members), lambda: trainer.alive)
    trainer = trainer_of(
        members,
        dataset,
        seed=options.seed,
        epochs=options.pick(40, 3),
        update=recorder.watched(),
        limit=np.inf,
    )
    per_epoch = trainer.batches.steps_per_epoch
    traces = finish(trainer)
    series = recorder.series()
    early = series[..., : EARLY * per_epoch]
    accuracy = [trace.run.best.val_accuracy if trace.run.best else None for trace in traces]
    medians = {name: np.nanmedian(own[0], axis=1) for name, own in _named(early)}
    data = {
        "learning_rates": list(LEARNING_RATES),
        "val_accuracy": accuracy,
        "median_ratio": {name: [plain(value) for value in own] for name, own in medians.items()},
        "extremes_ratio_of_W1": _extremes_ratio(early).tolist(),
        "epochs": _by_epoch(series, per_epoch),
    }
    lines = [
        f"learning rate {rate:g}: update scale / weight scale of W1 {ratio:.1e} ({verdict(ratio)}), "
        f"validation accuracy {number(reached, 3)}"
        for rate, ratio, reached in zip(LEARNING_RATES, medians["W1"], accuracy, strict=True)
    ]
    ratios = Table(
        f"Median of ||update|| / ||weights|| in the first {EARLY} epochs; want about 1e-3",
        ["tensor", *(f"learning rate {rate:g}" for rate in LEARNING_RATES)],
        [[name, *(f"{value:.1e} {verdict(value)}" for value in own)] for name, own in medians.items()],
    )
    return ExperimentResult(
        data,
        lines,
        [ratios, _extremes_table(early)],
        {"update-ratio": lambda: draw(series, per_epoch)},
        "Want about 1e-3. The lecture's 0.0002 / 0.02 = 0.01 divides read-off extremes of updates and "
        "weights, not norms; the two differ, so both are shown.",
    )


def _by_epoch(series: Series, per_epoch: int) -> dict[str, dict[str, list[list[float | None]]]]:
    """Returns tensor -> part -> member -> its value at the end of every epoch."""
    ends = series[..., per_epoch - 1 :: per_epoch]
    return {
        name: {
            part: [[plain(value) for value in member] for member in own[index]]
            for index, part in enumerate(_PARTS)
        }
        for name, own in _named(ends)
    }


def _named(series: Series) -> list[tuple[str, Series]]:
    return list(zip(_NAMES, series, strict=True))


def _extremes_ratio(series: Series) -> Series:
    """Computes the lecture's ratio for W1: the largest update over the largest weight, median over steps."""
    _, *bounds = np.abs(series[0])
    weights, updates = np.maximum(bounds[0], bounds[1]), np.maximum(bounds[2], bounds[3])
    ratio: Series = np.nanmedian(updates / weights, axis=1)
    return ratio


def verdict(ratio: float) -> str:
    """Names a ratio low, fine or high, by the bands around 1e-3."""
    return "low" if ratio < LOW else "high" if ratio > HIGH else "fine"


def _extremes_table(series: Series) -> Table:
    last = series[0, :, :, -1]
    rows = [
        [
            f"{rate:g}",
            f"{number(low, 3)} to {number(high, 3)}",
            f"{number(down, 3)} to {number(up, 3)}",
            f"{extremes:.1e}",
            f"{norms:.1e}",
        ]
        for rate, (low, high, down, up), extremes, norms in zip(
            LEARNING_RATES,
            last[1:].T,
            _extremes_ratio(series),
            np.nanmedian(series[0, 0], axis=1),
            strict=True,
        )
    ]
    rows.append(["lecture", "-0.02 to 0.02", "-2e-4 to 2e-4", "1e-2 (about okay)", "–"])
    headings = ["learning rate", "W1", "its update", "ratio of extremes", "ratio of norms"]
    return Table("Two ratios that are easily taken for one another", headings, rows)


@figures.styled
def draw(series: Series, per_epoch: int) -> Figure:
    """Draws the ratio of W1 at three learning rates, of every tensor at the middle one, and the extremes."""
    canvas, axes = figures.canvas(2, 2, height=5.2)
    epochs = np.arange(1, series.shape[-1] + 1) / per_epoch
    named = {f"rate {rate:g}": series[0, 0, index] for index, rate in enumerate(LEARNING_RATES)}
    _ratios(axes[0], epochs, named, per_epoch, "W1 at three learning rates")
    tensors = {name: own[0, 1] for name, own in _named(series)}
    _ratios(axes[1], epochs, tensors, per_epoch, f"every tensor at learning rate {LEARNING_RATES[1]:g}")
    for place, first, what in ((axes[2], 1, "W1"), (axes[3], 3, "updates of W1")):
        low, high = series[0, first : first + 2, 1]
        place.fill_between(epochs, low, high, color=figures.SKY, alpha=0.25, lw=0)
        place.plot(epochs, high, color=figures.BLUE, lw=0.9)
        place.plot(epochs, low, color=figures.VERMILLION, lw=0.9)
        place.set_xlim(0, epochs[-1])
        figures.beside(place, epochs[-1], high[-1], "largest", figures.BLUE)
        figures.beside(place, epochs[-1], low[-1], "smallest", figures.VERMILLION)
        heading = f"{what} at learning rate {LEARNING_RATES[1]:g}"
        figures.name_axes(place, "epoch", "value of one entry", heading)
    return canvas


def _ratios(axes: Axes, epochs: Series, named: Mapping[str, Series], window: int, heading: str) -> None:
    axes.set(yscale="log", ylim=(3e-6, 1), xlim=(0, epochs[-1]))
    axes.axhspan(LOW, HIGH, color="#EAF3EE", lw=0, zorder=0)
    axes.axhline(TARGET, color=figures.GREEN, lw=1, ls=(0, (4, 3)))
    ends = []
    for (name, values), colour in zip(named.items(), figures.CYCLE, strict=False):
        known = np.isfinite(values) & (values > 0)
        smooth = np.exp(smoothed(np.log(values[known]), window))
        axes.plot(epochs[known], smooth, color=colour, lw=1.4)
        ends.append((list(smooth), name, colour))
    figures.ends(axes, [epochs[-1]], ends)
    axes.text(epochs[-1] * 0.02, 1.15 * LOW, "healthy: about 1e-3", color=figures.GREEN, fontsize=8)
    figures.name_axes(axes, "epoch", "‖update‖ / ‖weights‖", heading)


EXPERIMENT = Experiment(
    "update-ratio",
    "The size of an update beside the weights",
    "The norm of every update over the norm of its weights, tensor by tensor; about 1e-3 is healthy.",
    "'Track the ratio of weight updates / weight magnitudes'",
    needs_data=True,
    run=run,
)
