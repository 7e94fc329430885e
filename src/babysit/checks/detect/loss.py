"""Detectors on the form of the loss: its reduction over the batch, and its regularization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from babysit.checks.measured import Measured
from babysit.checks.needs import RUNS
from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.loss import (
    LOSS_DIVIDED_TWICE,
    LOSS_NOT_REDUCED,
    PENALTY_IN_LOSS,
    PENALTY_LOWERS_LOSS,
    SUMMED_LOSS,
    WEIGHT_DECAY_UNSEEN,
)
from babysit.diagnosis.problems.rate import REGULARIZATION_TOO_STRONG
from babysit.loss_graph import nodes_of

DOMINATES = 10.0
"""Ratio of the penalty's gradient to the data's above which the penalty alone moves the weights, to zero: the
data keeps a weight from shrinking only while its gradient is of the same size. In a running training 2 counts
as a fault (TheDeepChecker); before training the data's gradient may still grow."""

_SCALE_FREE = ("Adam", "NAdam", "RAdam", "Adamax", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Lion")
_DEFAULT_DECAY = {"AdamW": 0.01}  # which the user did not choose


@detects(SUMMED_LOSS, needs=(RUNS,))
def summed_loss(measured: Measured) -> Detection | None:
    """Finds a loss that doubles when the batch is repeated; a fault only where the rate is too high."""
    ratio = _when_doubled(measured)
    named = any(call.options.get("reduction") == "sum" for call in measured.calls)
    if not (named if ratio is None else abs(ratio - 2) < 0.01):
        return None
    count = _first_size(measured)
    return Detection(
        where="loss",
        message=f"the loss is summed, not averaged, over the batch{_effect(measured, float(count))}",
        evidence=evidence(
            "loss of a batch read twice, over once", ratio or 2.0, "1", "the gradient grows with the batch"
        ),
    )


@detects(LOSS_DIVIDED_TWICE, needs=(RUNS,))
def loss_divided_twice(measured: Measured) -> Detection | None:
    """Finds a loss that halves when the batch is repeated; a fault only where the rate is too low."""
    ratio = _when_doubled(measured)
    if ratio is None or abs(ratio - 0.5) > 0.005:
        return None
    return Detection(
        where="loss",
        message="the loss is divided by the batch size after it was averaged"
        + _effect(measured, 1 / max(_first_size(measured), 1)),
        evidence=evidence(
            "loss of a batch read twice, over once", ratio, "1", "the gradient shrinks with the batch"
        ),
    )


@detects(LOSS_NOT_REDUCED, needs=(RUNS,))
def loss_not_reduced(measured: Measured) -> Detection | None:
    """Finds a loss that returns more than one number."""
    loss = _of_loss(measured, measured.outputs, measured.y)
    if loss is None or loss.numel() < 2:
        return None
    return Detection(
        where="loss",
        message=f"the loss is {loss.numel()} numbers, not one: checked at their mean",
        evidence=evidence("numbers", loss.numel(), "1", "backward() starts from one number"),
    )


def _first_size(measured: Measured) -> int:
    x = measured.program.batches[0][0]
    return len(x) if isinstance(x, Tensor) and x.dim() else 1


def _effect(measured: Measured, factor: float) -> str:
    """Words the effect on the learning rate of a loss that is larger than the mean by a factor."""
    optimizers = measured.program.optimizers
    if not optimizers or factor == 1:
        return ""
    if all(type(optimizer).__name__ in _SCALE_FREE for optimizer in optimizers):
        return f": {type(optimizers[0]).__name__} divides that out again"
    rate = max(float(group["lr"]) for optimizer in optimizers for group in optimizer.param_groups)
    return f": learning rate {rate:g} acts like {rate * factor:.3g} on the mean"


def _when_doubled(measured: Measured) -> float | None:
    """Returns the loss of repeated outputs and targets over that of single ones; None where it is unknown."""
    outputs, y = measured.outputs, measured.y
    if outputs is None or not isinstance(y, Tensor) or outputs.dim() == 0 or y.dim() == 0:
        return None
    if len(outputs) != len(y):
        return None
    once, twice = (_of_loss(measured, torch.cat([outputs] * n), torch.cat([y] * n)) for n in (1, 2))
    if once is None or twice is None or once.numel() != 1 or twice.numel() != 1 or not float(once):
        return None
    same = abs(float(once) - measured.loss) <= 1e-4 * abs(measured.loss)
    return float(twice) / float(once) if same else None


def _of_loss(measured: Measured, outputs: Tensor | None, y: Any) -> Tensor | None:
    """Computes the user's loss of constant outputs; returns None where it takes other arguments."""
    if outputs is None:
        return None
    try:
        with torch.enable_grad():
            found: Any = measured.program.loss(outputs.detach(), y)
    except Exception:  # a loss of other outputs than the first tensor may raise anything
        return None
    return found if isinstance(found, Tensor) else None


@dataclass(frozen=True, slots=True)
class _Penalty:
    """A penalty on the parameters in the loss, independent of the outputs.

    Attributes:
        count: number of parameters in it.
        slope: its change as all of them grow by their own size.
        size: norm of its gradient.
        strength: l2, where it is 1/2 * l2 * sum(W^2); None where it has another form.
        value: 1/2 * l2 * sum(W^2); 0 where it has another form.
        data: norm of the gradient without it.
    """

    count: int
    slope: float
    size: float
    strength: float | None
    value: float
    data: float


@detects(PENALTY_IN_LOSS, needs=(RUNS,))
def penalty_in_loss(measured: Measured) -> Detection | None:
    """Finds a loss that rises with the parameters themselves, and reports its l2; no fault."""
    found = _penalty(measured)
    if found is None or found.slope <= 0:
        return None
    form = "" if found.strength is None else f", 1/2 * {found.strength:.2g} * sum(W^2) = {found.value:.3g}"
    return Detection(
        where="loss",
        message=f"the loss carries a penalty on {found.count} parameters{form}, beside "
        f"{measured.loss:.3g} in all",
        evidence=evidence("penalty's over the data's gradient", _ratio(found), f"below {DOMINATES:g}"),
    )


@detects(REGULARIZATION_TOO_STRONG, needs=(RUNS,))
def penalty_too_strong(measured: Measured) -> Detection | None:
    """Finds a penalty in the loss whose gradient is ten times the data's."""
    found = _penalty(measured)
    if found is None or found.slope <= 0 or not _ratio(found) > DOMINATES:
        return None
    return Detection(
        where="loss",
        message=f"the penalty in the loss outweighs the data: its gradient is {_ratio(found):.3g} "
        f"times theirs",
        evidence=evidence("penalty's over the data's gradient", _ratio(found), "below 0.1"),
    )


@detects(PENALTY_LOWERS_LOSS, needs=(RUNS,))
def penalty_lowers_loss(measured: Measured) -> Detection | None:
    """Finds a loss that falls as the parameters grow, with the outputs held constant."""
    found = _penalty(measured)
    if found is None or not found.slope < -1e-6 * abs(measured.loss):
        return None
    return Detection(
        where="loss",
        message="regularization lowers the loss: a term of it falls as the weights grow",
        evidence=evidence(
            "change as all weights double", found.slope, "above 0", "a penalty must cost something"
        ),
    )


def _ratio(found: _Penalty) -> float:
    return found.size / max(found.data, 1e-12)


def _penalty(measured: Measured) -> _Penalty | None:
    """Finds parameters of the model in the graph of the loss of constant outputs."""
    if measured.outputs is None:
        return None
    given, zero = (_leaves(measured, o) for o in (measured.outputs, torch.zeros_like(measured.outputs)))
    if not given or not zero:
        return None
    slope, other = (sum(float((p * g).sum()) for p, g in some) for some in (given, zero))
    if abs(slope - other) > 1e-3 * abs(slope):
        return None  # it depends on the outputs: no penalty, but a loss with its own weights
    weights = sum(float(p.square().sum()) for p, _ in given)
    size = sum(float(g.square().sum()) for _, g in given) ** 0.5
    strength = slope / weights if weights else 0.0
    rest = sum(float((g - strength * p).square().sum()) for p, g in given) ** 0.5
    is_l2 = rest < 1e-3 * size
    # Measured on a further copy, which the loss does not know: these gradients are the data's alone.
    data = sum(float(g.square().sum()) for g in measured.gradients.values() if g is not None) ** 0.5
    return _Penalty(len(given), slope, size, strength if is_l2 else None, slope / 2 if is_l2 else 0.0, data)


def _leaves(measured: Measured, outputs: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Returns the model's parameters in the loss of constant outputs, each with its gradient."""
    loss = _of_loss(measured, outputs, measured.y)
    if loss is None or loss.numel() != 1 or not loss.requires_grad:
        return []
    # The parameters are those of the user's own model, where the loss is a closure, or those of the copy.
    held = [node.variable for node in nodes_of(loss.grad_fn, most=10**9) if hasattr(node, "variable")]
    parameters = list(measured.program.model.parameters())
    leaves = [x for x in held if any(p.shape == x.shape and torch.equal(p, x) for p in parameters)]
    if not leaves:
        return []
    made = torch.autograd.grad(loss, leaves, allow_unused=True)
    pairs = zip(leaves, made, strict=True)
    return [(leaf.detach(), g.detach()) for leaf, g in pairs if g is not None]


@detects(WEIGHT_DECAY_UNSEEN)
def weight_decay_unseen(measured: Measured) -> Detection | None:
    """Finds weight decay in the optimizer, which the loss does not include; no fault."""
    for optimizer in measured.program.optimizers:
        kind = type(optimizer).__name__
        groups = [g for g in optimizer.param_groups if g.get("weight_decay")]
        strength = max((float(g["weight_decay"]) for g in groups), default=0.0)
        if not strength or _DEFAULT_DECAY.get(kind) == strength:
            continue
        held = [(float(g["weight_decay"]), p) for g in groups for p in g["params"]]
        value = sum(0.5 * decay * float(p.detach().square().sum()) for decay, p in held)
        scaled = "; Adam scales it with the gradient, AdamW does not" if kind == "Adam" else ""
        message = (
            f"weight decay {strength:g} acts in {kind} and not in the loss: it is the gradient of "
            f"{value:.3g} = 1/2 * {strength:g} * sum(W^2), which is not printed{scaled}"
        )
        if kind == "AdamW":
            message = (
                f"weight decay {strength:g} acts in AdamW and not in the loss, which does not rise with it"
            )
        return Detection(
            where="optimizer",
            message=message,
            evidence=evidence("weight decay", strength, "known"),
        )
    return None
