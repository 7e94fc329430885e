"""Where a hyperparameter's values end by nature, so that a best value there is no reason for alarm.

A range may say so itself (``natural_limit``); zero of a linear range and one of a whole number are limits of
any name, and some names have limits of their own.
"""

from __future__ import annotations

import math

from babysit.recipe.ranges import Numeric

BELOW_ONE = ("momentum", "beta1", "beta2", "squares_decay", "learning_rate_decay", "dropout")
"""Hyperparameters that have no meaning above 1, whatever the results suggest."""

_NEARLY_ONE = 0.99
_HIGHEST = 0.999


def is_natural_limit(name: str, side: str, found: Numeric) -> bool:
    """True for an edge beyond which there is nothing to search.

    Args:
        name: the hyperparameter.
        side: "lower" or "upper".
        found: its range.

    Example:
        >>> is_natural_limit("dropout", "lower", Numeric(0, 0.5))
        True
        >>> is_natural_limit("l2", "upper", Numeric(1e-5, 1, log=True, natural_limit="upper"))
        True
    """
    if found.natural_limit in (side, "both"):
        return True
    if side == "lower":
        return (not found.log and found.low == 0) or (found.whole and found.low <= 1)
    return name in BELOW_ONE and found.high >= _NEARLY_ONE


def within_limits(name: str, found: Numeric, low: float, high: float) -> tuple[float, float]:
    """New bounds for a range, cut at what the hyperparameter can be.

    Args:
        name: the hyperparameter.
        found: its present range.
        low, high: the bounds asked for.

    Example:
        >>> within_limits("momentum", Numeric(0.5, 0.95), 0.7, 1.2)
        (0.7, 0.999)
        >>> within_limits("l2", Numeric(1e-5, 1, log=True, natural_limit="upper"), 1e-2, 100)
        (0.01, 1)
    """
    if found.low >= 0:
        low = max(low, 1.0 if found.whole and found.low > 0 else 0.0)
    if name in BELOW_ONE:
        high = min(high, max(_HIGHEST, found.high))
    if found.natural_limit in ("lower", "both"):
        low = max(low, found.low)
    if found.natural_limit in ("upper", "both"):
        high = min(high, found.high)
    return (low, high) if found.step is None else _on_steps(found.low, found.step, low, high)


def _on_steps(start: float, step: float, low: float, high: float) -> tuple[float, float]:
    """The outermost steps within two bounds, counted from where the range began."""
    first, last = math.ceil((low - start) / step - 1e-9), math.floor((high - start) / step + 1e-9)
    return float(f"{start + first * step:.12g}"), float(f"{start + last * step:.12g}")
