"""The functions and methods that have a meaning for P members; any other keeps a model from being fused.

A row gives a function its rule, names its arguments with their defaults, and lists every way to write it, so
that however a call is written, the rule reads it in one way.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from babysit.training.lowering.rules import (
    Call,
    Rule,
    along,
    attribute,
    indexed,
    joined,
    multiplied,
    permuted,
    plainly,
    pointwise,
    pooled,
    reshaped,
    sized,
)
from babysit.training.lowering.values import UNPLACED, NotLoweredError, Value

_REQUIRED = object()

VARIADIC = ("view", "reshape", "permute")
"""Methods whose sizes or axes may be given one by one."""


class Row(NamedTuple):
    """How one function is lowered."""

    rule: Rule
    function: Callable[..., Any]
    arguments: Mapping[str, object]


def build_call(target: Any, arguments: Sequence[Value], keywords: Mapping[str, Value]) -> Call:
    """A call of a function, or of a method by its name, for P members.

    Raises:
        NotLoweredError: the function or one of the arguments has no known meaning.
    """
    if _is_arithmetic(target, arguments):
        return Call(plainly(target), list(arguments), False)
    if target not in ROWS:
        raise NotLoweredError(f"no fused form for {title(target)}")
    row = ROWS[target]
    return row.rule(row.function, _bound(title(target), row.arguments, arguments, keywords))


def title(target: object) -> str:
    """What a function or method is called, for a person.

    Example:
        >>> title(torch.relu), title("view")
        ('relu', 'view')
    """
    return target if isinstance(target, str) else str(getattr(target, "__name__", target))


def _is_arithmetic(target: object, arguments: Sequence[Value]) -> bool:
    """Whether this computes with plain numbers only, such as sizes."""
    numeric = getattr(target, "__module__", "") in ("_operator", "math")
    return numeric and not any(_holds_tensors(value.sample) for value in arguments)


def _holds_tensors(sample: object) -> bool:
    items = sample if isinstance(sample, list | tuple) else (sample,)
    return any(isinstance(item, Tensor) for item in items)


def _bound(
    name: str, expected: Mapping[str, object], arguments: Sequence[Value], keywords: Mapping[str, Value]
) -> dict[str, Value]:
    """The arguments by name, in order, with their defaults."""
    given = dict(zip(expected, arguments, strict=False)) | {
        key: value for key, value in keywords.items() if key in expected or not _is_idle(key, value)
    }
    if len(arguments) > len(expected) or not given.keys() <= expected.keys():
        raise NotLoweredError(f"no fused form for {name} with these arguments")
    values = {
        key: given.get(key, Value(UNPLACED, default, constant=True)) for key, default in expected.items()
    }
    if any(value.sample is _REQUIRED for value in values.values()):
        raise NotLoweredError(f"no fused form for {name} with these arguments")
    return values


def _is_idle(key: str, value: Value) -> bool:
    """Whether a keyword changes nothing: off, or about memory only.

    What is written in place is computed out of place; the proof finds the model for which that matters.
    """
    return key in ("inplace", "_stacklevel") or value.sample is None or value.sample is False


def _row(rule: Rule, function: Callable[..., Any], *required: str, **defaults: object) -> Row:
    return Row(rule, function, dict.fromkeys(required, _REQUIRED) | defaults)


def _gelu(x: Tensor, approximate: str) -> Tensor:
    return F.gelu(x, approximate=approximate)


def _unchanged(x: Tensor) -> Tensor:
    return x


def _unary(function: Callable[..., Any], **defaults: object) -> Row:
    return _row(pointwise, function, "input", **defaults)


def _binary(function: Callable[..., Any]) -> Row:
    return _row(pointwise, function, "input", "other")


_WINDOW = {"stride": None, "padding": 0}

_TABLE: tuple[tuple[Row, tuple[object, ...]], ...] = (
    (_unary(torch.relu), (torch.relu, F.relu, "relu", "relu_")),
    (_unary(torch.sigmoid), (torch.sigmoid, F.sigmoid, "sigmoid")),
    (_unary(torch.tanh), (torch.tanh, F.tanh, "tanh")),
    (_unary(F.leaky_relu, negative_slope=0.01), (F.leaky_relu,)),
    (_unary(F.elu, alpha=1.0), (F.elu,)),
    (_unary(F.selu), (F.selu, torch.selu)),
    (_unary(_gelu, approximate="none"), (F.gelu,)),
    (_unary(F.silu), (F.silu,)),
    (_unary(F.mish), (F.mish,)),
    (_unary(F.softplus, beta=1, threshold=20), (F.softplus,)),
    (_unary(F.logsigmoid), (F.logsigmoid,)),
    (_unary(torch.abs), (torch.abs, builtins.abs, operator.abs, "abs")),
    (_unary(torch.exp), (torch.exp, "exp")),
    (_unary(torch.log), (torch.log, "log")),
    (_unary(torch.sqrt), (torch.sqrt, "sqrt")),
    (_unary(torch.rsqrt), (torch.rsqrt, "rsqrt")),
    (_unary(torch.square), (torch.square, "square")),
    (_unary(torch.sin), (torch.sin, "sin")),
    (_unary(torch.cos), (torch.cos, "cos")),
    (_unary(torch.neg), (torch.neg, operator.neg, "neg")),
    (_unary(torch.clamp, min=None, max=None), (torch.clamp, "clamp")),
    (_unary(_unchanged), ("contiguous",)),
    (_binary(operator.add), (operator.add, operator.iadd, torch.add, "add", "add_")),
    (_binary(operator.sub), (operator.sub, operator.isub, torch.sub, "sub")),
    (_binary(operator.mul), (operator.mul, operator.imul, torch.mul, "mul", "mul_")),
    (_binary(operator.truediv), (operator.truediv, operator.itruediv, torch.div, "div")),
    (_binary(operator.pow), (operator.pow, torch.pow, "pow")),
    (_binary(torch.maximum), (torch.maximum,)),
    (_binary(torch.minimum), (torch.minimum,)),
    (
        _row(multiplied, torch.matmul, "input", "other"),
        (torch.matmul, torch.bmm, operator.matmul, "matmul", "bmm"),
    ),
    (_row(along, torch.mean, "input", dim=None, keepdim=False), (torch.mean, "mean")),
    (_row(along, torch.sum, "input", dim=None, keepdim=False), (torch.sum, "sum")),
    (_row(along, torch.amax, "input", dim=None, keepdim=False), (torch.amax, "amax")),
    (_row(along, torch.amin, "input", dim=None, keepdim=False), (torch.amin, "amin")),
    (_row(along, torch.softmax, "input", "dim"), (torch.softmax, F.softmax, "softmax")),
    (_row(along, torch.log_softmax, "input", "dim"), (torch.log_softmax, F.log_softmax, "log_softmax")),
    (_row(along, torch.flatten, "input", start_dim=0, end_dim=-1), (torch.flatten, "flatten")),
    (_row(along, torch.unflatten, "input", "dim", "sizes"), (torch.unflatten, "unflatten")),
    (_row(along, torch.squeeze, "input", "dim"), (torch.squeeze, "squeeze")),
    (_row(along, torch.unsqueeze, "input", "dim"), (torch.unsqueeze, "unsqueeze")),
    (_row(along, torch.transpose, "input", "dim0", "dim1"), (torch.transpose, "transpose")),
    (_row(along, torch.chunk, "input", "chunks", dim=0), (torch.chunk, "chunk")),
    (_row(along, torch.split, "input", "split_size", dim=0), (torch.split, "split")),
    (_row(permuted, torch.permute, "input", "dims"), (torch.permute, "permute")),
    (_row(reshaped, torch.reshape, "input", "shape"), (torch.reshape, "reshape", "view")),
    (_row(joined, torch.cat, "tensors", dim=0), (torch.cat, torch.concat)),
    (_row(joined, torch.stack, "tensors", dim=0), (torch.stack,)),
    (_row(sized, len, "input", dim=None), ("size",)),
    (_row(attribute, getattr, "input", "name"), (builtins.getattr,)),
    (_row(indexed, operator.getitem, "input", "index"), (operator.getitem,)),
    (
        _row(pooled(1), F.max_pool1d, "input", "kernel_size", **_WINDOW, dilation=1, ceil_mode=False),
        (F.max_pool1d,),
    ),
    (
        _row(pooled(2), F.max_pool2d, "input", "kernel_size", **_WINDOW, dilation=1, ceil_mode=False),
        (F.max_pool2d,),
    ),
    (_row(pooled(1), F.avg_pool1d, "input", "kernel_size", **_WINDOW, ceil_mode=False), (F.avg_pool1d,)),
    (_row(pooled(2), F.avg_pool2d, "input", "kernel_size", **_WINDOW, ceil_mode=False), (F.avg_pool2d,)),
    (_row(pooled(1), F.adaptive_avg_pool1d, "input", "output_size"), (F.adaptive_avg_pool1d,)),
    (_row(pooled(2), F.adaptive_avg_pool2d, "input", "output_size"), (F.adaptive_avg_pool2d,)),
)

ROWS: dict[object, Row] = {target: row for row, targets in _TABLE for target in targets}
"""Function, or method by name -> how it is lowered."""
