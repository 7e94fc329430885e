"""Traces of a model and a loss, operation by operation: modules and functional calls alike."""

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
"""PyTorch's losses -> the kind of outputs that each expects."""

_ELEMENTWISE = {"sub", "__sub__", "rsub", "__rsub__", "mul", "__mul__", "add", "__add__", "eq", "pow"}
_ACTIVATIONS = {"relu": "relu", "relu_": "relu", "tanh": "tanh", "sigmoid": "sigmoid", "tanh_": "tanh"}
_WEIGHTED = {"linear", "conv1d", "conv2d", "conv3d"}
_DROPOUTS = {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"}


@dataclass(frozen=True, slots=True)
class LossCall:
    """One call of a PyTorch loss.

    Attributes:
        kind: the outputs that it expects, see :data:`KINDS`.
        input, target: its arguments.
        options: its keyword arguments, e.g. reduction and ignore_index.
        result: its result; None where it raised.
    """

    kind: str
    input: Tensor
    target: Tensor
    options: dict[str, Any]
    result: Tensor | None


class LossTrace(TorchFunctionMode):
    """Recorder of the calls of PyTorch's losses, and of sums that broadcast (N, 1) against (N,).

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
        """Runs one function of PyTorch and records it."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        if (name in _ELEMENTWISE or KINDS.get(name) == "regression") and len(tensors) >= 2:
            one, other = tensors[:2]
            short, long = sorted((one.shape, other.shape), key=len)
            outer = len(short) == 1 and len(long) == 2 and long[1] == 1 and long[0] == short[0] > 1
            # PyTorch's losses warn at any two shapes; in a formula such a product may be intended.
            of_loss = name not in _ELEMENTWISE and 1 not in (one.numel(), other.numel())
            if outer or (of_loss and one.shape != other.shape):
                self.outer = (one.shape, other.shape)
        result: Any = None
        try:
            result = func(*args, **kwargs)
        finally:
            if name in KINDS and len(tensors) >= 2:
                given = kwargs.get("input", args[0] if args else tensors[0])
                target = kwargs.get("target", args[1] if len(args) > 1 else tensors[1])
                options = {key: value for key, value in kwargs.items() if key not in ("input", "target")}
                self.calls.append(LossCall(KINDS[name], given, target, options, result))
        return result


@dataclass(frozen=True, slots=True)
class LayerRun:
    """One run of a linear or convolutional layer.

    Attributes:
        name: name of its weight; empty where the model does not register it.
        weight: its weight.
        scale_in, scale_out: root mean square of its input and output.
        spread_in, spread_out: standard deviation of its input and output over the examples, averaged.
    """

    name: str
    weight: Tensor
    scale_in: float
    scale_out: float
    spread_in: float
    spread_out: float

    @property
    def gain(self) -> float:
        """Scale of the output over that of the input."""
        return self.scale_out / self.scale_in if self.scale_in else 0.0


@dataclass(frozen=True, slots=True)
class Activated:
    """One run of an activation, with its ``output`` and the name of the layer before it (``after``)."""

    kind: str
    output: Tensor
    after: str


@dataclass(frozen=True, slots=True)
class Normalized:
    """One run of a batch normalization.

    Attributes:
        layer: name of the weight of the layer whose output is its input; empty where there is none.
        activation: kind of the activation whose output is its input; empty where there is none.
    """

    layer: str
    activation: str


class ForwardTrace(TorchFunctionMode):
    """Recorder of the layers, activations and batch normalizations that run, in order.

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
        self.layers: list[LayerRun] = []
        self.activated: list[Activated] = []
        self.normalized: list[Normalized] = []
        self._inputs: list[Tensor] = []
        # id of a layer's output -> the output, kept so that no other tensor gets its id, and the layer's name
        self._outputs: dict[int, tuple[Tensor, str]] = {}
        self.dropped = False
        self.lone_softmax: torch.Size | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs one function of PyTorch and records it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name in _WEIGHTED and len(args) >= 2:
            self._inputs.append(args[0])
            self.layers.append(self._layer_run(args[0], args[1], result))
            self._outputs[id(result)] = (result, self.layers[-1].name)
        elif name in _ACTIVATIONS and isinstance(result, Tensor):
            after = self.layers[-1].name if self.layers else ""
            self.activated.append(Activated(_ACTIVATIONS[name], result, after))
        elif name == "batch_norm" and args:
            layer = self._outputs.get(id(args[0]), (None, ""))[1]
            activation = next((a.kind for a in self.activated if a.output is args[0]), "")
            self.normalized.append(Normalized(layer, activation))
        elif name in _DROPOUTS:
            p = kwargs.get("p", args[1] if len(args) > 1 else 0.5)
            self.dropped |= bool(kwargs.get("training", args[2] if len(args) > 2 else True)) and p > 0
        elif name == "softmax" and args and _is_over_one(args, kwargs):
            self.lone_softmax = args[0].shape
        return result

    def is_input(self, tensor: Tensor) -> bool:
        """Tells whether this very tensor was the input of a layer."""
        return any(tensor is given for given in self._inputs)

    def _layer_run(self, given: Tensor, weight: Tensor, result: Tensor) -> LayerRun:
        with torch._C.DisableTorchFunction():
            x, y = given.detach().float(), result.detach().float()
            spreads = [value.std(0, correction=0).mean().item() for value in (x, y)]
            scales = [value.square().mean().sqrt().item() for value in (x, y)]
            return LayerRun(self._names.get(id(weight), ""), weight, *scales, *spreads)


def _is_over_one(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tells whether a softmax runs along an axis of length one, over scores that can be trained."""
    axis = kwargs.get("dim", args[1] if len(args) > 1 else None)
    return isinstance(axis, int) and args[0].requires_grad and args[0].dim() > 1 and args[0].shape[axis] == 1
