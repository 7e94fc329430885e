"""How a function on one member's tensors becomes one on everybody's.

A rule takes the function and the call's arguments by name, and returns the call for P members. It raises
``NotLoweredError`` for arguments that it has no meaning for.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from babysit.training.lowering.layers import shifted, windowed
from babysit.training.lowering.values import NotLoweredError, Operation, Run, Value, lifted


class Call(NamedTuple):
    """A call for P members: the operation, what it reads, and whether its result is the members' own."""

    operation: Operation
    reads: list[Value]
    own: bool


Function = Callable[..., Any]
Arguments = dict[str, Value]
Rule = Callable[[Function, Arguments], Call]


def plainly(function: Function) -> Operation:
    """The operation that only calls the function."""
    return lambda run, *values: function(*values)


def pointwise(function: Function, arguments: Arguments) -> Call:
    """Element by element, with broadcasting: own tensors meet behind the member axis."""
    operands = list(arguments.values())
    rank = max(value.rank for value in operands if isinstance(value.sample, Tensor))
    own = any(value.own for value in operands)
    low = {at for at, value in enumerate(operands) if value.own and value.rank < rank}

    def lifting(run: Run, *values: Any) -> Any:
        return function(*[lifted(value, rank) if at in low else value for at, value in enumerate(values)])

    return Call(lifting if low else plainly(function), operands, own)


def multiplied(function: Function, arguments: Arguments) -> Call:
    """A product of matrices, or of batches of them."""
    if min(value.rank for value in arguments.values()) < 2:
        raise NotLoweredError("no fused form for a product with a vector")
    return pointwise(function, arguments)


def along(function: Function, arguments: Arguments) -> Call:
    """Over axes given by number: a member's axis k is axis k + 1 of everybody's."""
    x = arguments["input"]
    rest = _constants(
        {name: _moved(value, x) if name in _AXES else value for name, value in arguments.items()}
    )
    return Call(lambda run, operand: function(operand, *rest), [x], x.own)


_AXES = ("dim", "dim0", "dim1", "start_dim", "end_dim")


def _moved(value: Value, x: Value) -> Value:
    return value._replace(sample=_moved_axes(value.sample, x))


def _moved_axes(axes: Any, x: Value) -> Any:
    if axes is None:  # all of them
        return tuple(range(x.own, x.rank + x.own))
    return tuple(shifted(axis, x) for axis in axes) if isinstance(axes, tuple) else shifted(axes, x)


def _constants(arguments: Arguments) -> list[Any]:
    """All arguments but the first, which must be written in the model."""
    rest = list(arguments.values())[1:]
    if not all(value.constant for value in rest):
        raise NotLoweredError("no fused form for an axis or a setting that is computed")
    return [value.sample for value in rest]


def permuted(function: Function, arguments: Arguments) -> Call:
    """A new order of all axes; the member's stays the first."""
    x = arguments["input"]
    (order,) = _constants(arguments)
    moved = (*range(x.own), *(axis % x.rank + x.own for axis in order))
    return Call(lambda run, operand: function(operand, moved), [x], x.own)


def joined(function: Function, arguments: Arguments) -> Call:
    """A list of tensors along an axis."""
    tensors, (dim,) = arguments["tensors"], _constants(arguments)
    axis = shifted(dim, tensors)
    return Call(lambda run, operands: function(operands, axis), [tensors], tensors.own)


def reshaped(function: Function, arguments: Arguments) -> Call:
    """New sizes, behind the member axis; they may be computed, as from x.size(0)."""
    x, sizes = arguments["input"], arguments["shape"]
    if x.own:
        return Call(lambda run, operand, shape: function(operand, (run.size, *shape)), [x, sizes], True)
    return Call(plainly(function), [x, sizes], False)


def pooled(axes: int) -> Rule:
    """A window over the last ``axes`` axes of every channel."""

    def rule(function: Function, arguments: Arguments) -> Call:
        x, *sizes = arguments.values()
        return Call(windowed(function, x, axes), [x, *sizes], x.own)

    return rule


def sized(function: Function, arguments: Arguments) -> Call:
    """A member's sizes, or one of them; plain numbers, the same for all members."""
    (dim,) = _constants(arguments)
    return _of_shape((lambda shape: shape) if dim is None else operator.itemgetter(dim), arguments["input"])


def attribute(function: Function, arguments: Arguments) -> Call:
    """x.shape and x.ndim."""
    (name,) = _constants(arguments)
    if name not in ("shape", "ndim"):
        raise NotLoweredError(f"no fused form for the attribute {name}")
    return _of_shape(len if name == "ndim" else (lambda shape: shape), arguments["input"])


def _of_shape(pick: Callable[[Any], Any], x: Value) -> Call:
    skipped = int(x.own)
    return Call(lambda run, operand: pick(operand.shape[skipped:]), [x], False)


def indexed(function: Function, arguments: Arguments) -> Call:
    """x[...] with numbers and slices; from several tensors, the one at that place."""
    x, index = arguments["input"], arguments["index"]
    if isinstance(x.sample, Tensor) and not all(_is_simple(part) for part in _parts(index.sample)):
        raise NotLoweredError("no fused form for indexing with a tensor or a list")
    own = x.own and isinstance(x.sample, Tensor)
    return Call(_members_indexed if own else plainly(function), [x, index], x.own)


def _parts(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _is_simple(part: Any) -> bool:
    return part is None or part is ... or type(part) in (int, slice)


def _members_indexed(run: Run, x: Tensor, index: Any) -> Tensor:
    return x[(slice(None), *_parts(index))]
