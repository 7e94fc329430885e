"""Layers that have a form for P members, with that form.

A builder takes one use of a layer and returns the operation (context, x) -> outputs. It raises
``NotLoweredError`` for a setting that it does not support.
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
from babysit.training.gradient_tape import LinearRecord
from babysit.training.lowering.convolution import geometry_of, grouped, joint
from babysit.training.lowering.linear import linear
from babysit.training.lowering.primitives import (
    GraphValue,
    NotLoweredError,
    Operation,
    PassContext,
    by_image,
    from_channels,
    in_channels,
    lifted,
    on_own,
)


class LayerUse(NamedTuple):
    """One use of a layer in the graph.

    Attributes:
        layer: the template's layer.
        names: its tensors' names in itself -> their names in the population.
        x: its input.
        record: the layer's record for the tape, or None.
    """

    layer: Any
    names: dict[str, str]
    x: GraphValue
    record: LinearRecord | None

    def name(self, tensor: str) -> str:
        """Returns the population's name of one of the layer's tensors, "" if the layer does not have it."""
        return self.names.get(tensor, "")


class BuiltLayer(NamedTuple):
    """An operation with a remark for the reason of the lowering, such as the chosen form."""

    operation: Operation
    remark: str = ""


Builder = Callable[[LayerUse], BuiltLayer]


def build_layer(use: LayerUse) -> tuple[BuiltLayer, bool]:
    """Builds one use of a layer, and tells whether its outputs are the members' own.

    Raises:
        NotLoweredError: the layer or its settings are not supported.
    """
    if type(use.layer) not in LAYERS:
        raise NotLoweredError(f"no fused form for {type(use.layer).__name__}")
    return LAYERS[type(use.layer)](use), use.x.own or bool(use.names)


def _linear(use: LayerUse) -> BuiltLayer:
    if use.x.rank < 2:
        raise NotLoweredError("no fused form for a linear layer on one example")
    weight, bias = use.name("weight"), use.name("bias")
    return BuiltLayer(linear(weight=weight, bias=bias, shared=not use.x.own, record=use.record))


def _maxout(use: LayerUse) -> BuiltLayer:
    affine, pieces = _linear(use).operation, (use.layer.out_features, use.layer.pieces)

    def operation(context: PassContext, x: Tensor) -> Tensor:
        return torch.unflatten(affine(context, x), -1, pieces).max(dim=-1).values

    return BuiltLayer(operation)


def _convolution(use: LayerUse) -> BuiltLayer:
    layer, weight, bias = use.layer, use.name("weight"), use.name("bias")
    if layer.padding_mode != "zeros" or use.x.rank != layer.weight.dim():
        raise NotLoweredError(f"no fused form for {type(layer).__name__} with these settings or inputs")
    geometry, is_joint = geometry_of(layer), not use.x.own and layer.groups == 1
    form = joint if is_joint else grouped

    def operation(context: PassContext, x: Tensor) -> Tensor:
        return form(geometry, x, context.parameters[weight], context.parameters.get(bias))

    return BuiltLayer(operation if is_joint else on_own(use.x, operation), form.__name__)


def _batch_norm(use: LayerUse) -> BuiltLayer:
    layer = use.layer
    if layer.momentum is None:
        raise NotLoweredError(f"no fused form for {type(layer).__name__} with a cumulative average")
    mean, var, counter = use.name("running_mean"), use.name("running_var"), use.name("num_batches_tracked")
    weight, bias = use.name("weight"), use.name("bias")

    def normalize(context: PassContext, channels: Tensor) -> Tensor:
        return F.batch_norm(
            channels,
            _flat(context.buffers.get(mean)),
            _flat(context.buffers.get(var)),
            _flat(context.parameters.get(weight)),
            _flat(context.parameters.get(bias)),
            layer.training or not mean,
            layer.momentum,
            layer.eps,
        )

    def operation(context: PassContext, x: Tensor) -> Tensor:
        if layer.training and counter:
            context.buffers[counter].add_(1)
        size, batch = x.shape[:2]
        if x.dim() == 3 and x.stride(1) == 1:  # from a linear layer: the batch is the last axis in memory
            out = normalize(context, x.transpose(1, 2).reshape(1, -1, batch))
            return out.view(size, -1, batch).transpose(1, 2)
        return from_channels(normalize(context, in_channels(x)), size)

    return BuiltLayer(on_own(use.x, operation))


def _flat(tensor: Tensor | None) -> Tensor | None:
    """Flattens [P, C] -> [P * C]; a view, so that running statistics are updated in place."""
    return None if tensor is None else tensor.view(-1)


def _layer_norm(use: LayerUse) -> BuiltLayer:
    layer, weight, bias, rank = use.layer, use.name("weight"), use.name("bias"), use.x.rank

    def operation(context: PassContext, x: Tensor) -> Tensor:
        out = F.layer_norm(x, layer.normalized_shape, eps=layer.eps)
        out = out * lifted(context.parameters[weight], rank) if weight else out
        return out + lifted(context.parameters[bias], rank) if bias else out

    return BuiltLayer(operation)


def _group_norm(use: LayerUse) -> BuiltLayer:
    layer, weight, bias = use.layer, use.name("weight"), use.name("bias")

    def operation(context: PassContext, x: Tensor) -> Tensor:
        scale, shift = _flat(context.parameters.get(weight)), _flat(context.parameters.get(bias))
        out = F.group_norm(in_channels(x), context.size * layer.num_groups, scale, shift, layer.eps)
        return from_channels(out, context.size)

    return BuiltLayer(on_own(use.x, operation))


def _embedding(use: LayerUse) -> BuiltLayer:
    layer, weight = use.layer, use.name("weight")
    if use.x.own or layer.max_norm is not None or layer.scale_grad_by_freq or layer.sparse:
        raise NotLoweredError("no fused form for Embedding with these settings or inputs")
    padding = layer.padding_idx

    def operation(context: PassContext, x: Tensor) -> Tensor:
        table = context.parameters[weight]
        first = torch.arange(context.size, device=x.device).mul_(layer.num_embeddings)
        out = F.embedding(lifted(first, x.dim()) + x, table.flatten(0, 1))
        # The row of the padding index is read but never trained.
        return out if padding is None else torch.where((x == padding).unsqueeze(-1), out.detach(), out)

    return BuiltLayer(operation)


def _dropout(use: LayerUse) -> BuiltLayer:
    layer, rate, key = use.layer, use.name("rate"), use.name("key")

    def operation(context: PassContext, x: Tensor) -> Tensor:
        own = {"rate": context.buffers[rate], "key": context.buffers[key]}
        return functional_call(layer, own, (x,)) if layer.training else x

    return BuiltLayer(on_own(use.x, operation))


def _prelu(use: LayerUse) -> BuiltLayer:
    weight = use.name("weight")
    if use.x.rank < 2:
        raise NotLoweredError("no fused form for PReLU on one example")

    def operation(context: PassContext, x: Tensor) -> Tensor:
        slopes = context.parameters[weight].expand(context.size, x.shape[2]).reshape(-1)
        return from_channels(F.prelu(in_channels(x), slopes), context.size)

    return BuiltLayer(on_own(use.x, operation))


def _elementwise(use: LayerUse) -> BuiltLayer:
    layer = copy.copy(use.layer)
    if hasattr(layer, "inplace"):  # an in-place layer would overwrite a tensor that is still to be read
        layer.__dict__["inplace"] = False
    return BuiltLayer(lambda context, x: layer.forward(x))


def _pooling(axes: int, use: LayerUse) -> BuiltLayer:
    if getattr(use.layer, "return_indices", False):
        raise NotLoweredError(f"no fused form for {type(use.layer).__name__} that returns indices")
    return BuiltLayer(windowed(use.layer.forward, use.x, axes))


def windowed(function: Callable[..., Any], x: GraphValue, axes: int) -> Operation:
    """Builds the operation of a function that moves a window over the last ``axes`` axes of every channel."""
    if x.own and x.rank == axes + 2:
        return lambda context, images, *sizes: by_image(lambda folded: function(folded, *sizes), images)
    if x.rank not in (axes + 1, axes + 2):
        raise NotLoweredError("no fused form for pooling over other axes")
    return lambda context, images, *sizes: function(images, *sizes)


def _softmax(use: LayerUse) -> BuiltLayer:
    dim, function = use.layer.dim, torch.log_softmax if type(use.layer) is nn.LogSoftmax else torch.softmax
    if dim is None:
        raise NotLoweredError(f"no fused form for {type(use.layer).__name__} without a dim")
    dim = shifted(dim, use.x)
    return BuiltLayer(lambda context, x: function(x, dim))


def _flatten(use: LayerUse) -> BuiltLayer:
    first, last = shifted(use.layer.start_dim, use.x), shifted(use.layer.end_dim, use.x)
    return BuiltLayer(lambda context, x: x.flatten(first, last))


def _unflatten(use: LayerUse) -> BuiltLayer:
    if not isinstance(use.layer.dim, int):
        raise NotLoweredError("no fused form for Unflatten of a named axis")
    dim, sizes = shifted(use.layer.dim, use.x), use.layer.unflattened_size
    return BuiltLayer(lambda context, x: x.unflatten(dim, sizes))


def shifted(axis: int, x: GraphValue) -> int:
    """Returns the number of a member's axis in a tensor like ``x``; a negative number stays the same."""
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
"""Layer type -> its builder. A subclass is not covered, since it may compute something else."""
