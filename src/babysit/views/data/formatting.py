"""Numbers, times and ranges in words, the same in the terminal and on pages."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any

from babysit.records import CommandKind, Edge, Result, Run, Value

MISSING = "–"
"""The text of a missing number."""


def value_text(value: Value | None) -> str:
    """Formats one hyperparameter in at most four significant digits.

    Example:
        >>> value_text(0.00075123), value_text(50), value_text(0.9), value_text("sgd"), value_text(True)
        ('7.512e-4', '50', '0.9', 'sgd', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or isinstance(value, str):
        return MISSING if value is None else value
    return str(value) if isinstance(value, int) else number_text(value)


def number_text(value: float, digits: int = 4) -> str:
    """Formats a number, with an exponent where it is far from one.

    Example:
        >>> number_text(2.302585), number_text(1e-4), number_text(123456.0), number_text(float("nan"))
        ('2.303', '1e-4', '1.235e5', 'nan')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if 1e-2 <= abs(value) < 1e5:
        return f"{value:.{digits}g}" if abs(value) < 1e4 else f"{value:.0f}"
    return exponent_text(value, digits)


def exponent_text(value: float, digits: int = 3) -> str:
    """Formats a number always with its exponent, for columns of values that span decades.

    Example:
        >>> exponent_text(0.00075123), exponent_text(0.04316), exponent_text(20.0), exponent_text(0.0)
        ('7.51e-4', '4.32e-2', '2e1', '0')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"


def percent_text(share: float) -> str:
    """Formats a share of one as a percentage, NaN as a dash.

    Example:
        >>> percent_text(0.531), percent_text(float("nan"))
        ('53.1 %', '–')
    """
    return f"{100 * share:.1f} %" if math.isfinite(share) else MISSING


def duration_text(seconds: float) -> str:
    """Formats a duration in its two largest units.

    Example:
        >>> duration_text(0.42), duration_text(75), duration_text(7322), duration_text(float("nan"))
        ('0.4 s', '1 min 15 s', '2 h 2 min', '–')
    """
    if not math.isfinite(seconds):
        return MISSING
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def ago_text(seconds: float) -> str:
    """Formats the age of something in its largest unit.

    Example:
        >>> ago_text(0.4), ago_text(42), ago_text(75), ago_text(7322), ago_text(200000)
        ('just now', '42 s ago', '1 min ago', '2 h ago', '2 days ago')
    """
    if seconds < 2:
        return "just now"
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            count = int(seconds // unit)
            return f"{count} {'day' if count == 1 and name == 'days' else name} ago"
    return f"{int(seconds)} s ago"


def moment_text(seconds: float) -> str:
    """Formats a moment, given in seconds since 1970, as local date and time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def choice_text(hyperparameters: Mapping[str, Value], names: Iterable[str]) -> str:
    """Formats hyperparameters in one line.

    Example:
        >>> choice_text({"learning_rate": 1e-3, "l2": 0.1}, ["learning_rate", "l2"])
        'learning_rate 1e-3, l2 0.1'
    """
    return ", ".join(f"{name} {value_text(hyperparameters.get(name))}" for name in names)


def score_text(result: Result) -> str:
    """Formats the best validation accuracy as a percentage; for regression the lowest validation loss."""
    best = result.run.best
    if best is None:
        return MISSING
    return percent_text(best.val_accuracy) if math.isfinite(best.val_accuracy) else number_text(best.val_loss)


def touches_text(run: Run) -> str:
    """Describes the learning rate changes of a run by the user; empty without any.

    Example:
        >>> from babysit.records import CommandKind, State, Touch
        >>> halved = Touch(CommandKind.SCALE_LEARNING_RATE, 120, 0.5)
        >>> touches_text(Run(State.COMPLETE, touches=(halved,)))
        'changed by the user: learning rate x 0.5 after step 120'
    """
    scaled = [touch for touch in run.touches if touch.kind is CommandKind.SCALE_LEARNING_RATE]
    changes = ", ".join(f"x {touch.argument:g} after step {touch.step}" for touch in scaled)
    return f"changed by the user: learning rate {changes}" if changes else ""


def range_text(box: Mapping[str, Any]) -> str:
    """Describes a searched range.

    Example:
        >>> range_text({"kind": "log_uniform", "low": 1e-6, "high": 1e-3, "log": True})
        '1e-6 to 1e-3, log'
        >>> range_text({"kind": "choice", "choices": ["sgd", "adam"]})
        'sgd or adam'
    """
    if "when" in box:
        condition = " or ".join(value_text(value) for value in box["when"]["values"])
        rest = {key: value for key, value in box.items() if key != "when"}
        return f"{range_text(rest)} (when {box['when']['parent']} is {condition})"
    if "choices" in box:
        return " or ".join(value_text(choice) for choice in box["choices"])
    if "low" in box and "high" in box:
        log = ", log" if box.get("log") else ""
        return f"{value_text(box['low'])} to {value_text(box['high'])}{log}"
    return value_text(box.get("value"))


def silenced_text(edge: Edge) -> str:
    """Describes a silenced alarm with its reason.

    Example:
        >>> numbers = {"value": 0.9, "position": 0.98, "low": 0, "high": 1, "new_low": 0.5, "new_high": 1.5}
        >>> edge = Edge("l2", side="upper", scale="linear", message="", silenced="all was worse", **numbers)
        >>> silenced_text(edge)
        'no alarm: the best l2, 0.9, is next to the upper edge of its range, but all was worse'
    """
    return (
        f"no alarm: the best {edge.name}, {value_text(edge.value)}, is next to the {edge.side} edge of its "
        f"range, but {edge.silenced}"
    )


def is_searched(box: Any) -> bool:
    """Returns True for a range of more than one value."""
    if not isinstance(box, Mapping) or box.get("kind") == "fixed":
        return False
    return len(box.get("choices", ())) > 1 or ("low" in box and box.get("low") != box.get("high"))


def searched_names(boxes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Returns the hyperparameters that any of some boxes searches, in the order in which they appear.

    Example:
        >>> searched_names([{"l2": {"kind": "uniform", "low": 1, "high": 2}, "hidden": {"kind": "fixed"}}])
        ['l2']
    """
    names = [name for box in boxes for name, searched in box.items() if is_searched(searched)]
    return list(dict.fromkeys(names))


def varied_names(results: Iterable[Result]) -> list[str]:
    """Returns the hyperparameters that differ between trials; all where none differs."""
    choices = [result.trial.hyperparameters for result in results]
    names = list(dict.fromkeys(name for choice in choices for name in choice))
    varied = [name for name in names if len({repr(choice.get(name)) for choice in choices}) > 1]
    return varied or names
