"""Batching rules: they turn a call on one member's tensors into a call on the tensors of P members.

A rule takes the function and the call's arguments by name, and returns the call for P members. It raises
``NotLoweredError`` for arguments that it does not support.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from babysit.training.lowering.layers import shifted, windowed
from babysit.training.lowering.primitives import (
    GraphValue,
    NotLoweredError,
    Operation,
    PassContext,
    lifted,
)


class Call(NamedTuple):
    """A call for P members: the operation, its operands, and whether its result is the members' own."""

    operation: Operation
    reads: list[GraphValue]
    own: bool


Function = Callable[..., Any]
Arguments = dict[str, GraphValue]
BatchingRule = Callable[[Function, Arguments], Call]


def plainly(function: Function) -> Operation:
    """Returns the operation that only calls the function."""
    return lambda context, *values: function(*values)


def pointwise(function: Function, arguments: Arguments) -> Call:
    """Applies the function elementwise; own tensors broadcast behind the member axis."""
    operands = list(arguments.values())
    rank = max(value.rank for value in operands if isinstance(value.sample, Tensor))
    own = any(value.own for value in operands)
    low = {at for at, value in enumerate(operands) if value.own and value.rank < rank}

    def lifting(context: PassContext, *values: Any) -> Any:
        return function(*[lifted(value, rank) if at in low else value for at, value in enumerate(values)])

    return Call(lifting if low else plainly(function), operands, own)


def multiplied(function: Function, arguments: Arguments) -> Call:
    """Multiplies matrices, or batches of them."""
    if min(value.rank for value in arguments.values()) < 2:
        raise NotLoweredError("no fused form for a product with a vector")
    return pointwise(function, arguments)


def along(function: Function, arguments: Arguments) -> Call:
    """Applies the function along numbered axes: axis k of a member is axis k + 1 of the population."""
    x = arguments["input"]
    moved = {
        name: value._replace(sample=_moved_axes(value.sample, x)) if name in _AXES else value
        for name, value in arguments.items()
    }
    rest = _constants(moved)
    return Call(lambda context, operand: function(operand, *rest), [x], x.own)


_AXES = ("dim", "dim0", "dim1", "start_dim", "end_dim")


def _moved_axes(axes: Any, x: GraphValue) -> Any:
    if axes is None:  # all of them
        return tuple(range(x.own, x.rank + x.own))
    return tuple(shifted(axis, x) for axis in axes) if isinstance(axes, tuple) else shifted(axes, x)


def _constants(arguments: Arguments) -> list[Any]:
    """Returns all arguments but the first; each must be a constant of the model."""
    rest = list(arguments.values())[1:]
    if not all(value.constant for value in rest):
        raise NotLoweredError("no fused form for an axis or a setting that is computed")
    return [value.sample for value in rest]


def permuted(function: Function, arguments: Arguments) -> Call:
    """Reorders all axes; the member axis stays the first."""
    x = arguments["input"]
    (order,) = _constants(arguments)
    moved = (*range(x.own), *(axis % x.rank + x.own for axis in order))
    return Call(lambda context, operand: function(operand, moved), [x], x.own)


def joined(function: Function, arguments: Arguments) -> Call:
    """Joins a list of tensors along an axis."""
    tensors, (dim,) = arguments["tensors"], _constants(arguments)
    axis = shifted(dim, tensors)
    return Call(lambda context, operands: function(operands, axis), [tensors], tensors.own)


def reshaped(function: Function, arguments: Arguments) -> Call:
    """Changes the sizes behind the member axis; they may be computed, as from x.size(0)."""
    x, sizes = arguments["input"], arguments["shape"]
    if x.own:
        return Call(
            lambda context, operand, shape: function(operand, (context.size, *shape)), [x, sizes], True
        )
    return Call(plainly(function), [x, sizes], False)


def pooled(axes: int) -> BatchingRule:
    """Builds the rule of a function that moves a window over the last ``axes`` axes of every channel."""

    def rule(function: Function, arguments: Arguments) -> Call:
        x, *sizes = arguments.values()
        return Call(windowed(function, x, axes), [x, *sizes], x.own)

    return rule


def sized(function: Function, arguments: Arguments) -> Call:
    """Reads a member's sizes, or one of them: plain numbers, the same for all members."""
    (dim,) = _constants(arguments)
    return _of_shape((lambda shape: shape) if dim is None else operator.itemgetter(dim), arguments["input"])


def attribute(function: Function, arguments: Arguments) -> Call:
    """Reads x.shape or x.ndim."""
    (name,) = _constants(arguments)
    if name not in ("shape", "ndim"):
        raise NotLoweredError(f"no fused form for the attribute {name}")
    return _of_shape(len if name == "ndim" else (lambda shape: shape), arguments["input"])


def _of_shape(pick: Callable[[Any], Any], x: GraphValue) -> Call:
    skipped = int(x.own)
    return Call(lambda context, operand: pick(operand.shape[skipped:]), [x], False)


def indexed(function: Function, arguments: Arguments) -> Call:
    """Indexes a tensor with numbers and slices, or a list of tensors with a number."""
    x, index = arguments["input"], arguments["index"]
    if not isinstance(x.sample, Tensor):
        return Call(plainly(function), [x, index], x.own)
    if not all(part is None or part is ... or type(part) in (int, slice) for part in _parts(index.sample)):
        raise NotLoweredError("no fused form for indexing with a tensor or a list")
    if not x.own:
        return Call(plainly(function), [x, index], False)
    return Call(lambda context, operand, at: operand[(slice(None), *_parts(at))], [x, index], True)


def _parts(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)
