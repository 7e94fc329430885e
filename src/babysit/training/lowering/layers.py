"""The layers that have a form for P members, and that form.

A builder is given one use of a layer and returns the operation (run, x) -> outputs. It raises
``NotLoweredError`` for a setting that it has no form for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from babysit.nn.dropout import MemberDropout
from babysit.nn.maxout import Maxout
from babysit.training.lowering.convolution import geometry_of, grouped, joint
from babysit.training.lowering.linear import linear
from babysit.training.lowering.values import (
    NotLoweredError,
    Operation,
    Run,
    Value,
    by_image,
    from_channels,
    in_channels,
    lifted,
    owned,
)
from babysit.training.tape import Tap


class Use(NamedTuple):
    """One use of a layer in the graph.

    Attributes:
        layer: the template's layer.
        names: its tensors' names in itself -> their names in the population.
        x: its input.
        tap: what the layer may leave on the tape, or None.
    """

    layer: Any
    names: dict[str, str]
    x: Value
    tap: Tap | None

    def name(self, tensor: str) -> str:
        """The population's name of one of the layer's tensors, "" if the layer does not have it."""
        return self.names.get(tensor, "")


class Built(NamedTuple):
    """An operation with the words for the reason, e.g. which form was chosen."""

    operation: Operation
    remark: str = ""


Builder = Callable[[Use], Built]


def build_layer(use: Use) -> tuple[Built, bool]:
    """The form of one use of a layer, and whether its outputs are the members' own.

    Raises:
        NotLoweredError: there is none.
    """
    if type(use.layer) not in LAYERS:
        raise NotLoweredError(f"no fused form for {type(use.layer).__name__}")
    return LAYERS[type(use.layer)](use), use.x.own or bool(use.names)


def _linear(use: Use) -> Built:
    if use.x.rank < 2:
        raise NotLoweredError("no fused form for a linear layer on one example")
    weight, bias = use.name("weight"), use.name("bias")
    return Built(linear(weight=weight, bias=bias, shared=not use.x.own, tap=use.tap))


def _maxout(use: Use) -> Built:
    affine, pieces = _linear(use).operation, (use.layer.out_features, use.layer.pieces)

    def operation(run: Run, x: Tensor) -> Tensor:
        return torch.unflatten(affine(run, x), -1, pieces).max(dim=-1).values

    return Built(operation)


def _convolution(use: Use) -> Built:
    layer, weight, bias = use.layer, use.name("weight"), use.name("bias")
    if layer.padding_mode != "zeros" or use.x.rank != layer.weight.dim():
        raise NotLoweredError(f"no fused form for {type(layer).__name__} with these settings or inputs")
    geometry, is_joint = geometry_of(layer), not use.x.own and layer.groups == 1
    form = joint if is_joint else grouped

    def operation(run: Run, x: Tensor) -> Tensor:
        return form(geometry, x, run.parameters[weight], run.parameters.get(bias))

    return Built(operation if is_joint else owned(use.x, operation), form.__name__)


def _batch_norm(use: Use) -> Built:
    layer = use.layer
    if layer.momentum is None:
        raise NotLoweredError(f"no fused form for {type(layer).__name__} with a cumulative average")
    mean, var, counter = use.name("running_mean"), use.name("running_var"), use.name("num_batches_tracked")
    weight, bias = use.name("weight"), use.name("bias")

    def operation(run: Run, x: Tensor) -> Tensor:
        if layer.training and counter:
            run.buffers[counter].add_(1)
        return _normalized(
            x,
            lambda channels: F.batch_norm(
                channels,
                _row(run.buffers.get(mean)),
                _row(run.buffers.get(var)),
                _row(run.parameters.get(weight)),
                _row(run.parameters.get(bias)),
                layer.training or not mean,
                layer.momentum,
                layer.eps,
            ),
        )

    return Built(owned(use.x, operation))


def _normalized(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Applies what normalizes every channel over the batch, [N, channels, ...], to [P, B, C, ...]."""
    size, batch = x.shape[:2]
    if x.dim() == 3 and x.stride(1) == 1:  # as a linear layer leaves it: the batch is the last axis in memory
        return function(x.transpose(1, 2).reshape(1, -1, batch)).view(size, -1, batch).transpose(1, 2)
    return from_channels(function(in_channels(x)), size)


def _row(tensor: Tensor | None) -> Tensor | None:
    """[P, C] -> [P * C]; a view, so that running statistics move in place."""
    return None if tensor is None else tensor.view(-1)


def _layer_norm(use: Use) -> Built:
    layer, weight, bias, rank = use.layer, use.name("weight"), use.name("bias"), use.x.rank

    def operation(run: Run, x: Tensor) -> Tensor:
        out = F.layer_norm(x, layer.normalized_shape, eps=layer.eps)
        out = out * lifted(run.parameters[weight], rank) if weight else out
        return out + lifted(run.parameters[bias], rank) if bias else out

    return Built(operation)


def _group_norm(use: Use) -> Built:
    layer, weight, bias = use.layer, use.name("weight"), use.name("bias")

    def operation(run: Run, x: Tensor) -> Tensor:
        scale, shift = _row(run.parameters.get(weight)), _row(run.parameters.get(bias))
        out = F.group_norm(in_channels(x), run.size * layer.num_groups, scale, shift, layer.eps)
        return from_channels(out, run.size)

    return Built(owned(use.x, operation))


def _embedding(use: Use) -> Built:
    layer, weight = use.layer, use.name("weight")
    if use.x.own or layer.max_norm is not None or layer.scale_grad_by_freq or layer.sparse:
        raise NotLoweredError("no fused form for Embedding with these settings or inputs")
    padding = layer.padding_idx

    def operation(run: Run, x: Tensor) -> Tensor:
        table = run.parameters[weight]
        first = torch.arange(run.size, device=x.device).mul_(layer.num_embeddings)
        out = F.embedding(lifted(first, x.dim()) + x, table.flatten(0, 1))
        # The row of the padding index is read, and never trained.
        return out if padding is None else torch.where((x == padding).unsqueeze(-1), out.detach(), out)

    return Built(operation)


def _dropout(use: Use) -> Built:
    layer, rate, key = use.layer, use.name("rate"), use.name("key")

    def operation(run: Run, x: Tensor) -> Tensor:
        own = {"rate": run.buffers[rate], "key": run.buffers[key]}
        return functional_call(layer, own, (x,)) if layer.training else x

    return Built(owned(use.x, operation))


def _prelu(use: Use) -> Built:
    weight = use.name("weight")
    if use.x.rank < 2:
        raise NotLoweredError("no fused form for PReLU on one example")

    def operation(run: Run, x: Tensor) -> Tensor:
        slopes = run.parameters[weight].expand(run.size, x.shape[2]).reshape(-1)
        return from_channels(F.prelu(in_channels(x), slopes), run.size)

    return Built(owned(use.x, operation))


def _elementwise(use: Use) -> Built:
    forward = out_of_place(use.layer).forward
    return Built(lambda run, x: forward(x))


def out_of_place(layer: nn.Module) -> Any:
    """The layer without ``inplace``, which would overwrite what a tap or another operation still reads."""
    layer = copy.copy(layer)
    if hasattr(layer, "inplace"):
        layer.__dict__["inplace"] = False
    return layer


def _pooling(axes: int, use: Use) -> Built:
    if getattr(use.layer, "return_indices", False):
        raise NotLoweredError(f"no fused form for {type(use.layer).__name__} that returns indices")
    return Built(windowed(use.layer.forward, use.x, axes))


def windowed(function: Callable[..., Any], x: Value, axes: int) -> Operation:
    """The operation of a function that moves a window over the last ``axes`` axes of every channel."""
    if x.own and x.rank == axes + 2:
        return lambda run, images, *sizes: by_image(lambda folded: function(folded, *sizes), images)
    if x.rank not in (axes + 1, axes + 2):
        raise NotLoweredError("no fused form for pooling over other axes")
    return lambda run, images, *sizes: function(images, *sizes)


def _softmax(use: Use) -> Built:
    dim, function = use.layer.dim, torch.log_softmax if type(use.layer) is nn.LogSoftmax else torch.softmax
    if dim is None:
        raise NotLoweredError(f"no fused form for {type(use.layer).__name__} without a dim")
    dim = shifted(dim, use.x)
    return Built(lambda run, x: function(x, dim))


def _flatten(use: Use) -> Built:
    first, last = shifted(use.layer.start_dim, use.x), shifted(use.layer.end_dim, use.x)
    return Built(lambda run, x: x.flatten(first, last))


def _unflatten(use: Use) -> Built:
    if not isinstance(use.layer.dim, int):
        raise NotLoweredError("no fused form for Unflatten of a named axis")
    dim, sizes = shifted(use.layer.dim, use.x), use.layer.unflattened_size
    return Built(lambda run, x: x.unflatten(dim, sizes))


def shifted(axis: int, x: Value) -> int:
    """Where a member's axis lies in a tensor like ``x``; counted from the end, it stays where it is."""
    return axis + 1 if x.own and axis >= 0 else axis


_ELEMENTWISE: tuple[type[nn.Module], ...] = (
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Sigmoid,
    nn.LogSigmoid,
    nn.Tanh,
    nn.Softplus,
    nn.Softsign,
    nn.Hardtanh,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Tanhshrink,
    nn.Softshrink,
)

LAYERS: dict[type[nn.Module], Builder] = {
    nn.Linear: _linear,
    Maxout: _maxout,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.GroupNorm: _group_norm,
    nn.Embedding: _embedding,
    MemberDropout: _dropout,
    nn.PReLU: _prelu,
    nn.MaxPool1d: partial(_pooling, 1),
    nn.MaxPool2d: partial(_pooling, 2),
    nn.AvgPool1d: partial(_pooling, 1),
    nn.AvgPool2d: partial(_pooling, 2),
    nn.AdaptiveAvgPool1d: partial(_pooling, 1),
    nn.AdaptiveAvgPool2d: partial(_pooling, 2),
    nn.AdaptiveMaxPool1d: partial(_pooling, 1),
    nn.AdaptiveMaxPool2d: partial(_pooling, 2),
    nn.Softmax: _softmax,
    nn.LogSoftmax: _softmax,
    nn.Flatten: _flatten,
    nn.Unflatten: _unflatten,
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
}
"""Layer type -> its form. A subclass is another layer: it may compute something else."""
