"""The measurements that the checks read: one forward and backward pass over a sample, on a copy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from babysit.checks.program import Batch, Program
from babysit.checks.trace import Activated, ForwardTrace, LayerRun, LossCall, LossTrace, Normalized
from babysit.loss_graph import flat_operation, last_operation, own_functions


@dataclass
class Measured:
    """The measurements of one pass over the sample.

    Attributes:
        program: the program that was measured.
        x, y: the sample.
        error: the exception of the forward pass, the loss or the gradient; empty where they ran.
        raised_by: "the model", "the loss" or "the gradient"; empty where they ran.
        outputs: the model's first floating tensor; None where the model did not run.
        loss: value of the loss; NaN where it did not run.
        connected: whether a gradient flows from the loss to some parameter.
        gradients: gradients by parameter name; None where none flows.
        pull: direction in which a step down the loss moves the outputs; None where it does not use them.
        flat: where all gradients are exactly 0, the operation with slope 0 that causes it; else empty.
        calls: the calls of PyTorch's losses.
        ends: the last operation before each of these calls.
        outer: two shapes that broadcast in the loss though they should not; else None.
        layers, activated: the layers and activations that ran, in order.
        normalized: the batch normalizations that ran, in order.
        lone_softmax: the shape of scores whose softmax the model takes over an axis of one; else None.
        own_functions: the user's own autograd functions behind the loss.
        hidden: the activations whose output is the input of another layer.
        chance, best: the loss of a network that knows nothing, and of one that knows all; None where they are
            unknown, as for a loss of several parts.
        prior: the loss of a network that knows only how frequent each class is; None where it is unknown.
        learning, neighbours: caches of :func:`babysit.checks.experiments.learn` and of the label detectors.
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
    layers: tuple[LayerRun, ...] = ()
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
        """The call of the only loss; None where none or several were called."""
        return self.calls[0] if len(self.calls) == 1 else None

    @property
    def kind(self) -> str:
        """The outputs that this loss expects, see :data:`babysit.checks.trace.KINDS`; empty where unknown."""
        return self.call.kind if self.call else ""

    @property
    def runs(self) -> bool:
        """True where the model, the loss and the gradient ran."""
        return not self.error

    def classes(self, call: LossCall) -> int:
        """Counts the classes of the outputs that a classification loss was given."""
        columns = int(call.input.shape[1 if call.input.dim() > 1 else 0])
        return min(columns, self.program.num_classes or columns)


def measure(program: Program) -> Measured:
    """Runs the model and its loss once, on a fresh copy in training mode without dropout.

    Where the joined batches do not run, as in a model that keeps a state per row or a graph whose nodes are
    the rows, the first batch is measured alone.
    """
    found = _measure(program, program.sample)
    return found if found.runs else _measure(program, program.batches[0])


def _measure(program: Program, batch: Batch) -> Measured:
    found = Measured(program, *batch)
    with program.fresh(dropout=False) as (model, _):
        _run(found, model)
    return found


def _run(found: Measured, model: nn.Module) -> None:
    """Runs model, loss and gradient, and fills in their measurements."""
    trace, loss_trace = ForwardTrace(model), LossTrace()
    found.raised_by = "the model"
    x = found.x
    if isinstance(x, Tensor) and x.is_floating_point():
        x = x.clone().requires_grad_()  # so that a graph is built behind frozen layers too
    try:
        with torch.enable_grad():
            with trace:
                given = model(x)
            found.raised_by = "the loss"
            with loss_trace:
                loss = program_loss(found.program, given, found.y)
            found.raised_by = ""
            found.outputs, found.loss = first_tensor(given), float(loss.detach())
            found.own_functions = own_functions(loss)
            _backward(found, model, loss)
    except Exception as raised:
        found.error = f"{type(raised).__name__}: {str(raised).splitlines()[0] if str(raised) else ''}"
        found.raised_by = found.raised_by or "the gradient"
    found.calls, found.outer = tuple(loss_trace.calls), loss_trace.outer
    found.ends = tuple(last_operation(call.input) for call in loss_trace.calls)
    found.layers, found.activated = tuple(trace.layers), tuple(trace.activated)
    found.normalized, found.lone_softmax = tuple(trace.normalized), trace.lone_softmax
    found.hidden = tuple(a for a in trace.activated if trace.is_input(a.output))
    if found.runs:
        found.chance = _loss_of(found, given, _NOTHING)
        found.best = _loss_of(found, given, _ALL)
        found.prior = _loss_of(found, given, _SHARES)


def program_loss(program: Program, outputs: Any, targets: Any) -> Tensor:
    """Returns the loss as a tensor of one number: the mean, where it returns several."""
    loss: Any = program.loss(outputs, targets)
    if not isinstance(loss, Tensor):
        return torch.tensor(float(loss))
    return loss if loss.numel() == 1 else loss.mean()


def _backward(found: Measured, model: nn.Module, loss: Tensor) -> None:
    outputs = found.outputs
    if outputs is not None and loss.requires_grad and outputs.requires_grad:
        (slope,) = torch.autograd.grad(loss, outputs, retain_graph=True, allow_unused=True)
        found.pull = None if slope is None else -slope

    wanted = {name: value for name, value in model.named_parameters() if value.requires_grad}
    found.gradients = gradients(loss, wanted)
    flowing = [gradient for gradient in found.gradients.values() if gradient is not None]
    found.connected = bool(flowing)
    if flowing and not any(bool(gradient.any()) for gradient in flowing):
        found.flat = flat_operation(loss)


def gradients(loss: Tensor, wanted: dict[str, nn.Parameter]) -> dict[str, Tensor | None]:
    """Computes the gradient of each parameter; None where none flows. No ``.grad`` is changed."""
    if not loss.requires_grad or not wanted:
        return dict.fromkeys(wanted)
    made = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
    return dict(zip(wanted, made, strict=True))


def first_tensor(value: Any) -> Tensor | None:
    """Returns the first floating tensor of a model's outputs, which may be a tuple or a dictionary."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    values: Iterable[Any] = value.values() if isinstance(value, dict) else value
    found = (first_tensor(item) for item in values) if isinstance(value, dict | list | tuple) else ()
    return next((item for item in found if item is not None), None)


_OutputsFor = Callable[[LossCall], Tensor]


def _loss_of(found: Measured, given: Any, outputs_for: dict[str, _OutputsFor]) -> float | None:
    """Computes the user's loss of made outputs, so that its weights, smoothing and sums count."""
    call = found.call
    if call is None or not isinstance(given, Tensor) or call.input.shape != given.shape:
        return None
    if call.result is None or not math.isclose(float(call.result.detach().mean()), found.loss, rel_tol=1e-4):
        return None
    try:
        with torch.no_grad():
            return float(program_loss(found.program, outputs_for[call.kind](call).to(given.dtype), found.y))
    except (RuntimeError, ValueError, IndexError):
        return None


def _class_shares(call: LossCall) -> Tensor:
    """Returns the log-probabilities of a network that knows only how frequent each class is."""
    if call.target.is_floating_point():
        return call.target.mean(0).clamp(min=1e-6).log().expand_as(call.input)
    labels = call.target[call.target != call.options.get("ignore_index", -100)]
    counts = torch.bincount(labels, minlength=call.input.shape[1])[: call.input.shape[1]].double()
    shares = (counts / counts.sum()).clamp(min=1e-6).log()
    return shares.reshape(1, -1, *[1] * (call.input.dim() - 2)).expand_as(call.input)


def _positive_share(call: LossCall) -> Tensor:
    return call.target.double().mean(0).clamp(1e-6, 1 - 1e-6).expand_as(call.input)


def _right_class(call: LossCall) -> Tensor:
    """Returns the log-probabilities of a network that is as sure as the smoothing of labels lets it be."""
    if call.target.is_floating_point():
        return call.target.clamp(min=1e-6).log()
    labels = call.target.clamp(0, call.input.shape[1] - 1)
    hot = torch.zeros_like(call.input).scatter_(1, labels.unsqueeze(1), 1.0)
    smoothing = call.options.get("label_smoothing") or 0.0
    return (hot * (1 - smoothing) + smoothing / call.input.shape[1]).clamp(min=1e-6).log()


_NOTHING: dict[str, _OutputsFor] = {
    "softmax": lambda call: torch.zeros_like(call.input),
    "hinge": lambda call: torch.zeros_like(call.input),
    "binary": lambda call: torch.zeros_like(call.input),
    "probabilities": lambda call: torch.full_like(call.input, 0.5),
    "log probabilities": lambda call: torch.log_softmax(torch.zeros_like(call.input), 1),
    "regression": lambda call: (
        call.target.double().mean(0 if call.target.shape == call.input.shape else None).expand_as(call.input)
    ),
}
_SHARES: dict[str, _OutputsFor] = {
    **_NOTHING,
    "softmax": _class_shares,
    "log probabilities": _class_shares,
    "binary": lambda call: torch.logit(_positive_share(call)),
    "probabilities": _positive_share,
}
_ALL: dict[str, _OutputsFor] = {
    "softmax": _right_class,
    "hinge": lambda call: 10 * _right_class(call),
    "binary": lambda call: torch.logit(call.target.clamp(1e-4, 1 - 1e-4)),
    "probabilities": lambda call: call.target.clamp(1e-4, 1 - 1e-4),
    "log probabilities": _right_class,
    "regression": lambda call: call.target.expand_as(call.input),
}
