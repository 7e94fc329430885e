"""The space of hyperparameters: ranges in values (never exponents), choices, fixed values, sampling.

A range knows its scale, because where a value lies (near an edge? in the middle?) is a question of scale.
"""

from __future__ import annotations

import ast
import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from babysit.errors import SpaceError
from babysit.records import Value


@dataclass(frozen=True, slots=True)
class Numeric:
    """All numbers between two bounds, both included, uniform in a linear or logarithmic scale.

    Made by ``log_uniform``, ``uniform`` and ``integer``.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @property
    def scale(self) -> str:
        """ "log" or "linear"."""
        return "log" if self.log else "linear"

    def position(self, value: float) -> float:
        """Where a value lies in the range, in its scale: 0 at the low bound, 1 at the high one.

        Example:
            >>> log_uniform(1e-6, 1e-2).position(1e-4)
            0.5
        """
        low, high = self._warp(self.low), self._warp(self.high)
        return (self._warp(value) - low) / (high - low) if high > low else 0.5

    def at(self, position: float) -> Value:
        """The value at a position; the inverse of ``position``, and defined outside [0, 1] too.

        Example:
            >>> round(log_uniform(1e-6, 1e-2).at(0.5), 10)
            0.0001
        """
        low, high = self._warp(self.low), self._warp(self.high)
        warped = low + position * (high - low)
        value = 10**warped if self.log else warped
        if 0 <= position <= 1:
            value = min(max(value, self.low), self.high)  # rounding must not leave the range
        return round(value) if self.whole else value

    def sample(self, generator: np.random.Generator) -> Value:
        """One value drawn from the range."""
        if not self.whole:
            return self.at(generator.random())
        # Each integer owns the unit interval around it, so that the two ends are as likely as the rest.
        drawn = Numeric(self.low - 0.5, self.high + 0.5, self.log).at(generator.random())
        return min(max(round(float(drawn)), int(self.low)), int(self.high))

    def _warp(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def as_data(self) -> dict[str, Any]:
        """The range as plain data, for the store."""
        kind = "integer" if self.whole else "log_uniform" if self.log else "uniform"
        return {"kind": kind, "low": self.low, "high": self.high, "log": self.log}

    def __str__(self) -> str:
        kind = "integers" if self.whole else "log-uniform" if self.log else "uniform"
        scale = ", log scale" if self.whole and self.log else ""
        return f"{kind} {number(self.low)} to {number(self.high)}{scale}"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several values, each as likely as the others. Made by ``choice``."""

    options: tuple[Value, ...]

    def sample(self, generator: np.random.Generator) -> Value:
        """One of the options."""
        return self.options[int(generator.integers(len(self.options)))]

    def as_data(self) -> dict[str, Any]:
        """The choice as plain data, for the store."""
        return {"kind": "choice", "choices": list(self.options)}

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.options))}"


@dataclass(frozen=True, slots=True)
class Fixed:
    """One value that is not searched."""

    value: Value

    def sample(self, _: np.random.Generator) -> Value:
        """The value."""
        return self.value

    def as_data(self) -> dict[str, Any]:
        """The value as plain data, for the store."""
        return {"kind": "fixed", "value": self.value}

    def __str__(self) -> str:
        return number(self.value) if isinstance(self.value, float) else str(self.value)


Range = Numeric | Choice | Fixed
Space = Mapping[str, Range]


def log_uniform(low: float, high: float) -> Numeric:
    """Values between two positive bounds, uniform in their logarithm: 10^U(log10 low, log10 high).

    Learning rates and regularization strengths act multiplicatively, so each decade deserves as many trials.

    Args:
        low, high: the bounds in values, > 0; may come reversed.

    Raises:
        SpaceError: for a bound that is not positive and finite.

    Example:
        >>> log_uniform(1e-3, 1e-6)
        Numeric(low=1e-06, high=0.001, log=True, whole=False)

    Source: CS231n lecture 6, "it's best to optimize in log space".
    """
    low, high = _bounds("log_uniform", low, high)
    if low <= 0:
        raise SpaceError(
            f"log_uniform({low:g}, {high:g}): a logarithmic range needs bounds above 0",
            cure=f"give values, not exponents: log_uniform(1e{low:g}, 1e{high:g}) if you meant powers of ten",
        )
    return Numeric(low, high, log=True)


def uniform(low: float, high: float) -> Numeric:
    """Values between two bounds, all equally likely.

    Example:
        >>> uniform(0, 0.5).position(0.25)
        0.5
    """
    return Numeric(*_bounds("uniform", low, high))


def integer(low: int, high: int, *, log: bool = False) -> Numeric:
    """Whole numbers between two bounds, both included; with ``log``, uniform in their logarithm.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> sorted({integer(1, 3).sample(generator) for _ in range(50)})
        [1, 2, 3]
    """
    for bound in (low, high):
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
            raise SpaceError(f"integer: {bound!r} is no finite number", cure="give two whole numbers")
    if int(low) != low or int(high) != high:
        raise SpaceError(f"integer({low}, {high}): the bounds are not whole", cure="use uniform(low, high)")
    low, high = sorted((int(low), int(high)))
    if log and low < 1:
        raise SpaceError(
            f"integer({low}, {high}, log=True): a logarithmic range needs bounds above 0", cure="start at 1"
        )
    return Numeric(low, high, log=log, whole=True)


def choice(*options: Value) -> Choice:
    """One of several values.

    Example:
        >>> str(choice("relu", "tanh"))
        'one of relu, tanh'
    """
    if not options:
        raise SpaceError("choice() has no options", cure="list the values: choice(32, 64, 128)")
    for option in options:
        if not isinstance(option, bool | int | float | str):
            raise SpaceError(
                f"choice: {option!r} is no number, text or truth value",
                cure="list the values one by one, choice(32, 64); let model(hp) turn a name into an object",
            )
    return Choice(tuple(options))


def _bounds(kind: str, low: float, high: float) -> tuple[float, float]:
    for bound in (low, high):
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
            raise SpaceError(f"{kind}: {bound!r} is no finite number", cure="give two numbers")
    if low == high:
        raise SpaceError(f"{kind}({low}, {high}) holds one value only", cure=f"write {low} itself to fix it")
    return (float(min(low, high)), float(max(low, high)))


def as_range(name: str, value: object) -> Range:
    """A range as it is; a plain value as ``Fixed``.

    Raises:
        SpaceError: for anything else.

    Example:
        >>> as_range("hidden", 50)
        Fixed(value=50)
    """
    if isinstance(value, Numeric | Choice | Fixed):
        return value
    if isinstance(value, bool | int | float | str):
        return Fixed(value)
    raise SpaceError(
        f"{name} = {value!r} is neither a range nor a value",
        cure="use log_uniform, uniform, integer, choice, or a plain number, text or truth value",
    )


def sample(space: Space, generator: np.random.Generator) -> dict[str, Value]:
    """One value for every name, drawn in the order of the names' spelling.

    Example:
        >>> sample({"hidden": Fixed(50), "l2": log_uniform(1e-3, 1e-1)}, np.random.default_rng(0))["hidden"]
        50
    """
    drawn = {name: space[name].sample(generator) for name in sorted(space)}
    return {name: drawn[name] for name in space}


def middle(space: Space) -> dict[str, Value]:
    """The middle of every range, in its scale; the first option of a choice.

    Example:
        >>> middle({"learning_rate": log_uniform(1e-4, 1e-2), "act": choice("relu", "tanh")})
        {'learning_rate': 0.001, 'act': 'relu'}
    """
    return {name: _middle(found) for name, found in space.items()}


def _middle(found: Range) -> Value:
    if isinstance(found, Fixed):
        return found.value
    if isinstance(found, Choice):
        return found.options[0]
    value = found.at(0.5)
    return value if found.whole else float(f"{value:.6g}")


def searched(space: Space) -> dict[str, Numeric]:
    """The numeric ranges, i.e. those that have edges.

    Example:
        >>> list(searched({"hidden": Fixed(50), "l2": log_uniform(1e-3, 1e-1)}))
        ['l2']
    """
    return {name: found for name, found in space.items() if isinstance(found, Numeric)}


def as_data(space: Space) -> dict[str, Any]:
    """The space as plain data, for the store."""
    return {name: found.as_data() for name, found in space.items()}


def from_data(data: Mapping[str, Mapping[str, Any]]) -> dict[str, Range]:
    """The inverse of ``as_data``.

    Example:
        >>> space = {"hidden": integer(10, 100, log=True), "act": choice("relu"), "l2": Fixed(0.1)}
        >>> from_data(as_data(space)) == space
        True
    """
    return {name: _range_from_data(entry) for name, entry in data.items()}


def _range_from_data(entry: Mapping[str, Any]) -> Range:
    if entry["kind"] == "fixed":
        return Fixed(entry["value"])
    if entry["kind"] == "choice":
        return Choice(tuple(entry["choices"]))
    return Numeric(entry["low"], entry["high"], log=entry["log"], whole=entry["kind"] == "integer")


_MAKERS = {"log_uniform": log_uniform, "uniform": uniform, "integer": integer, "choice": choice}


def parse(name: str, text: str) -> Range:
    """Reads one setting as it is typed on a command line: a value, or a range as it is written in a recipe.

    Args:
        name: the hyperparameter, for the message.
        text: ``1e-3``, ``true``, ``relu``, ``log_uniform(1e-6, 1e-3)``, ``choice(32, 64)``.

    Raises:
        SpaceError: for a range that cannot be read.

    Example:
        >>> parse("learning_rate", "1e-3"), parse("hidden", "choice(50, 100)")
        (Fixed(value=0.001), Choice(options=(50, 100)))
    """
    text = text.strip()
    maker, bracket, rest = text.partition("(")
    if not bracket:
        return Fixed(_literal(text))
    if maker.strip() not in _MAKERS or not rest.endswith(")"):
        raise SpaceError(
            f"{name}={text}: cannot read this range", cure=f"use {', '.join(f'{m}(...)' for m in _MAKERS)}"
        )
    try:
        call = ast.parse(text, mode="eval").body
        if not isinstance(call, ast.Call):
            raise ValueError(text)
        arguments = [ast.literal_eval(argument) for argument in call.args]
        options = {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in call.keywords}
        made: Range = _MAKERS[maker.strip()](*arguments, **options)  # type: ignore[operator]
    except SpaceError as error:
        raise SpaceError(f"{name}={text}: {error.problem}", cure=error.cure) from None
    except (ValueError, SyntaxError, TypeError):
        raise SpaceError(
            f"{name}={text}: cannot read this range",
            cure="write e.g. log_uniform(1e-6, 1e-3); text inside it needs quotes: choice('relu', 'tanh')",
        ) from None
    return made


def _literal(text: str) -> Value:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def number(value: float) -> str:
    """A number as people write it: 1e-4 rather than 0.0001, 50 rather than 50.0.

    Example:
        >>> [number(value) for value in (1e-4, 4.2968e-4, 50.0, 0.25, 1e5)]
        ['1e-4', '4.297e-4', '50', '0.25', '1e5']
    """
    if value == 0 or not math.isfinite(value) or 1e-2 <= abs(value) < 1e4:
        return f"{value:.4g}"
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def closest(name: str, known: Sequence[str]) -> str:
    """A hint for a misspelt name: ``did you mean 'hidden'?``, or the list of known names."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known names: {', '.join(known)}"
