"""Layers whose weights a scheme may set, and the map from their inputs to their output channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import UninitializedParameter

from babysit.errors import InputError
from babysit.nn.maxout import Maxout

WeightedLayer = nn.Linear | _ConvNd | Maxout
"""The layers that ``initialize`` sets: linear layers, convolutions (transposed ones too) and Maxout."""


def weighted_layers(model: nn.Module) -> dict[str, WeightedLayer]:
    """Finds the layers whose weights a scheme may set, by name, each weight once.

    Raises:
        InputError: there is none, or the weight of one cannot be set (parametrized, or lazy and still empty).

    Example:
        >>> list(weighted_layers(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))))
        ['0', '2']
    """
    layers: dict[str, WeightedLayer] = {}
    seen: set[int] = set()
    for name, module in model.named_modules():
        if not isinstance(module, WeightedLayer):
            continue
        weight = module._parameters.get("weight")
        if weight is None:  # as under weight_norm: layer.weight is computed, and writing to it has no effect
            raise InputError(
                f"the weight of layer {name!r} is computed from other parameters",
                fix="initialize the model first, then put the parametrization on it",
            )
        if isinstance(weight, UninitializedParameter):
            raise InputError(
                f"layer {name!r} is lazy and has no weights yet", fix="run one batch through it first"
            )
        if id(weight) not in seen:
            layers[name] = module
        seen.add(id(weight))
    if not layers:
        kind = type(model).__name__
        raise InputError(
            f"{kind} has no Linear, Conv or Maxout layer to initialize", fix="pass the whole model"
        )
    return layers


def is_transposed(layer: nn.Module) -> bool:
    """Tells whether the layer stores its weight as (in, out, ...) instead of (out, in, ...)."""
    return isinstance(layer, _ConvNd) and layer.transposed


def matrices(layer: WeightedLayer) -> list[Tensor]:
    """Lists the independent linear maps of a layer, as views [out, in, *kernel] into its weight.

    One for most layers; one per group of a grouped convolution, one per piece of Maxout. The shape of each
    gives fan-in and fan-out, unlike the shape of the weight itself.

    Example:
        >>> [tuple(m.shape) for m in matrices(nn.ConvTranspose2d(4, 6, 3, groups=2))]
        [(3, 2, 3, 3), (3, 2, 3, 3)]
    """
    weight = layer.weight.detach()  # shares memory, and may be written to
    if isinstance(layer, Maxout):
        return list(weight.view(layer.out_features, layer.pieces, -1).unbind(1))
    if isinstance(layer, nn.Linear):
        return [weight]
    groups = weight.chunk(layer.groups)
    return [group.transpose(0, 1) for group in groups] if layer.transposed else list(groups)


def fill(layer: WeightedLayer, draw: Callable[[Tensor], object]) -> None:
    """Sets a layer's weight by drawing each of its matrices.

    The numbers are drawn on the CPU and in single precision or better, so that they are the same on every
    device, and so that a QR decomposition is possible for weights of half precision.
    """
    for matrix in matrices(layer):
        fresh = torch.empty(matrix.shape, dtype=torch.promote_types(matrix.dtype, torch.float32))
        draw(fresh)
        matrix.copy_(fresh)


def set_bias(layer: WeightedLayer, value: float) -> None:
    """Sets every bias of a layer that has biases."""
    if layer.bias is not None:
        layer.bias.detach().fill_(value)


def preactivation(layer: WeightedLayer, *inputs: Tensor, **options: Any) -> Tensor:
    """Computes a layer's output before its own nonlinearity (all pieces of Maxout)."""
    output: Tensor = layer.affine(*inputs) if isinstance(layer, Maxout) else layer.forward(*inputs, **options)
    return output.detach()


def by_channel(layer: WeightedLayer, values: Tensor) -> Tensor:
    """Reshapes pre-activations to [channels, everything else], in single precision or better."""
    axis = 1 - layer.weight.dim()  # last for Linear and Maxout; before the spatial axes of a convolution
    columns = values.movedim(axis, 0).flatten(1)
    return columns.to(torch.promote_types(columns.dtype, torch.float32))


def scale_channels(layer: WeightedLayer, factors: Tensor) -> None:
    """Multiplies the weights into output channel i by ``factors[i]``; biases do not change.

    Example:
        >>> layer = nn.Linear(1, 2)
        >>> before = layer.weight.detach().clone()
        >>> scale_channels(layer, torch.tensor([1.0, 3.0]))
        >>> torch.allclose(layer.weight, before * torch.tensor([[1.0], [3.0]]))
        True
    """
    if is_transposed(layer):
        for matrix, some in zip(matrices(layer), factors.chunk(len(matrices(layer))), strict=True):
            matrix.mul_(_as_rows(some, matrix))
    else:
        layer.weight.detach().mul_(_as_rows(factors, layer.weight))


def _as_rows(factors: Tensor, weight: Tensor) -> Tensor:
    return factors.to(weight.dtype).view(-1, *[1] * (weight.dim() - 1))
