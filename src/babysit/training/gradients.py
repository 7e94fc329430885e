"""Gradients that know how to add themselves to a tensor, so that few of them ever exist in memory.

A CPU's update step is bound by memory: every pass over the first layer of the lecture's network costs a
tenth of its matrix product. So a rule asks a gradient for ``add_to(target, scale)``, and each kind does it in
as few passes as it can: an outer product in none beyond its own matrix product.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Rates = Mapping[str, Tensor]
"""Name -> one value per member, [P]."""


def per_member(rate: Tensor, like: Tensor) -> Tensor:
    """A vector of P values shaped to broadcast over [P, ...].

    Example:
        >>> per_member(torch.ones(3), torch.zeros(3, 4, 5)).shape
        torch.Size([3, 1, 1])
    """
    return rate.to(like.dtype).view(-1, *[1] * (like.dim() - 1))


class Gradient(Protocol):
    """The gradient of one stacked parameter [P, ...]."""

    def add_to(self, target: Tensor, scale: Tensor) -> None:
        """target += scale * gradient, with one factor per member, [P]."""
        ...

    def dense(self) -> Tensor:
        """The gradient as a tensor that the caller may overwrite."""
        ...


class Dense(NamedTuple):
    """A gradient that exists as a tensor.

    Attributes:
        value: [P, ...]; donated, whoever asks for it may overwrite it.
    """

    value: Tensor

    def add_to(self, target: Tensor, scale: Tensor) -> None:
        """target += scale * value."""
        target.addcmul_(self.value, per_member(scale, target))

    def dense(self) -> Tensor:
        """The value itself."""
        return self.value


class OuterProduct(NamedTuple):
    """The gradient of a linear layer's weight, as its two factors: dW = dZ^T X, summed over examples.

    Attributes:
        errors: dZ, the gradient of the layer's outputs, [P, N, H].
        inputs: X, [N, D] where all members share them, else [P, N, D].

    Example:
        >>> errors, inputs = torch.ones(2, 3, 4), torch.ones(3, 5)
        >>> weight = torch.zeros(2, 4, 5)
        >>> OuterProduct(errors, inputs).add_to(weight, torch.tensor([1.0, 10.0]))
        >>> weight[:, 0, 0].tolist()
        [3.0, 30.0]
    """

    errors: Tensor
    inputs: Tensor

    def add_to(self, target: Tensor, scale: Tensor) -> None:
        """target += scale * dW in one product; scaling the small factor scales the whole."""
        errors = (self.errors * per_member(scale, self.errors)).transpose(1, 2)
        if self.inputs.dim() == 3:
            target.baddbmm_(errors, self.inputs)
        elif _is_exact_on_cpu(target):
            # Member by member: inputs and one member's weights stay in the cache, a fifth less time.
            target.baddbmm_(errors, self.inputs.expand(len(errors), -1, -1))
        else:
            # One product for all members, [P * H, N] @ [N, D], is what matrix units and GPUs want.
            target.view(-1, target.shape[-1]).addmm_(errors.flatten(0, 1), self.inputs)

    def dense(self) -> Tensor:
        """The product, [P, H, D]."""
        errors = self.errors.transpose(1, 2)
        if self.inputs.dim() == 3:
            return errors @ self.inputs
        return (errors.flatten(0, 1) @ self.inputs).view(*errors.shape[:2], -1)


def _is_exact_on_cpu(target: Tensor) -> bool:
    return target.device.type == "cpu" and torch.get_float32_matmul_precision() == "highest"


class Penalized(NamedTuple):
    """A data gradient plus that of the penalty, l2 * W + l1 * sign(W).

    Attributes:
        data: the gradient of the data loss.
        weight: the regularized parameter, [P, ...].
        rates: holds "l2" and "l1" as far as any member uses them.

    Example:
        >>> weight = torch.tensor([[[2.0, -2.0]]])
        >>> rates = {"l2": torch.tensor([0.5]), "l1": torch.tensor([1.0])}
        >>> Penalized(Dense(torch.zeros(1, 1, 2)), weight, rates).dense().tolist()
        [[[2.0, -2.0]]]
    """

    data: Gradient
    weight: Tensor
    rates: Rates

    def add_to(self, target: Tensor, scale: Tensor) -> None:
        """target += scale * gradient; the target may be the weight itself."""
        signs = self.weight.sign() if "l1" in self.rates else None
        if "l2" in self.rates:
            shrink = scale * self.rates["l2"]
            if target is self.weight:
                target.mul_(per_member(1 + shrink, target))
            else:
                target.addcmul_(self.weight, per_member(shrink, target))
        if signs is not None:
            target.addcmul_(signs, per_member(scale * self.rates["l1"], target))
        self.data.add_to(target, scale)

    def dense(self) -> Tensor:
        """The whole gradient."""
        gradient = self.data.dense()
        if "l2" in self.rates:
            gradient.addcmul_(self.weight, per_member(self.rates["l2"], gradient))
        if "l1" in self.rates:
            gradient.addcmul_(self.weight.sign(), per_member(self.rates["l1"], gradient))
        return gradient


def outer_product(errors: Tensor, inputs: Tensor, *, shared: bool) -> OuterProduct:
    """The weight gradient of a linear layer that acts on the last axis.

    Args:
        errors: the gradient of its outputs, [P, B, ..., H].
        inputs: [B, ..., D] where all members share them, else [P, B, ..., D].
        shared: which of the two.

    Example:
        >>> outer_product(torch.ones(2, 3, 7, 4), torch.ones(3, 7, 5), shared=True).dense().shape
        torch.Size([2, 4, 5])
    """
    rows = errors if errors.dim() == 3 else errors.flatten(1, -2)
    # Detached: asked for in a later pass, the inputs would drag their graph along.
    return OuterProduct(rows, inputs.detach().flatten(0 if shared else 1, -2))


def bias_gradient(errors: Tensor) -> Dense:
    """The bias gradient of a linear layer: the gradient of its outputs [P, B, ..., H] summed to [P, H]."""
    return Dense(errors.sum(dim=tuple(range(1, errors.dim() - 1))))


def missing(parameter: Tensor) -> Dense:
    """The gradient of a parameter that the loss does not depend on: zero."""
    return Dense(torch.zeros_like(parameter))
