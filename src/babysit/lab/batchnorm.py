"""The effect of batch normalization on gradient flow, learning rate and initialization.

CS231n lecture 6, 'Batch Normalization'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from babysit.data.batches import evaluation_tensors
from babysit.data.dataset import Dataset
from babysit.lab import figures
from babysit.lab.datasets import features, unit_data
from babysit.lab.experiment import Experiment, ExperimentResult, Options, Table, number
from babysit.lab.sweeps import SweepMember, finish, ladder, single_threaded, trainer_of
from babysit.nn.initialization import initialize
from babysit.nn.normalization import insert_batch_norm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEPTH, _WIDTH = 8, 50
WAYS = ("with", "without")
_RATE = 3e-3  # of Adam, as in the course's experiment


class Flow(NamedTuple):
    """Gradient norms at the start at one weight scale: every weight layer, input side first."""

    scale: float
    norms: Sequence[float]

    @property
    def ratio(self) -> float:
        """Norm of the first layer over that of the last."""
        return self.norms[0] / self.norms[-1] if self.norms[-1] else 0.0


def network(inputs: int, classes: int, way: str, scale: float, seed: int) -> nn.Sequential:
    """Builds eight weight layers with ReLU between, weights of one scale, with or without batch
    normalization.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in in [inputs, *[_WIDTH] * (DEPTH - 2)]:
        layers += [nn.Linear(fan_in, _WIDTH), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(_WIDTH, classes))
    initialize(model, "small_random", seed=seed, scale=scale)
    return insert_batch_norm(model) if way == "with" else model


def _maker(dataset: Dataset, way: str, scale: float, seed: int) -> partial[nn.Sequential]:
    return partial(network, features(dataset), dataset.num_classes, way, scale, seed)


def gradient_flow(dataset: Dataset, way: str, scale: float, seed: int) -> Flow:
    """Computes the norms of the weight gradients of one batch of 200 before any update."""
    model = _maker(dataset, way, scale, seed)().train()
    x, y = evaluation_tensors(dataset, dataset.sample(dataset.train, 200, seed))
    weights = [layer.weight for layer in model if isinstance(layer, nn.Linear)]
    gradients = torch.autograd.grad(F.cross_entropy(model(x), y), weights)
    return Flow(scale, [float(gradient.double().norm()) for gradient in gradients])


def scale_sweep(dataset: Dataset, options: Options) -> dict[str, list[float]]:
    """Trains at weight scales from 1e-4 to 1; returns the best validation accuracies, way -> scales."""
    scales = weight_scales(options)
    found = {}
    for way in WAYS:
        members = [
            SweepMember(_maker(dataset, way, scale, options.seed), {"learning_rate": _RATE})
            for scale in scales
        ]
        epochs = options.pick(15, 1)
        trainer = trainer_of(members, dataset, seed=options.seed, epochs=epochs, update="adam")
        chance = 1 / dataset.num_classes
        found[way] = [trace.run.best.val_accuracy if trace.run.best else chance for trace in finish(trainer)]
    return found


def weight_scales(options: Options) -> list[float]:
    """Returns twenty scales from 1e-4 to 1, as in the course's experiment."""
    return ladder(1e-4, 1.0, options.pick(20, 4))


def stable_rates(dataset: Dataset, options: Options) -> dict[str, list[tuple[float, float | None]]]:
    """Trains from He's scale; returns way -> (learning rate, final cost, or None if the cost exploded)."""
    rates = ladder(1e-2, 100.0, options.pick(17, 4))
    scale = (2 / _WIDTH) ** 0.5
    found: dict[str, list[tuple[float, float | None]]] = {}
    for way in WAYS:
        make = _maker(dataset, way, scale, options.seed)
        members = [SweepMember(make, {"learning_rate": rate}) for rate in rates]
        trainer = trainer_of(members, dataset, seed=options.seed, epochs=options.pick(5, 1))
        traces = finish(trainer)
        costs = [None if t.run.explosion else float(t.costs[-10:].mean()) for t in traces]
        found[way] = list(zip(rates, costs, strict=True))
    return found


def largest_stable(found: Sequence[tuple[float, float | None]]) -> float | None:
    """Returns the largest rate below the first that exploded."""
    stable = None
    for rate, cost in found:
        if cost is None:
            break
        stable = rate
    return stable


def batch_mates(dataset: Dataset, options: Options) -> dict[str, float]:
    """Measures the spread of one example's output over its batch mates, in training and evaluation mode."""
    model = _maker(dataset, "with", (2 / _WIDTH) ** 0.5, options.seed)()
    x, _ = evaluation_tensors(dataset, dataset.sample(dataset.train, 300, options.seed))
    spread = {}
    with torch.no_grad():
        for mode in ("train", "eval"):
            model.train(mode == "train")
            outputs = torch.stack(
                [model(torch.cat([x[:1], mates]))[0] for mates in torch.split(x[1:], 23)[:-1]]
            )
            spread[mode] = float(outputs.double().std(0).mean())
    return spread


@single_threaded
def run(options: Options) -> ExperimentResult:
    """Measures gradient flow, accuracy, stable learning rates and the influence of batch mates."""
    dataset = unit_data(options, options.pick(2000, 400))
    scales = weight_scales(options)
    flow = {way: [gradient_flow(dataset, way, s, options.seed) for s in scales] for way in WAYS}
    accuracy, rates = scale_sweep(dataset, options), stable_rates(dataset, options)
    mates = batch_mates(dataset, options)
    largest = {way: largest_stable(found) for way, found in rates.items()}
    data = {
        "weight_scales": scales,
        "first_gradient": {way: [own.norms[0] for own in found] for way, found in flow.items()},
        "gradient_ratio": {way: [own.ratio for own in found] for way, found in flow.items()},
        "val_accuracy": accuracy,
        "learning_rates": {way: [list(pair) for pair in found] for way, found in rates.items()},
        "largest_stable_rate": largest,
        "output_std_over_batch_mates": mates,
    }
    return ExperimentResult(
        data,
        [
            *(
                f"{way} batch normalization: largest stable learning rate {number(largest[way], 3)}, "
                f"validation accuracy {min(accuracy[way]):.3f} to {max(accuracy[way]):.3f} "
                "over the weight scales"
                for way in WAYS
            ),
            f"one example's output varies by {mates['train']:.3f} with its batch mates in training mode, "
            f"by {mates['eval']:g} in evaluation mode",
        ],
        [_table(scales, flow, accuracy)],
        {"batchnorm": lambda: draw(scales, flow, accuracy, rates)},
        "With batch normalization training succeeds from every weight scale and a higher learning rate is "
        "stable. The ratio of first to last gradient hides that all vanish at small scales: see their "
        "size. An example's output depends on its batch mates in training, not in evaluation.",
    )


def _table(scales: Sequence[float], flow: Mapping[str, Sequence[Flow]], accuracy: Mapping[str, Any]) -> Table:
    rows = [
        [
            number(scale, 3),
            *(number(flow[way][index].norms[0], 2) for way in WAYS),
            *(number(flow[way][index].ratio, 2) for way in WAYS),
            *(number(accuracy[way][index], 3) for way in WAYS),
        ]
        for index, scale in enumerate(scales)
    ]
    pairs = [[f"{what}, BN", "without"] for what in ("‖dW1‖", "first / last", "accuracy")]
    headings = ["weight scale", *(heading for pair in pairs for heading in pair)]
    return Table(f"{DEPTH} layers at weight scales from 1e-4 to 1", headings, rows)


_COLOURS = {"with": figures.BLUE, "without": figures.VERMILLION}
_NAMES = {"with": "batch norm", "without": "without"}


@figures.styled
def draw(
    scales: Sequence[float],
    flow: Mapping[str, Sequence[Flow]],
    accuracy: Mapping[str, Sequence[float]],
    rates: Mapping[str, Sequence[tuple[float, float | None]]],
) -> Figure:
    """Draws accuracy and gradient size against the weight scale, and the cost against the learning rate."""
    canvas, axes = figures.canvas(1, 3, height=3.1)
    for way in WAYS:
        axes[0].plot(scales, [100 * v for v in accuracy[way]], "o-", ms=3, color=_COLOURS[way])
        first = [own.norms[0] or np.nan for own in flow[way]]
        axes[1].plot(scales, first, "o-", ms=3, color=_COLOURS[way])
    axes[0].set(xscale="log", ylim=(0, 105))
    axes[1].set(xscale="log", yscale="log")
    for place, way in enumerate(WAYS):
        name, colour = _NAMES[way], _COLOURS[way]
        axes[0].text(0.04, 0.55 - 0.08 * place, name, color=colour, transform=axes[0].transAxes, fontsize=8)
    figures.name_axes(
        axes[0], "std of the weights at the start", "best validation accuracy (%)", "any start will do"
    )
    figures.name_axes(
        axes[1], "std of the weights at the start", "‖dW₁‖ at the start", "gradients get through"
    )
    for way, found in rates.items():
        stable = [(rate, cost) for rate, cost in found if cost is not None]
        axes[2].plot(*zip(*stable, strict=True), "o-", ms=3, color=_COLOURS[way])
        exploded = [rate for rate, cost in found if cost is None]
        axes[2].plot(
            exploded,
            [1.0 if way == "with" else 0.965] * len(exploded),
            "x",
            ms=5,
            color=_COLOURS[way],
            transform=axes[2].get_xaxis_transform(),
            clip_on=False,
        )
    axes[2].set(xscale="log", yscale="log")
    figures.name_axes(axes[2], "learning rate", "cost after training (nats)", "higher rates (×: exploded)")
    return canvas


EXPERIMENT = Experiment(
    "batchnorm",
    "Batch normalization",
    "Gradient flow, the largest stable learning rate and accuracy over weight scales, with and without.",
    "'Batch Normalization'",
    needs_data=True,
    run=run,
)
