"""Table of the functions and methods that have a form for P members; any other prevents a fused pass.

A row gives a function its batching rule, names its arguments with their defaults, and lists its spellings
(function, method, operator), so that the rule gets the same arguments for each spelling.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from babysit.training.lowering.batching_rules import (
    BatchingRule,
    Call,
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
from babysit.training.lowering.primitives import UNPLACED, GraphValue, NotLoweredError

_REQUIRED = object()

VARIADIC = ("view", "reshape", "permute")
"""Methods that accept sizes or axes as separate arguments."""


class LoweredFunction(NamedTuple):
    """One function: its batching rule, and its arguments with their defaults."""

    rule: BatchingRule
    function: Callable[..., Any]
    arguments: Mapping[str, object]


def build_call(target: Any, arguments: Sequence[GraphValue], keywords: Mapping[str, GraphValue]) -> Call:
    """Builds the call of a function, or of a method by its name, for P members.

    Raises:
        NotLoweredError: the function or one of the arguments is not supported.
    """
    is_arithmetic = getattr(target, "__module__", "") in ("_operator", "math")
    if is_arithmetic and not any(_holds_tensors(value.sample) for value in arguments):
        return Call(plainly(target), list(arguments), False)  # plain numbers only, such as sizes
    if target not in LOWERED_FUNCTIONS:
        raise NotLoweredError(f"no fused form for {title(target)}")
    row = LOWERED_FUNCTIONS[target]
    return row.rule(row.function, _bound(title(target), row.arguments, arguments, keywords))


def title(target: object) -> str:
    """Returns the name of a function or method, for messages.

    Example:
        >>> title(torch.relu), title("view")
        ('relu', 'view')
    """
    return target if isinstance(target, str) else str(getattr(target, "__name__", target))


def _holds_tensors(sample: object) -> bool:
    items = sample if isinstance(sample, list | tuple) else (sample,)
    return any(isinstance(item, Tensor) for item in items)


def _bound(
    name: str,
    expected: Mapping[str, object],
    arguments: Sequence[GraphValue],
    keywords: Mapping[str, GraphValue],
) -> dict[str, GraphValue]:
    """Binds the arguments to names, in order, with their defaults.

    A keyword without effect is dropped: an option that is off, or that concerns memory only. So an operation
    in place is computed out of place; the proof finds the models for which that matters.
    """
    given = dict(zip(expected, arguments, strict=False))
    for key, value in keywords.items():
        is_off = value.sample is None or value.sample is False
        if key in expected or not (is_off or key in ("inplace", "_stacklevel")):
            given[key] = value
    if len(arguments) > len(expected) or not given.keys() <= expected.keys():
        raise NotLoweredError(f"no fused form for {name} with these arguments")
    values = {
        key: given.get(key, GraphValue(UNPLACED, default, constant=True)) for key, default in expected.items()
    }
    if any(value.sample is _REQUIRED for value in values.values()):
        raise NotLoweredError(f"no fused form for {name} with these arguments")
    return values


def _row(
    rule: BatchingRule, function: Callable[..., Any], *required: str, **defaults: object
) -> LoweredFunction:
    return LoweredFunction(rule, function, dict.fromkeys(required, _REQUIRED) | defaults)


def _unary(function: Callable[..., Any], **defaults: object) -> LoweredFunction:
    return _row(pointwise, function, "input", **defaults)


def _binary(function: Callable[..., Any]) -> LoweredFunction:
    return _row(pointwise, function, "input", "other")


_WINDOW = {"stride": None, "padding": 0}

_TABLE: tuple[tuple[LoweredFunction, tuple[object, ...]], ...] = (
    (_unary(torch.relu), (torch.relu, F.relu, "relu", "relu_")),
    (_unary(torch.sigmoid), (torch.sigmoid, F.sigmoid, "sigmoid")),
    (_unary(torch.tanh), (torch.tanh, F.tanh, "tanh")),
    (_unary(F.leaky_relu, negative_slope=0.01), (F.leaky_relu,)),
    (_unary(F.elu, alpha=1.0), (F.elu,)),
    (_unary(F.selu), (F.selu, torch.selu)),
    (_unary(lambda x, mode: F.gelu(x, approximate=mode), approximate="none"), (F.gelu,)),
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
    (_unary(lambda x: x), ("contiguous",)),
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

LOWERED_FUNCTIONS: dict[object, LoweredFunction] = {
    target: row for row, targets in _TABLE for target in targets
}
"""Function, or name of a method -> its lowering."""
