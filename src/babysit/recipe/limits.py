"""Natural limits of hyperparameters: edges beyond which there is nothing to search, and which raise no alarm.

A range may name them (``natural_limit``). Zero of a linear range and one of a whole number are limits of any
hyperparameter, and some have their own.
"""

from __future__ import annotations

import math

from babysit.recipe.ranges import Numeric

BELOW_ONE = ("momentum", "beta1", "beta2", "squares_decay", "learning_rate_decay", "dropout")
"""Hyperparameters that have no meaning above 1, whatever the results suggest."""

_NEARLY_ONE = 0.99
_HIGHEST = 0.999


def is_natural_limit(name: str, side: str, found: Numeric) -> bool:
    """Tells whether there is nothing to search beyond an edge.

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
    """Cuts new bounds of a range at the natural limits of the hyperparameter.

    Args:
        name: the hyperparameter.
        found: its present range.
        low, high: the new bounds.

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
    if found.step is None:
        return low, high
    # The outermost steps within the bounds, counted from the lower bound of the present range.
    start, step = found.low, found.step
    first, last = math.ceil((low - start) / step - 1e-9), math.floor((high - start) / step + 1e-9)
    return float(f"{start + first * step:.12g}"), float(f"{start + last * step:.12g}")
