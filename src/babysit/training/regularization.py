"""Regularization of the weights, by name: l2, l1, max_norm; each a vector over members, 0 switches it off.

cost = data loss + 1/2 * l2 * sum(W^2) + l1 * sum(|W|), over the parameters with two dimensions or more;
biases, normalization layers and PReLU slopes are not regularized. Max-norm is not a cost but a projection
after each update. Dropout is a layer of the model; each member has its own masks (``nn/dropout.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from babysit.training.gradients import Rates

REGULARIZATION: Mapping[str, float] = MappingProxyType({"l2": 0.0, "l1": 0.0, "max_norm": 0.0})
"""The names with their defaults."""


def penalty(weights: Sequence[Tensor], rates: Rates) -> Tensor:
    """Computes 1/2 * l2 * sum(W^2) + l1 * sum(|W|) of each member.

    Args:
        weights: the regularized parameters, each [P, ...].
        rates: holds "l2" and "l1", [P] each, >= 0; a name that is missing counts as 0.

    Returns:
        [P], float64.

    Example:
        >>> rates = {"l2": torch.tensor([2.0, 0.0]), "l1": torch.tensor([0.0, 1.0])}
        >>> penalty([torch.tensor([[[3.0, -4.0]], [[3.0, -4.0]]])], rates).tolist()
        [25.0, 7.0]

    Source: CS231n lecture 6, 'Babysitting the Learning Process: double check that the loss is reasonable':
    the seed's 3.0686 at l2 = 1e3 fixes the factor 1/2.
    """
    total = torch.zeros(weights[0].shape[0], dtype=torch.float64, device=weights[0].device)
    if "l2" in rates:
        norms = [torch.linalg.vector_norm(weight.flatten(1), dim=1).double() for weight in weights]
        total += 0.5 * rates["l2"] * torch.stack(norms).square().sum(0)
    if "l1" in rates:
        total += rates["l1"] * torch.stack([weight.flatten(1).abs().sum(1) for weight in weights]).sum(0)
    return total


def project(weight: Tensor, rates: Rates) -> None:
    """Shrinks every unit's incoming weights to a norm of at most ``max_norm``, in place.

    W_i <- W_i * min(1, c / ||W_i||) for each unit i, i.e. each row of a linear layer, each filter of a
    convolution. Members with max_norm 0 are not changed; c is usually 3 or 4.

    Example:
        >>> weight = torch.tensor([[[3.0, 4.0]], [[3.0, 4.0]]])
        >>> project(weight, {"max_norm": torch.tensor([1.0, 0.0])})
        >>> weight.flatten(1).tolist()
        [[0.600..., 0.800...], [3.0, 4.0]]

    Source: Srebro and Shraibman 2005; CS231n notes, neural networks part 2.
    """
    if "max_norm" not in rates:
        return
    norms = torch.linalg.vector_norm(weight.flatten(2), dim=2)
    limits = rates["max_norm"].to(weight.dtype).unsqueeze(1)
    factors = torch.where(limits > 0, (limits / norms.clamp_min(1e-30)).clamp(max=1), torch.ones_like(norms))
    weight.mul_(factors.view(*norms.shape, *[1] * (weight.dim() - 2)))
