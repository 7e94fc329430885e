"""Schemes that draw a weight from its shape alone: plain functions, used like those of ``torch.nn.init``.

Each sets the weight in place from torch's random stream and returns it. ``initialize`` calls them by name for
a whole model, with one stream per layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from babysit.errors import InputError, RecipeError


class Fans(NamedTuple):
    """The number of inputs of one output, and the number of outputs of one input (strides not counted)."""

    fan_in: int
    fan_out: int


def fans(weight: Tensor) -> Fans:
    """Computes fan-in and fan-out of a weight [out, in, *kernel].

    Args:
        weight: two dimensions or more; of a grouped convolution, the part of one group.

    Raises:
        InputError: the weight has fewer than two dimensions.

    Example:
        >>> fans(torch.empty(6, 3, 5, 5))
        Fans(fan_in=75, fan_out=150)

    Source: Glorot and Bengio 2010; He et al. 2015, n = k^2 c.
    """
    if weight.dim() < 2:
        raise InputError(
            f"a weight of shape {tuple(weight.shape)} has no fan-in",
            fix="give the weight of a Linear or Conv layer, with two dimensions or more",
        )
    kernel = math.prod(weight.shape[2:])
    return Fans(weight.shape[1] * kernel, weight.shape[0] * kernel)


def zero(weight: Tensor) -> Tensor:
    """Sets W = 0: all units compute the same, and no weight has a gradient. For demonstration only.

    Example:
        >>> zero(torch.ones(1, 2))
        tensor([[0., 0.]])

    Source: CS231n lecture 6, "what happens when W=0 init is used?".
    """
    return constant(weight, value=0.0)


def constant(weight: Tensor, *, value: float = 0.01) -> Tensor:
    """Sets W = value: all units of a layer stay equal during training. For demonstration only.

    Args:
        weight: any shape; set in place.
        value: any finite number. Default: 0.01.

    Example:
        >>> constant(torch.empty(1, 2), value=0.5)
        tensor([[0.5000, 0.5000]])

    Source: CS231n notes, neural networks part 2, "Pitfall: all zero initialization".
    """
    return torch.nn.init.constant_(weight, value)


def small_random(weight: Tensor, *, scale: float = 0.01) -> Tensor:
    """Draws W ~ N(0, scale^2): right for small networks, too small for deep ones.

    Args:
        weight: any shape; set in place from torch's random stream.
        scale: standard deviation, at least 0. Default: 0.01.

    Raises:
        RecipeError: the scale is negative.

    Example:
        >>> abs(small_random(torch.empty(200, 200)).std().item() - 0.01) < 2e-4
        True

    Source: CS231n lecture 6, "First idea: small random numbers".
    """
    if not scale >= 0:
        raise RecipeError(f"initialization scale {scale}", fix="give a standard deviation of 0 or more")
    return torch.nn.init.normal_(weight, std=scale)


def glorot_uniform(weight: Tensor) -> Tensor:
    """Draws W ~ U(-a, a) with a = sqrt(6 / (fan_in + fan_out)): variance 2 / (fan_in + fan_out).

    Args:
        weight: [out, in, *kernel]; set in place from torch's random stream.

    Example:
        >>> bool(glorot_uniform(torch.empty(100, 50)).abs().max() <= 0.2)
        True

    Source: Glorot and Bengio 2010, "normalized initialization"; torch's xavier_uniform_.
    """
    bound = math.sqrt(6 / sum(fans(weight)))
    return torch.nn.init.uniform_(weight, -bound, bound)


def glorot_normal(weight: Tensor) -> Tensor:
    """Draws W ~ N(0, 2 / (fan_in + fan_out)).

    Args:
        weight: [out, in, *kernel]; set in place from torch's random stream.

    Example:
        >>> abs(glorot_normal(torch.empty(300, 500)).std().item() / 0.05 - 1) < 0.02
        True

    Source: Glorot and Bengio 2010; torch's xavier_normal_.
    """
    return torch.nn.init.normal_(weight, std=math.sqrt(2 / sum(fans(weight))))


def xavier(weight: Tensor) -> Tensor:
    """Draws W ~ N(0, 1 / fan_in): the lecture's form, which keeps the variance of a linear layer.

    It equals Glorot's only if fan_in = fan_out. It is right for tanh; ReLU needs ``he``.

    Args:
        weight: [out, in, *kernel]; set in place from torch's random stream.

    Example:
        >>> abs(xavier(torch.empty(500, 400)).std().item() / 0.05 - 1) < 0.02
        True

    Source: CS231n lecture 6, "Xavier initialization": randn(fan_in, fan_out) / sqrt(fan_in).
    """
    return torch.nn.init.normal_(weight, std=1 / math.sqrt(fans(weight).fan_in))


def he(weight: Tensor, *, slope: float = 0.0, mode: str = "fan_in") -> Tensor:
    """Draws W ~ N(0, 2 / ((1 + slope^2) n)): keeps the mean square through (leaky) ReLU layers.

    Args:
        weight: [out, in, *kernel]; set in place from torch's random stream.
        slope: the nonlinearity's slope for x < 0; 0 is ReLU, 1 is linear. Default: 0.
        mode: n, "fan_in" (keeps the activations) or "fan_out" (keeps the gradients). Default: "fan_in".

    Raises:
        RecipeError: another mode.

    Example:
        >>> abs(he(torch.empty(500, 800)).std().item() / 0.05 - 1) < 0.02
        True

    Source: He et al. 2015, equations 10, 14 and 15; torch's kaiming_normal_.
    """
    if mode not in Fans._fields:
        raise RecipeError(f"he mode {mode!r}", fix='choose "fan_in" or "fan_out"')
    n = getattr(fans(weight), mode)
    return torch.nn.init.normal_(weight, std=math.sqrt(2 / ((1 + slope**2) * n)))


def orthogonal(weight: Tensor, *, gain: float = 1.0) -> Tensor:
    """Draws W = gain Q with orthonormal rows or columns (the fewer), Q uniform over all such matrices.

    Q comes from the QR decomposition of a gaussian matrix, its columns multiplied by the signs of R's
    diagonal, without which Q would not be uniform. A convolution is flattened to out x (in * kernel).

    Args:
        weight: [out, in, *kernel], single precision or better; set in place from torch's random stream.
        gain: all singular values; sqrt(2) for ReLU, slightly above 1 for tanh. Default: 1.

    Example:
        >>> W = orthogonal(torch.empty(30, 20, dtype=torch.float64), gain=2.0)
        >>> torch.allclose(W.T @ W, 4 * torch.eye(20, dtype=torch.float64))
        True

    Source: Saxe, McClelland and Ganguli 2013; torch's orthogonal_.
    """
    fans(weight)  # raises for a vector
    return torch.nn.init.orthogonal_(weight, gain)


_WALK_GAINS: Mapping[str, Callable[[int], float]] = {
    "linear": lambda n: math.exp(1 / (2 * n)),
    "relu": lambda n: math.sqrt(2) * math.exp(1.2 / (max(n, 6) - 2.4)),
    "tanh": lambda n: 1.15,
}


def random_walk_gain(activation: str, width: int) -> float:
    """Computes the g for which the log-norm of the backpropagated gradient has no drift.

    Linear: exp(1 / 2N). ReLU: sqrt(2) exp(1.2 / (max(N, 6) - 2.4)). tanh: 1.15, found numerically, for
    moderate widths and depths.

    Args:
        activation: "relu", "linear" or "tanh".
        width: N, the units of a layer, at least 1.

    Raises:
        RecipeError: another activation.

    Example:
        >>> round(random_walk_gain("relu", 100), 5), round(random_walk_gain("linear", 100), 5)
        (1.43171, 1.00501)

    Source: Sussillo and Abbott 2014, equations 11 to 13.
    """
    if activation not in _WALK_GAINS:
        raise RecipeError(
            f"random walk for {activation!r}", fix=f"choose one of: {', '.join(sorted(_WALK_GAINS))}"
        )
    return _WALK_GAINS[activation](width)


def random_walk(weight: Tensor, *, activation: str = "relu") -> Tensor:
    """Draws W ~ N(0, g^2 / N) with N = fan_in: the standard deviation is g / sqrt(N).

    Args:
        weight: [out, in, *kernel]; set in place from torch's random stream.
        activation: the next nonlinearity, "relu", "linear" or "tanh". Default: "relu".

    Raises:
        RecipeError: another activation.

    Example:
        >>> abs(random_walk(torch.empty(900, 400)).std().item() / (1.41848 / 20) - 1) < 0.02
        True

    Source: Sussillo and Abbott 2014, "Random walk initialization".
    """
    n = fans(weight).fan_in
    return torch.nn.init.normal_(weight, std=random_walk_gain(activation, n) / math.sqrt(n))


def torch_default(layer: torch.nn.Module) -> torch.nn.Module:
    """Calls a layer's ``reset_parameters()``: U(-b, b) with b = 1 / sqrt(fan_in), for biases too.

    Its variance is 1 / (3 fan_in), a third of Xavier's and a sixth of He's, so a deep ReLU network without
    biases shrinks its signal by 0.408 a layer.

    Args:
        layer: a Linear, Conv or Maxout layer; set in place from torch's random stream.

    Example:
        >>> bool(torch_default(torch.nn.Linear(100, 50)).weight.abs().max() <= 0.1)
        True

    Source: torch.nn.Linear.reset_parameters.
    """
    layer.reset_parameters()  # type: ignore[operator]
    return layer
