"""Tables with a heading: CSV and TSV of any origin, and PyTorch Lightning's metrics.csv."""

from __future__ import annotations

import contextlib
import csv

from babysit.readings.logs.names import chosen
from babysit.readings.logs.numbers import Row, number_of

EXAMPLE = "epoch,train_loss,val_loss,val_acc\n1,0.93,0.88,0.61"
LIGHTNING_EXAMPLE = "epoch,step,train_loss,val_acc,val_loss\n0,49,,0.61,0.88\n0,49,0.93,,"

_DELIMITERS = ",\t;|"


def recognizes(text: str) -> float:
    """How sure it is that a text is a table with names that mean something, from 0 to 1."""
    names = heading(text)
    return 0.9 if len(names) > 1 and _measures(names) and _first_row_is_numbers(text) else 0.0


def recognizes_lightning(text: str) -> float:
    """How sure it is that a table is PyTorch Lightning's, which has holes: from 0 to 1."""
    names = heading(text)
    holes = any(",," in line or line.endswith(",") for line in text.splitlines()[1:])
    return 0.92 if recognizes(text) and {"epoch", "step"} <= set(names) and holes else 0.0


def read(text: str) -> list[Row]:
    """One row a line; a cell that is empty or no number is left out.

    Example:
        >>> read("epoch;loss;note\\n1;0.5;ok\\n2;;late")
        [{'epoch': 1.0, 'loss': 0.5}, {'epoch': 2.0}]
    """
    names = heading(text)
    return [_row(names, found) for found in cells(_body(text), delimiter(text))]


def _row(names: list[str], found: list[str]) -> Row:
    numbers = {name: number_of(cell) for name, cell in zip(names, found, strict=False)}
    return {name: value for name, value in numbers.items() if value is not None}


def _measures(names: list[str]) -> bool:
    return bool(set(chosen(names).values()) - {"epoch", "step", "learning_rate"})


def _first_row_is_numbers(text: str) -> bool:
    first = cells(_body(text)[:1], delimiter(text))
    return any(number_of(cell) is not None for row in first for cell in row)


def cells(rows: list[str], delimiter: str) -> list[list[str]]:
    """The cells of each row; a row that cannot be read is left out."""
    found: list[list[str]] = []
    for row in rows:
        # One by one, so that a quotation mark that nobody closes spoils its own row alone.
        with contextlib.suppress(csv.Error):
            found += csv.reader([row], delimiter=delimiter)
    return found


def lines(text: str) -> list[str]:
    """The lines that hold something, without remarks."""
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _body(text: str) -> list[str]:
    return lines(text)[1:]


def delimiter(text: str) -> str:
    """What parts the columns: the likeliest of them in the first line."""
    first = next(iter(lines(text)), "")
    return max(_DELIMITERS, key=first.count)


def heading(text: str) -> list[str]:
    """The names of the columns; none where the first line holds numbers."""
    names = [name.strip() for row in cells(lines(text)[:1], delimiter(text)) for name in row]
    return [] if any(number_of(name) is not None for name in names) else names
