"""What comes out, and what the loss makes of it: the last layer against the loss, shapes, dependence."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from babysit.checks.measuring import Measured, first_tensor
from babysit.checks.seen import Seen, evidence
from babysit.checks.tracing import ForwardTrace, LossCall, last_operation
from babysit.records import Severity

MIXED = 0.01
"""Share of the outputs' spread by which the exchange of others may move one; sums round differently."""

_RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "softmax": (0.0, 1.0), "relu": (0.0, float("inf"))}
_OF_SCORES = ("softmax", "hinge")


def does_not_run(measured: Measured) -> Seen | None:
    """The forward pass, the loss or the gradient raises."""
    if measured.runs:
        return None
    return Seen(measured.raised_by, f"{measured.raised_by} raises {measured.error}")


def _pairs(measured: Measured, *kinds: str) -> list[tuple[LossCall, str]]:
    both = zip(measured.calls, measured.ends, strict=True)
    return [(call, end) for call, end in both if call.kind in kinds]


def sums_to_one(scores: Tensor) -> bool:
    """True for rows of probabilities, whoever computed them."""
    x = scores.detach()
    if x.dim() < 2 or x.shape[1] < 2 or x.numel() == 0 or float(x.min()) < 0:
        return False
    return bool((x.sum(1) - 1).abs().max() < 1e-4)


def softmax_before_cross_entropy(measured: Measured) -> Seen | None:
    """Cross-entropy, which has a softmax of its own, is given probabilities."""
    for call, end in _pairs(measured, "softmax"):
        if end == "softmax" or (sums_to_one(call.input) and measured.classes(call) > 1):
            total = float(call.input.detach().sum(1).mean())
            return Seen(
                "output",
                "the outputs are probabilities, and cross-entropy applies its softmax to them once more",
                evidence("sum of an example's scores", total, "anything but 1", "logits need not sum to one"),
            )
    return None


def log_softmax_before_cross_entropy(measured: Measured) -> Seen | None:
    """Cross-entropy is given log-probabilities: once more changes nothing."""
    if not any(end == "log_softmax" for _, end in _pairs(measured, "softmax")):
        return None
    return Seen("output", "a log-softmax before cross-entropy, which has one: harmless, and needless")


def activation_before_cross_entropy(measured: Measured) -> Seen | None:
    """The class scores come out of a sigmoid, tanh or ReLU."""
    for call, last in _pairs(measured, *_OF_SCORES, "log probabilities"):
        of_log = call.kind == "log probabilities"
        end = last_operation(call.input, before="log_softmax") if of_log else last
        if end in ("sigmoid", "tanh", "relu"):
            return Seen("output", f"the class scores come out of a {end}, which keeps them from being free")
    return None


def sigmoid_before_logits_loss(measured: Measured) -> Seen | None:
    """BCE-with-logits, which has a sigmoid of its own, is given probabilities or a ReLU's output."""
    for call, end in _pairs(measured, "binary"):
        if end in ("sigmoid", "softmax", "relu", "tanh") or sums_to_one(call.input):
            return Seen(
                "output",
                f"the outputs come out of a {end or 'softmax'}, and the loss applies its sigmoid to them",
                evidence(
                    "lowest output", float(call.input.detach().min()), "below 0 for some", "logits are free"
                ),
            )
    return None


def no_sigmoid_before_bce(measured: Measured) -> Seen | None:
    """BCELoss is given scores that are no probabilities."""
    for call, end in _pairs(measured, "probabilities"):
        low, high = float(call.input.detach().min()), float(call.input.detach().max())
        if low < 0 or high > 1 or end in ("relu", "tanh"):
            return Seen(
                "output",
                f"BCELoss takes probabilities, and the outputs reach from {low:.3g} to {high:.3g}",
                evidence("output", low if low < 0 else high, "0 to 1"),
            )
    return None


def nll_without_log_softmax(measured: Measured) -> Seen | None:
    """NLLLoss is given scores whose exponentials do not sum to one."""
    for call, _ in _pairs(measured, "log probabilities"):
        total = float(call.input.detach().exp().sum(1).mean()) if call.input.dim() > 1 else 1.0
        if not abs(total - 1) < 1e-2:
            return Seen(
                "output",
                "NLLLoss takes log-probabilities, and the outputs are none",
                evidence("sum of exp(outputs)", total, "1"),
            )
    return None


def one_unit_softmax(measured: Measured) -> Seen | None:
    """A softmax over one output is always 1."""
    for call, end in _pairs(
        measured, "softmax", "log probabilities", "probabilities", "binary", "regression"
    ):
        one = call.input.dim() == 1 or call.input.shape[1] == 1
        if one and (
            (call.kind in ("softmax", "log probabilities") and call.input.dim() > 1) or _is_ones(call, end)
        ):
            return Seen(
                "output", "a softmax over a single output is always 1", evidence("outputs", 1, "2 or more")
            )
    return _softmax_inside(measured)


def _softmax_inside(measured: Measured) -> Seen | None:
    """The same inside the model: weights of an attention that are all 1, whatever their scores."""
    if measured.lone_softmax is None:
        return None
    shape = tuple(measured.lone_softmax)
    return Seen(
        "model",
        f"a softmax over an axis of one, of scores of shape {shape}: all weights are 1, and no score learns",
        evidence("scores to weigh against each other", 1, "2 or more", "look at its dim"),
        Severity.WARNING,
    )


def _is_ones(call: LossCall, end: str) -> bool:
    return end == "softmax" and bool((call.input.detach() == 1).all())


def bounded_output(measured: Measured) -> Seen | None:
    """More than one in twenty targets lies where the last activation cannot reach."""
    for call, end in _pairs(measured, "regression"):
        if end not in _RANGES or call.target.numel() == 0:
            continue
        low, high = _RANGES[end]
        beyond = float(((call.target < low - 0.01) | (call.target > high + 0.01)).double().mean())
        if beyond > 0.05:
            return Seen(
                "output",
                f"the outputs come out of a {end} ({low:g} to {high:g}), {beyond:.0%} of targets beyond",
                evidence("share of targets out of reach", beyond, "0"),
            )
    return None


def broadcast(measured: Measured) -> Seen | None:
    """Outputs (N, 1) meet targets (N,), so that every output is compared with every target."""
    if measured.outer is None:
        return None
    one, other = (tuple(shape) for shape in measured.outer)
    made = tuple(torch.broadcast_shapes(one, other))  # type: ignore[no-untyped-call]
    fewer = min(math.prod(one), math.prod(other))
    met = "every output meets every target" if len(one) != len(other) else "targets meet several outputs"
    return Seen(
        "loss",
        f"shapes {one} and {other} broadcast to {made}: {met}",
        evidence("numbers compared", math.prod(made), str(fewer)),
    )


def outputs_ignore_inputs(measured: Measured) -> Seen | None:
    """Different examples give the same output, to a millionth."""
    outputs, x = measured.outputs, measured.x
    if outputs is None or not isinstance(x, Tensor) or outputs.dim() == 0 or len(outputs) < 2:
        return None
    if len(outputs) != len(x) or bool((x == x[:1]).all()):
        return None
    values = outputs.detach().double()
    spread, size = float(values.std(0).max()), float(values.abs().max())
    if not spread <= 1e-6 * max(size, 1e-6):
        return None
    return Seen(
        "output", "all examples give the same output", evidence("spread of the outputs", spread, "above 0")
    )


def examples_mixed(measured: Measured) -> Seen | None:
    """In evaluation mode an example's output changes when only others do."""
    x, outputs = measured.x, measured.outputs
    if not isinstance(x, Tensor) or outputs is None or outputs.dim() == 0 or not len(x) == len(outputs) >= 3:
        return None
    y = measured.y
    if isinstance(y, Tensor) and y.dim() > 1 and x.dim() > 2 and y.shape[:2] == x.shape[:2]:
        return None  # a target for every step: the first axis may be time's
    with measured.program.fresh() as (model, _):
        model.eval()
        fewer = _taken(model, x[: len(x) // 2])
        if fewer is None or fewer.shape[1:] != outputs.shape[1:]:
            return None  # a graph's nodes, or scores of every pair in the batch: it is meant
        if any(isinstance(m, _BatchNorm) and m.running_mean is None for m in model.modules()):
            return None
        change = max(_change(model, x, kept) for kept in (0, len(x) - 1))
    if not change > MIXED:
        return None
    return Seen(
        "model",
        "an example's output depends on the other examples of its batch",
        evidence("change over spread", change, "0", "the others were exchanged, in evaluation mode"),
    )


def _change(model: nn.Module, x: Tensor, kept: int) -> float:
    other = x.roll(1, 0)
    other[kept] = x[kept]
    before, after, again = (_output(model, given) for given in (x, other, x))
    if before is None or after is None or again is None or not torch.equal(before, again):
        return 0.0
    spread = before.std(0).max()
    if not float(spread) > 1e-5 * float(before.abs().max()):
        return 0.0  # outputs that are all the same differ by rounding alone
    return float((before[kept] - after[kept]).abs().max() / spread)


def _taken(model: nn.Module, x: Tensor) -> Tensor | None:
    try:
        return _output(model, x)
    except (RuntimeError, ValueError, IndexError):
        return None


def _output(model: nn.Module, x: Any) -> Tensor | None:
    with torch.no_grad():
        return first_tensor(model(x))


def random_in_evaluation(measured: Measured) -> Seen | None:
    """In evaluation mode the same inputs give two outputs."""
    with measured.program.fresh() as (model, _):
        model.eval()
        with ForwardTrace(model) as trace:  # both, since torch computes some layers otherwise without it
            first, second = (_output(model, measured.x) for _ in range(2))
    if first is None or second is None or torch.allclose(first, second, equal_nan=True):
        return None
    change = float((first - second).abs().max())
    if not trace.dropped:
        return Seen("model", "in evaluation mode its outputs are random", severity=Severity.INFO)
    return Seen(
        "model",
        "dropout is active in evaluation mode: F.dropout needs training=self.training",
        evidence("change between two calls", change, "0"),
    )
