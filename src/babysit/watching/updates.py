"""Parameters around an optimizer's step: norms of weight, gradient and actual change, and leftovers."""

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
    """What optimizer steps do to a model's parameters.

    Args:
        model: the module being trained.
    """

    def __init__(self, model: nn.Module) -> None:
        self._names = {id(value): name for name, value in model.named_parameters()}
        self._parts = Parts()
        self.forget()

    def forget(self) -> None:
        """Lets go of everything that was kept."""
        self._before: dict[int, list[tuple[str, Tensor, Tensor]]] = {}
        self.dims: dict[str, int] = {}
        self._probes: list[tuple[Tensor, Tensor, int]] = []
        self._left: list[Tensor] = []

    @torch.no_grad()
    def before(self, optimizer: Any) -> None:
        """Keeps what the step is about to change.

        Args:
            optimizer: the one that steps.
        """
        self._before[id(optimizer)] = [
            (name, value, self._parts.copy(value)) for name, value in self.own(optimizer)
        ]

    @torch.no_grad()
    def after(self, optimizer: Any, scalars: Scalars) -> list[Tensor]:
        """Measures what the step changed.

        Args:
            optimizer: the one that stepped.
            scalars: where the norms go.

        Returns:
            The tensors that it may have changed.
        """
        own = self._before.pop(id(optimizer), [])
        if not own:
            return []
        before = [old for _, _, old in own]
        changes = torch._foreach_sub([self._parts(value) for _, value, _ in own], before)
        gradients = [self._gradient(value) for _, value, _ in own]
        known = [gradient for gradient in gradients if gradient is not None]
        norms = iter(torch._foreach_norm([*before, *changes, *known]))
        weights, moved = ([next(norms) for _ in own] for _ in range(2))
        missing = before[0].new_tensor(math.nan) if len(known) < len(own) else before[0]
        for (name, value, old), weight, update, gradient in zip(own, weights, moved, gradients, strict=True):
            self.dims[name] = value.dim()
            felt = missing if gradient is None else next(norms)
            scalars.add(("tensor", name), [weight, felt, update], old.numel())
        return [value for _, value, _ in own]

    def probe(self, values: Iterable[Tensor]) -> None:
        """Remembers some gradients, to look for them when the next backward pass begins.

        Args:
            values: the tensors that an optimizer has changed.
        """
        self._probes = _smallest(values)

    @torch.no_grad()
    def look_for_leftovers(self, scalars: Scalars) -> bool | None:
        """Whether the gradients of the last step are still there, as the next backward pass begins.

        A gradient that was zeroed, replaced or changed is another tensor or another version of it. Only what
        was changed behind autograd's back (through ``.data``) looks untouched; then its values decide.

        Args:
            scalars: where "leftover" goes if the values must decide: whether any is not zero.

        Returns:
            False if they were zeroed; None if nothing is known yet.
        """
        probes, self._probes = self._probes, []
        if not probes:
            return self._zeroed_later(scalars)
        if any(value.grad is not kept or kept._version != version for value, kept, version in probes):
            return False
        scalars.add(("leftover",), [torch.stack([kept.any() for _, kept, _ in probes]).any()])
        self._left = [value for value, _, _ in probes]
        return None

    def _zeroed_later(self, scalars: Scalars) -> bool | None:
        """Whether a later backward pass finds zeroed what an earlier one found still there.

        So it is with a GAN: the gradients that one optimizer left meet the other's backward pass, and are
        zeroed before their own.
        """
        left, self._left = self._left, []
        if not left or any(value.grad is not None and value.grad.any() for value in left):
            return None
        scalars.drop(("leftover",))
        return False

    def own(self, optimizer: Any) -> list[tuple[str, Tensor]]:
        """The optimizer's trainable tensors that are the model's, with their names.

        Args:
            optimizer: one of those that train it.
        """
        values = (value for group in optimizer.param_groups for value in group["params"])
        return [
            (self._names[id(value)], value)
            for value in values
            if id(value) in self._names and value.requires_grad
        ]

    def _gradient(self, value: Tensor) -> Tensor | None:
        if value.grad is None:
            return None
        return value.grad.coalesce().values() if value.grad.is_sparse else self._parts(value.grad)


def _smallest(values: Iterable[Tensor]) -> list[tuple[Tensor, Tensor, int]]:
    """A few small tensors with their gradients and these' versions: they stand for all."""
    known = [(value, value.grad) for value in values if value.grad is not None and not value.grad.is_sparse]
    known.sort(key=lambda pair: pair[0].numel())
    return [(value, gradient, gradient._version) for value, gradient in known[:_PROBES]]


def reached(layers: Mapping[str, nn.Module], active: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Units that were active or whose weights got a gradient, of the layers that can tell.

    A unit of a linear layer below zero may be no ReLU at all: only without any gradient as well it is silent.

    Args:
        layers: by name.
        active: which units were active, by layer.
    """
    found = {name: _reached(layers[name], units) for name, units in active.items()}
    return {name: units for name, units in found.items() if units is not None}


def _reached(layer: nn.Module, active: Tensor) -> Tensor | None:
    if isinstance(layer, RELUS):
        return active
    # The bias's gradient is the sum of what its unit gets, and cheaper to look at than the weights'.
    bias = _parameter(layer, "bias")
    own = _parameter(layer, "weight") if bias is None else bias
    turned = bias is None and isinstance(layer, CONVOLUTIONS) and layer.transposed
    if own is None or own.grad is None or turned:
        return None
    return torch.logical_or(active, own.grad if own is bias else own.grad.reshape(len(own), -1).any(1))


def _parameter(layer: nn.Module, name: str) -> Tensor | None:
    value = getattr(layer, name, None)
    return value if isinstance(value, Tensor) else None
