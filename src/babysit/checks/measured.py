"""What the checks look at, measured once: one pass forward and back on a copy, with everything seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from babysit.checks.program import Batch, Program
from babysit.checks.trace import (
    Activated,
    ForwardTrace,
    Layer,
    LossCall,
    LossTrace,
    Normalized,
)
from babysit.loss_graph import flat_operation, last_operation, own_functions


@dataclass
class Measured:
    """One pass over the sample.

    Attributes:
        program: what was measured.
        x, y: the sample.
        error: what the forward pass or the loss raised; empty when they ran.
        raised_by: "the model" or "the loss"; empty when they ran.
        outputs: the model's first floating tensor; None when it did not run.
        loss: its value; NaN when it did not run.
        connected: True when a gradient flows from the loss to some parameter.
        gradients: by parameter name; None where none flows.
        pull: the way in which a step down the loss moves the outputs; None where the loss does not know them.
        flat: where all of them are exactly 0, the operation without a slope that is to blame.
        calls: which of torch's losses were called.
        ends: the last operation before each of these calls.
        outer: two shapes that broadcast in the loss though they should not.
        layers, activated: what ran, in order.
        normalized: the batch normalizations that ran, in order.
        lone_softmax: the shape of scores whose softmax the model takes over a single one; None without.
        own_functions: autograd functions of the author's own behind the loss.
        hidden: those activations whose output another layer was given.
        chance, best: the loss of a network that knows nothing, and of one that knows all; None where nobody
            can say, as for a loss of several parts.
        prior: the loss of a network that knows nothing but how frequent each class is.
        learning, neighbours: kept here by :func:`babysit.checks.experiments.learn` and the labels' detectors.
    """

    program: Program
    x: Any
    y: Any
    error: str = ""
    raised_by: str = ""
    outputs: Tensor | None = None
    loss: float = float("nan")
    connected: bool = True
    gradients: dict[str, Tensor | None] = field(default_factory=dict)
    pull: Tensor | None = None
    flat: str = ""
    calls: tuple[LossCall, ...] = ()
    ends: tuple[str, ...] = ()
    outer: tuple[torch.Size, torch.Size] | None = None
    layers: tuple[Layer, ...] = ()
    activated: tuple[Activated, ...] = ()
    normalized: tuple[Normalized, ...] = ()
    lone_softmax: torch.Size | None = None
    own_functions: tuple[str, ...] = ()
    hidden: tuple[Activated, ...] = ()
    chance: float | None = None
    best: float | None = None
    prior: float | None = None
    learning: Any = None
    neighbours: Any = None

    @property
    def call(self) -> LossCall | None:
        """The one loss that was called; None when it was none, or several."""
        return self.calls[0] if len(self.calls) == 1 else None

    @property
    def kind(self) -> str:
        """What that loss expects; empty when unknown."""
        return self.call.kind if self.call else ""

    @property
    def runs(self) -> bool:
        """True when the model and the loss ran."""
        return not self.error

    def classes(self, call: LossCall) -> int:
        """How many classes the outputs before a loss of classes have."""
        columns = int(call.input.shape[1 if call.input.dim() > 1 else 0])
        return min(columns, self.program.num_classes or columns)


def measure(program: Program) -> Measured:
    """Runs the model and its loss once, on a fresh copy in training mode without dropout.

    Where the joined batches do not run, as in a model that keeps a state per row or a graph whose nodes are
    the rows, the first batch as it is does.
    """
    found = _measured(program, program.sample)
    return found if found.runs else _measured(program, program.batches[0])


def _measured(program: Program, batch: Batch) -> Measured:
    found = Measured(program, *batch)
    with program.fresh(dropout=False) as (model, _):
        _forward(found, model)
    return found


def _forward(found: Measured, model: nn.Module) -> None:
    trace, seen = ForwardTrace(model), LossTrace()
    found.raised_by = "the model"
    try:
        with torch.enable_grad():
            with trace:
                given = model(_with_gradient(found.x))
            found.raised_by = "the loss"
            with seen:
                loss = program_loss(found.program, given, found.y)
            found.raised_by = ""
            found.outputs, found.loss = first_tensor(given), float(loss.detach())
            found.own_functions = own_functions(loss)
            _backward(found, model, loss)
    except Exception as raised:
        found.error = f"{type(raised).__name__}: {str(raised).splitlines()[0] if str(raised) else ''}"
        found.raised_by = found.raised_by or "the gradient"
    found.calls, found.outer = tuple(seen.calls), seen.outer
    found.ends = tuple(last_operation(call.input) for call in seen.calls)
    found.layers, found.activated = tuple(trace.layers), tuple(trace.activated)
    found.normalized, found.lone_softmax = tuple(trace.normalized), trace.lone_softmax
    found.hidden = tuple(a for a in trace.activated if trace.feeds_on(a.output))
    if found.runs:
        found.chance = _loss_of(found, given, _NOTHING)
        found.best = _loss_of(found, given, _ALL)
        found.prior = _loss_of(found, given, _SHARES)


def program_loss(program: Program, outputs: Any, targets: Any) -> Tensor:
    """The loss as a tensor of one number; a loss that returns several is taken at their mean."""
    loss: Any = program.loss(outputs, targets)
    if not isinstance(loss, Tensor):
        return torch.tensor(float(loss))
    return loss if loss.numel() == 1 else loss.mean()


def _with_gradient(x: Any) -> Any:
    """The inputs so that a graph is built behind frozen layers too."""
    return x.clone().requires_grad_() if isinstance(x, Tensor) and x.is_floating_point() else x


def _pull(loss: Tensor, outputs: Tensor | None) -> Tensor | None:
    if outputs is None or not (loss.requires_grad and outputs.requires_grad):
        return None
    (gradient,) = torch.autograd.grad(loss, outputs, retain_graph=True, allow_unused=True)
    return None if gradient is None else -gradient


def _backward(found: Measured, model: nn.Module, loss: Tensor) -> None:
    wanted = {name: value for name, value in model.named_parameters() if value.requires_grad}
    found.pull = _pull(loss, found.outputs)
    found.gradients = gradients(loss, wanted)
    flowing = [gradient for gradient in found.gradients.values() if gradient is not None]
    found.connected = bool(flowing)
    if flowing and not any(bool(gradient.any()) for gradient in flowing):
        found.flat = flat_operation(loss)


def gradients(loss: Tensor, wanted: dict[str, nn.Parameter]) -> dict[str, Tensor | None]:
    """The gradient of each parameter; None where none flows. No ``.grad`` is touched, whoever's it is."""
    if not loss.requires_grad or not wanted:
        return dict.fromkeys(wanted)
    made = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
    return dict(zip(wanted, made, strict=True))


def first_tensor(value: Any) -> Tensor | None:
    """The first floating tensor in a model's answer, which may be a tuple or a dict."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    values: Iterable[Any] = value.values() if isinstance(value, dict) else value
    found = (first_tensor(item) for item in values) if isinstance(value, dict | list | tuple) else ()
    return next((item for item in found if item is not None), None)


_Answer = Callable[[LossCall], Tensor]


def _loss_of(found: Measured, given: Any, answers: dict[str, _Answer]) -> float | None:
    """The author's own loss of what somebody would answer: weights, smoothing and sums are in it."""
    call = found.call
    if call is None or not isinstance(given, Tensor) or call.input.shape != given.shape:
        return None
    if call.result is None or not math.isclose(float(call.result.detach().mean()), found.loss, rel_tol=1e-4):
        return None
    try:
        with torch.no_grad():
            return float(program_loss(found.program, answers[call.kind](call).to(given.dtype), found.y))
    except (RuntimeError, ValueError, IndexError):
        return None


def _mean_target(call: LossCall) -> Tensor:
    mean = call.target.double().mean(0 if call.target.shape == call.input.shape else None)
    return mean.expand_as(call.input)


def _class_shares(call: LossCall) -> Tensor:
    """The log-probabilities of a network that knows how frequent each class is, and nothing else."""
    if call.target.is_floating_point():
        return call.target.mean(0).clamp(min=1e-6).log().expand_as(call.input)
    labels = call.target[call.target != call.options.get("ignore_index", -100)]
    counts = torch.bincount(labels, minlength=call.input.shape[1])[: call.input.shape[1]].double()
    shares = (counts / counts.sum()).clamp(min=1e-6).log()
    return shares.reshape(1, -1, *[1] * (call.input.dim() - 2)).expand_as(call.input)


def _positive_share(call: LossCall) -> Tensor:
    return call.target.double().mean(0).clamp(1e-6, 1 - 1e-6).expand_as(call.input)


def _right_class(call: LossCall) -> Tensor:
    """The log-probabilities of a network that is sure, as far as the smoothing of labels lets it be."""
    if call.target.is_floating_point():
        return call.target.clamp(min=1e-6).log()
    labels = call.target.clamp(0, call.input.shape[1] - 1)
    hot = torch.zeros_like(call.input).scatter_(1, labels.unsqueeze(1), 1.0)
    smoothing = call.options.get("label_smoothing") or 0.0
    return (hot * (1 - smoothing) + smoothing / call.input.shape[1]).clamp(min=1e-6).log()


_NOTHING: dict[str, _Answer] = {
    "softmax": lambda call: torch.zeros_like(call.input),
    "hinge": lambda call: torch.zeros_like(call.input),
    "binary": lambda call: torch.zeros_like(call.input),
    "probabilities": lambda call: torch.full_like(call.input, 0.5),
    "log probabilities": lambda call: torch.log_softmax(torch.zeros_like(call.input), 1),
    "regression": _mean_target,
}
_SHARES: dict[str, _Answer] = {
    **_NOTHING,
    "softmax": _class_shares,
    "log probabilities": _class_shares,
    "binary": lambda call: torch.logit(_positive_share(call)),
    "probabilities": _positive_share,
}
_ALL: dict[str, _Answer] = {
    "softmax": _right_class,
    "hinge": lambda call: 10 * _right_class(call),
    "binary": lambda call: torch.logit(call.target.clamp(1e-4, 1 - 1e-4)),
    "probabilities": lambda call: call.target.clamp(1e-4, 1 - 1e-4),
    "log probabilities": _right_class,
    "regression": lambda call: call.target.expand_as(call.input),
}
