"""Questions on what goes in: the inputs' scale, the labels' range and shape."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from babysit.checks.measured import Measured
from babysit.checks.needs import RUNS
from babysit.checks.trace import LossCall
from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.data import (
    CLASSES_ON_LAST_AXIS,
    CONSTANT_FEATURES,
    CONSTANT_LABELS,
    DATA_NOT_SHUFFLED,
    INPUTS_ALL_POSITIVE,
    INPUTS_CONSTANT,
    INPUTS_NOT_FINITE,
    INPUTS_NOT_SCALED,
    INPUTS_TINY,
    LABELS_OF_WRONG_TYPE,
    LABELS_OUTSIDE_RANGE,
    NUMBERS_OF_WRONG_TYPE,
    TARGETS_NOT_FINITE,
    TARGETS_NOT_SCALED,
)
from babysit.loss_graph import compares_examples
from babysit.verdicts import Severity

LARGE = 10.0
"""Root mean square above which inputs count as unscaled: standardized ones have 1, pixels 0-255 about 130."""

TINY = 0.02
"""Root mean square below which they count as scaled away: pixels divided by 255 twice have 0.002."""

IMAGES = 4
"""The axes of a batch of images: examples, channels, rows, columns."""

FEW = 30
"""Fewer labels than this tell nothing about their balance."""


def _floating(value: Any) -> Tensor | None:
    good = isinstance(value, Tensor) and value.is_floating_point() and value.numel() > 0
    return value.detach() if good else None


@detects(INPUTS_NOT_FINITE)
def inputs_not_finite(measured: Measured) -> Detection | None:
    """Any NaN or infinity among the inputs: one poisons every weight at its first step."""
    return _not_finite("inputs", [batch[0] for batch in measured.program.seen])


@detects(TARGETS_NOT_FINITE)
def targets_not_finite(measured: Measured) -> Detection | None:
    """Any NaN or infinity among the targets."""
    return _not_finite("targets", [batch[1] for batch in measured.program.seen])


def _not_finite(what: str, values: list[Any]) -> Detection | None:
    known = [tensor for value in values if (tensor := _floating(value)) is not None]
    bad = sum(int((~torch.isfinite(tensor)).sum()) for tensor in known)
    if not bad:
        return None
    return Detection(
        where=what,
        message=f"{bad} of the {what} are NaN or infinite",
        evidence=evidence("not finite", bad, "0"),
    )


@detects(INPUTS_CONSTANT)
def inputs_constant(measured: Measured) -> Detection | None:
    """All examples are equal."""
    x = measured.x
    if not isinstance(x, Tensor) or x.dim() < 2 or len(x) < 2 or not bool((x == x[:1]).all()):
        return None
    return Detection(
        where="inputs",
        message="every example is the same",
        evidence=evidence("different examples", 1, "more", "nothing to tell"),
    )


@detects(INPUTS_NOT_SCALED, needs=(RUNS,))
def inputs_not_scaled(measured: Measured) -> Detection | None:
    """Root mean square of the inputs above 10; a fault only where something else goes wrong."""
    x = _floating(measured.x)
    size = 0.0 if x is None else float(x.double().square().mean().sqrt())
    if x is None or not LARGE < size < float("inf"):
        return None
    span = f"{float(x.min()):.4g} to {float(x.max()):.4g}"
    return Detection(
        where="inputs",
        message=f"the inputs are not scaled: {span}",
        evidence=evidence("rms of the inputs", size, "about 1"),
    )


@detects(INPUTS_TINY, needs=(RUNS,))
def inputs_tiny(measured: Measured) -> Detection | None:
    """Root mean square of the inputs below 0.02; a fault only where it does not learn."""
    x = _floating(measured.x)
    size = 1.0 if x is None else float(x.double().square().mean().sqrt())
    if not 0 < size < TINY:
        return None
    return Detection(
        where="inputs",
        message=f"the inputs are tiny (rms {size:.2g})",
        evidence=evidence("rms of the inputs", size, "about 1"),
    )


@detects(INPUTS_ALL_POSITIVE)
def inputs_all_positive(measured: Measured) -> Detection | None:
    """No input is negative."""
    x = _floating(measured.x)
    if x is None or float(x.min()) < 0 or not float(x.mean()) > 0.5 * float(x.std()):
        return None
    what = "the images are all positive: subtract the mean image, or each channel's; no more is usual"
    said = what if x.dim() == IMAGES else "the inputs are all positive, not centred"
    return Detection(where="inputs", message=said, evidence=evidence("mean", float(x.mean()), "about 0"))


@detects(CONSTANT_FEATURES)
def constant_features(measured: Measured) -> Detection | None:
    """More than half of a table's columns never change."""
    tables = [x for x, _ in measured.program.batches if isinstance(x, Tensor) and x.dim() == 2]
    if not tables or sum(map(len, tables)) < FEW or len({x.shape[1] for x in tables}) > 1:
        return None
    share = float(torch.stack([(x == tables[0][:1]).all(0) for x in tables]).all(0).double().mean())
    if not 0.5 < share < 1:
        return None
    return Detection(
        where="inputs",
        message=f"{share:.0%} of the features are the same in every example seen",
        evidence=evidence(
            "share of constant features", share, "below 0.5", "they tell no example from another"
        ),
    )


@detects(TARGETS_NOT_SCALED, needs=(RUNS,))
def targets_not_scaled(measured: Measured) -> Detection | None:
    """Targets of 20 times the outputs, or a thousandth; a fault only where it does not learn."""
    call = measured.call
    if call is None or call.kind != "regression" or not call.target.is_floating_point():
        return None
    size = float(call.target.double().square().mean().sqrt())
    own = max(float(call.input.detach().double().square().mean().sqrt()), 0.1)
    if own / 1000 < size < 20 * own:
        return None
    return Detection(
        where="targets",
        message=f"the targets are not scaled (rms {size:.3g})",
        evidence=evidence("rms", size, "about 1"),
    )


def _one_target(measured: Measured) -> tuple[int, Tensor] | None:
    """Returns how many examples the first batches hold and their target, where all have the same."""
    targets = [y for _, y in measured.program.batches if isinstance(y, Tensor) and y.dim() > 0]
    count = sum(map(len, targets))
    y = targets[0] if targets else None
    return (
        (count, y) if y is not None and count >= FEW and all(_is_one(other, y) for other in targets) else None
    )


@detects(CONSTANT_LABELS)
def constant_labels(measured: Measured) -> Detection | None:
    """200 class labels or more in random order, and all of them are one class."""
    one = _one_target(measured)
    if one is None or not measured.program.shuffled or not _is_all_one_class(measured):
        return None
    return Detection(
        where="targets",
        message=f"{sum(len(y) for _, y in measured.program.seen)} examples in random order all have target "
        f"{_shown(one[1])}: how are labels read?",
        evidence=evidence("different targets", 1, "2 or more", "one class is nothing to tell apart"),
    )


@detects(DATA_NOT_SHUFFLED)
def data_not_shuffled(measured: Measured) -> Detection | None:
    """30 examples or more in a row with the same target, or labels that change a tenth as often as in
    random order.
    """
    one, shuffled = _one_target(measured), measured.program.shuffled
    if one is None or (shuffled and _is_all_one_class(measured)):
        return _sorted_labels(measured)
    why = "in random order: is one class that frequent?" if shuffled else "sorted, not shuffled?"
    return Detection(
        where="targets",
        message=f"the first {one[0]} examples all have target {_shown(one[1])}: {why}",
        evidence=evidence(
            "different targets", 1, "2 or more", "batches of one kind teach to forget the others"
        ),
        severity=Severity.INFO if shuffled else None,
    )


def _shown(y: Tensor) -> str:
    return str(y[0].tolist()) if y[0].numel() == 1 else "the same"


MANY = 200
"""So many labels alike in random order: another class would be rarer than one in a hundred or so."""


def _is_all_one_class(measured: Measured) -> bool:
    """True when all class numbers read are one, and it is a layer that scores the classes.

    Which of several pairs is the true one may well be told by a constant: the first.
    """
    call, read = measured.call, measured.program.seen
    if call is None or call.kind not in ("softmax", "log probabilities") or compares_examples(call.input):
        return False
    labels = [y for _, y in read if isinstance(y, Tensor) and y.dim() == 1 and not y.is_floating_point()]
    together = len(labels) == len(read) and sum(map(len, labels)) >= MANY
    return together and all(_is_one(other, labels[0]) for other in labels)


def _sorted_labels(measured: Measured) -> Detection | None:
    """Neighbours share their class ten times as often as in random order."""
    call, read = measured.call, measured.program.seen
    if call is None or call.kind == "regression" or measured.program.shuffled:
        return None
    labels = [y for _, y in read if isinstance(y, Tensor) and y.dim() == 1]
    if len(labels) < len(read) or call.target.shape != call.input.shape[:1]:
        return None
    order = torch.cat(labels)
    shares = torch.unique(order, return_counts=True)[1].double() / len(order)
    expected = float((1 - shares.square().sum()) * (len(order) - 1))
    changes = int((order[1:] != order[:-1]).sum())
    if expected < FEW or changes > 0.1 * expected:
        return None
    return Detection(
        where="targets",
        message=f"the {len(order)} labels read come sorted: they change {changes} times, in random order "
        f"about {expected:.0f} times",
        evidence=evidence(
            "changes of label", changes, f"about {expected:.0f}", "each class makes forget the others"
        ),
    )


def _is_one(targets: Tensor, others: Tensor) -> bool:
    return targets.shape[1:] == others.shape[1:] and bool((targets == others[:1]).all())


@detects(LABELS_OUTSIDE_RANGE)
def labels_outside_range(measured: Measured) -> Detection | None:
    """Class labels from 0 to C - 1, binary targets from 0 to 1."""
    return next((seen for call in measured.calls if (seen := _outside(measured, call))), None)


def _outside(measured: Measured, call: LossCall) -> Detection | None:
    if call.kind in ("binary", "probabilities"):
        return _beyond(call.target, 0, 1)
    if call.kind == "regression" or call.target.is_floating_point():
        return None
    ignored = call.options.get("ignore_index", -100)
    labels = call.target[call.target != ignored]
    return _beyond(labels, 0, measured.classes(call) - 1)


def _beyond(target: Tensor, low: float, high: float) -> Detection | None:
    if target.numel() == 0 or (float(target.min()) >= low and float(target.max()) <= high):
        return None
    worst = float(target.min()) if float(target.min()) < low else float(target.max())
    return Detection(
        where="targets",
        message=f"targets from {float(target.min()):g} to {float(target.max()):g}, the loss takes "
        f"{low} to {high}",
        evidence=evidence("target", worst, f"{low} to {high}"),
    )


@detects(LABELS_OF_WRONG_TYPE)
def labels_of_wrong_type(measured: Measured) -> Detection | None:
    """Cross-entropy takes int64 class numbers, one a prediction, or probabilities of the scores' shape."""
    return next((seen for call in measured.calls if (seen := _mistyped(call))), None)


def _mistyped(call: LossCall) -> Detection | None:
    if call.kind not in ("softmax", "log probabilities"):
        return None
    target, scores = call.target, call.input
    as_probabilities = target.shape == scores.shape and target.is_floating_point()
    fits = target.shape == scores.shape[:1] + scores.shape[2:] or scores.dim() == 1
    if as_probabilities or (target.dtype == torch.int64 and fits) or _is_class_last(call):
        return None
    return Detection(
        where="targets",
        message=f"the labels are {str(target.dtype).removeprefix('torch.')} of shape {tuple(target.shape)}; "
        f"the loss takes int64 of shape {tuple(scores.shape[:1] + scores.shape[2:])}",
        evidence=evidence(
            "axes of the labels", target.dim(), str(scores.dim() - 1), "class numbers, not one-hot"
        ),
    )


@detects(CLASSES_ON_LAST_AXIS)
def classes_on_last_axis(measured: Measured) -> Detection | None:
    """Scores (N, T, C) where cross-entropy takes (N, C, T)."""
    for call in measured.calls:
        if call.kind in ("softmax", "log probabilities") and _is_class_last(call):
            given, taken = tuple(call.input.shape), (*call.target.shape[:1], "C", *call.target.shape[1:])
            return Detection(
                where="loss", message=f"the scores are {given}; for these labels the loss takes {taken}"
            )
    return None


def _is_class_last(call: LossCall) -> bool:
    scores, target = call.input.shape, call.target.shape
    return len(scores) > 2 and target == scores[:-1] != scores[:1] + scores[2:]


@detects(NUMBERS_OF_WRONG_TYPE)
def numbers_of_wrong_type(measured: Measured) -> Detection | None:
    """Inputs or targets whose dtype the model or the loss refuses."""
    said = measured.error.lower()
    own = next((p.dtype for p in measured.program.model.parameters()), torch.float32)
    if "dtype" not in said and "scalar type" not in said:
        return None
    for what, value in (("inputs", measured.x), ("targets", measured.y)):
        if (
            isinstance(value, Tensor)
            and value.dtype != own
            and (what == "inputs" or value.is_floating_point())
        ):
            given, wanted = (str(dtype).removeprefix("torch.") for dtype in (value.dtype, own))
            return Detection(where=what, message=f"the {what} are {given}, the weights {wanted}")
    return None
