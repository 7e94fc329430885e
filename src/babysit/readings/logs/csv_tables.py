"""The reader of CSV and TSV logs: tables with a heading, among them PyTorch Lightning's metrics.csv."""

from __future__ import annotations

import contextlib
import csv

from babysit.readings.logs.numbers import Row, number_of
from babysit.readings.logs.quantities import chosen

EXAMPLE = "epoch,train_loss,val_loss,val_acc\n1,0.93,0.88,0.61"
LIGHTNING_EXAMPLE = "epoch,step,train_loss,val_acc,val_loss\n0,49,,0.61,0.88\n0,49,0.93,,"

_DELIMITERS = ",\t;|"


def recognizes(text: str) -> float:
    """Rates how certainly a text is a table whose names have a meaning, from 0 to 1."""
    names = heading(text)
    measures = set(chosen(names).values()) - {"epoch", "step", "learning_rate"}
    if len(names) < 2 or not measures:
        return 0.0
    first_row = cells(lines(text)[1:2], delimiter(text))
    return 0.9 if any(number_of(cell) is not None for row in first_row for cell in row) else 0.0


def recognizes_lightning(text: str) -> float:
    """Rates how certainly a table is PyTorch Lightning's, which has empty cells, from 0 to 1."""
    names = heading(text)
    holes = any(",," in line or line.endswith(",") for line in text.splitlines()[1:])
    return 0.92 if recognizes(text) and {"epoch", "step"} <= set(names) and holes else 0.0


def read(text: str) -> list[Row]:
    """Reads one row per line; cells without a number are left out.

    Example:
        >>> read("epoch;loss;note\\n1;0.5;ok\\n2;;late")
        [{'epoch': 1.0, 'loss': 0.5}, {'epoch': 2.0}]
    """
    names = heading(text)
    rows: list[Row] = []
    for found in cells(lines(text)[1:], delimiter(text)):
        numbers = {name: number_of(cell) for name, cell in zip(names, found, strict=False)}
        rows.append({name: value for name, value in numbers.items() if value is not None})
    return rows


def cells(rows: list[str], delimiter: str) -> list[list[str]]:
    """Splits rows into cells; a row that cannot be read is left out."""
    found: list[list[str]] = []
    for row in rows:
        # One by one, so that a quotation mark without its partner spoils its own row alone.
        with contextlib.suppress(csv.Error):
            found += csv.reader([row], delimiter=delimiter)
    return found


def lines(text: str) -> list[str]:
    """Lists the lines that are neither empty nor comments."""
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def delimiter(text: str) -> str:
    """Returns the most frequent delimiter of the first line."""
    first = next(iter(lines(text)), "")
    return max(_DELIMITERS, key=first.count)


def heading(text: str) -> list[str]:
    """Returns the names of the columns; none where the first line holds numbers."""
    names = [name.strip() for row in cells(lines(text)[:1], delimiter(text)) for name in row]
    return [] if any(number_of(name) is not None for name in names) else names
