"""Dead ReLUs: silent on every example, gradient exactly zero, never to change again.

CS231n lecture 6, 'Activation Functions'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from babysit.data.batches import evaluation_tensors
from babysit.data.dataset import Dataset, Split
from babysit.lab import figures
from babysit.lab.datasets import features, unit_data
from babysit.lab.experiment import Experiment, ExperimentResult, Options, Table, number, plain
from babysit.lab.sweeps import SweepMember, ladder, single_threaded, trainer_of
from babysit.nn.networks import two_layer
from babysit.seeding import seeded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HIDDEN = 100
SILENT_THEORY = (0.0, 0.0, 0.001, 0.006, 0.016, 0.029, 0.047, 0.062, 0.081, 0.098)
"""Expected share of units silent on 1000 unit-gaussian rows, layers 1-10 of a healthy 500-wide ReLU net."""

FAMILIES = (("zero-centred", 0.0), ("all positive", 0.0), ("all positive", 0.01))
"""Kind of inputs and first value of the hidden biases."""

_DEADLY_RATE = 10.0


class DeadShares(NamedTuple):
    """Shares of dead units by family, learning rate, start and epoch.

    Attributes:
        rates: the learning rates.
        dead: [families, rates, starts, epochs]; NaN once the cost of a run is NaN or infinite.
    """

    rates: list[float]
    dead: np.ndarray


def silent_units(parameters: Mapping[str, Tensor], x: Tensor) -> list[Tensor]:
    """Finds the hidden ReLUs of a fully connected network that are 0 on every row of ``x``, layer by layer.

    Args:
        parameters: its state dict; the weights alternate with biases, the last pair is the output layer.
        x: every example, [N, D].

    Returns:
        bool [H] for each hidden layer.
    """
    silent, values = [], list(parameters.values())
    for weight, bias in zip(values[:-2:2], values[1:-2:2], strict=True):
        x = torch.relu(x @ weight.T + bias)
        silent.append((x == 0).all(0))
    return silent


def inputs(dataset: Dataset, kind: str) -> Dataset:
    """Scales the examples to unit spread: centred, or shifted so that no input is negative."""
    x = evaluation_tensors(dataset, dataset.train)[0]
    lowest = x.amin(0).numpy() if kind == "all positive" else 0.0
    train, val = (Split(dataset.inputs(part.x) - lowest, part.y) for part in (dataset.train, dataset.val))
    return Dataset(dataset.name, train, val, classes=dataset.classes)


def sweep(dataset: Dataset, options: Options) -> DeadShares:
    """Trains the two-layer network at many learning rates, one population per family; counts dead units."""
    rates = ladder(1e-2, 10.0, options.pick(13, 4))
    starts, epochs = options.pick(3 if features(dataset) < 100 else 1, 1), options.pick(10, 2)
    dead = np.full((len(FAMILIES), len(rates) * starts, epochs), np.nan)
    for family, (kind, bias) in enumerate(FAMILIES):
        data = inputs(dataset, kind)
        make = partial(_network, features(data), data.num_classes, bias)
        members = [
            SweepMember(make, {"learning_rate": rate}, draw) for rate in rates for draw in range(starts)
        ]
        # The explosion rule would end the very runs whose units die; here only a NaN or infinite cost does.
        trainer = trainer_of(members, data, seed=options.seed, epochs=epochs, limit=math.inf)
        x = evaluation_tensors(data, data.train)[0].flatten(1)
        for report in trainer.epochs():
            for slot, member in enumerate(trainer.alive):
                (silent, *_) = silent_units(trainer.population.member(slot), x)
                dead[family, member, report.epoch - 1] = float(silent.double().mean())
    return DeadShares(rates, dead.reshape(len(FAMILIES), len(rates), starts, epochs))


def _network(inputs: int, classes: int, bias: float) -> nn.Module:
    model = two_layer(inputs, HIDDEN, classes)
    nn.init.constant_(model.get_parameter("1.bias"), bias)
    return model


def after_death(dataset: Dataset, options: Options) -> dict[str, Any]:
    """Kills units with one step that is too long, then trains on and follows the dead units.

    The network has one hidden layer, so that the inputs of its units never change, and its inputs are all
    positive, as pixels are before centring: then one long step pushes a whole unit out of the data.

    Returns:
        The number of dead units, the largest gradient of their weights on the whole data set, and the numbers
        of dead and of living units of which plain gradient descent changed any bit.
    """
    steps = options.pick(200, 20)
    positive = inputs(dataset, "all positive")
    x, y = evaluation_tensors(positive, positive.train)
    x = x.flatten(1)
    with seeded(options.seed, "after death"):
        model = two_layer(x.shape[1], HIDDEN, dataset.num_classes)
    _descend(model, x, y, rate=_DEADLY_RATE, steps=1)
    weight = model.get_parameter("1.weight")
    (dead,) = silent_units(model.state_dict(), x)
    gradient = torch.autograd.grad(F.cross_entropy(model(x), y), weight)[0].abs().amax(1)
    before = weight.detach().clone()
    _descend(model, x, y, rate=1e-3, steps=steps)
    moved = (weight != before).any(1)
    return {
        "dead": int(dead.sum()),
        "units": HIDDEN,
        "steps": steps,
        "largest_gradient_of_dead": float(gradient[dead].max()) if dead.any() else None,
        "smallest_gradient_of_living": float(gradient[~dead].min()) if (~dead).any() else None,
        "dead_that_moved": int((moved & dead).sum()),
        "living_that_moved": int((moved & ~dead).sum()),
    }


def _descend(model: nn.Module, x: Tensor, y: Tensor, *, rate: float, steps: int) -> None:
    """Runs plain gradient descent on all examples, without regularization."""
    for _ in range(steps):
        gradients = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.sub_(rate * gradient)


def silent_shares(options: Options) -> list[list[float]]:
    """Measures, per draw and layer, the share of units silent on 1000 rows in a healthy 10-layer ReLU net."""
    found = []
    for draw in range(options.pick(10, 3)):
        with seeded(options.seed, "silent", draw), torch.no_grad():
            h, shares = torch.randn(1000, 500), []
            for _ in SILENT_THEORY:
                h = torch.relu(h @ (torch.randn(500, 500) * math.sqrt(2 / 500)))
                shares.append(float((h == 0).all(0).double().mean()))
        found.append(shares)
    return found


@single_threaded
def run(options: Options) -> ExperimentResult:
    """Counts dead units by learning rate, follows them after death, and counts merely silent units."""
    dataset = unit_data(options, options.pick(1500, 500))
    found, fate, silent = sweep(dataset, options), after_death(dataset, options), silent_shares(options)
    data = {
        "learning_rates": found.rates,
        "families": [{"inputs": kind, "first_bias": bias} for kind, bias in FAMILIES],
        "dead": [[[plain(share) for share in epochs] for epochs in rates] for rates in _over_starts(found)],
        "after_death": fate,
        "silent": silent,
    }
    return ExperimentResult(
        data,
        [
            f"one step at learning rate {_DEADLY_RATE:g} on inputs that are all positive killed "
            f"{fate['dead']} of {fate['units']} units",
            "largest gradient of a dead unit's weights over the whole data set: "
            f"{fate['largest_gradient_of_dead']}",
            f"after {fate['steps']} more steps of plain gradient descent {fate['dead_that_moved']} dead "
            f"and {fate['living_that_moved']} living units had moved",
        ],
        _tables(found, silent),
        {"dead-units": lambda: draw(found, silent)},
        "A learning rate that is too high kills ReLUs for good: their gradient is exactly 0. Inputs that are "
        "all positive make it easy; zero-centred, some example wakes almost every unit. A unit "
        "silent on one batch is not dead: a tenth of a healthy tenth layer is silent on 1000 rows.",
    )


def _over_starts(found: DeadShares) -> np.ndarray:
    """Averages the finite shares over starts, [families, rates, epochs]; NaN if there is none."""
    count = np.isfinite(found.dead).sum(2)
    return np.where(count > 0, np.nansum(found.dead, 2) / np.maximum(count, 1), np.nan)


def _tables(found: DeadShares, silent: Sequence[Sequence[float]]) -> list[Table]:
    last = _over_starts(found)[:, :, -1]
    by_rate = [
        [number(rate, 3), *(number(share, 3) for share in last[:, index])]
        for index, rate in enumerate(found.rates)
    ]
    by_layer = [
        [str(layer), number(own.mean(), 3), number(own.std(), 2), number(theory, 3)]
        for layer, (own, theory) in enumerate(zip(np.array(silent).T, SILENT_THEORY, strict=True), start=1)
    ]
    of_rates = ["learning rate", *(f"{kind}, first bias {bias:g}" for kind, bias in FAMILIES)]
    of_layers = ["layer", "measured", "between seeds", "expected"]
    return [
        Table("Share of hidden units that no training example switches on", of_rates, by_rate),
        Table("Units silent on 1000 rows, healthy 10-layer ReLU net", of_layers, by_layer),
    ]


@figures.styled
def draw(found: DeadShares, silent: Sequence[Sequence[float]]) -> Figure:
    """Draws the dead share against learning rate and epoch, and the silent units of a healthy net."""
    canvas, axes = figures.canvas(1, 3, height=3.1, width_ratios=[1.1, 1.1, 1])
    shares = 100 * _over_starts(found)
    names = ("zero-centred", "positive", "positive, bias 0.01")
    colours = (figures.BLUE, figures.VERMILLION, figures.ORANGE)
    for own, colour in zip(shares, colours, strict=True):
        axes[0].plot(found.rates, own[:, -1], "o-", ms=3, color=colour)
    axes[0].set(xscale="log", ylim=(-3, 136), yticks=range(0, 101, 20))  # the names have room above
    for place, (name, colour) in enumerate(zip(names, colours, strict=True)):
        axes[0].text(0.04, 0.96 - 0.07 * place, name, color=colour, transform=axes[0].transAxes, fontsize=8)
    figures.name_axes(axes[0], "learning rate", "dead hidden units (%)", "after the last epoch")
    _draw_epochs(axes[1], found.rates, shares[1])
    _draw_silent(axes[2], silent)
    return canvas


def _draw_epochs(axes: Axes, rates: Sequence[float], shares: np.ndarray) -> None:
    epochs = list(range(1, shares.shape[1] + 1))
    wanted = [np.nanargmin(np.abs(shares[:, -1] - level)) for level in (0, 30, 60, 100)]
    chosen = sorted(dict.fromkeys(int(index) for index in wanted))
    axes.set(ylim=(-3, 103), xlim=(1, epochs[-1]))
    named = [(shares[i], f"{rates[i]:.2g}", c) for i, c in zip(chosen, figures.CYCLE, strict=False)]
    for values, _, colour in named:
        axes.plot(epochs, values, "o-", ms=3, color=colour, clip_on=False)
    figures.ends(axes, epochs, named)
    figures.name_axes(axes, "epoch", "dead hidden units (%)", "positive inputs, by learning rate")


def _draw_silent(axes: Axes, silent: Sequence[Sequence[float]]) -> None:
    values = 100 * np.array(silent)
    layers = np.arange(1, values.shape[1] + 1)
    axes.errorbar(layers, values.mean(0), values.std(0), fmt="o", ms=4, color=figures.BLUE, lw=1.2)
    axes.plot(layers, 100 * np.array(SILENT_THEORY), "_", ms=12, mew=1.6, color=figures.VERMILLION)
    axes.text(0.04, 0.95, "measured, ± over seeds", color=figures.BLUE, transform=axes.transAxes, fontsize=8)
    axes.text(0.04, 0.88, "expected", color=figures.VERMILLION, transform=axes.transAxes, fontsize=8)
    axes.set(ylim=(-0.6, max(14.0, values.max() * 1.2)), xlim=(0.3, 10.7), xticks=[2, 4, 6, 8, 10])
    figures.name_axes(axes, "layer", "silent on 1000 rows (%)", "a healthy net at the start")


EXPERIMENT = Experiment(
    "dead-units",
    "Dead ReLUs",
    "Too high a learning rate leaves ReLUs that no example switches on; their gradient is exactly 0.",
    "'Activation Functions'",
    needs_data=True,
    run=run,
)
