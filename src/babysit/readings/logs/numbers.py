"""Numbers as logs print them."""

from __future__ import annotations

import math
import re

NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?)\b"
"""The pattern of one number, NaN and infinity included."""

Row = dict[str, float]
"""One line of a log: name -> value."""

_WHOLE = re.compile(rf"\s*({NUMBER})\s*(%?)\s*", re.IGNORECASE)


def number_of(value: object) -> float | None:
    """Parses a printed value, a percentage as a share of one; None for anything else.

    Example:
        >>> number_of("5e-05"), number_of("98.5 %"), number_of("n/a"), number_of(True), number_of("-inf")
        (5e-05, 0.985, None, None, -inf)
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:  # JSON has whole numbers of any length
            return math.inf if value > 0 else -math.inf
    found = _WHOLE.fullmatch(value) if isinstance(value, str) else None
    return None if found is None else float(found[1]) / (100 if found[2] else 1)
