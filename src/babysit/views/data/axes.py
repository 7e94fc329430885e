"""Axes of figures: the place of a value on an axis, and the ticks with their labels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple


class Tick(NamedTuple):
    """A mark on an axis: its position, 0 to 1, and its label."""

    position: float
    label: str


class Axis(NamedTuple):
    """One axis.

    Attributes:
        low, high: the values at its ends; ``low < high``.
        log: logarithmic if True.
        label: the quantity, with its unit.
        whole: ticks stand at whole numbers only, as for epochs.
    """

    low: float
    high: float
    log: bool
    label: str
    whole: bool = False

    def place(self, value: float) -> float:
        """Returns the place of a value: 0 at the low end, 1 at the high end; NaN for one without a logarithm.

        Example:
            >>> Axis(1e-6, 1e-2, True, "").place(1e-4)
            0.5
        """
        if not self.log:
            return (value - self.low) / (self.high - self.low)
        if not value > 0:
            return math.nan
        return (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))

    @property
    def ticks(self) -> list[Tick]:
        """About five round values that lie on the axis."""
        if self.log:
            values = _log_values(self.low, self.high)
        else:
            values = _round_values(self.low, self.high, smallest=1.0 if self.whole else 0.0)
        powers = self.log and not (self.low > 1e-3 and self.high < 1e4)
        return [Tick(self.place(value), tick_text(value, powers=powers)) for value in values]


def make_axis(values: Iterable[float], label: str, *, log: bool = False, margin: float = 0.05) -> Axis:
    """Makes an axis that shows all of some values.

    Args:
        values: must be visible; those that are not finite, or not positive on a log axis, are left out.
        label: the quantity, with its unit.
        log: logarithmic if True. Default: False.
        margin: the share of the length left free at either end. Default: 0.05.
    """
    shown = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
    low, high = (min(shown), max(shown)) if shown else ((0.1, 10.0) if log else (0.0, 1.0))
    if log:
        first, last = _widened(math.log10(low), math.log10(high), margin)
        return Axis(10**first, 10**last, True, label)
    return Axis(*_widened(low, high, margin), False, label)


def _widened(low: float, high: float, margin: float) -> tuple[float, float]:
    length = high - low
    if length <= 1e-12 * max(abs(low), abs(high)):
        length = abs(low) or 1.0
        return low - length / 2, high + length / 2
    return low - margin * length, high + margin * length


def _log_values(low: float, high: float) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    if last - first >= 2:
        stride = -(-(last - first + 1) // 6)
        return [10.0**power for power in range(first, last + 1, stride)]
    powers = range(math.floor(math.log10(low)), last + 1)
    between = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    inside = [value for value in between if low <= value <= high]
    return inside if len(inside) > 1 else _round_values(low, high)


def _round_values(low: float, high: float, smallest: float = 0.0) -> list[float]:
    raw = max((high - low) / 5, smallest)
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def tick_text(value: float, *, powers: bool = False) -> str:
    """Returns the label of a tick.

    Args:
        value: the tick's value.
        powers: write powers of ten, as on a log axis of many decades; otherwise only far from one.

    Example:
        >>> tick_text(1e-4), tick_text(10.0, powers=True), tick_text(10.0), tick_text(0.30000000000000004)
        ('1e-4', '1e1', '10', '0.3')
    """
    if powers or (value and not 1e-3 <= abs(value) < 1e5):
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.6g}"
