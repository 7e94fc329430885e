"""Detectors on the outputs: the last layer against the loss, shapes, dependence on other examples."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from babysit.checks.measured import Measured, first_tensor
from babysit.checks.needs import RUNS
from babysit.checks.trace import ForwardTrace, LossCall
from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.course import CONSTANT_OUTPUT
from babysit.diagnosis.problems.loss import (
    ACTIVATION_BEFORE_CROSS_ENTROPY,
    BOUNDED_OUTPUT,
    LOG_SOFTMAX_BEFORE_CROSS_ENTROPY,
    LOSS_BROADCASTS,
    NLL_WITHOUT_LOG_SOFTMAX,
    NO_SIGMOID_BEFORE_BCE,
    ONE_UNIT_SOFTMAX,
    SIGMOID_BEFORE_LOGITS_LOSS,
    SOFTMAX_BEFORE_CROSS_ENTROPY,
)
from babysit.diagnosis.problems.wiring import DOES_NOT_RUN, DROPOUT_IN_EVALUATION, EXAMPLES_MIXED
from babysit.loss_graph import last_operation
from babysit.verdicts import Severity

MIXED = 0.01
"""Share of the outputs' spread by which exchanging other examples may move one: sums round differently."""

_RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "softmax": (0.0, 1.0), "relu": (0.0, float("inf"))}
_OF_SCORES = ("softmax", "hinge")


@detects(DOES_NOT_RUN)
def does_not_run(measured: Measured) -> Detection | None:
    """Finds a forward pass, loss or gradient that raises an exception."""
    if measured.runs:
        return None
    return Detection(where=measured.raised_by, message=f"{measured.raised_by} raises {measured.error}")


def _calls(measured: Measured, *kinds: str) -> list[tuple[LossCall, str]]:
    """Returns the loss calls of some kinds, each with the last operation before it."""
    both = zip(measured.calls, measured.ends, strict=True)
    return [(call, end) for call, end in both if call.kind in kinds]


def sums_to_one(scores: Tensor) -> bool:
    """Tells whether scores are rows of probabilities."""
    x = scores.detach()
    if x.dim() < 2 or x.shape[1] < 2 or x.numel() == 0 or float(x.min()) < 0:
        return False
    return bool((x.sum(1) - 1).abs().max() < 1e-4)


@detects(SOFTMAX_BEFORE_CROSS_ENTROPY, needs=(RUNS,))
def softmax_before_cross_entropy(measured: Measured) -> Detection | None:
    """Finds scores before cross-entropy that are rows of probabilities."""
    for call, end in _calls(measured, "softmax"):
        if end == "softmax" or (sums_to_one(call.input) and measured.classes(call) > 1):
            total = float(call.input.detach().sum(1).mean())
            return Detection(
                where="output",
                message="the outputs are probabilities, and cross-entropy applies its softmax to "
                "them once more",
                evidence=evidence(
                    "sum of an example's scores", total, "anything but 1", "logits need not sum to one"
                ),
            )
    return None


@detects(LOG_SOFTMAX_BEFORE_CROSS_ENTROPY, needs=(RUNS,))
def log_softmax_before_cross_entropy(measured: Measured) -> Detection | None:
    """Finds a log-softmax before cross-entropy, which has no effect."""
    if not any(end == "log_softmax" for _, end in _calls(measured, "softmax")):
        return None
    return Detection(
        where="output",
        message="a log-softmax before cross-entropy, which applies its own: harmless, and needless",
    )


@detects(ACTIVATION_BEFORE_CROSS_ENTROPY, needs=(RUNS,))
def activation_before_cross_entropy(measured: Measured) -> Detection | None:
    """Finds class scores, also before a log-softmax, that come out of a sigmoid, tanh or ReLU."""
    for call, last in _calls(measured, *_OF_SCORES, "log probabilities"):
        of_log = call.kind == "log probabilities"
        end = last_operation(call.input, before="log_softmax") if of_log else last
        if end in ("sigmoid", "tanh", "relu"):
            return Detection(
                where="output",
                message=f"the class scores come out of a {end}, which keeps them from being free",
            )
    return None


@detects(SIGMOID_BEFORE_LOGITS_LOSS, needs=(RUNS,))
def sigmoid_before_logits_loss(measured: Measured) -> Detection | None:
    """Finds scores before BCE-with-logits that come out of an activation."""
    for call, end in _calls(measured, "binary"):
        if end in ("sigmoid", "softmax", "relu", "tanh") or sums_to_one(call.input):
            return Detection(
                where="output",
                message=f"the outputs come out of a {end or 'softmax'}, and the loss applies its "
                f"sigmoid to them",
                evidence=evidence(
                    "lowest output", float(call.input.detach().min()), "below 0 for some", "logits are free"
                ),
            )
    return None


@detects(NO_SIGMOID_BEFORE_BCE)
def no_sigmoid_before_bce(measured: Measured) -> Detection | None:
    """Finds inputs of BCELoss outside 0 to 1."""
    for call, end in _calls(measured, "probabilities"):
        low, high = float(call.input.detach().min()), float(call.input.detach().max())
        if low < 0 or high > 1 or end in ("relu", "tanh"):
            return Detection(
                where="output",
                message=f"BCELoss takes probabilities, and the outputs reach from {low:.3g} to {high:.3g}",
                evidence=evidence("output", low if low < 0 else high, "0 to 1"),
            )
    return None


@detects(NLL_WITHOUT_LOG_SOFTMAX, needs=(RUNS,))
def nll_without_log_softmax(measured: Measured) -> Detection | None:
    """Finds inputs of NLLLoss whose exponentials do not sum to one."""
    for call, _ in _calls(measured, "log probabilities"):
        total = float(call.input.detach().exp().sum(1).mean()) if call.input.dim() > 1 else 1.0
        if not abs(total - 1) < 1e-2:
            return Detection(
                where="output",
                message="NLLLoss takes log-probabilities, and the outputs are none",
                evidence=evidence("sum of exp(outputs)", total, "1"),
            )
    return None


@detects(ONE_UNIT_SOFTMAX)
def one_unit_softmax(measured: Measured) -> Detection | None:
    """Finds a softmax over a single output, which is always 1; inside the model a warning."""
    for call, end in _calls(
        measured, "softmax", "log probabilities", "probabilities", "binary", "regression"
    ):
        of_loss = call.kind in ("softmax", "log probabilities") and call.input.dim() > 1
        of_model = end == "softmax" and bool((call.input.detach() == 1).all())
        if (call.input.dim() == 1 or call.input.shape[1] == 1) and (of_loss or of_model):
            return Detection(
                where="output",
                message="a softmax over a single output is always 1",
                evidence=evidence("outputs", 1, "2 or more"),
            )
    # Inside the model, e.g. attention weights that are all 1.
    if measured.lone_softmax is None:
        return None
    shape = tuple(measured.lone_softmax)
    return Detection(
        where="model",
        message=f"a softmax over an axis of one, of scores of shape {shape}: all weights are 1, and "
        f"no score learns",
        evidence=evidence("scores to weigh against each other", 1, "2 or more", "look at its dim"),
        severity=Severity.WARNING,
    )


@detects(BOUNDED_OUTPUT, needs=(RUNS,))
def bounded_output(measured: Measured) -> Detection | None:
    """Finds a regression of which the last activation cannot reach 5% of the targets, or a softmax whose
    targets do not sum to 1.
    """
    for call, end in _calls(measured, "probabilities"):
        sums = call.target.double().sum(1) if call.target.dim() == 2 and call.target.shape[1] > 1 else None
        if end == "softmax" and sums is not None and float(((sums - 1).abs() > 0.01).double().mean()) > 0.05:
            return Detection(
                where="output",
                message="a softmax shares 1 among the outputs, and more than one of them is to be 1,"
                " or fewer",
                evidence=evidence("sum of an example's targets", float(sums.mean()), "1", "a sigmoid each"),
            )
    for call, end in _calls(measured, "regression"):
        if end not in _RANGES or call.target.numel() == 0:
            continue
        low, high = _RANGES[end]
        beyond = float(((call.target < low - 0.01) | (call.target > high + 0.01)).double().mean())
        if beyond > 0.05:
            return Detection(
                where="output",
                message=f"the outputs come out of a {end} ({low:g} to {high:g}), {beyond:.0%} of targets "
                "beyond",
                evidence=evidence("share of targets out of reach", beyond, "0"),
            )
    return None


@detects(LOSS_BROADCASTS, needs=(RUNS,))
def loss_broadcasts(measured: Measured) -> Detection | None:
    """Finds a loss that broadcasts (N, 1) against (N,) to (N, N), or a PyTorch loss given two shapes."""
    if measured.outer is None:
        return None
    one, other = (tuple(shape) for shape in measured.outer)
    made = tuple(torch.broadcast_shapes(one, other))  # type: ignore[no-untyped-call]
    fewer = min(math.prod(one), math.prod(other))
    met = "every output meets every target" if len(one) != len(other) else "targets meet several outputs"
    return Detection(
        where="loss",
        message=f"shapes {one} and {other} broadcast to {made}: {met}",
        evidence=evidence("numbers compared", math.prod(made), str(fewer)),
    )


@detects(CONSTANT_OUTPUT, severity=Severity.INFO, needs=(RUNS,))
def constant_output(measured: Measured) -> Detection | None:
    """Finds equal outputs for different examples; a fault only where the model does not learn."""
    outputs, x = measured.outputs, measured.x
    if outputs is None or not isinstance(x, Tensor) or outputs.dim() == 0 or len(outputs) < 2:
        return None
    if len(outputs) != len(x) or bool((x == x[:1]).all()):
        return None
    values = outputs.detach().double()
    spread, size = float(values.std(0).max()), float(values.abs().max())
    if not spread <= 1e-6 * max(size, 1e-6):
        return None
    return Detection(
        where="output",
        message="all examples give the same output",
        evidence=evidence("spread of the outputs", spread, "above 0"),
    )


@detects(EXAMPLES_MIXED, needs=(RUNS,))
def examples_mixed(measured: Measured) -> Detection | None:
    """Finds outputs that move by 1% of the spread in evaluation mode when only the other examples change."""
    x, outputs = measured.x, measured.outputs
    if not isinstance(x, Tensor) or outputs is None or outputs.dim() == 0 or not len(x) == len(outputs) >= 3:
        return None
    y = measured.y
    if isinstance(y, Tensor) and y.dim() > 1 and x.dim() > 2 and y.shape[:2] == x.shape[:2]:
        return None  # a target for every step: the first axis may be time's
    with measured.program.fresh() as (model, _):
        model.eval()
        try:
            fewer = _output(model, x[: len(x) // 2])
        except (RuntimeError, ValueError, IndexError):
            return None
        if fewer is None or fewer.shape[1:] != outputs.shape[1:]:
            return None  # the nodes of a graph, or scores of every pair in the batch: it is intended
        if any(isinstance(m, _BatchNorm) and m.running_mean is None for m in model.modules()):
            return None
        change = max(_change(model, x, kept) for kept in (0, len(x) - 1))
    if not change > MIXED:
        return None
    return Detection(
        where="model",
        message="an example's output depends on the other examples of its batch",
        evidence=evidence("change over spread", change, "0", "the others were exchanged, in evaluation mode"),
    )


def _change(model: nn.Module, x: Tensor, kept: int) -> float:
    """Returns the change of one example's output, over the spread, when all others are exchanged."""
    other = x.roll(1, 0)
    other[kept] = x[kept]
    before, after, again = (_output(model, given) for given in (x, other, x))
    if before is None or after is None or again is None or not torch.equal(before, again):
        return 0.0
    spread = before.std(0).max()
    if not float(spread) > 1e-5 * float(before.abs().max()):
        return 0.0  # outputs that are all the same differ by rounding alone
    return float((before[kept] - after[kept]).abs().max() / spread)


def _output(model: nn.Module, x: Any) -> Tensor | None:
    with torch.no_grad():
        return first_tensor(model(x))


@detects(DROPOUT_IN_EVALUATION, needs=(RUNS,))
def dropout_in_evaluation(measured: Measured) -> Detection | None:
    """Finds outputs in evaluation mode that differ between two calls."""
    with measured.program.fresh() as (model, _):
        model.eval()
        with ForwardTrace(
            model
        ) as trace:  # both calls, since PyTorch computes some layers otherwise without it
            first, second = (_output(model, measured.x) for _ in range(2))
    if first is None or second is None or torch.allclose(first, second, equal_nan=True):
        return None
    change = float((first - second).abs().max())
    if not trace.dropped:
        return Detection(
            where="model", message="in evaluation mode its outputs are random", severity=Severity.INFO
        )
    return Detection(
        where="model",
        message="dropout is active in evaluation mode: F.dropout needs training=self.training",
        evidence=evidence("change between two calls", change, "0"),
    )
