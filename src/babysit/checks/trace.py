"""What a model and a loss compute, operation by operation: modules and functional calls alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

KINDS = {
    "cross_entropy": "softmax",
    "nll_loss": "log probabilities",
    "binary_cross_entropy_with_logits": "binary",
    "binary_cross_entropy": "probabilities",
    "mse_loss": "regression",
    "l1_loss": "regression",
    "smooth_l1_loss": "regression",
    "huber_loss": "regression",
    "multi_margin_loss": "hinge",
}
"""What each of torch's losses expects to be given."""

_ELEMENTWISE = {"sub", "__sub__", "rsub", "__rsub__", "mul", "__mul__", "add", "__add__", "eq", "pow"}
_ACTIVATIONS = {"relu": "relu", "relu_": "relu", "tanh": "tanh", "sigmoid": "sigmoid", "tanh_": "tanh"}
_WEIGHTED = {"linear", "conv1d", "conv2d", "conv3d"}
_DROPOUTS = {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"}


@dataclass(frozen=True, slots=True)
class LossCall:
    """One of torch's losses, as it was called.

    Attributes:
        kind: what it expects, see :data:`KINDS`.
        input, target: what it was given.
        options: its keyword arguments, e.g. reduction and ignore_index.
        result: what it returned; None when it raised.
    """

    kind: str
    input: Tensor
    target: Tensor
    options: dict[str, Any]
    result: Tensor | None


class LossTrace(TorchFunctionMode):
    """Records which of torch's losses are called inside, and sums that broadcast (N, 1) against (N,).

    Example:
        >>> with LossTrace() as trace:
        ...     _ = nn.MSELoss()(torch.zeros(3, 1), torch.zeros(3, 1))
        >>> [call.kind for call in trace.calls], trace.outer
        (['regression'], None)
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[LossCall] = []
        self.outer: tuple[torch.Size, torch.Size] | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs one function of torch's, noting it."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        given = [*args, *kwargs.values()]
        tensors = [value for value in given if isinstance(value, Tensor)]
        if (name in _ELEMENTWISE or KINDS.get(name) == "regression") and len(tensors) >= 2:
            self._note_shapes(tensors[0], tensors[1], of_loss=name not in _ELEMENTWISE)
        result: Any = None
        try:
            result = func(*args, **kwargs)
        finally:
            if name in KINDS and len(tensors) >= 2:
                self._note_call(name, args, kwargs, tensors, result)
        return result

    def _note_shapes(self, one: Tensor, other: Tensor, *, of_loss: bool) -> None:
        short, long = sorted((one.shape, other.shape), key=len)
        outer = len(short) == 1 and len(long) == 2 and long[1] == 1 and long[0] == short[0] > 1
        # torch's own losses warn at any two shapes; in a formula such a product may well be meant.
        unequal = of_loss and one.shape != other.shape and 1 not in (one.numel(), other.numel())
        if outer or unequal:
            self.outer = (one.shape, other.shape)

    def _note_call(self, name: str, args: Any, kwargs: Any, tensors: list[Tensor], result: Any) -> None:
        given = kwargs.get("input", args[0] if args else tensors[0])
        target = kwargs.get("target", args[1] if len(args) > 1 else tensors[1])
        options = {key: value for key, value in kwargs.items() if key not in ("input", "target")}
        self.calls.append(LossCall(KINDS[name], given, target, options, result))


@dataclass(frozen=True, slots=True)
class Layer:
    """One linear or convolutional layer as it ran.

    Attributes:
        name: its weight's parameter name; empty when the model does not register it.
        weight: that weight.
        scale_in, scale_out: root mean square of what went in and came out.
        spread_in, spread_out: standard deviation over the examples of the same, averaged.
    """

    name: str
    weight: Tensor
    scale_in: float
    scale_out: float
    spread_in: float
    spread_out: float

    @property
    def gain(self) -> float:
        """How much larger its output is than its input."""
        return self.scale_out / self.scale_in if self.scale_in else 0.0


@dataclass(frozen=True, slots=True)
class Activated:
    """One activation as it ran; ``output`` is what it returned, ``after`` the layer before it."""

    kind: str
    output: Tensor
    after: str


@dataclass(frozen=True, slots=True)
class Normalized:
    """One batch normalization as it ran: the layer or activation whose very output it was given, if any.

    Attributes:
        layer: the weight's name of that layer; empty where it was given something else.
        activation: the kind of that activation; empty where it was given something else.
    """

    layer: str
    activation: str


class ForwardTrace(TorchFunctionMode):
    """Records the layers, activations and batch normalizations that run inside, in order.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
        >>> with ForwardTrace(model) as trace:
        ...     _ = model(torch.zeros(4, 3))
        >>> [layer.name for layer in trace.layers], [a.kind for a in trace.activated]
        (['0.weight'], ['relu'])
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._names = {id(value): name for name, value in model.named_parameters()}
        self.layers: list[Layer] = []
        self.activated: list[Activated] = []
        self.normalized: list[Normalized] = []
        self.fed: list[Tensor] = []
        self._made: dict[int, tuple[Tensor, str]] = {}  # a layer's output -> its name; kept, so no id recurs
        self.dropped = False
        self.lone_softmax: torch.Size | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs one function of torch's, noting it."""
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if name in _WEIGHTED and len(args) >= 2:
            self.fed.append(args[0])
            self.layers.append(self._layer(args[0], args[1], result))
            self._made[id(result)] = (result, self.layers[-1].name)
        elif name in _ACTIVATIONS and isinstance(result, Tensor):
            after = self.layers[-1].name if self.layers else ""
            self.activated.append(Activated(_ACTIVATIONS[name], result, after))
        elif name == "batch_norm" and args:
            self.normalized.append(self._normalized(args[0]))
        elif name in _DROPOUTS:
            self.dropped |= _drops(args, kwargs or {})
        elif name == "softmax" and args and _is_over_one(args, kwargs or {}):
            self.lone_softmax = args[0].shape
        return result

    def _normalized(self, given: Tensor) -> Normalized:
        layer = self._made.get(id(given), (given, ""))[1]
        return Normalized(layer, next((a.kind for a in self.activated if a.output is given), ""))

    def feeds_on(self, tensor: Tensor) -> bool:
        """True when a layer was given this very tensor."""
        return any(tensor is given for given in self.fed)

    def _layer(self, given: Tensor, weight: Tensor, result: Tensor) -> Layer:
        with torch._C.DisableTorchFunction():
            x, y = given.detach().float(), result.detach().float()
            spreads = [value.std(0, correction=0).mean().item() for value in (x, y)]
            scales = [value.square().mean().sqrt().item() for value in (x, y)]
            return Layer(self._names.get(id(weight), ""), weight, *scales, *spreads)


def _is_over_one(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """True for a softmax along an axis of length one, of scores that somebody wants to train."""
    axis = kwargs.get("dim", args[1] if len(args) > 1 else None)
    return isinstance(axis, int) and args[0].requires_grad and args[0].dim() > 1 and args[0].shape[axis] == 1


def _drops(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    p = kwargs.get("p", args[1] if len(args) > 1 else 0.5)
    return bool(kwargs.get("training", args[2] if len(args) > 2 else True)) and p > 0
