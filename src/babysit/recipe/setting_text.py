"""Settings as text: the words of a command line that set the same values and ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from babysit.recipe.initial_weights import INITIALIZATION
from babysit.recipe.input_steps import PREPROCESSING
from babysit.recipe.parse import literal
from babysit.recipe.ranges import Choice, Fixed, Numeric, Range
from babysit.recipe.space import as_range
from babysit.records import Value


def setting_texts(settings: Sequence[str] | Mapping[str, object]) -> list[str]:
    """Writes settings as ``name=value`` texts, which read back as the same values and ranges.

    Args:
        settings: such texts, which stay as they are; or name -> value or range.

    Example:
        >>> setting_texts({"hidden": "50", "l2": 0.001, "update": "adam", "momentum": Numeric(0.5, 0.9)})
        ["hidden='50'", 'l2=0.001', 'update=adam', 'momentum=uniform(0.5, 0.9)']
    """
    if not isinstance(settings, Mapping):
        return list(settings)
    return [f"{name}={_range_text(name, as_range(name, value))}" for name, value in settings.items()]


def point_text(point: Mapping[str, Value]) -> str:
    """Writes a point of a space as one text.

    Example:
        >>> point_text({"learning_rate": 0.01, "update": "adam"})
        'learning_rate=0.01,update=adam'
    """
    return ",".join(f"{name}={_value_text(name, value)}" for name, value in point.items())


def _value_text(name: str, value: Value) -> str:
    """Writes a value; text that would be read as a number, a truth value or a range is quoted."""
    if not isinstance(value, str) or name in (INITIALIZATION, PREPROCESSING):
        return str(value)
    if value and literal(value) == value == value.strip() and "(" not in value:
        return value
    quote = '"' if "'" in value else "'"
    return f"{quote}{value}{quote}"


def _range_text(name: str, found: Range) -> str:
    if isinstance(found, Fixed):
        return _value_text(name, found.value)
    if isinstance(found, Choice):
        return f"choice({', '.join(map(repr, found.options))})"
    if isinstance(found, Numeric):
        options = [f"step={found.step!r}"] if found.step else []
        options += [f"natural_limit={found.natural_limit!r}"] if found.natural_limit else []
        maker = "integer" if found.whole else "log_uniform" if found.log else "uniform"
        options += ["log=True"] if found.whole and found.log else []
        return f"{maker}({', '.join([repr(found.low), repr(found.high), *options])})"
    return f"when({found.parent!r}, {list(found.values)!r}, {_range_text(name, found.range)})"
