"""Exact derivatives of the activation functions, elementwise, also where the function is almost flat.

The textbook forms, f (1 - f) and 1 - f^2, round to 0 as soon as f rounds to 1. The gradient that a saturated
unit still passes on needs more digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772


def sigmoid(x: Tensor) -> Tensor:
    """Computes sigma(x) sigma(-x), at most 1/4.

    Example:
        >>> sigmoid(torch.tensor([0.0, 10.0]))
        tensor([2.5000e-01, 4.5396e-05])
    """
    return torch.sigmoid(x) * torch.sigmoid(-x)


def tanh(x: Tensor) -> Tensor:
    """Computes 1 / cosh(x)^2 as 4 sigma(2x) sigma(-2x)."""
    return 4 * sigmoid(2 * x)


def step(low: float) -> Callable[[Tensor], Tensor]:
    """Builds the derivative of ReLU (low = 0) and the leaky ReLUs: 1 for x > 0, else ``low``."""

    def derivative(x: Tensor) -> Tensor:
        return torch.where(x > 0, torch.ones_like(x), torch.full_like(x, low))

    return derivative


def elu(x: Tensor) -> Tensor:
    """Computes 1 for x > 0, else exp(x) (alpha = 1)."""
    return torch.exp(x.clamp(max=0))


def selu(x: Tensor) -> Tensor:
    """Computes the scale for x > 0, else scale alpha exp(x)."""
    return SELU_SCALE * torch.where(x > 0, torch.ones_like(x), SELU_ALPHA * torch.exp(x.clamp(max=0)))


def gelu(x: Tensor) -> Tensor:
    """Computes Phi(x) + x phi(x)."""
    density = torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    distribution: Tensor = torch.special.ndtr(x)
    return distribution + x * density


def silu(x: Tensor) -> Tensor:
    """Computes sigma(x) (1 + x sigma(-x))."""
    return torch.sigmoid(x) * (1 + x * torch.sigmoid(-x))
