"""The words of lowering: what a value is, what an operation is, and how members lie in memory.

A tensor is *shared* while all members would compute the same one, [B, ...], and *own* from the first layer on
that differs between members, [P, B, ...]. An operation on own tensors does to every [p] what the model's own
operation does to one member's tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from babysit.training.population import Tensors
from babysit.training.tape import Tape


class NotLoweredError(Exception):
    """A model cannot go this way; the message is the reason, in a few words."""


class Run(NamedTuple):
    """What the operations of one forward pass read besides their operands."""

    parameters: Tensors
    buffers: Tensors
    tape: Tape | None
    size: int


Operation = Callable[..., Any]
"""(run, *operands) -> result."""


UNPLACED = -1
"""The number of a value that the graph has no place for yet, such as a default."""


class Value(NamedTuple):
    """What is known of one value of the graph when the model is lowered.

    Attributes:
        number: its place among the values.
        sample: what it is on the example.
        own: whether its first axis is the member.
        constant: whether it is written in the model, and so the same at every step.
    """

    number: int
    sample: Any
    own: bool = False
    constant: bool = False

    @property
    def rank(self) -> int:
        """The number of axes that one member's tensor has (the first one's, in a list of tensors)."""
        first = self.sample[0] if isinstance(self.sample, list | tuple) else self.sample
        return int(first.dim()) - self.own


def widened(x: Tensor, run: Run) -> Tensor:
    """A shared tensor as everybody's own; a view."""
    return x.expand(run.size, *x.shape)


def owned(x: Value, operation: Operation) -> Operation:
    """The operation for an operand like ``x``, if it is only made for own tensors."""
    return operation if x.own else lambda run, shared: operation(run, widened(shared, run))


def lifted(tensor: Tensor, rank: int) -> Tensor:
    """[P, ...] with axes of size one after the first, so that it meets own tensors of ``rank`` axes each."""
    return tensor[(slice(None), *[None] * (rank + 1 - tensor.dim()))]


def in_channels(x: Tensor) -> Tensor:
    """[P, B, C, ...] -> [B, P * C, ...]; a view where members lie inside the batch."""
    return x.transpose(0, 1).flatten(1, 2)


def from_channels(x: Tensor, size: int) -> Tensor:
    """[B, P * C, ...] -> [P, B, C, ...]; a view."""
    return torch.unflatten(x, 1, (size, -1)).transpose(0, 1)


def by_image(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Applies what treats every channel of every example alone to [P, B, C, ...], without moving memory."""
    if x.stride(0) < x.stride(1):
        return from_channels(function(in_channels(x)), x.shape[0])
    return torch.unflatten(function(x.flatten(0, 1)), 0, x.shape[:2])
