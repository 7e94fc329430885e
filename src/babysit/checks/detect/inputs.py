"""Detectors on inputs and targets: values, scale, range, type, shape and order."""

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
"""Root mean square below which inputs count as tiny: pixels divided by 255 twice have 0.002."""

IMAGES = 4
"""Number of axes of a batch of images: examples, channels, rows, columns."""

FEW = 30
"""Fewest labels whose balance is judged."""


def _floating(value: Any) -> Tensor | None:
    good = isinstance(value, Tensor) and value.is_floating_point() and value.numel() > 0
    return value.detach() if good else None


@detects(INPUTS_NOT_FINITE)
def inputs_not_finite(measured: Measured) -> Detection | None:
    """Finds NaN or infinite inputs: one makes every weight NaN at the first step."""
    return _not_finite("inputs", [batch[0] for batch in measured.program.all_batches])


@detects(TARGETS_NOT_FINITE)
def targets_not_finite(measured: Measured) -> Detection | None:
    """Finds NaN or infinite targets."""
    return _not_finite("targets", [batch[1] for batch in measured.program.all_batches])


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
    """Finds inputs that are equal for all examples."""
    x = measured.x
    if not isinstance(x, Tensor) or x.dim() < 2 or len(x) < 2 or not bool((x == x[:1]).all()):
        return None
    return Detection(
        where="inputs",
        message="every example is the same",
        evidence=evidence("different examples", 1, "more", "nothing to distinguish"),
    )


@detects(INPUTS_NOT_SCALED, needs=(RUNS,))
def inputs_not_scaled(measured: Measured) -> Detection | None:
    """Finds inputs with a root mean square above 10; a fault only where something else is wrong."""
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
    """Finds inputs with a root mean square below 0.02; a fault only where the model does not learn."""
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
    """Finds inputs of which none is negative."""
    x = _floating(measured.x)
    if x is None or float(x.min()) < 0 or not float(x.mean()) > 0.5 * float(x.std()):
        return None
    message = "the inputs are all positive, not centred"
    if x.dim() == IMAGES:
        message = "the images are all positive: subtract the mean image, or each channel's; no more is usual"
    return Detection(where="inputs", message=message, evidence=evidence("mean", float(x.mean()), "about 0"))


@detects(CONSTANT_FEATURES)
def constant_features(measured: Measured) -> Detection | None:
    """Finds tables in which more than half of the columns never change."""
    tables = [x for x, _ in measured.program.batches if isinstance(x, Tensor) and x.dim() == 2]
    if not tables or sum(map(len, tables)) < FEW or len({x.shape[1] for x in tables}) > 1:
        return None
    share = float(torch.stack([(x == tables[0][:1]).all(0) for x in tables]).all(0).double().mean())
    if not 0.5 < share < 1:
        return None
    return Detection(
        where="inputs",
        message=f"{share:.0%} of the features are the same in every example seen",
        evidence=evidence("share of constant features", share, "below 0.5", "they distinguish no examples"),
    )


@detects(TARGETS_NOT_SCALED, needs=(RUNS,))
def targets_not_scaled(measured: Measured) -> Detection | None:
    """Finds targets of 20 times the outputs' size or a thousandth; a fault only where it does not learn."""
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
    """Returns the number of examples in the first batches and their target, where all have the same."""
    targets = [y for _, y in measured.program.batches if isinstance(y, Tensor) and y.dim() > 0]
    count = sum(map(len, targets))
    if count < FEW or not all(_all_equal_first(other, targets[0]) for other in targets):
        return None
    return count, targets[0]


@detects(CONSTANT_LABELS)
def constant_labels(measured: Measured) -> Detection | None:
    """Finds 200 class labels or more in random order that are all one class."""
    one = _one_target(measured)
    if one is None or not measured.program.shuffled or not _is_all_one_class(measured):
        return None
    count = sum(len(y) for _, y in measured.program.all_batches)
    return Detection(
        where="targets",
        message=f"{count} examples in random order all have target {_shown(one[1])}: how are labels read?",
        evidence=evidence("different targets", 1, "2 or more", "one class leaves nothing to learn"),
    )


@detects(DATA_NOT_SHUFFLED)
def data_not_shuffled(measured: Measured) -> Detection | None:
    """Finds 30 examples or more in a row with the same target, or labels that change a tenth as often as in
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
            "different targets", 1, "2 or more", "a batch of one class makes the model forget the others"
        ),
        severity=Severity.INFO if shuffled else None,
    )


def _shown(y: Tensor) -> str:
    return str(y[0].tolist()) if y[0].numel() == 1 else "the same"


MANY = 200
"""Equal labels in random order from which another class would be rarer than about one in a hundred."""


def _is_all_one_class(measured: Measured) -> bool:
    """Tells whether all class numbers that were read are equal, and a layer scores the classes.

    Scores that compare pairs of examples may have equal labels: the first pair is always the true one.
    """
    call, read = measured.call, measured.program.all_batches
    if call is None or call.kind not in ("softmax", "log probabilities") or compares_examples(call.input):
        return False
    labels = [y for _, y in read if isinstance(y, Tensor) and y.dim() == 1 and not y.is_floating_point()]
    together = len(labels) == len(read) and sum(map(len, labels)) >= MANY
    return together and all(_all_equal_first(other, labels[0]) for other in labels)


def _sorted_labels(measured: Measured) -> Detection | None:
    """Finds labels that change a tenth as often as in random order."""
    call, read = measured.call, measured.program.all_batches
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
            "changes of label",
            changes,
            f"about {expected:.0f}",
            "a batch of one class makes the model forget the others",
        ),
    )


def _all_equal_first(targets: Tensor, others: Tensor) -> bool:
    return targets.shape[1:] == others.shape[1:] and bool((targets == others[:1]).all())


@detects(LABELS_OUTSIDE_RANGE)
def labels_outside_range(measured: Measured) -> Detection | None:
    """Finds class labels outside 0 to C - 1, and binary targets outside 0 to 1."""
    for call in measured.calls:
        found = None
        if call.kind in ("binary", "probabilities"):
            found = _beyond(call.target, 0, 1)
        elif call.kind != "regression" and not call.target.is_floating_point():
            labels = call.target[call.target != call.options.get("ignore_index", -100)]
            found = _beyond(labels, 0, measured.classes(call) - 1)
        if found:
            return found
    return None


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
    """Finds labels for cross-entropy that are neither int64 class numbers, one a prediction, nor
    probabilities of the scores' shape.
    """
    for call in measured.calls:
        if call.kind not in ("softmax", "log probabilities"):
            continue
        target, scores = call.target, call.input
        wanted = scores.shape[:1] + scores.shape[2:]
        as_probabilities = target.shape == scores.shape and target.is_floating_point()
        as_numbers = target.dtype == torch.int64 and (target.shape == wanted or scores.dim() == 1)
        if as_probabilities or as_numbers or _is_class_last(call):
            continue
        return Detection(
            where="targets",
            message=f"the labels are {str(target.dtype).removeprefix('torch.')} of shape "
            f"{tuple(target.shape)}; the loss takes int64 of shape {tuple(wanted)}",
            evidence=evidence(
                "axes of the labels", target.dim(), str(scores.dim() - 1), "class numbers, not one-hot"
            ),
        )
    return None


@detects(CLASSES_ON_LAST_AXIS)
def classes_on_last_axis(measured: Measured) -> Detection | None:
    """Finds scores of shape (N, T, C) where cross-entropy takes (N, C, T)."""
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
    """Finds inputs or targets whose dtype the model or the loss refuses."""
    error = measured.error.lower()
    own = next((p.dtype for p in measured.program.model.parameters()), torch.float32)
    if "dtype" not in error and "scalar type" not in error:
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
