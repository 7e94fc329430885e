"""The ranges that trials were drawn from: given by the user or the log, or guessed from the trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from babysit.errors import InputError
from babysit.readings.logs.quantities import tokens
from babysit.readings.logs.trial_rows import hyperparameter_name
from babysit.recipe.space import Choice, Numeric, Range, closest, log_uniform, number, uniform
from babysit.records import Result, Value

_LOGARITHMIC = {"lr", "l1", "l2", "decay", "wd", "reg", "lambda", "alpha", "eps", "epsilon"}
"""Words of hyperparameters that act multiplicatively, and so are searched in a logarithmic scale."""

_FEWEST = 3
_TOLERANCE = 1e-3
"""The share of the range by which a value may exceed a given bound: logs print rounded numbers."""


def parse_range(text: str) -> tuple[str, Numeric]:
    """Parses "lr=1e-6:1e-3"; an explicit scale is added as in "lr=1e-6:1e-3:linear".

    Raises:
        InputError: it cannot be read.

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
    return hyperparameter_name(name.strip()), log_uniform(low, high) if log else uniform(low, high)


def searched_ranges(results: Sequence[Result], known: Mapping[str, Numeric]) -> dict[str, Range]:
    """Returns the range of each hyperparameter that every scored trial has and that varies.

    Args:
        results: all trials; those without a score were drawn from the same ranges.
        known: the ranges that are known.

    Raises:
        InputError: a known range belongs to no hyperparameter, or does not contain its values.
    """
    choices = [result.trial.hyperparameters for result in results]
    scored = [result.trial.hyperparameters for result in results if math.isfinite(result.score)]
    names = [name for name in choices[0] if all(name in chosen for chosen in scored)] if scored else []
    for name in known:
        if name not in names:
            raise InputError(f"--range {name}: the log has no such hyperparameter", fix=closest(name, names))
    ranges: dict[str, Range] = {}
    for name in names:
        values = [chosen[name] for chosen in choices if name in chosen]
        ranges[name] = known[name] if name in known else range_of(name, values)
        for value in values if name in known else ():
            _refuse_outside(name, known[name], value)
    return ranges


def _refuse_outside(name: str, known: Numeric, value: Value) -> None:
    has_position = not isinstance(value, bool | str) and not (known.log and value <= 0)
    if has_position and -_TOLERANCE <= known.position(float(value)) <= 1 + _TOLERANCE:
        return
    shown = value if isinstance(value, bool | str) else number(value)
    raise InputError(
        f"--range {name}: {shown} lies outside {number(known.low)} to {number(known.high)}",
        fix="give the bounds that the search drew from",
    )


def range_of(name: str, values: Sequence[Value]) -> Range:
    """Guesses the range that some values were drawn from.

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
    if log:
        return searched_range(numbers)
    # Bounds in a linear scale are mostly written with one digit.
    return uniform(*_bounds(low, high, 10.0 ** math.floor(math.log10(high - low)), len(values)))


def _is_logarithmic(name: str, values: Sequence[float]) -> bool:
    if min(values) <= 0:
        return False
    known = bool(set(tokens(name)) & _LOGARITHMIC)
    if known or max(values) < 10 * min(values):
        return known
    return _unevenness(np.log10(values)) < _unevenness(np.asarray(values))


def _unevenness(values: np.ndarray) -> float:
    """Measures the distance of values from an even spread over their range (Kolmogorov and Smirnov)."""
    places = (np.sort(values) - values.min()) / np.ptp(values)
    return float(np.abs(places - np.linspace(0, 1, len(values))).max())


def searched_range(values: Sequence[float]) -> Numeric:
    """Guesses the logarithmic range that some values were drawn from.

    Ranges are mostly written in powers of ten. If the values stay away from these, the bounds exceed the
    outermost values by the share of the range that this number of random values leaves on average.

    Example:
        >>> searched_range([1.028e-4, 3e-4, 9.752e-4])
        Numeric(low=0.0001, high=0.001, log=True, whole=False)
    """
    logs = np.log10(values)
    low, high = _bounds(float(logs.min()), float(logs.max()), 1.0, len(values))
    if low >= high:
        low, high = low - 0.5, high + 0.5
    return log_uniform(10.0**low, 10.0**high)


def _bounds(low: float, high: float, unit: float, count: int) -> tuple[float, float]:
    """Returns whole units around some values, or bounds a little beyond them where those are too far away."""
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
