"""ReLU against tanh, and He against Xavier in deep ReLU nets.

CS231n lecture 6, 'Activation Functions' and 'Weight Initialization'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import nn

from babysit.data.dataset import Dataset
from babysit.lab import figures
from babysit.lab.datasets import features, unit_data
from babysit.lab.experiment import Experiment, ExperimentResult, Options, Table, number
from babysit.lab.sweeps import SweepMember, Trace, epochs_until, finish, ladder, single_threaded, trainer_of
from babysit.nn.initialization import initialize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ERROR = 0.25
DEPTHS = (22, 30)
_WIDTH = 64
_DEEP_RATE = 0.02


class ActivationRace(NamedTuple):
    """Runs of one activation at every learning rate and start, and their epochs to the goal."""

    rates: Sequence[float]
    traces: Sequence[Sequence[Trace]]  # [rates][starts]
    epochs: Sequence[Sequence[float | None]]  # [rates][starts]

    @property
    def best(self) -> int:
        """The index of the rate at which most starts reach the goal; of several, the fastest on average."""
        reached = [[value for value in group if value is not None] for group in self.epochs]
        means = [float(np.mean(group)) if group else math.inf for group in reached]
        return min(range(len(self.rates)), key=lambda i: (-len(reached[i]), means[i]))

    @property
    def mean(self) -> float | None:
        """Mean epochs at the best rate over the starts that reached the goal."""
        reached = [value for value in self.epochs[self.best] if value is not None]
        return float(np.mean(reached)) if reached else None


def network(inputs: int, classes: int, depth: int, activation: str, scheme: str, seed: int) -> nn.Sequential:
    """Builds ``depth`` weight layers, all but the last followed by the activation."""
    kind = {"relu": nn.ReLU, "tanh": nn.Tanh}[activation]
    sizes = [inputs, *[_WIDTH] * (depth - 1)]
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in in sizes[:-1]:
        layers += [nn.Linear(fan_in, _WIDTH), kind()]
    model = nn.Sequential(*layers, nn.Linear(sizes[-1], classes))
    initialize(model, scheme, seed=seed)
    return model


def race(dataset: Dataset, activation: str, options: Options) -> ActivationRace:
    """Trains one activation at many learning rates from many starts, as one population."""
    easy = options.data == "digits"
    rates = ladder(1e-2, 1.0, options.pick(9 if easy else 5, 3))
    starts, epochs = options.pick(5 if easy else 3, 2), options.pick(12 if easy else 25, 2)
    scheme = {"relu": "he", "tanh": "xavier"}[activation]
    make = partial(network, features(dataset), dataset.num_classes, 5, activation, scheme)
    members = [
        SweepMember(partial(make, options.seed * 1000 + start), {"learning_rate": rate})
        for rate in rates
        for start in range(starts)
    ]
    traces = finish(trainer_of(members, dataset, seed=options.seed, epochs=epochs))
    chance = 1 - 1 / dataset.num_classes
    grouped = [traces[i : i + starts] for i in range(0, len(traces), starts)]
    reached = [[epochs_until(trace.run, ERROR, chance) for trace in group] for group in grouped]
    return ActivationRace(rates, grouped, reached)


def deep_race(dataset: Dataset, depth: int, options: Options) -> dict[str, list[list[float]]]:
    """Trains a deep ReLU net; returns the training error after every epoch, scheme -> starts -> epochs."""
    starts, epochs = options.pick(5, 1), options.pick(20, 2)
    members = [
        SweepMember(
            partial(
                network, features(dataset), dataset.num_classes, depth, "relu", scheme, options.seed + start
            ),
            {"learning_rate": _DEEP_RATE},
        )
        for scheme in ("he", "xavier")
        for start in range(starts)
    ]
    traces = finish(trainer_of(members, dataset, seed=options.seed, epochs=epochs))
    errors = [[1 - reading.train_accuracy for reading in trace.run.readings] for trace in traces]
    return {"he": errors[:starts], "xavier": errors[starts:]}


@single_threaded
def run(options: Options) -> ExperimentResult:
    """Runs both races."""
    dataset = unit_data(options, options.pick(2500, 500))
    entries = {name: race(dataset, name, options) for name in ("relu", "tanh")}
    deep = {depth: deep_race(dataset, depth, options) for depth in DEPTHS}
    relu, tanh = entries["relu"].mean, entries["tanh"].mean
    ratio = tanh / relu if relu and tanh else None
    data = {
        "epochs_to_25_percent": {
            name: {
                "rates": list(entry.rates),
                "epochs": [list(group) for group in entry.epochs],
                "best_rate": entry.rates[entry.best],
                "mean": entry.mean,
            }
            for name, entry in entries.items()
        },
        "tanh_over_relu": ratio,
        "deep": {str(depth): errors for depth, errors in deep.items()},
    }
    lines = [
        f"{name}: {number(entry.mean, 3)} epochs to 25% training error at its best learning rate "
        f"{entry.rates[entry.best]:g}"
        for name, entry in entries.items()
    ]
    if ratio is None:
        ahead = "Neither got there in every case"
    else:
        ahead = "ReLU is ahead" if ratio > 1 else "tanh is ahead"
    at_the_end = [
        [str(depth), scheme, number(float(np.mean([own[-1] for own in errors if own])), 3)]
        for depth, schemes in deep.items()
        for scheme, errors in schemes.items()
    ]
    headings = ["weight layers", "initialization", "training error"]
    return ExperimentResult(
        data,
        [*lines, f"tanh needs {number(ratio, 3)} times the epochs of ReLU (the lecture: e.g. 6 times)"],
        [_table(entries), Table("Deep ReLU nets at the end", headings, at_the_end)],
        {"relu-race": lambda: draw(entries, deep)},
        f"{ahead} where both get their own best learning rate: the factor belongs to network and data, and "
        "the lecture's 6 is one convolutional net on CIFAR-10. Deep ReLU nets need the factor 2 of He.",
    )


def _table(entries: Mapping[str, ActivationRace]) -> Table:
    rows = []
    for name, entry in entries.items():
        reached = [value for value in entry.epochs[entry.best] if value is not None]
        spread = float(np.std(reached)) if reached else None
        lecture = {"relu": "about 6", "tanh": "about 36"}[name]
        rows.append([name, f"{entry.rates[entry.best]:g}", number(entry.mean, 3), number(spread, 2), lecture])
    headings = ["activation", "best learning rate", "epochs", "between starts", "Krizhevsky et al. 2012"]
    return Table("Epochs to 25% training error", headings, rows)


@figures.styled
def draw(
    entries: Mapping[str, ActivationRace], deep: Mapping[int, Mapping[str, Sequence[Sequence[float]]]]
) -> Figure:
    """Draws the race at each activation's best rate, the epochs at every rate, and the two deep nets."""
    canvas, axes = figures.canvas(2, 2, height=5.6)
    _draw_race(axes[0], entries)

    for name, entry in entries.items():
        reached = [[value for value in group if value is not None] for group in entry.epochs]
        rates = [rate for rate, group in zip(entry.rates, reached, strict=True) if group]
        means = [float(np.mean(group)) for group in reached if group]
        axes[1].plot(rates, means, "o-", ms=4, color=_COLOURS[name])
        if rates:
            figures.beside(axes[1], rates[-1], means[-1], _NAMES[name], _COLOURS[name])
    axes[1].set(xscale="log", yscale="log")
    figures.name_axes(axes[1], "learning rate", "epochs to 25% training error", "every learning rate")

    for place, (depth, errors) in zip(axes[2:], deep.items(), strict=True):
        named = [
            (_lines(place, name, [[0.9, *run] for run in own]), _NAMES[name], _COLOURS[name])
            for name, own in errors.items()
        ]
        figures.ends(place, [place.get_xlim()[1]], named)
        figures.name_axes(place, "epoch", "training error (%)", f"ReLU, {depth} layers")
    return canvas


_COLOURS = {
    "relu": figures.BLUE,
    "tanh": figures.VERMILLION,
    "he": figures.BLUE,
    "xavier": figures.VERMILLION,
}
_NAMES = {"relu": "ReLU", "tanh": "tanh", "he": "He, 2 / n", "xavier": "Xavier, 1 / n"}


def _lines(axes: Axes, name: str, errors: Sequence[Sequence[float]]) -> list[float]:
    """Draws every start thinly and their mean; returns the mean."""
    whole = [own for own in errors if len(own) == max(map(len, errors))]
    epochs = range(len(whole[0]))
    for own in whole:
        axes.plot(epochs, [100 * value for value in own], color=_COLOURS[name], lw=0.7, alpha=0.4)
    mean = [float(value) for value in 100 * np.mean(whole, axis=0)]
    axes.plot(epochs, mean, color=_COLOURS[name])
    axes.set(xlim=(0, max(len(mean) - 1, 1)), ylim=(0, 95))
    figures.whole_numbers(axes)
    return mean


def _draw_race(axes: Axes, entries: Mapping[str, ActivationRace]) -> None:
    named = []
    for name, entry in entries.items():
        runs = [trace.run for trace in entry.traces[entry.best]]
        mean = _lines(axes, name, [[0.9, *(1 - r.train_accuracy for r in run.readings)] for run in runs])
        named.append((mean, _NAMES[name], _COLOURS[name]))
    slowest = max(entry.mean or 0 for entry in entries.values())
    shown = max(2, min(round(2.5 * slowest), len(named[0][0]) - 1))
    axes.set_xlim(0, shown)
    axes.axhline(100 * ERROR, color=figures.MUTED, lw=1, ls=(0, (4, 3)))
    axes.text(axes.get_xlim()[1], 100 * ERROR + 1, "25%", ha="right", color=figures.MUTED, fontsize=8)
    figures.ends(axes, [shown], [(mean[: shown + 1], name, colour) for mean, name, colour in named])
    figures.name_axes(axes, "epoch", "training error (%)", "each at its own best learning rate")


EXPERIMENT = Experiment(
    "relu-race",
    "ReLU against tanh, He against Xavier",
    "Epochs to 25% training error, and which initialization lets a deep ReLU net learn at all.",
    "'Activation Functions' and 'Weight Initialization'",
    needs_data=True,
    run=run,
)
