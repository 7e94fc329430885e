"""Tables with a heading: CSV and TSV of any origin, and PyTorch Lightning's metrics.csv."""

from __future__ import annotations

import csv

from babysit.watching.logs.names import chosen
from babysit.watching.logs.numbers import Row, number_of

EXAMPLE = "epoch,train_loss,val_loss,val_acc\n1,0.93,0.88,0.61"
LIGHTNING_EXAMPLE = "epoch,step,train_loss,val_acc,val_loss\n0,49,,0.61,0.88\n0,49,0.93,,"

_DELIMITERS = ",\t;|"


def recognizes(text: str) -> float:
    """How sure it is that a text is a table with names that mean something, from 0 to 1."""
    names = _heading(text)
    return 0.9 if len(names) > 1 and _measures(names) and _first_row_is_numbers(text) else 0.0


def recognizes_lightning(text: str) -> float:
    """How sure it is that a table is PyTorch Lightning's, which has holes: from 0 to 1."""
    names = _heading(text)
    holes = any(",," in line or line.endswith(",") for line in text.splitlines()[1:])
    return 0.92 if recognizes(text) and {"epoch", "step"} <= set(names) and holes else 0.0


def read(text: str) -> list[Row]:
    """One row a line; a cell that is empty or no number is left out.

    Example:
        >>> read("epoch;loss;note\\n1;0.5;ok\\n2;;late")
        [{'epoch': 1.0, 'loss': 0.5}, {'epoch': 2.0}]
    """
    names = _heading(text)
    return [_row(names, cells) for cells in csv.reader(_body(text), delimiter=_delimiter(text))]


def _row(names: list[str], cells: list[str]) -> Row:
    numbers = {name: number_of(cell) for name, cell in zip(names, cells, strict=False)}
    return {name: value for name, value in numbers.items() if value is not None}


def _measures(names: list[str]) -> bool:
    return bool(set(chosen(names).values()) - {"epoch", "step", "learning_rate"})


def _first_row_is_numbers(text: str) -> bool:
    body = _body(text)
    rows = csv.reader(body[:1], delimiter=_delimiter(text))
    return any(number_of(cell) is not None for row in rows for cell in row)


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _body(text: str) -> list[str]:
    return _lines(text)[1:]


def _delimiter(text: str) -> str:
    first = next(iter(_lines(text)), "")
    return max(_DELIMITERS, key=first.count)


def _heading(text: str) -> list[str]:
    rows = csv.reader(_lines(text)[:1], delimiter=_delimiter(text))
    names = [name.strip() for row in rows for name in row]
    return [] if any(number_of(name) is not None for name in names) else names
