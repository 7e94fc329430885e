"""JSON: one object a line, Hugging Face's printed dicts, its trainer_state.json, and histories of lists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from babysit.readings.logs.numbers import Row, number_of
from babysit.readings.logs.quantities import chosen, meaning

LINES_EXAMPLE = '{"epoch": 1, "loss": 0.93, "val_loss": 0.88}'
DICTS_EXAMPLE = "{'loss': 0.93, 'learning_rate': 5e-05, 'epoch': 1.0}"
STATE_EXAMPLE = '{"log_history": [{"loss": 0.93, "epoch": 1.0, "step": 500}]}'
HISTORY_EXAMPLE = '{"loss": [0.93, 0.71], "val_loss": [0.88, 0.75]}'

_DICT = re.compile(r"\{[^{}]*\}")
_PYTHON_WORD = re.compile(r"\b(nan|inf|None|True|False)\b")
_WORDS = {"nan": "NaN", "inf": "Infinity", "None": "null", "True": "true", "False": "false"}


def recognizes_lines(text: str) -> float:
    """Rates how certainly lines are JSON objects with quantities in them, from 0 to 1."""
    return 0.9 if _mean_something(read_lines(text)) else 0.0


def recognizes_dicts(text: str) -> float:
    """Rates how certainly a text holds printed Python dicts with quantities in them, from 0 to 1."""
    if "{'" not in text:
        return 0.0
    found = read_dicts(text)
    # A dict with an accuracy alone is part of a line that also names the epoch.
    counted = any({"epoch", "step", "cost"} & set(chosen(row).values()) for row in found)
    return 0.85 if counted and _mean_something(found) else 0.0


def recognizes_state(text: str) -> float:
    """Rates how certainly a text is a trainer_state.json, from 0 to 1."""
    document = _document(text)
    return 1.0 if isinstance(document, dict) and "log_history" in document else 0.0


def recognizes_history(text: str) -> float:
    """Rates how certainly a text is a JSON document of rows or of columns, from 0 to 1."""
    return 0.93 if _mean_something(read_history(text)) else 0.0


def read_lines(text: str) -> list[Row]:
    """Reads one row per object; nested names are joined by "/".

    Example:
        >>> read_lines('{"epoch": 1, "train": {"loss": 0.5}, "note": "x"}\\nno json')
        [{'epoch': 1.0, 'train/loss': 0.5}]
    """
    documents = (_document(line) for line in text.splitlines() if line.lstrip().startswith("{"))
    return [_row(found) for found in documents if isinstance(found, dict)]


def read_dicts(text: str) -> list[Row]:
    """Reads the dicts that Hugging Face's Trainer prints, also inside progress bars.

    Example:
        >>> read_dicts("10%|# | {'loss': 0.5, 'grad_norm': nan, 'epoch': 1.0} 3it/s")
        [{'loss': 0.5, 'grad_norm': nan, 'epoch': 1.0}]
    """
    printed = (found.replace("'", '"') for found in _DICT.findall(text))
    documents = (_document(_PYTHON_WORD.sub(lambda word: _WORDS[word[0]], each)) for each in printed)
    return [_row(found) for found in documents if isinstance(found, dict)]


def read_state(text: str) -> list[Row]:
    """Reads the log history of a trainer_state.json."""
    document = _document(text)
    history = document.get("log_history") if isinstance(document, dict) else None
    return [_row(entry) for entry in history or () if isinstance(entry, dict)]


def read_history(text: str) -> list[Row]:
    """Reads a list of objects, or an object of lists as Keras keeps one.

    Example:
        >>> read_history('{"loss": [0.9, 0.5], "val_loss": [0.8, 0.6]}')
        [{'loss': 0.9, 'val_loss': 0.8, 'epoch': 1.0}, {'loss': 0.5, 'val_loss': 0.6, 'epoch': 2.0}]
    """
    document = _document(text)
    if isinstance(document, list):
        return [_row(entry) for entry in document if isinstance(entry, dict)]
    if not isinstance(document, dict):
        return []
    columns = {name: values for name, values in document.items() if isinstance(values, list)}
    length = max(map(len, columns.values()), default=0)
    if not {"epoch", "step"} & {meaning(name) for name in columns}:
        columns["epoch"] = list(range(1, length + 1))
    return [
        _row({name: v[place] for name, v in columns.items() if place < len(v)}) for place in range(length)
    ]


def _document(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _row(entry: dict[str, Any]) -> Row:
    return dict(_flat(entry, ""))


def _flat(entry: dict[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in entry.items():
        number = number_of(value)
        if number is not None:
            yield prefix + name, number
        elif isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}/")


def _mean_something(rows: list[Row]) -> bool:
    names = chosen(name for row in rows for name in row).values()
    return bool(set(names) - {"epoch", "step", "learning_rate"})
