"""The ranges that a search's trials were drawn from: told by the user, by the log, or by the trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from babysit.errors import InputError
from babysit.readings.logs.names import tokens
from babysit.readings.logs.trial_rows import knob_name
from babysit.recipe.space import Choice, Numeric, Range, closest, log_uniform, number, uniform
from babysit.records import Result, Value

_LOGARITHMIC = {"lr", "l1", "l2", "decay", "wd", "reg", "lambda", "alpha", "eps", "epsilon"}
"""Words of hyperparameters that act multiplicatively, so that they are searched in a logarithmic scale."""

_FEWEST = 3
_TOLERANCE = 1e-3
"""How far beyond a told bound a value may lie, as a share of the range: logs print rounded numbers."""


def parse_range(text: str) -> tuple[str, Numeric]:
    """Reads "lr=1e-6:1e-3", with the scale where it should not be recognized: "lr=1e-6:1e-3:linear".

    Raises:
        InputError: when it cannot be read.

    Example:
        >>> parse_range("lr=1e-6:1e-3")
        ('learning_rate', Numeric(low=1e-06, high=0.001, log=True, whole=False))
        >>> parse_range("dropout=0:0.5")[1].log
        False
    """
    name, _, rest = text.partition("=")
    parts = [part.strip() for part in rest.split(":")]
    try:
        low, high = sorted(float(part) for part in parts[:2])
        scale = parts[2] if len(parts) > 2 else ""
        if not name.strip() or len(parts) > 3 or scale not in ("", "log", "linear") or not low < high:
            raise ValueError(text)
    except ValueError:
        raise InputError(
            f"--range {text}: cannot read this range",
            fix="write NAME=LOW:HIGH, e.g. --range lr=1e-6:1e-3, with :log or :linear after it if need be",
        ) from None
    if not all(map(math.isfinite, (low, high))) or (scale == "log" and low <= 0):
        raise InputError(
            f"--range {text}: the bounds must be finite, and above 0 in a logarithmic range",
            fix="e.g. --range lr=1e-6:1e-3",
        )
    log = scale == "log" or (not scale and low > 0 and high / low >= 10)
    return knob_name(name.strip()), log_uniform(low, high) if log else uniform(low, high)


def searched_ranges(results: Sequence[Result], told: Mapping[str, Numeric]) -> dict[str, Range]:
    """The range of each hyperparameter that every scored trial has and that varies.

    Args:
        results: all trials, those without a score too: they were drawn from the same ranges.
        told: the ranges that are known.

    Raises:
        InputError: for a told range that no hyperparameter has, or that does not hold its values.
    """
    choices = [result.trial.hyperparameters for result in results]
    scored = [result.trial.hyperparameters for result in results if math.isfinite(result.score)]
    names = [name for name in choices[0] if all(name in chosen for chosen in scored)] if scored else []
    for name in told:
        if name not in names:
            raise InputError(f"--range {name}: the log has no such hyperparameter", fix=closest(name, names))
    found = {name: [chosen[name] for chosen in choices if name in chosen] for name in names}
    return {
        name: _told(name, told[name], values) if name in told else range_of(name, values)
        for name, values in found.items()
    }


def _told(name: str, told: Numeric, values: Sequence[Value]) -> Numeric:
    for value in values:
        if isinstance(value, bool | str) or not _holds(told, float(value)):
            shown = value if isinstance(value, bool | str) else number(value)
            raise InputError(
                f"--range {name}: {shown} lies outside {number(told.low)} to {number(told.high)}",
                fix="give the bounds that the search drew from",
            )
    return told


def _holds(told: Numeric, value: float) -> bool:
    if told.log and value <= 0:
        return False
    return -_TOLERANCE <= told.position(value) <= 1 + _TOLERANCE


def range_of(name: str, values: Sequence[Value]) -> Range:
    """What some values were drawn from, most likely.

    Example:
        >>> range_of("optimizer", ["sgd", "adam", "sgd"])
        Choice(options=('adam', 'sgd'))
        >>> range_of("hidden", [32, 64, 128, 32, 64, 128])
        Numeric(low=32, high=128, log=False, whole=True)
        >>> range_of("dropout", [0.03, 0.11, 0.47, 0.38, 0.22])
        Numeric(low=0.0, high=0.5, log=False, whole=False)
    """
    distinct = set(values)
    if any(isinstance(value, bool | str) for value in values) or len(distinct) < _FEWEST:
        return Choice(tuple(sorted(distinct, key=lambda value: (isinstance(value, str), value))))
    numbers = [float(value) for value in values]
    log, whole = _is_logarithmic(name, numbers), all(isinstance(value, int) for value in values)
    low, high = min(numbers), max(numbers)
    if whole:
        return Numeric(int(low), int(high), log=log, whole=True)
    if len(distinct) < 0.7 * len(values):  # a grid, whose ends are its bounds
        return Numeric(low, high, log=log)
    return searched_range(numbers) if log else _linear_range(numbers)


def _is_logarithmic(name: str, values: Sequence[float]) -> bool:
    if min(values) <= 0:
        return False
    known = bool(set(tokens(name)) & _LOGARITHMIC)
    if known or max(values) < 10 * min(values):
        return known
    return _unevenness(np.log10(values)) < _unevenness(np.asarray(values))


def _unevenness(values: np.ndarray) -> float:
    """How far the values are from being spread evenly over their range: Kolmogorov and Smirnov's distance."""
    places = (np.sort(values) - values.min()) / np.ptp(values)
    return float(np.abs(places - np.linspace(0, 1, len(values))).max())


def searched_range(values: Sequence[float]) -> Numeric:
    """The logarithmic range that some values were drawn from, most likely.

    Ranges are mostly written in powers of ten. Where the values stay clear of these, the bounds lie beyond
    the outermost values by the share of the range that so many random values leave on average.

    Example:
        >>> searched_range([1.028e-4, 3e-4, 9.752e-4])
        Numeric(low=0.0001, high=0.001, log=True, whole=False)
    """
    logs = np.log10(values)
    low, high = _bounds(float(logs.min()), float(logs.max()), 1.0, len(values))
    if low >= high:
        low, high = low - 0.5, high + 0.5
    return log_uniform(10.0**low, 10.0**high)


def _linear_range(values: Sequence[float]) -> Numeric:
    """The same in a linear scale, where bounds are mostly written with one digit."""
    low, high = min(values), max(values)
    return uniform(*_bounds(low, high, 10.0 ** math.floor(math.log10(high - low)), len(values)))


def _bounds(low: float, high: float, unit: float, count: int) -> tuple[float, float]:
    """The whole units round some values, or bounds a little beyond them where those are too far away."""
    digits = max(0, -math.floor(math.log10(unit)))
    whole = [
        round(math.floor(low / unit + 1e-9) * unit, digits),
        round(math.ceil(high / unit - 1e-9) * unit, digits),
    ]
    width, usual = max(whole[1] - whole[0], unit), 1 / (count + 1)
    margin = (high - low) * usual
    bounds = [
        bound if abs(bound - outermost) <= 4 * usual * width else outermost + side * margin
        for bound, outermost, side in zip(whole, (low, high), (-1, 1), strict=True)
    ]
    return bounds[0], bounds[1]
