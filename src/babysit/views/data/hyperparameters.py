"""Hyperparameters as axes: the place of a value, its text, and the expression of its range."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from babysit.records import Stage, Value
from babysit.views.data.axes import Axis, Tick, make_axis
from babysit.views.data.formatting import MISSING, exponent_text, is_searched, searched_names, value_text


class Knob(NamedTuple):
    """One hyperparameter that differs between trials.

    Attributes:
        name: its name.
        axis: of its numbers; None for a choice.
        options: of a choice, in words; empty for numbers.
        maker: the expression of its range with two placeholders, ``log_uniform({}, {})``; empty for a choice.
        boxes: the part of the axis that each stage searched, by its ends; None where it did not search it.
    """

    name: str
    axis: Axis | None
    options: tuple[str, ...]
    maker: str
    boxes: tuple[tuple[float, float] | None, ...]

    @property
    def ticks(self) -> list[Tick]:
        """The ticks of its axis; of a choice, the options."""
        if self.axis is not None:
            return [tick for tick in self.axis.ticks if -1e-9 <= tick.position <= 1 + 1e-9]
        return [Tick(_middle(index, self.options), option) for index, option in enumerate(self.options)]

    def place(self, value: Value | None) -> float:
        """Returns the place of a value, from 0 to 1; NaN for one that the axis cannot show.

        Example:
            >>> knob = Knob("update", None, ("sgd", "adam"), "", ())
            >>> knob.place("adam"), knob.place(None)
            (0.75, nan)
        """
        if value is None:
            return math.nan
        if self.axis is None:
            text = value_text(value)
            return _middle(self.options.index(text), self.options) if text in self.options else math.nan
        return self.axis.place(float(value)) if _is_number(value) else math.nan

    def text(self, value: Value | None) -> str:
        """Returns the text of a value; on a log axis always with its exponent, so that a column aligns."""
        if value is None:
            return MISSING
        if self.axis is not None and self.axis.log and isinstance(value, float):
            return exponent_text(value)
        return value_text(value)


def _middle(index: int, options: Sequence[str]) -> float:
    return (index + 0.5) / len(options)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def knobs(stages: Sequence[Stage], choices: Iterable[Mapping[str, Value]]) -> list[Knob]:
    """Returns the hyperparameters that any stage searched; of a study without a search, those that differ.

    Args:
        stages: with their boxes.
        choices: the hyperparameters of every trial.
    """
    tried = list(choices)
    names = searched_names([stage.box for stage in stages])
    if not names:
        known = dict.fromkeys(name for one in tried for name in one)
        names = [name for name in known if len({repr(one.get(name)) for one in tried}) > 1]
    return [_knob(name, stages, [one[name] for one in tried if name in one]) for name in names]


def _knob(name: str, stages: Sequence[Stage], values: Sequence[Value]) -> Knob:
    boxes = [stage.box.get(name) for stage in stages]
    ranges = [box for box in boxes if isinstance(box, Mapping) and is_searched(box)]
    options = [value_text(option) for box in ranges for option in box.get("choices", ())]
    if options or not all(_is_number(value) for value in values):
        shown = dict.fromkeys([*options, *(value_text(value) for value in values)])
        return Knob(name, None, tuple(shown), "", tuple(None for _ in stages))
    ends = [float(box[end]) for box in ranges for end in ("low", "high") if end in box]
    axis = make_axis([*map(float, values), *ends], name, log=any(box.get("log") for box in ranges))
    return Knob(name, axis, (), _maker(ranges), tuple(_ends(axis, box) for box in boxes))


def _ends(axis: Axis, box: Any) -> tuple[float, float] | None:
    if not isinstance(box, Mapping) or not is_searched(box) or "low" not in box:
        return None
    low, high = sorted((axis.place(float(box["low"])), axis.place(float(box["high"]))))
    return (low, high) if math.isfinite(low + high) else None


def _maker(ranges: Sequence[Mapping[str, Any]]) -> str:
    """Returns the expression of a range, with placeholders for its ends."""
    if not ranges:
        return ""
    box = ranges[-1]
    rest = f", step={box['step']}" if box.get("step") else ""
    if box.get("kind") == "integer":
        rest += ", log=True" if box.get("log") else ""
        return f"integer({{}}, {{}}{rest})"
    return "log_uniform({}, {})" if box.get("log") else f"uniform({{}}, {{}}{rest})"
