"""How the loss is put together: summed or averaged over the batch, and what regularization adds to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from babysit.checks.measuring import Measured
from babysit.checks.seen import Seen, evidence
from babysit.checks.tracing import graph_of

DOMINATES = 10.0
"""Times the data's gradient from which the penalty's alone decides where the weights go: to zero, since the
data keeps a weight from shrinking only while its own gradient is of the same size. At 2 it is called a fault
of a running training (TheDeepChecker); before training the data's gradient may still grow."""

_SCALE_FREE = ("Adam", "NAdam", "RAdam", "Adamax", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Lion")
_USUAL_DECAY = {"AdamW": 0.01}  # what nobody chose


def summed_loss(measured: Measured) -> Seen | None:
    """The loss of a batch read twice is twice as large: it is summed, not averaged."""
    ratio = _when_doubled(measured)
    named = any(call.options.get("reduction") == "sum" for call in measured.calls)
    if not (named if ratio is None else abs(ratio - 2) < 0.01):
        return None
    count = _first_size(measured)
    return Seen(
        "loss",
        f"the loss is summed, not averaged, over the batch{_effect(measured, float(count))}",
        evidence(
            "loss of a batch read twice, over once", ratio or 2.0, "1", "the gradient grows with the batch"
        ),
    )


def loss_divided_twice(measured: Measured) -> Seen | None:
    """The loss of a batch read twice is half as large: a mean was divided by the batch size once more."""
    ratio = _when_doubled(measured)
    if ratio is None or abs(ratio - 0.5) > 0.005:
        return None
    return Seen(
        "loss",
        "the loss is divided by the batch size after it was averaged"
        + _effect(measured, 1 / max(_first_size(measured), 1)),
        evidence("loss of a batch read twice, over once", ratio, "1", "the gradient shrinks with the batch"),
    )


def loss_not_reduced(measured: Measured) -> Seen | None:
    """The loss is a tensor of several numbers, which backward() refuses."""
    loss = _of_loss(measured, measured.outputs, measured.y)
    if loss is None or loss.numel() < 2:
        return None
    return Seen(
        "loss",
        f"the loss is {loss.numel()} numbers, not one: checked at their mean",
        evidence("numbers", loss.numel(), "1", "backward() starts from one number"),
    )


def _first_size(measured: Measured) -> int:
    x = measured.program.batches[0][0]
    return len(x) if isinstance(x, Tensor) and x.dim() else 1


def _effect(measured: Measured, factor: float) -> str:
    optimizers = measured.program.optimizers
    if not optimizers or factor == 1:
        return ""
    if all(type(optimizer).__name__ in _SCALE_FREE for optimizer in optimizers):
        return f": {type(optimizers[0]).__name__} divides that out again"
    rate = max(float(group["lr"]) for optimizer in optimizers for group in optimizer.param_groups)
    return f": learning rate {rate:g} acts like {rate * factor:.3g} on the mean"


def _when_doubled(measured: Measured) -> float | None:
    """The loss of the same outputs and targets twice over, over that of once; None where nobody can say."""
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
    """The author's loss of constant outputs; None where it takes something else."""
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
    """What a loss adds for the parameters themselves, whatever the outputs.

    Attributes:
        count: how many parameters it holds down.
        slope: by how much it rises as they all grow by their own size.
        size: the norm of its gradient.
        strength: l2 as in 1/2 * l2 * sum(W^2), and None where it has another form.
        value: 1/2 * l2 * sum(W^2); 0 where it has another form.
        data: the norm of the gradient without it.
    """

    count: int
    slope: float
    size: float
    strength: float | None
    value: float
    data: float


def penalty_in_loss(measured: Measured) -> Seen | None:
    """The loss itself carries a penalty: it rises with the weights, as it should."""
    found = _penalty(measured)
    if found is None or found.slope <= 0:
        return None
    form = "" if found.strength is None else f", 1/2 * {found.strength:.2g} * sum(W^2) = {found.value:.3g}"
    return Seen(
        "loss",
        f"the loss carries a penalty on {found.count} parameters{form}, beside {measured.loss:.3g} in all",
        evidence("penalty's over the data's gradient", _ratio(found), f"below {DOMINATES:g}"),
    )


def penalty_too_strong(measured: Measured) -> Seen | None:
    """The penalty's gradient is ten times that of the data: the weights go to zero."""
    found = _penalty(measured)
    if found is None or found.slope <= 0 or not _ratio(found) > DOMINATES:
        return None
    return Seen(
        "loss",
        f"the penalty in the loss outweighs the data: its gradient is {_ratio(found):.3g} times theirs",
        evidence("penalty's over the data's gradient", _ratio(found), "below 0.1"),
    )


def penalty_lowers_loss(measured: Measured) -> Seen | None:
    """A term of the loss falls as the weights grow: the sign of the penalty is flipped."""
    found = _penalty(measured)
    if found is None or not found.slope < -1e-6 * abs(measured.loss):
        return None
    return Seen(
        "loss",
        "regularization lowers the loss: a term of it falls as the weights grow",
        evidence("change as all weights double", found.slope, "above 0", "a penalty must cost something"),
    )


def _ratio(found: _Penalty) -> float:
    return found.size / max(found.data, 1e-12)


def _penalty(measured: Measured) -> _Penalty | None:
    """Looks behind the loss of constant outputs for parameters of the model."""
    if measured.outputs is None:
        return None
    given, zero = (_leaves(measured, o) for o in (measured.outputs, torch.zeros_like(measured.outputs)))
    if not given or not zero:
        return None
    slope, other = (sum(float((p * g).sum()) for p, g in some) for some in (given, zero))
    if abs(slope - other) > 1e-3 * abs(slope):
        return None  # it depends on the outputs: no penalty, but a loss with weights of its own
    weights = sum(float(p.square().sum()) for p, _ in given)
    size = sum(float(g.square().sum()) for _, g in given) ** 0.5
    strength = slope / weights if weights else 0.0
    rest = sum(float((g - strength * p).square().sum()) for p, g in given) ** 0.5
    is_l2 = rest < 1e-3 * size
    # Measured on a further copy, which the loss does not know: these gradients are the data's alone.
    data = sum(float(g.square().sum()) for g in measured.gradients.values() if g is not None) ** 0.5
    return _Penalty(len(given), slope, size, strength if is_l2 else None, slope / 2 if is_l2 else 0.0, data)


def _leaves(measured: Measured, outputs: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The model's parameters that the loss knows by itself, each with its gradient."""
    loss = _of_loss(measured, outputs, measured.y)
    if loss is None or loss.numel() != 1 or not loss.requires_grad:
        return []
    # The graph holds the author's own model, which a loss in a closure knows, or the copy.
    held = [node.variable for node in graph_of(loss) if hasattr(node, "variable")]
    leaves = [leaf for leaf in held if _is_of_model(measured, leaf)]
    if not leaves:
        return []
    made = torch.autograd.grad(loss, leaves, allow_unused=True)
    pairs = zip(leaves, made, strict=True)
    return [(leaf.detach(), g.detach()) for leaf, g in pairs if g is not None]


def _is_of_model(measured: Measured, leaf: Tensor) -> bool:
    return any(p.shape == leaf.shape and torch.equal(p, leaf) for p in measured.program.model.parameters())


def weight_decay_unseen(measured: Measured) -> Seen | None:
    """The optimizer decays the weights: regularization that the printed loss does not show."""
    for optimizer in measured.program.optimizers:
        kind = type(optimizer).__name__
        groups = [g for g in optimizer.param_groups if g.get("weight_decay")]
        strength = max((float(g["weight_decay"]) for g in groups), default=0.0)
        if not strength or _USUAL_DECAY.get(kind) == strength:
            continue
        held = [(float(g["weight_decay"]), p) for g in groups for p in g["params"]]
        value = sum(0.5 * decay * float(p.detach().square().sum()) for decay, p in held)
        return Seen(
            "optimizer", _decay_said(kind, strength, value), evidence("weight decay", strength, "known")
        )
    return None


def _decay_said(kind: str, strength: float, value: float) -> str:
    if kind == "AdamW":
        return f"weight decay {strength:g} acts in AdamW and not in the loss, which does not rise with it"
    scaled = "; Adam scales it with the gradient, AdamW does not" if kind == "Adam" else ""
    return (
        f"weight decay {strength:g} acts in {kind} and not in the loss: it is the gradient of "
        f"{value:.3g} = 1/2 * {strength:g} * sum(W^2), which nobody prints{scaled}"
    )
