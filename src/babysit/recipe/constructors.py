"""The functions that make ranges, and the conversion of Optuna's distributions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from babysit.errors import SpaceError
from babysit.recipe.ranges import SIDES, Choice, Fixed, Numeric, Plain, Range, When
from babysit.records import Value


def log_uniform(low: float, high: float, *, natural_limit: str = "") -> Numeric:
    """Makes a range between two positive bounds, uniform in the logarithm: 10^U(log10 low, log10 high).

    Learning rates and regularization strengths act multiplicatively, so each decade deserves as many trials.

    Args:
        low, high: the bounds in values, > 0; may come reversed.
        natural_limit: "lower", "upper" or "both": a best value at that edge raises no alarm. Default: none.

    Raises:
        SpaceError: for a bound that is not positive and finite.

    Example:
        >>> str(log_uniform(1e-3, 1e-6))
        'log-uniform 1e-6 to 1e-3'

    Source: CS231n lecture 6, "it's best to optimize in log space".
    """
    low, high = _bounds("log_uniform", low, high)
    if low <= 0:
        raise SpaceError(
            f"log_uniform({low:g}, {high:g}): a logarithmic range needs bounds above 0",
            fix=f"give values: log_uniform(1e{low:g}, 1e{high:g}), or powers_of_ten({low:g}, {high:g}), "
            "if you meant exponents",
        )
    return Numeric(low, high, log=True, natural_limit=_side(natural_limit))


def powers_of_ten(low: float, high: float, *, natural_limit: str = "") -> Numeric:
    """Makes a logarithmic range of bounds given as exponents, as in the lecture's ``10 ** uniform(-5, 5)``.

    It is not part of ``log_uniform`` because the same two numbers, e.g. 1 and 3, can be exponents or values.

    Args:
        low, high: the exponents, within -300 to 300; may come reversed.
        natural_limit: "lower", "upper" or "both": a best value at that edge raises no alarm. Default: none.

    Raises:
        SpaceError: for exponents that are too large.

    Example:
        >>> powers_of_ten(-6, -3) == log_uniform(1e-6, 1e-3)
        True
        >>> str(powers_of_ten(5, -5))
        'log-uniform 1e-5 to 1e5'

    Source: CS231n lecture 6, ``reg = 10**uniform(-5, 5)``.
    """
    low, high = _bounds("powers_of_ten", low, high)
    if max(-low, high) > 300:
        raise SpaceError(
            f"powers_of_ten({low:g}, {high:g}): 10 to that power is beyond floating point",
            fix=f"use log_uniform({low:g}, {high:g}) if you meant values",
        )
    return log_uniform(_power(low), _power(high), natural_limit=natural_limit)


def uniform(low: float, high: float, *, step: float | None = None, natural_limit: str = "") -> Numeric:
    """Makes a range between two bounds, in which all values are equally likely.

    Args:
        low, high: the bounds; may come reversed.
        step: only low, low + step, ...; the last one at or below ``high`` becomes the upper bound.
        natural_limit: "lower", "upper" or "both": a best value at that edge raises no alarm. Default: none.

    Example:
        >>> uniform(0, 0.5).position(0.25)
        0.5
        >>> str(uniform(0, 0.55, step=0.1))
        'uniform 0 to 0.5 in steps of 0.1'
    """
    low, high = _bounds("uniform", low, high)
    high = _last("uniform", low, high, step)
    return Numeric(low, high, step=None if step is None else float(step), natural_limit=_side(natural_limit))


def integer(
    low: int, high: int, *, log: bool = False, step: int | None = None, natural_limit: str = ""
) -> Numeric:
    """Makes a range of whole numbers, both bounds included; with ``log``, uniform in the logarithm.

    Args:
        low, high: the bounds; may come reversed.
        log: search the logarithm.
        step: only low, low + step, ...; the last one at or below ``high`` becomes the upper bound.
        natural_limit: "lower", "upper" or "both": a best value at that edge raises no alarm. Default: none.

    Example:
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> sorted({integer(1, 3).sample(generator) for _ in range(50)})
        [1, 2, 3]
        >>> sorted({integer(32, 128, step=32).sample(generator) for _ in range(50)})
        [32, 64, 96, 128]
    """
    for bound in (low, high, 1 if step is None else step):
        if not _is_finite(bound):
            raise SpaceError(f"integer: {bound!r} is no finite number", fix="give whole numbers")
    if int(low) != low or int(high) != high:
        raise SpaceError(f"integer({low}, {high}): the bounds are not whole", fix="use uniform(low, high)")
    low, high = sorted((int(low), int(high)))
    if step is not None and int(step) != step:
        raise SpaceError(f"integer: step={step} is not whole", fix="use uniform(low, high, step=...)")
    if log and low < 1:
        raise SpaceError(
            f"integer({low}, {high}, log=True): a logarithmic range needs bounds above 0", fix="start at 1"
        )
    if log and step not in (None, 1):
        raise SpaceError(
            f"integer: steps of {step} are even in values, not in their logarithm",
            fix="leave out log=True or step, or list the values: choice(32, 64, 128)",
        )
    if step == 1:
        step = None  # whole numbers are a step of 1 apart anyway
    high = int(_last("integer", low, high, step))
    return Numeric(low, high, log=log, whole=True, step=step, natural_limit=_side(natural_limit))


def choice(*options: Value | Sequence[Value]) -> Choice:
    """Makes a choice of several values, given one by one or as a list.

    Example:
        >>> str(choice("relu", "tanh"))
        'one of relu, tanh'
        >>> choice([32, 64]) == choice(32, 64)
        True
    """
    if len(options) == 1 and isinstance(options[0], list | tuple):
        options = tuple(options[0])
    if not options:
        raise SpaceError("choice() has no options", fix="list the values: choice(32, 64, 128)")
    return Choice(tuple(_value("choice", option) for option in options))


def when(parent: str, values: Value | Sequence[Value], range: object) -> When:
    """Makes a range that exists only in trials in which another hyperparameter has a certain value.

    Args:
        parent: name of the other hyperparameter.
        values: its value, or a list of values.
        range: the range in those trials, or a plain value.

    Raises:
        SpaceError: for anything else.

    Example:
        >>> str(when("update", ["momentum", "nesterov"], uniform(0.5, 0.99)))
        'uniform 0.5 to 0.99 (when update is momentum or nesterov)'
    """
    if not isinstance(parent, str) or not parent:
        raise SpaceError(
            f"when({parent!r}, ...): the first argument is no name of a hyperparameter",
            fix="write when('update', 'momentum', uniform(0.5, 0.99))",
        )
    listed = values if isinstance(values, list | tuple) else (values,)
    if not listed:
        raise SpaceError(f"when({parent!r}, []): no value is named", fix="name the parent's values")
    found = as_range(f"when({parent!r}, ...)", range)
    if isinstance(found, When):
        raise SpaceError(
            f"when({parent!r}, ...) holds another when(...)",
            fix=f"condition the name on {found.parent!r} alone, and {found.parent!r} on {parent!r}",
        )
    return When(parent, tuple(_value("when", value) for value in listed), found)


def as_range(name: str, value: object) -> Range:
    """Returns a value as a range: a plain value as ``Fixed``, a distribution of Optuna as the same range.

    Raises:
        SpaceError: for anything else.

    Example:
        >>> as_range("hidden", 50)
        Fixed(value=50)
    """
    if isinstance(value, Numeric | Choice | Fixed | When):
        return value
    if isinstance(value, bool | int | float | str):
        return Fixed(value)
    adopted = _from_optuna(name, value)
    if adopted is not None:
        return adopted
    raise SpaceError(f"{name} = {value!r} is neither a range nor a value", fix=_suggestion(value))


def _from_optuna(name: str, value: Any) -> Plain | None:
    """Converts a distribution of Optuna by its attributes, so that Optuna need not be installed."""
    if isinstance(value, type):
        return None
    if isinstance(getattr(value, "choices", None), tuple):
        return Choice(tuple(_value(name, option) for option in value.choices))
    if not all(hasattr(value, attribute) for attribute in ("low", "high", "log", "step")):
        return None
    if value.low == value.high:
        return Fixed(value.low)
    if isinstance(value.low, int) and isinstance(value.high, int):
        return integer(value.low, value.high, log=value.log, step=value.step)
    if value.log:
        return log_uniform(value.low, value.high)
    return uniform(value.low, value.high, step=value.step)


def _suggestion(value: object) -> str:
    if isinstance(value, list | tuple) and value:
        return f"write choice({', '.join(map(repr, value))}) for one of several values"
    if isinstance(value, range) and len(value) > 1:
        return f"write integer({value[0]}, {value[-1]}, step={value.step})"
    if callable(getattr(value, "rvs", None)) or hasattr(value, "sampler") or hasattr(value, "categories"):
        return (
            f"{type(value).__module__.split('.')[0]}'s ranges are not read: write log_uniform(low, high), "
            "uniform(low, high), integer(low, high) or choice(...)"
        )
    return "use log_uniform, uniform, integer, choice, when, or a plain number, text or truth value"


def _value(kind: str, option: object) -> Value:
    if isinstance(option, bool | int | float | str):
        return option
    raise SpaceError(
        f"{kind}: {option!r} is not a number, text or truth value",
        fix="list the values one by one, choice(32, 64); let model(hp) turn a name into an object",
    )


def _bounds(kind: str, low: float, high: float) -> tuple[float, float]:
    for bound in (low, high):
        if not _is_finite(bound):
            raise SpaceError(f"{kind}: {bound!r} is no finite number", fix="give two numbers")
    if low == high:
        raise SpaceError(f"{kind}({low}, {high}) holds one value only", fix=f"write {low} itself to fix it")
    return (float(min(low, high)), float(max(low, high)))


def _is_finite(bound: object) -> bool:
    return isinstance(bound, int | float) and not isinstance(bound, bool) and math.isfinite(bound)


def _power(exponent: float) -> float:
    """Computes 10 to a power; exactly where the power is whole, which ``**`` does not."""
    return float(f"1e{exponent:g}") if exponent.is_integer() else float(10**exponent)


def _last(kind: str, low: float, high: float, step: float | None) -> float:
    """Returns the highest value at or below ``high`` that is whole steps from ``low``."""
    if step is None:
        return high
    if not _is_finite(step) or step <= 0:
        raise SpaceError(
            f"{kind}: step={step!r} is not a number above 0", fix="give the distance of two values"
        )
    steps = math.floor((high - low) / step + 1e-9)
    if steps < 1:
        raise SpaceError(
            f"{kind}({low:g}, {high:g}, step={step:g}) holds one value only", fix="give a smaller step"
        )
    return float(f"{low + steps * step:.12g}")


def _side(natural_limit: str) -> str:
    if natural_limit not in SIDES:
        raise SpaceError(
            f"natural_limit={natural_limit!r} is no edge",
            fix="use 'lower', 'upper' or 'both', or leave it out",
        )
    return natural_limit
