"""Gradients that add themselves to a tensor, so that few of them are ever stored as tensors.

A CPU's update step is bound by memory: every pass over the first layer of the lecture's network costs a
tenth of its matrix product. So a rule calls ``add_to(target, scale)``, and each kind of gradient needs as few
passes as possible: an outer product needs none beyond its own matrix product.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Rates = Mapping[str, Tensor]
"""Name -> one value per member, [P]."""


def per_member(rate: Tensor, like: Tensor) -> Tensor:
    """Reshapes a vector of P values so that it broadcasts over [P, ...].

    Example:
        >>> per_member(torch.ones(3), torch.zeros(3, 4, 5)).shape
        torch.Size([3, 1, 1])
    """
    return rate.to(like.dtype).view(-1, *[1] * (like.dim() - 1))


class Gradient(Protocol):
    """The gradient of one stacked parameter [P, ...]."""

    def add_to(self, target: Tensor, scale: Tensor) -> None:
        """Adds scale * gradient to the target, with one factor per member, [P]."""
        ...

    def dense(self) -> Tensor:
        """Returns the gradient as a tensor that the caller may overwrite."""
        ...


class Dense(NamedTuple):
    """A gradient that is stored as a tensor.

    Attributes:
        value: [P, ...]; the caller of ``dense`` may overwrite it.
    """

    value: Tensor

    def add_to(self, target: Tensor, scale: Tensor) -> None:
        """Adds scale * value to the target."""
        target.addcmul_(self.value, per_member(scale, target))

    def dense(self) -> Tensor:
        """Returns the value itself."""
        return self.value


class OuterProduct(NamedTuple):
    """The gradient of a linear layer's weight, as its two factors: dW = dZ^T X, summed over examples.

    Attributes:
        errors: dZ, the gradient of the layer's outputs, [P, N, H].
        inputs: X, [N, D] if all members share them, else [P, N, D].

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
        """Adds scale * dW to the target in one product; the smaller factor is scaled."""
        errors = (self.errors * per_member(scale, self.errors)).transpose(1, 2)
        if self.inputs.dim() == 3:
            target.baddbmm_(errors, self.inputs)
        elif target.device.type == "cpu" and torch.get_float32_matmul_precision() == "highest":
            # Member by member: inputs and one member's weights stay in the cache (a fifth faster).
            target.baddbmm_(errors, self.inputs.expand(len(errors), -1, -1))
        else:
            # One product for all members, [P * H, N] @ [N, D], is fastest on matrix units and GPUs.
            target.view(-1, target.shape[-1]).addmm_(errors.flatten(0, 1), self.inputs)

    def dense(self) -> Tensor:
        """Computes the product, [P, H, D]."""
        errors = self.errors.transpose(1, 2)
        if self.inputs.dim() == 3:
            return errors @ self.inputs
        return (errors.flatten(0, 1) @ self.inputs).view(*errors.shape[:2], -1)


class Penalized(NamedTuple):
    """The sum of a data gradient and the penalty's gradient, l2 * W + l1 * sign(W).

    Attributes:
        data: the gradient of the data loss.
        weight: the regularized parameter, [P, ...].
        rates: holds "l2" and "l1" if any member uses them.

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
        """Adds scale * gradient to the target, which may be the weight itself."""
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
        """Computes the whole gradient."""
        gradient = self.data.dense()
        if "l2" in self.rates:
            gradient.addcmul_(self.weight, per_member(self.rates["l2"], gradient))
        if "l1" in self.rates:
            gradient.addcmul_(self.weight.sign(), per_member(self.rates["l1"], gradient))
        return gradient


def outer_product(errors: Tensor, inputs: Tensor, *, shared: bool) -> OuterProduct:
    """Builds the weight gradient of a linear layer that acts on the last axis.

    Args:
        errors: the gradient of its outputs, [P, B, ..., H].
        inputs: [B, ..., D] if all members share them, else [P, B, ..., D].
        shared: whether all members share the inputs.

    Example:
        >>> outer_product(torch.ones(2, 3, 7, 4), torch.ones(3, 7, 5), shared=True).dense().shape
        torch.Size([2, 4, 5])
    """
    rows = errors if errors.dim() == 3 else errors.flatten(1, -2)
    # Detached, since the inputs would otherwise keep their graph alive.
    return OuterProduct(rows, inputs.detach().flatten(0 if shared else 1, -2))


def bias_gradient(errors: Tensor) -> Dense:
    """Computes a linear layer's bias gradient [P, H] from that of its outputs [P, B, ..., H], by a sum."""
    return Dense(errors.sum(dim=tuple(range(1, errors.dim() - 1))))


def missing(parameter: Tensor) -> Dense:
    """Returns a gradient of zeros, for a parameter that the loss does not depend on."""
    return Dense(torch.zeros_like(parameter))
