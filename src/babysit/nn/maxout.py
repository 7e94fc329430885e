"""Maxout, the only unit of the lecture that torch lacks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from babysit.errors import InputError

# E[max(z_1 ... z_k)^2] of k independent standard normals. Up to k = 2 it is exactly 1, since max^2 and min^2
# have the same distribution and their sum is z_1^2 + z_2^2.
_SECOND_MOMENTS = {1: 1.0, 2: 1.0, 3: 1.27566444771, 4: 1.55132889542, 5: 1.80002043597}


def second_moment(pieces: int) -> float:
    """Computes E[max(z_1, ..., z_k)^2] for k independent z ~ N(0, 1): a maxout unit's factor on power.

    Args:
        pieces: k, at least 1; above 5 the value comes from a trapezoid rule (1e-9).

    Returns:
        The second moment, 1 for k = 1 and k = 2 and growing from there.

    Example:
        >>> [round(second_moment(k), 5) for k in (2, 3, 4, 5, 6)]
        [1.0, 1.27566, 1.55133, 1.80002, 2.02174]

    Source: order statistics of the normal distribution; the density of the maximum is k phi(z) Phi(z)^(k-1).
    """
    if pieces in _SECOND_MOMENTS:
        return _SECOND_MOMENTS[pieces]
    z = torch.linspace(-12, 12, 24_001, dtype=torch.float64)
    density = pieces * torch.exp(-z * z / 2) / math.sqrt(2 * math.pi) * torch.special.ndtr(z) ** (pieces - 1)
    return float(torch.trapezoid(z * z * density, z))


class Maxout(nn.Module):
    """Linear layer whose every unit is the maximum of k hyperplanes, y_i = max_j (w_ij . x + b_ij).

    It is convex in x, and has other units as special cases: with k = 2 and a second piece of zeros it is
    ReLU(w . x + b), with a second piece of 0.01 (w, b) it is the leaky ReLU, with -w it is |w . x|. Its
    slope is always one of the w_ij, so it neither saturates nor dies; the price is k times the parameters,
    k * out * (in + 1). The gradient goes to the winning piece only (to the first, at a tie).

    The pieces of a unit are adjacent: row ``i * pieces + j`` of ``weight`` is w_ij.

    Args:
        in_features: numbers in one input, at least 1.
        out_features: units, at least 1.
        pieces: k, the number of hyperplanes per unit, at least 1. Default: 2.
        bias: whether the hyperplanes have offsets. Default: True.

    Raises:
        InputError: a size is below 1.

    Example:
        >>> layer = Maxout(3, 4, pieces=2)
        >>> layer(torch.zeros(7, 3)).shape, sum(p.numel() for p in layer.parameters())
        (torch.Size([7, 4]), 32)

    Source: Goodfellow et al. 2013, "Maxout networks"; CS231n lecture 6, "Maxout neuron".
    """

    bias: nn.Parameter | None

    def __init__(self, in_features: int, out_features: int, pieces: int = 2, bias: bool = True) -> None:
        super().__init__()
        if min(in_features, out_features, pieces) < 1:
            sizes = f"in_features={in_features}, out_features={out_features}, pieces={pieces}"
            raise InputError(f"a maxout layer of {sizes}", fix="give sizes of 1 or more")
        self.in_features, self.out_features, self.pieces = in_features, out_features, pieces
        self.weight = nn.Parameter(torch.empty(out_features * pieces, in_features))
        self.register_parameter("bias", nn.Parameter(torch.empty(out_features * pieces)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws w ~ N(0, 1 / (fan_in E)) with E = ``second_moment(pieces)``, and b = 0.

        So a layer keeps the mean square of its inputs: std 1 / sqrt(fan_in) for k = 2, and that divided by
        sqrt(1.27566), sqrt(1.55133), sqrt(1.80002) for k = 3, 4, 5.
        """
        nn.init.normal_(self.weight, std=1 / math.sqrt(self.in_features * second_moment(self.pieces)))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def affine(self, x: Tensor) -> Tensor:
        """Computes all hyperplanes before the maximum: [..., in] -> [..., out * pieces]."""
        return F.linear(x, self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Computes the maximum of each unit: [..., in_features] -> [..., out_features]."""
        # max() and not amax(): amax would share the gradient among tied pieces.
        pieces = self.affine(x).view(*x.shape[:-1], self.out_features, self.pieces)
        return pieces.max(dim=-1).values

    def extra_repr(self) -> str:
        """Returns the sizes, for print(model)."""
        return f"in_features={self.in_features}, out_features={self.out_features}, pieces={self.pieces}"
