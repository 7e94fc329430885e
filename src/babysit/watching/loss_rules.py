"""What the loss, the update ratios and the accuracies of a run tell."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean

from babysit.records import Evidence, Severity
from babysit.watching.evidence import ENOUGH, Seen, fares_well, late, stepped, typical_ratio
from babysit.watching.quantities import Epoch, Log, Sample

_EXPLOSION = 3.0
_ADAPTIVE = ("Adam", "RMSprop", "Rprop", "Adagrad", "Adadelta", "Lion", "Adafactor")


def not_finite(log: Log) -> Seen | None:
    """The loss stopped being a number."""
    bad = next((step for step, loss in enumerate(log.losses, 1) if not math.isfinite(loss)), None)
    if bad is None:
        return None
    before = [sample for sample in stepped(log) if sample.step < bad]
    first = next((sample for sample in log.samples if sample.step >= bad), None)
    where = _first_bad(first) if first else "loss"
    grew = _grew(before)
    return Seen(
        Severity.ERROR,
        where,
        bad,
        f"the loss is no number from step {bad} on{_origin(first, where)}{grew}",
        _nan_advice(first, log, before),
        0.9,
        (Evidence("steps with a finite loss", bad - 1, "all", "NaN spreads to every weight in one step"),),
    )


def _origin(sample: Sample | None, where: str) -> str:
    if sample is None:
        return ""
    if sample.output is not None and not sample.output.input_finite:
        return "; the model's input is no number either"
    return f"; first seen in {where} (step {sample.step})" if where != "loss" else "; the output still is one"


def _first_bad(sample: Sample) -> str:
    if sample.output is not None and not sample.output.input_finite:
        return "input"
    layers = (name for name, stat in sample.layers.items() if not math.isfinite(stat.mean + stat.std))
    tensors = (name for name, stat in sample.tensors.items() if not math.isfinite(stat.weight))
    return next(layers, next(tensors, "loss"))


def _grew(before: list[Sample]) -> str:
    """The tensor whose norm grew most over the finite samples, if any grew much."""
    if len(before) < 2:
        return ""
    first, last = before[0].tensors, before[-1].tensors
    growth = {
        name: last[name].weight / stat.weight for name, stat in first.items() if name in last and stat.weight
    }
    name = max(growth, key=lambda known: growth[known], default="")
    return f"; before it |{name}| grew {growth[name]:.3g} times" if name and growth[name] > 2 else ""


def _nan_advice(sample: Sample | None, log: Log, before: list[Sample]) -> str:
    if sample is not None and sample.output is not None and not sample.output.input_finite:
        return "clean the data: NaN or infinite inputs reach the model"
    calm = log.losses and max((x for x in log.losses if math.isfinite(x)), default=0) < 3 * abs(log.losses[0])
    if calm and before and typical_ratio(before) < 1e-2:
        return "nothing grew before it: look at that batch, and for log(0), 0/0 or sqrt(0) in model and loss"
    return "the learning rate is too high: try a tenth of it; if that is no cure, look at the data's scale"


def exploded(log: Log) -> Seen | None:
    """The loss is several times what it was at the start."""
    losses, first = log.losses, log.first
    if log.steps < 10 or not first > 0 or not all(map(math.isfinite, losses)):
        return None
    # A spike that the run recovers from is no explosion.
    if not log.last > _EXPLOSION * first:
        return None
    high = (at + 1 for at in range(len(losses) - 4) if fmean(losses[at : at + 5]) > _EXPLOSION * first)
    since = next(high, None)
    if since is None:
        return None
    ratio = typical_ratio(stepped(log))
    gentle = ratio < 1e-3 and since > 10
    return Seen(
        Severity.ERROR,
        "loss",
        since,
        f"the loss is {log.last / first:.3g} times its first value"
        + (
            ", in small steps: does the gradient point uphill?"
            if gentle
            else ": the learning rate is too high"
        ),
        "look for a flipped sign in the loss or update; else try a tenth of the learning rate"
        if gentle
        else "try a tenth of the learning rate; scale the inputs and targets if that is no cure",
        0.6 if gentle else 0.85,
        (
            Evidence("loss", log.last, f"at most {_EXPLOSION:g} x {first:.4g}", "the lecture's 3x rule"),
            Evidence("update ratio", ratio, "about 1e-3", "actual change of W over W"),
        ),
    )


def rate_too_low(log: Log) -> Seen | None:
    """The loss barely moves, and neither do the weights."""
    ratio = typical_ratio(stepped(log))
    if log.steps < 50 or len(stepped(log)) < ENOUGH or fares_well(log) or not abs(log.fall) < 0.05:
        return None
    # 30 times below the band's middle; with a loss as flat as the lecture's, a factor of 3 is enough.
    if not ratio < (3e-4 if abs(log.fall) < 1e-3 else 3e-5):
        return None
    rate = max(log.samples[-1].rates, default=math.nan)
    return Seen(
        Severity.WARNING,
        "learning rate",
        1,
        f"the loss barely changes ({log.fall:.1e} of it in {log.steps} steps) and the weights hardly move: "
        "the learning rate is too low",
        f"raise the learning rate: try {10 * rate:.2g}, then {100 * rate:.2g}",
        0.85,
        (
            Evidence("update ratio", ratio, "about 1e-3", "actual change of W over W"),
            Evidence("relative fall of the loss", log.fall, "above 1e-3", "it learns"),
        ),
    )


def rate_too_high(log: Log) -> Seen | None:
    """The weights are thrown about and the loss does not fall."""
    samples = late(stepped(log))
    if _descends(log) and typical_ratio(samples) < _LARGE_STEPS:
        return None
    ratio = typical_ratio(samples)
    adaptive = any(name in each for name in _ADAPTIVE for each in log.setup.optimizers)
    limit = 0.1 if adaptive else 0.03
    if log.steps < 30 or len(samples) < ENOUGH or (fares_well(log) and not _limps(log)):
        return None
    if not ratio > limit or _still_falls(log):
        return _catapult(log) or _lost(log, limit)
    return Seen(
        Severity.WARNING,
        "learning rate",
        samples[0].step,
        f"each step changes the weights by {ratio:.1%} of themselves and the loss does not settle: "
        "the learning rate is too high",
        f"try a learning rate of {max(log.samples[-1].rates, default=math.nan) / 10:.2g}",
        0.75,
        (Evidence("update ratio", ratio, f"below {limit:g}, better 1e-3", "actual change of W over W"),),
    )


_LARGE_STEPS = 0.1
"""On raw pixels and from weights of 1e-4, the lecture's best rates change weights by 3 to 4% a step."""


def _descends(log: Log) -> bool:
    """Whether the loss was never thrown up, and has kept falling to the end."""
    if log.steps < 100 or not max(log.losses) < 1.5 * log.first or not log.fall > 0.2:
        return False
    size = log.steps // 4
    second, third, fourth = (fmean(log.losses[at : at + size]) for at in (size, 2 * size, 3 * size))
    return fourth < 0.99 * third and third < 0.99 * second


def _limps(log: Log) -> bool:
    """Thrown so far out that a loss below half of chance is no sign of health yet."""
    return max(log.losses[: log.steps // 2]) > 100 * log.first and log.last > 0.2 * log.first


def _still_falls(log: Log) -> bool:
    """Whether the newest quarter lies clearly below the one before, and the loss was never thrown up."""
    quarter = log.steps // 4
    before, newest = fmean(log.losses[-2 * quarter : -quarter]), fmean(log.losses[-quarter:])
    return newest < 0.95 * before and newest < 0.8 * log.first and max(log.losses) < 1.5 * log.losses[0]


def _catapult(log: Log) -> Seen | None:
    """The first steps threw the loss far above its start, and the run never learned well after."""
    peak = max(log.losses[: log.steps // 2])
    if not peak > 10 * log.first > 0:
        return None
    return Seen(
        Severity.WARNING,
        "learning rate",
        log.losses.index(peak) + 1,
        f"the loss was thrown to {peak / log.first:.3g} times its first value and has not done well since: "
        "the learning rate is too high, at least at the start",
        f"try a learning rate of {max(log.samples[-1].rates, default=math.nan) / 10:.2g}, or a warm-up",
        0.7,
        (Evidence("highest loss", peak, f"below 3 x {log.first:.4g}", "the lecture's 3x rule"),),
    )


def _lost(log: Log, limit: float) -> Seen | None:
    """Large early steps found a good place and threw it away again."""
    early = typical_ratio(stepped(log)[: len(stepped(log)) // 2])
    best = min(fmean(log.losses[at : at + 5]) for at in range(0, log.steps - 4, 5))
    if not (early > limit and 0 < best < 0.7 * log.last):
        return None
    return Seen(
        Severity.WARNING,
        "learning rate",
        1,
        f"steps of {early:.1%} of the weights reached a loss of {best:.3g}, now it is {log.last:.3g}: "
        "the learning rate is too high",
        f"try a learning rate of {max(log.samples[-1].rates, default=math.nan) / 10:.2g}",
        0.7,
        (
            Evidence(
                "early update ratio", early, f"below {limit:g}, better 1e-3", "actual change of W over W"
            ),
        ),
    )


def oscillation(log: Log) -> Seen | None:
    """The loss jumps from one side to the other at every step."""
    tail = log.losses[log.steps // 2 :]
    ratio = typical_ratio(late(stepped(log)))
    if len(tail) < 20 or fares_well(log) or not all(map(math.isfinite, tail)) or not ratio > 3e-3:
        return None
    echo, swing = _echo(tail)
    if not (echo < -0.5 and swing > 0.05):
        return None
    return Seen(
        Severity.WARNING,
        "loss",
        log.steps // 2,
        "the loss swings to and fro at every step: steps overshoot the valley they should descend",
        "lower the learning rate or the momentum",
        0.65,
        (Evidence("correlation of neighbouring losses", echo, "0 or more", "overshooting alternates"),),
    )


def _echo(values: Sequence[float]) -> tuple[float, float]:
    """Correlation of neighbours (-1 for a swing of period two, 0 for noise), and relative spread."""
    mean = fmean(values)
    away = array("d", (value - mean for value in values))  # half a long run: no object for each
    spread = fmean(value * value for value in away)
    if not spread:
        return 0.0, 0.0
    swing = math.sqrt(spread) / abs(mean or 1)
    return fmean(a * b for a, b in pairwise(away)) / spread, swing


def learned_nothing(log: Log) -> Seen | None:
    """The loss is still that of a constant answer."""
    # Loss and chance of the very same batches: targets differ from batch to batch by more than is learned.
    samples = [sample for sample in late(list(log.samples)) if sample.targets is not None]
    chance = log.chance_in(samples)
    loss = fmean(log.losses[sample.step - 1] for sample in samples) if samples else math.nan
    unmoved = loss > 0.99 * chance and log.last > 0.97 * log.chance and log.fall < 0.5
    if log.steps < 100 or not unmoved:
        return None
    return Seen(
        Severity.WARNING,
        "loss",
        1,
        f"after {log.steps} steps the model does no better than {_constant(log)}",
        "do the targets belong to the inputs (shuffled, shifted)? `babysit check` overfits 20 examples "
        "to tell a broken set-up from data without a pattern",
        0.5,
        (Evidence("loss", loss, f"below {chance:.4g}", "a constant answer reaches that"),),
    )


def _constant(log: Log) -> str:
    if log.graph is not None and log.graph.kind == "squared error":
        return "the targets' mean said for every example (the loss is their variance)"
    return "the classes' shares said for every example (the loss is their entropy, ln C if they are equal)"


_GAP = 0.1


def overfitting(log: Log) -> Seen | None:
    """The training examples are known much better than the others, and it gets worse."""
    epochs = log.epochs
    if len(epochs) < 3 or not (_gap_widens(epochs) or _val_loss_turns(log)):
        return None
    gap = epochs[-1].train_accuracy - epochs[-1].val_accuracy
    return Seen(
        Severity.WARNING,
        "validation",
        max(epochs, key=lambda each: -each.val_loss if each.val_loss == each.val_loss else 0.0).step,
        "the network overfits: it still improves on its training examples and no longer on the others",
        "regularize more: weight decay, dropout, augmentation, more data; keep the weights of the best epoch",
        0.75,
        (
            Evidence("train - validation accuracy", gap, f"below {_GAP:g}", "a small gap generalizes"),
            Evidence("validation loss", epochs[-1].val_loss, "at its best", "it should not turn up"),
        ),
    )


def _gap_widens(epochs: tuple[Epoch, ...]) -> bool:
    best = max(
        (each.val_accuracy for each in epochs if each.val_accuracy == each.val_accuracy), default=math.nan
    )
    gap = epochs[-1].train_accuracy - epochs[-1].val_accuracy
    return gap > 2 * _GAP or (gap > _GAP and best - epochs[-1].val_accuracy > 0.02)


def _val_loss_turns(log: Log) -> bool:
    losses = [each.val_loss for each in log.epochs if math.isfinite(each.val_loss)]
    if len(losses) < 3:
        return False
    # A rise that is small beside what there was to learn is the scatter of a run that has learned it.
    rise = min(losses[-2:]) - min(losses)
    learnable = min(value for value in (log.first, log.chance, math.inf) if value == value)
    turned = min(losses[-2:]) > 1.25 * min(losses) > 0 and rise > 0.05 * learnable
    return turned and log.last < 0.5 * losses[-1]


def underfitting(log: Log) -> Seen | None:
    """No gap, no further progress, and the training examples are not known."""
    if len(log.epochs) < 5 or log.steps < 100:
        return None
    last, half = log.epochs[-1], fmean(log.losses[log.steps // 2 : log.steps // 2 + log.window])
    flat = log.last > 0.98 * half
    if not (flat and last.train_accuracy - last.val_accuracy < 0.01 and last.train_accuracy < 0.9):
        return None
    return Seen(
        Severity.INFO,
        "accuracy",
        log.steps // 2,
        "no gap between training and validation, and the loss no longer falls: the network has room to grow",
        "give it more units or layers, or less regularization",
        0.5,
        (Evidence("training accuracy", last.train_accuracy, "above 0.9", "it does not fit its own data"),),
    )


def plateau(log: Log) -> Seen | None:
    """The loss fell, then stood still for half of the run."""
    if log.steps < 100 or fares_well(log) or not log.fall > 0.05:
        return None
    half = fmean(log.losses[log.steps // 2 : log.steps // 2 + log.window])
    if not abs(half - log.last) < 0.005 * abs(half):
        return None
    return Seen(
        Severity.INFO,
        "loss",
        log.steps // 2,
        "the loss has stood still for half of the run",
        "it may be the floor of this task; if not, lower the learning rate now (or raise it if it is tiny)",
        0.4,
        (Evidence("loss", log.last, f"below {half:.4g}", "its value half a run ago"),),
    )
