"""The kinds of ranges: numbers, choices, fixed values, and any of these under a condition.

All have the same methods: ``sample`` draws a value, ``middle`` returns a typical one, ``holds`` tells whether
a value belongs to the range, ``as_data`` converts it for the store. A numeric range has a scale, by which
positions in it (near an edge, in the middle) are measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from babysit.recipe.text_format import number
from babysit.records import Value

SIDES = ("", "lower", "upper", "both")
"""The values of ``natural_limit``."""


@dataclass(frozen=True, slots=True)
class Numeric:
    """Numbers between two bounds, both included, uniform in a linear or logarithmic scale.

    Made by ``log_uniform``, ``uniform`` and ``integer``. With a ``step``, only low, low + step, ..., high.
    ``natural_limit`` names the edges ("lower", "upper" or "both") beyond which there is nothing to search.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False
    step: float | None = None
    natural_limit: str = ""

    @property
    def scale(self) -> str:
        """ "log" or "linear"."""
        return "log" if self.log else "linear"

    def position(self, value: float) -> float:
        """Returns the position of a value in the range, in its scale: 0 at the low bound, 1 at the high one.

        Example:
            >>> Numeric(1e-6, 1e-2, log=True).position(1e-4)
            0.5
        """
        low, high = self._warp(self.low), self._warp(self.high)
        return (self._warp(value) - low) / (high - low) if high > low else 0.5

    def at(self, position: float) -> Value:
        """Returns the value at a position, also outside [0, 1]; the inverse of ``position``.

        Example:
            >>> round(Numeric(1e-6, 1e-2, log=True).at(0.5), 10)
            0.0001
            >>> Numeric(32, 256, whole=True, step=32).at(0.4)
            128
        """
        low, high = self._warp(self.low), self._warp(self.high)
        warped = low + position * (high - low)
        value = 10**warped if self.log else warped
        if 0 <= position <= 1:
            value = min(max(value, self.low), self.high)  # rounding must not leave the range
        if self.step is not None:
            value = self._step_number(round((value - self.low) / self.step))
        return round(value) if self.whole else value

    def sample(self, generator: np.random.Generator) -> Value:
        """Draws a value."""
        return self.quantile(generator.random())

    def quantile(self, share: float) -> Value:
        """Returns the value below which this share of all draws lies, in [0, 1).

        Example:
            >>> [Numeric(1, 4, whole=True).quantile(share) for share in (0, 0.3, 0.6, 0.9)]
            [1, 2, 3, 4]
        """
        if self.step is not None:
            count = round((self.high - self.low) / self.step) + 1
            value = self._step_number(min(int(share * count), count - 1))
            return round(value) if self.whole else value
        if not self.whole:
            return self.at(share)
        # Each integer owns the unit interval around it, so that the two ends are as likely as the rest.
        drawn = Numeric(self.low - 0.5, self.high + 0.5, self.log).at(share)
        return min(max(round(float(drawn)), int(self.low)), int(self.high))

    def middle(self) -> Value:
        """Returns the value in the middle, in the range's scale."""
        value = self.at(0.5)
        return value if self.whole or self.step else float(f"{value:.6g}")

    def holds(self, value: Value) -> bool:
        """Tells whether a value is a number between the bounds, and whole where the range is."""
        if isinstance(value, bool | str) or not self.low <= value <= self.high:
            return False
        return not self.whole or float(value).is_integer()

    def _warp(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def _step_number(self, index: int) -> float:
        # 0.3 rather than 0.30000000000000004; the bounds stay exactly as given.
        value = float(f"{self.low + index * (self.step or 0):.12g}")
        near = [bound for bound in (self.low, self.high) if math.isclose(value, bound, rel_tol=1e-11)]
        return near[0] if near else value

    def as_data(self) -> dict[str, Any]:
        """Converts the range to plain data, for the store."""
        kind = "integer" if self.whole else "log_uniform" if self.log else "uniform"
        data: dict[str, Any] = {"kind": kind, "low": self.low, "high": self.high, "log": self.log}
        # Left out where there is none, so that studies of older versions are found again.
        step = {} if self.step is None else {"step": self.step}
        limit = {"natural_limit": self.natural_limit} if self.natural_limit else {}
        return {**data, **step, **limit}

    def __repr__(self) -> str:
        # Part of the fingerprint of a study: defaults are left out, as in older versions.
        parts = {"low": self.low, "high": self.high, "log": self.log, "whole": self.whole}
        extra = {"step": self.step, "natural_limit": self.natural_limit}
        shown = parts | {name: value for name, value in extra.items() if value}
        return f"Numeric({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def __str__(self) -> str:
        kind = "integers" if self.whole else "log-uniform" if self.log else "uniform"
        scale = ", log scale" if self.whole and self.log else ""
        step = "" if self.step is None else f" in steps of {number(self.step)}"
        return f"{kind} {number(self.low)} to {number(self.high)}{step}{scale}"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several values, each as likely as the others. Made by ``choice``."""

    options: tuple[Value, ...]

    def sample(self, generator: np.random.Generator) -> Value:
        """Draws an option."""
        return self.options[int(generator.integers(len(self.options)))]

    def middle(self) -> Value:
        """Returns the first option."""
        return self.options[0]

    def holds(self, value: Value) -> bool:
        """Tells whether a value is one of the options."""
        return _among(value, self.options)

    def as_data(self) -> dict[str, Any]:
        """Converts the choice to plain data, for the store."""
        return {"kind": "choice", "choices": list(self.options)}

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.options))}"


@dataclass(frozen=True, slots=True)
class Fixed:
    """One value that is not searched."""

    value: Value

    def sample(self, _: np.random.Generator) -> Value:
        """Returns the value."""
        return self.value

    def middle(self) -> Value:
        """Returns the value."""
        return self.value

    def holds(self, value: Value) -> bool:
        """Tells whether it is this value."""
        return _among(value, (self.value,))

    def as_data(self) -> dict[str, Any]:
        """Converts the value to plain data, for the store."""
        return {"kind": "fixed", "value": self.value}

    def __str__(self) -> str:
        return number(self.value) if isinstance(self.value, float) else str(self.value)


Plain = Numeric | Choice | Fixed
"""A range without a condition."""


@dataclass(frozen=True, slots=True)
class When:
    """A range for a name that exists only in trials whose ``parent`` has one of some values.

    Made by ``when``. The parent may be conditional itself; where it does not exist, neither does this name.
    """

    parent: str
    values: tuple[Value, ...]
    range: Plain

    def sample(self, generator: np.random.Generator) -> Value:
        """Draws a value, whether the condition holds or not, so that no draw depends on another."""
        return self.range.sample(generator)

    def middle(self) -> Value:
        """Returns the middle of the range."""
        return self.range.middle()

    def holds(self, value: Value) -> bool:
        """Tells whether a value belongs to the range."""
        return self.range.holds(value)

    def is_met(self, values: Mapping[str, Value]) -> bool:
        """Tells whether the parent has one of the values.

        Example:
            >>> found = When("update", ("momentum",), Fixed(0.9))
            >>> found.is_met({"update": "momentum"}), found.is_met({"update": "sgd"}), found.is_met({})
            (True, False, False)
        """
        return self.parent in values and _among(values[self.parent], self.values)

    def as_data(self) -> dict[str, Any]:
        """Converts range and condition to plain data, for the store."""
        return {**self.range.as_data(), "when": {"parent": self.parent, "values": list(self.values)}}

    def __str__(self) -> str:
        return f"{self.range} (when {self.parent} is {' or '.join(map(str, self.values))})"


Range = Numeric | Choice | Fixed | When


def plain(found: Range) -> Plain:
    """Returns the range without its condition."""
    return found.range if isinstance(found, When) else found


def _among(value: Value, options: tuple[Value, ...]) -> bool:
    """Tells whether a value is among the options, where True does not equal 1."""
    return any(value == option and isinstance(value, bool) == isinstance(option, bool) for option in options)
