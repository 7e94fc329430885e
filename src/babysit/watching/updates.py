"""Parameters around an optimizer's step: norms of weight, gradient and actual change; stale gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from babysit.watching.capture import CONVOLUTIONS, RELUS
from babysit.watching.measuring import Parts, Scalars

_PROBES = 3


class Updates:
    """Changes of a model's parameters by optimizer steps.

    Args:
        model: the module being trained.
    """

    def __init__(self, model: nn.Module) -> None:
        self._names = {id(value): name for name, value in model.named_parameters()}
        self._parts = Parts()
        self.forget()

    def forget(self) -> None:
        """Drops everything that was kept."""
        self._before: dict[int, list[tuple[str, Tensor, Tensor]]] = {}
        self.dims: dict[str, int] = {}
        self._probes: list[tuple[Tensor, Tensor, int]] = []
        self._left: list[Tensor] = []

    @torch.no_grad()
    def before(self, optimizer: Any) -> None:
        """Keeps the tensors that the step is about to change.

        Args:
            optimizer: the one that steps.
        """
        self._before[id(optimizer)] = [
            (name, value, self._parts.copy(value)) for name, value in self.own(optimizer)
        ]

    @torch.no_grad()
    def after(self, optimizer: Any, scalars: Scalars) -> list[Tensor]:
        """Measures the changes of the step.

        Args:
            optimizer: the one that stepped.
            scalars: where the norms are added.

        Returns:
            The tensors that it may have changed.
        """
        own = self._before.pop(id(optimizer), [])
        if not own:
            return []
        before = [old for _, _, old in own]
        changes = torch._foreach_sub([self._parts(value) for _, value, _ in own], before)
        gradients: list[Tensor | None] = []
        for _, value, _ in own:
            gradient = value.grad
            if gradient is not None:
                is_sparse = gradient.is_sparse
                gradient = gradient.coalesce().values() if is_sparse else self._parts(gradient)
            gradients.append(gradient)
        known = [gradient for gradient in gradients if gradient is not None]
        norms = iter(torch._foreach_norm([*before, *changes, *known]))
        weights, moved = ([next(norms) for _ in own] for _ in range(2))
        missing = before[0].new_tensor(math.nan) if len(known) < len(own) else before[0]
        for (name, value, old), weight, update, gradient in zip(own, weights, moved, gradients, strict=True):
            self.dims[name] = value.dim()
            norm = missing if gradient is None else next(norms)
            scalars.add(("tensor", name), [weight, norm, update], old.numel())
        return [value for _, value, _ in own]

    def probe(self, values: Iterable[Tensor]) -> None:
        """Remembers the gradients of the smallest tensors, and their versions, for the next backward pass.

        Args:
            values: the tensors that an optimizer has changed.
        """
        known = [
            (value, value.grad) for value in values if value.grad is not None and not value.grad.is_sparse
        ]
        known.sort(key=lambda pair: pair[0].numel())
        self._probes = [(value, gradient, gradient._version) for value, gradient in known[:_PROBES]]

    @torch.no_grad()
    def find_stale_gradients(self, scalars: Scalars) -> bool | None:
        """Finds gradients of the last step that are still there when the next backward pass starts.

        A gradient that was zeroed, replaced or changed is another tensor or another version of it. A change
        through ``.data`` cannot be seen that way, so the values decide where the version is the same.

        In a GAN a later backward pass may find them zeroed: the gradients of one optimizer are still there in
        the other's backward pass, and are zeroed before their own.

        Args:
            scalars: where "stale" is added if the values must decide: whether any is not zero.

        Returns:
            False if they were zeroed; None if nothing is known yet.
        """
        probes, self._probes = self._probes, []
        if not probes:  # a later backward pass
            left, self._left = self._left, []
            if not left or any(value.grad is not None and value.grad.any() for value in left):
                return None
            scalars.drop(("stale",))
            return False
        if any(value.grad is not kept or kept._version != version for value, kept, version in probes):
            return False
        scalars.add(("stale",), [torch.stack([kept.any() for _, kept, _ in probes]).any()])
        self._left = [value for value, _, _ in probes]
        return None

    def own(self, optimizer: Any) -> list[tuple[str, Tensor]]:
        """Returns the names and tensors of the model that an optimizer trains.

        Args:
            optimizer: one of those that train it.
        """
        values = (value for group in optimizer.param_groups for value in group["params"])
        return [
            (self._names[id(value)], value)
            for value in values
            if id(value) in self._names and value.requires_grad
        ]


def reached(layers: Mapping[str, nn.Module], active: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Finds the units that were active or whose weights got a gradient.

    A unit of a linear layer that is below zero need not feed a ReLU. It is silent only if it has no gradient
    either. Layers whose gradients say nothing of a unit are left out.

    Args:
        layers: by name.
        active: which units were active, by layer.
    """
    found = {}
    for name, units in active.items():
        layer = layers[name]
        if isinstance(layer, RELUS):
            found[name] = units
            continue
        # A bias's gradient is the sum over its unit, and cheaper to test than that of the weights.
        bias = _parameter(layer, "bias")
        own = _parameter(layer, "weight") if bias is None else bias
        is_transposed = bias is None and isinstance(layer, CONVOLUTIONS) and layer.transposed
        if own is not None and own.grad is not None and not is_transposed:
            learning = own.grad if own is bias else own.grad.reshape(len(own), -1).any(1)
            found[name] = torch.logical_or(units, learning)
    return found


def _parameter(layer: nn.Module, name: str) -> Tensor | None:
    value = getattr(layer, name, None)
    return value if isinstance(value, Tensor) else None
