"""The loss curve names its learning rate, and the lecture's babysitting session.

CS231n lecture 6, 'Babysitting the Learning Process' and 'Monitor and visualize the loss curve'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch import nn

from babysit.checks.questions.initial_loss import first_costs
from babysit.checks.questions.overfit import overfits_tiny_subset
from babysit.checks.questions.regularization import STRONG_L2
from babysit.lab import figures
from babysit.lab.datasets import known
from babysit.lab.experiment import Experiment, ExperimentResult, Options, Table, number, plain
from babysit.lab.sweeps import Trace, collect, final_cost, ladder, single_threaded, smoothed
from babysit.nn.networks import two_layer
from babysit.readings.context import Context
from babysit.readings.report import report_on
from babysit.recipe.building import Prepared, prepare
from babysit.recipe.builtin import BUILTIN
from babysit.recipe.recipe import Hyperparameters
from babysit.recipe.space import middle
from babysit.records import State, Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HUGE = 1e6
"""Learning rate that the lecture tries after 1e-6, which is too low."""

_RATES: dict[str, Sequence[float]] = {
    "digits": (1e-3, 3e-3, 6e-3, 1e-2, 3e-2, 0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 1.0, HUGE),
    "fashion-mnist": (1e-7, 3e-7, *ladder(3e-6, 3e-3, 7), 6e-3, 1e-2, HUGE),
    "cifar10": (1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 2e-3, 3e-3, 1e-2, HUGE),
}
_PRINTED = 10  # epochs, as on the slides
_INPUTS = {"digits": 64, "fashion-mnist": 784, "cifar10": 3072}
_TOO_LOW = "learning rate too low"
_LECTURE = {"initial": "2.302612", "regularized": "3.068597", "overfit": "0.002597"}


class Checks(NamedTuple):
    """The three numbers that the lecture checks before training."""

    initial: float
    regularized: float
    expected_regularized: float
    overfit: float


class RateSweep(NamedTuple):
    """Runs of all learning rates, steps per epoch, and the four runs that the lecture's cartoon shows."""

    rates: Sequence[float]
    traces: Sequence[Trace]
    steps_per_epoch: int
    chosen: Mapping[str, int]


def session(options: Options) -> tuple[Prepared, dict[str, Value]]:
    """Prepares the lecture's recipe: two layers, plain gradient descent, l2 1e-6, constant learning rate."""
    recipe = BUILTIN[known(options.data)]
    epochs = options.pick(20 if options.data == "digits" else 10, 2)
    rules: dict[str, Any] = {"update": "sgd", "schedule": "constant", "learning_rate_decay": None}
    recipe = replace(recipe, model=partial(_network, _INPUTS[options.data]), epochs=epochs, **rules)
    return prepare(recipe, seed=options.seed), {**middle(recipe.full_space()), "l2": 1e-6}


def _network(inputs: int, hp: Hyperparameters) -> nn.Module:
    return two_layer(inputs, int(hp.hidden), weight_scale=1e-4)


def before_training(prepared: Prepared, chosen: Mapping[str, Value], options: Options) -> Checks:
    """Measures the first loss, the first loss with strong l2, and the cost on 20 memorized examples."""
    initial, regularized = first_costs(prepared, chosen, [0.0, STRONG_L2])
    weights = [p for p in prepared.model(chosen, ("check",)).parameters() if p.dim() > 1]
    penalty = 0.5 * STRONG_L2 * sum(float(w.detach().double().square().sum()) for w in weights)
    rates = (1e-3,) if options.data == "cifar10" else ()
    memorized = overfits_tiny_subset(prepared, chosen, epochs=options.pick(200, 60), rates=rates)
    return Checks(initial, regularized, initial + penalty, memorized.value)


def sweep(prepared: Prepared, chosen: Mapping[str, Value], options: Options) -> RateSweep:
    """Trains every learning rate from the same weights, as one population."""
    rates = _RATES[options.data]
    trials = [({**chosen, "learning_rate": rate}, ("lab",)) for rate in rates]
    trainer = prepared.trainer(trials, prepared.recipe.epochs)
    steps = trainer.batches.steps_per_epoch
    traces = collect(trainer, prepared.reports(trainer))
    return RateSweep(rates, traces, steps, pick_four(rates, traces, steps))


def pick_four(rates: Sequence[float], traces: Sequence[Trace], window: int) -> dict[str, int]:
    """Picks the runs of the cartoon: low, good, high, very high.

    Good has the lowest final cost; high is the largest rate above it that does not explode; very high the
    smallest that does; low the largest below good whose cost fell by less than half as much.
    """
    final = [final_cost(trace, window) for trace in traces]
    good = int(np.argmin(final))
    chosen = {"good": good}
    alive = [i for i in range(good + 1, len(rates)) if math.isfinite(final[i])]
    exploded = [i for i in range(good + 1, len(rates)) if not math.isfinite(final[i])]
    first = float(traces[good].costs[0])
    far = [i for i in range(good) if final[i] > final[good] + 0.5 * (first - final[good])]
    if alive:
        chosen["high"] = alive[-1]
    if exploded:
        chosen["very high"] = exploded[0]
    if far:
        chosen["low"] = far[-1]
    return chosen


@single_threaded
def run(options: Options) -> ExperimentResult:
    """Runs the checks before training, trains a ladder of rates, and diagnoses each loss curve."""
    prepared, chosen = session(options)
    checks, found = before_training(prepared, chosen, options), sweep(prepared, chosen, options)
    verdicts: list[str] = []
    rates: list[dict[str, object]] = []
    for rate, trace in zip(found.rates, found.traces, strict=True):
        context = Context(prepared.chance_loss, prepared.chance_accuracy, {**chosen, "learning_rate": rate})
        causes = report_on(trace.run, context).causes
        verdicts.append(causes[0].rule.replace("_", " ") if causes else "no finding")
        explosion, best = trace.run.explosion, trace.run.best
        rates.append(
            {
                "learning_rate": rate,
                "verdict": verdicts[-1],
                "first_cost": plain(trace.run.first_cost),
                "final_cost": plain(final_cost(trace, found.steps_per_epoch)),
                "best_val_accuracy": best.val_accuracy if best else None,
                "exploded_at_step": explosion.step if explosion else None,
                "costs": [plain(reading.cost) for reading in trace.run.readings],
                "val_accuracy": [reading.val_accuracy for reading in trace.run.readings],
            }
        )
    data = {
        "checks": {name: plain(value) for name, value in checks._asdict().items()},
        "rates": rates,
        "chosen": {name: found.rates[index] for name, index in found.chosen.items()},
    }
    return ExperimentResult(
        data,
        _lines(prepared, checks, found, verdicts),
        [_check_table(checks, options), _rate_table(found, verdicts)],
        {"learning-rate": lambda: draw(found, prepared.chance_loss, quietest(verdicts))},
        "Loss barely changing: the rate is too low, even while the accuracy rises, because the largest score "
        "may already be the right one when all probabilities are still near a tenth. The cost exploding: too "
        "high. What counts as high depends on the scale of the inputs.",
    )


def quietest(verdicts: Sequence[str]) -> int:
    """Finds the largest rate that is still too low: its cost is flat, its accuracy may rise."""
    return max((index for index, verdict in enumerate(verdicts) if verdict == _TOO_LOW), default=0)


def _lines(prepared: Prepared, checks: Checks, found: RateSweep, verdicts: Sequence[str]) -> list[str]:
    lines = [
        f"loss without regularization {checks.initial:.6f}, with regularization 1e3 {checks.regularized:.6f}",
        f"cost on 20 examples after training {checks.overfit:.6f}",
    ]
    shown = [
        quietest(verdicts),
        *(found.chosen[name] for name in ("good", "very high") if name in found.chosen),
    ]
    for index in dict.fromkeys(shown):
        run, rate = found.traces[index].run, found.rates[index]
        lines += [
            f"Finished epoch {reading.epoch} / {prepared.recipe.epochs}: cost {reading.cost:f}, train: "
            f"{reading.train_accuracy:f}, val {reading.val_accuracy:f}, lr {reading.learning_rate:e}"
            for reading in run.readings[:_PRINTED]
        ]
        stopped = f" at step {run.explosion.step}" if run.explosion else ""
        lines.append(f"lr {rate:e}: {verdicts[index]}{stopped}")
    if "high" not in found.chosen:
        lines.append(
            "no tried rate falls fast and then stays above the best: these data have no 'high' curve"
        )
    return lines


def _check_table(checks: Checks, options: Options) -> Table:
    lecture = _LECTURE if options.data == "cifar10" else dict.fromkeys(_LECTURE, "–")
    return Table(
        "Before training",
        ["check", "measured", "theory", "lecture"],
        [
            ["loss, regularization 0", f"{checks.initial:.6f}", f"{math.log(10):.6f}", lecture["initial"]],
            [
                "loss, regularization 1e3",
                f"{checks.regularized:.6f}",
                f"{checks.expected_regularized:.6f}",
                lecture["regularized"],
            ],
            ["cost on 20 memorized examples", f"{checks.overfit:.6f}", "near 0", lecture["overfit"]],
        ],
    )


def _rate_table(found: RateSweep, verdicts: Sequence[str]) -> Table:
    rows = []
    for rate, trace, verdict in zip(found.rates, found.traces, verdicts, strict=True):
        best = trace.run.best
        exploded = trace.run.state is State.EXPLODED
        cost = (
            f"exploded at step {trace.run.steps}"
            if exploded
            else number(final_cost(trace, found.steps_per_epoch))
        )
        rows.append([f"{rate:.2e}", cost, f"{best.val_accuracy:.3f}" if best else "–", verdict])
    return Table(
        "Every learning rate", ["learning rate", "final cost", "best validation accuracy", "verdict"], rows
    )


@figures.styled
def draw(found: RateSweep, chance: float, quiet: int) -> Figure:
    """Draws the four curves of the cartoon, measured, and cost beside accuracy at a rate that is too low."""
    canvas, axes = figures.canvas(1, 2, height=3.4, width_ratios=[1.5, 1])
    _draw_cartoon(axes[0], found, chance)

    readings = found.traces[quiet].run.readings
    epochs = [reading.epoch for reading in readings]
    accuracy = [100 * reading.val_accuracy for reading in readings]
    axes[1].set(xlim=(1, max(epochs[-1], 2)), ylim=(0, 112))
    axes[1].plot(epochs, [100 * reading.val_loss / chance for reading in readings], color=figures.BLUE)
    axes[1].plot(epochs, accuracy, color=figures.VERMILLION)
    centre: dict[str, Any] = {"ha": "center", "fontsize": 8}
    half_way = (epochs[0] + epochs[-1]) / 2
    axes[1].text(half_way, 104, "validation loss, % of ln 10", color=figures.BLUE, **centre)
    axes[1].text(half_way, max(accuracy) + 5, "validation accuracy, %", color=figures.VERMILLION, **centre)
    figures.name_axes(axes[1], "epoch", "percent", f"learning rate {found.rates[quiet]:g} is too low")
    return canvas


def _draw_cartoon(axes: Axes, found: RateSweep, chance: float) -> None:
    colours = {
        "very high": figures.VERMILLION,
        "low": figures.SKY,
        "high": figures.ORANGE,
        "good": figures.GREEN,
    }
    epochs = max(len(trace.costs) for trace in found.traces) / found.steps_per_epoch
    axes.set(xlim=(0, epochs), ylim=(0, 1.6 * chance))
    named = []
    for name, index in found.chosen.items():
        costs = smoothed(found.traces[index].costs, max(found.steps_per_epoch // 4, 1))
        if name == "very high":
            costs[-1] = found.traces[index].costs[-1]  # the last step itself, not its running mean
        axes.plot(np.arange(1, len(costs) + 1) / found.steps_per_epoch, costs, color=colours[name], lw=1.5)
        label = f"{name}, {found.rates[index]:.2g}"
        if name == "very high":
            place = min(len(costs) / found.steps_per_epoch, 0.6 * epochs)
            axes.text(
                place + 0.02 * epochs,
                1.5 * chance,
                f"{label} ↑",
                color=colours[name],
                fontsize=8,
                va="center",
            )
        else:
            named.append((list(costs), label, colours[name]))
    figures.whole_numbers(axes)
    figures.ends(axes, [epochs], named)
    figures.name_axes(axes, "epoch", "cost (nats)", "learning rates from low to very high")


EXPERIMENT = Experiment(
    "learning-rate",
    "What the loss curve says about the learning rate",
    "Too low, good, high and very high learning rates, recognized by the loss curve alone.",
    "'Babysitting the Learning Process' and 'Monitor and visualize the loss curve'",
    needs_data=True,
    run=run,
)
