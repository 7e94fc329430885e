"""A training from the rows of its log: names become quantities, lines of one reading are merged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import median

from babysit.readings.logs.numbers import Row
from babysit.readings.logs.quantities import TITLES, chosen
from babysit.records import EXPLOSION_LIMIT, Explosion, Reading, Run, State

_VALIDATION = {"val_loss", "val_accuracy"}
_MEASURED = {"cost", "train_accuracy", *_VALIDATION}
_ACCURACIES = ("train_accuracy", "val_accuracy")
_FEWEST = 3


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """One training as its log shows it.

    Attributes:
        run: its readings; their ``epoch`` counts ``unit``, and ``step`` is 0 where the log does not say.
        unit: the unit of a reading: "epoch", "step" or "line".
        quantities: the recognized quantities, in words.
        learning_rate: the first one in the log; NaN for none.
        count: the number of readings in the log, including those at which a loss was NaN or infinite.
    """

    run: Run
    unit: str
    quantities: tuple[str, ...]
    learning_rate: float = math.nan
    count: int = 0

    def describe(self, title: str) -> str:
        """Describes in one line what was recognized.

        Example:
            >>> log_of([{"epoch": 1, "loss": 0.9}, {"epoch": 2, "loss": 0.5}]).describe("CSV")
            'read 2 epochs of cost from CSV'
        """
        plural = "" if self.count == 1 else "s"
        return f"read {self.count} {self.unit}{plural} of {', '.join(self.quantities)} from {title}"


def log_of(rows: Sequence[Row]) -> TrainingLog:
    """Builds a training from raw rows.

    Args:
        rows: one dict a line, by the names of the log.

    Example:
        >>> log = log_of([{"epoch": 1, "loss": 2.3, "val_acc": 41}, {"epoch": 2, "loss": 1.9, "val_acc": 52}])
        >>> log.unit, [reading.val_accuracy for reading in log.run.readings]
        ('epoch', [0.41, 0.52])
    """
    means = chosen(name for row in rows for name in row)
    named: list[Row] = []
    for row in rows:
        found = {means[name]: value for name, value in row.items() if name in means}
        known = {
            name: value
            for name, value in found.items()
            if math.isfinite(value) or name not in ("epoch", "step")
        }
        if known.keys() & TITLES.keys():
            named.append(known)
    for name in _ACCURACIES:
        values = [row[name] for row in named if math.isfinite(row.get(name, math.nan))]
        if values and 1 < max(values) <= 100:  # percentages
            named = [{**row, name: row[name] / 100} if name in row else row for row in named]

    joined, unit = _joined(named)
    quantities = tuple(title for name, title in TITLES.items() if any(name in row for row in joined))
    rate = next((row["learning_rate"] for row in joined if row.get("learning_rate")), math.nan)
    return TrainingLog(_run(joined, unit), unit, quantities, rate, len(joined))


def _joined(rows: list[Row]) -> tuple[list[Row], str]:
    """Merges rows into readings, and returns these with the unit that they count."""
    epochs = {_epoch(row) for row in rows if "epoch" in row}
    validated = [row for row in rows if row.keys() & _VALIDATION]
    validations = max(sum(name in row for row in rows) for name in _VALIDATION)
    once_per_epoch = validations <= len(epochs) + 1 and (validated or len(epochs) >= 5)
    if len(epochs) >= _FEWEST and (len(epochs) == len(rows) or once_per_epoch):
        return _groups(rows, _epoch), "epoch"
    if len(rows) > len(validated) >= _FEWEST:
        rows = _ended_by_validation(rows)
    elif 0 < len(epochs) < _FEWEST and len(epochs) < len(rows) and _VALIDATION & {k for r in rows for k in r}:
        rows = _groups(rows, lambda row: row.get("step", row.get("epoch", 0.0)))
    unit = "step" if all("step" in row for row in rows) and _grows(rows, "step") else "line"
    if unit == "line" and all("epoch" in row for row in rows) and _grows(rows, "epoch"):
        unit = "epoch"
    return rows, unit


def _epoch(row: Row) -> float:
    """Returns the epoch of a row; 1.5 is in the second one."""
    return float(math.ceil(row.get("epoch", 0.0) - 1e-6))


def _grows(rows: list[Row], name: str) -> bool:
    return all(early[name] < late[name] for early, late in pairwise(rows))


def _groups(rows: list[Row], key: Callable[[Row], float]) -> list[Row]:
    """Merges rows of one key; a row without a key joins the last one, a learning rate alone the next one."""
    held, waiting = math.nan, list[Row]()
    keyed: list[tuple[float, Row]] = []
    for row in rows:
        if "epoch" not in row and not row.keys() & _MEASURED:
            waiting.append(row)
            continue
        held = key(row) if "epoch" in row else held
        keyed += [(held, early) for early in (*waiting, row)]
        waiting = []
    return [_one([row for _, row in group]) for _, group in groupby(keyed, key=lambda pair: pair[0])]


def _ended_by_validation(rows: list[Row]) -> list[Row]:
    """Merges the rows up to each validation, with the mean of their costs."""
    found: list[Row] = []
    waiting: list[Row] = []
    for row in rows:
        waiting.append(row)
        if row.keys() & _VALIDATION:
            found.append(_one(waiting))
            waiting = []
    # Rows after the last validation are no whole reading, but NaN or infinity there must not be lost.
    broke = any(not math.isfinite(row.get("cost", 0.0)) for row in waiting)
    return [*found, _one(waiting)] if broke else found


def _one(rows: Iterable[Row]) -> Row:
    """Merges the rows of one reading: the last of each value, and the mean cost."""
    found: Row = {}
    costs: list[float] = []
    for row in rows:
        # NaN often stands for an empty cell, so it does not replace a number.
        found |= {name: value for name, value in row.items() if name not in found or not math.isnan(value)}
        costs += [row["cost"]] if "cost" in row else []
    if costs and math.isfinite(costs[-1]):
        finite = [cost for cost in costs if math.isfinite(cost)]
        found["cost"] = math.fsum(finite) / len(finite)
    return found


def _run(rows: list[Row], unit: str) -> Run:
    if not any("cost" in row for row in rows):
        rows = [{**row, "cost": row["val_loss"]} if "val_loss" in row else row for row in rows]
    # A row without the cost that others have is no reading.
    costed = any("cost" in row for row in rows)
    readings = tuple(
        _reading(row, place, unit) for place, row in enumerate(rows, 1) if "cost" in row or not costed
    )
    first = next((reading.cost for reading in readings if math.isfinite(reading.cost)), math.nan)
    breaks = [_first_not_finite(rows, "cost"), _first_not_finite(rows, "val_loss"), _first_exploded(rows)]
    broken = min((place for place in breaks if place is not None), default=None)
    if broken is None:
        return Run(State.COMPLETE, readings, first, steps=readings[-1].step if readings else 0)
    row = rows[broken]
    validation = row.get("val_loss", 0.0)
    cost = row["cost"] if math.isfinite(validation) and "cost" in row else validation
    where = _reading(row, broken + 1, unit)
    explosion = Explosion(where.step, where.epoch, cost, first)
    return Run(State.EXPLODED, readings[:broken], first, explosion)


def _first_not_finite(rows: list[Row], name: str) -> int | None:
    """Finds the first row from which a loss stays NaN or infinite; a single one that recovers is skipped."""
    printed = [place for place, row in enumerate(rows) if name in row]
    if not printed or math.isfinite(rows[printed[-1]][name]):
        return None
    finite = [place for place in printed if math.isfinite(rows[place][name])]
    return next(place for place in printed if not finite or place > finite[-1])


def _first_exploded(rows: list[Row]) -> int | None:
    """Finds the first row from which the cost stays above the limit, if its last fifth does as a whole."""
    costs = [
        (place, row["cost"]) for place, row in enumerate(rows) if math.isfinite(row.get("cost", math.nan))
    ]
    share = max(2, len(costs) // 5)
    if len(costs) < 4:
        return None
    first, last = (median(cost for _, cost in part) for part in (costs[:share], costs[-share:]))
    limit = EXPLOSION_LIMIT * max(first, costs[0][1])
    if not (first > 0 and last > limit):
        return None
    below = [place for place, cost in costs if cost <= limit]
    return next((place for place, _ in costs if place > below[-1]), costs[-1][0])


def _reading(row: Row, place: int, unit: str) -> Reading:
    number = row.get(unit, float(place))
    epoch = math.ceil(number - 1e-6) if math.isfinite(number) else place
    values = (row.get(name, math.nan) for name in ("cost", *_ACCURACIES, "learning_rate", "val_loss"))
    step = row.get("step", 0.0)
    return Reading(epoch, int(step) if math.isfinite(step) else 0, *values)
