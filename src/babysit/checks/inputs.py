"""What goes in: the inputs' scale, the labels' range and shape."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from babysit.checks.measuring import Measured
from babysit.checks.seen import Seen, evidence
from babysit.checks.tracing import LossCall, compares_examples
from babysit.records import Severity

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


def inputs_not_finite(measured: Measured) -> Seen | None:
    """NaN or infinity among the inputs."""
    return _not_finite("inputs", [batch[0] for batch in measured.program.seen])


def targets_not_finite(measured: Measured) -> Seen | None:
    """NaN or infinity among the targets."""
    return _not_finite("targets", [batch[1] for batch in measured.program.seen])


def _not_finite(what: str, values: list[Any]) -> Seen | None:
    known = [tensor for value in values if (tensor := _floating(value)) is not None]
    bad = sum(int((~torch.isfinite(tensor)).sum()) for tensor in known)
    if not bad:
        return None
    return Seen(what, f"{bad} of the {what} are NaN or infinite", evidence("not finite", bad, "0"))


def inputs_constant(measured: Measured) -> Seen | None:
    """All examples are the same."""
    x = measured.x
    if not isinstance(x, Tensor) or x.dim() < 2 or len(x) < 2 or not bool((x == x[:1]).all()):
        return None
    return Seen(
        "inputs", "every example is the same", evidence("different examples", 1, "more", "nothing to tell")
    )


def inputs_not_scaled(measured: Measured) -> Seen | None:
    """Root mean square above 10."""
    x = _floating(measured.x)
    size = 0.0 if x is None else float(x.double().square().mean().sqrt())
    if x is None or not LARGE < size < float("inf"):
        return None
    span = f"{float(x.min()):.4g} to {float(x.max()):.4g}"
    return Seen(
        "inputs", f"the inputs are not scaled: {span}", evidence("rms of the inputs", size, "about 1")
    )


def inputs_tiny(measured: Measured) -> Seen | None:
    """Root mean square below 0.02."""
    x = _floating(measured.x)
    size = 1.0 if x is None else float(x.double().square().mean().sqrt())
    if not 0 < size < TINY:
        return None
    return Seen(
        "inputs", f"the inputs are tiny (rms {size:.2g})", evidence("rms of the inputs", size, "about 1")
    )


def inputs_all_positive(measured: Measured) -> Seen | None:
    """No input is negative, and their mean is not small beside their spread."""
    x = _floating(measured.x)
    if x is None or float(x.min()) < 0 or not float(x.mean()) > 0.5 * float(x.std()):
        return None
    what = "the images are all positive: subtract the mean image, or each channel's; no more is usual"
    said = what if x.dim() == IMAGES else "the inputs are all positive, not centred"
    return Seen("inputs", said, evidence("mean", float(x.mean()), "about 0"))


def constant_features(measured: Measured) -> Seen | None:
    """More than half of a table's columns are the same in all examples."""
    tables = [x for x, _ in measured.program.batches if isinstance(x, Tensor) and x.dim() == 2]
    if not tables or sum(map(len, tables)) < FEW or len({x.shape[1] for x in tables}) > 1:
        return None
    share = float(torch.stack([(x == tables[0][:1]).all(0) for x in tables]).all(0).double().mean())
    if not 0.5 < share < 1:
        return None
    return Seen(
        "inputs",
        f"{share:.0%} of the features are the same in every example seen",
        evidence("share of constant features", share, "below 0.5", "they tell no example from another"),
    )


def targets_not_scaled(measured: Measured) -> Seen | None:
    """For a regression: mean or spread of the targets a hundred times the outputs' size, or a thousandth."""
    call = measured.call
    if call is None or call.kind != "regression" or not call.target.is_floating_point():
        return None
    size = float(call.target.double().square().mean().sqrt())
    own = max(float(call.input.detach().double().square().mean().sqrt()), 0.1)
    if own / 1000 < size < 20 * own:
        return None
    return Seen("targets", f"the targets are not scaled (rms {size:.3g})", evidence("rms", size, "about 1"))


def one_label(measured: Measured) -> Seen | None:
    """The examples of the first batches have one label, or all labels come sorted."""
    targets = [y for _, y in measured.program.batches if isinstance(y, Tensor) and y.dim() > 0]
    count = sum(map(len, targets))
    y = targets[0] if targets else None
    if y is None or count < FEW or not all(_is_one(other, y) for other in targets):
        return _sorted_labels(measured)
    shown = y[0].tolist() if y[0].numel() == 1 else "the same"
    why = "in random order: how are labels read?" if measured.program.shuffled else "sorted, not shuffled?"
    return Seen(
        "targets",
        f"the first {count} examples all have target {shown}: {why}",
        evidence("different targets", 1, "2 or more", "batches of one kind teach to forget the others"),
        Severity.INFO if measured.program.shuffled and not _is_all_one_class(measured) else None,
    )


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


def _sorted_labels(measured: Measured) -> Seen | None:
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
    return Seen(
        "targets",
        f"the {len(order)} labels read come sorted: they change {changes} times, in random order "
        f"about {expected:.0f} times",
        evidence("changes of label", changes, f"about {expected:.0f}", "each class makes forget the others"),
    )


def _is_one(targets: Tensor, others: Tensor) -> bool:
    return targets.shape[1:] == others.shape[1:] and bool((targets == others[:1]).all())


def labels_outside_range(measured: Measured) -> Seen | None:
    """A class label below 0 or beyond the last output; a binary target outside 0 and 1."""
    return next((seen for call in measured.calls if (seen := _outside(measured, call))), None)


def _outside(measured: Measured, call: LossCall) -> Seen | None:
    if call.kind in ("binary", "probabilities"):
        return _beyond(call.target, 0, 1)
    if call.kind == "regression" or call.target.is_floating_point():
        return None
    ignored = call.options.get("ignore_index", -100)
    labels = call.target[call.target != ignored]
    return _beyond(labels, 0, measured.classes(call) - 1)


def _beyond(target: Tensor, low: float, high: float) -> Seen | None:
    if target.numel() == 0 or (float(target.min()) >= low and float(target.max()) <= high):
        return None
    worst = float(target.min()) if float(target.min()) < low else float(target.max())
    return Seen(
        "targets",
        f"targets from {float(target.min()):g} to {float(target.max()):g}, the loss takes {low} to {high}",
        evidence("target", worst, f"{low} to {high}"),
    )


def labels_of_wrong_type(measured: Measured) -> Seen | None:
    """Cross-entropy was given labels that are no int64, or one column of them, or one-hot integers."""
    return next((seen for call in measured.calls if (seen := _mistyped(call))), None)


def _mistyped(call: LossCall) -> Seen | None:
    if call.kind not in ("softmax", "log probabilities"):
        return None
    target, scores = call.target, call.input
    as_probabilities = target.shape == scores.shape and target.is_floating_point()
    fits = target.shape == scores.shape[:1] + scores.shape[2:] or scores.dim() == 1
    if as_probabilities or (target.dtype == torch.int64 and fits) or _is_class_last(call):
        return None
    return Seen(
        "targets",
        f"the labels are {str(target.dtype).removeprefix('torch.')} of shape {tuple(target.shape)}; "
        f"the loss takes int64 of shape {tuple(scores.shape[:1] + scores.shape[2:])}",
        evidence("axes of the labels", target.dim(), str(scores.dim() - 1), "class numbers, not one-hot"),
    )


def classes_on_last_axis(measured: Measured) -> Seen | None:
    """Cross-entropy takes scores (N, C, T), and was given (N, T, C)."""
    for call in measured.calls:
        if call.kind in ("softmax", "log probabilities") and _is_class_last(call):
            given, taken = tuple(call.input.shape), (*call.target.shape[:1], "C", *call.target.shape[1:])
            return Seen("loss", f"the scores are {given}; for these labels the loss takes {taken}")
    return None


def _is_class_last(call: LossCall) -> bool:
    scores, target = call.input.shape, call.target.shape
    return len(scores) > 2 and target == scores[:-1] != scores[:1] + scores[2:]


def numbers_of_wrong_type(measured: Measured) -> Seen | None:
    """It raises over a dtype, and the inputs or targets have another one than the weights."""
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
            return Seen(what, f"the {what} are {given}, the weights {wanted}")
    return None
