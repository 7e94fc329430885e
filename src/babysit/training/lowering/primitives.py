"""Primitives of lowering: values and operations of a graph, and the memory layout of members.

A tensor is *shared* while all members would compute the same one, [B, ...], and *own* from the first layer on
that differs between members, [P, B, ...]. An operation on own tensors does to every [p] what the model's own
operation does to one member's tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from babysit.training.gradient_tape import GradientTape
from babysit.training.population import Tensors


class NotLoweredError(Exception):
    """A model cannot be lowered in one way; the message is the reason, in a few words."""


class PassContext(NamedTuple):
    """State that the operations of one forward pass read besides their operands."""

    parameters: Tensors
    buffers: Tensors
    tape: GradientTape | None
    size: int


Operation = Callable[..., Any]
"""(context, *operands) -> result."""


UNPLACED = -1
"""The number of a value that is not in the graph yet, such as a default."""


class GraphValue(NamedTuple):
    """One value of the graph, as known when the model is lowered.

    Attributes:
        number: its index among the values.
        sample: its content on the example batch.
        own: whether its first axis is the member.
        constant: whether it is written in the model, and so the same at every step.
    """

    number: int
    sample: Any
    own: bool = False
    constant: bool = False

    @property
    def rank(self) -> int:
        """The number of axes of one member's tensor (of the first one, in a list of tensors)."""
        first = self.sample[0] if isinstance(self.sample, list | tuple) else self.sample
        return int(first.dim()) - self.own


def expanded(x: Tensor, context: PassContext) -> Tensor:
    """Expands a shared tensor to one that all members own, [B, ...] -> [P, B, ...]; a view."""
    return x.expand(context.size, *x.shape)


def on_own(x: GraphValue, operation: Operation) -> Operation:
    """Adapts an operation that needs own tensors to an operand like ``x``."""
    return operation if x.own else lambda context, shared: operation(context, expanded(shared, context))


def lifted(tensor: Tensor, rank: int) -> Tensor:
    """Inserts axes of size 1 after the first, so that [P, ...] broadcasts with own tensors of that rank."""
    return tensor[(slice(None), *[None] * (rank + 1 - tensor.dim()))]


def in_channels(x: Tensor) -> Tensor:
    """Joins the members' channels, [P, B, C, ...] -> [B, P * C, ...]; a view if memory allows it."""
    return x.transpose(0, 1).flatten(1, 2)


def from_channels(x: Tensor, size: int) -> Tensor:
    """Splits the members' channels, [B, P * C, ...] -> [P, B, C, ...]; a view."""
    return torch.unflatten(x, 1, (size, -1)).transpose(0, 1)


def by_image(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Applies a function of single channels to [P, B, C, ...], without moving memory."""
    if x.stride(0) < x.stride(1):
        return from_channels(function(in_channels(x)), x.shape[0])
    return torch.unflatten(function(x.flatten(0, 1)), 0, x.shape[:2])
