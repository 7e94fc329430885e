"""The columns of a table: which hold numbers, which text, and how each becomes inputs for a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from babysit.data.preprocessing import Array
from babysit.errors import DataError

LARGEST_ENCODING = 2**31
"""Most bytes that one column of text may become."""
MANY_CATEGORIES = 50
"""A column with no more texts than this always holds categories."""


@dataclass(frozen=True, eq=False)
class Column:
    """One column of a table.

    Attributes:
        where: names the column and its file in errors.
        name: its header.
        values: float64 [N] with NaN where a cell is missing, or text [N] with "" there.
    """

    where: str
    name: str
    values: Array

    @property
    def is_text(self) -> bool:
        """True for text, False for numbers."""
        return self.values.dtype.kind == "U"

    @property
    def missing(self) -> Array:
        """The numbers of the rows whose cell is missing, from 0."""
        return np.flatnonzero(self.values == "" if self.is_text else np.isnan(self.values))


def from_arrow(column: Any, name: str, file: str) -> Column:
    """Converts a pyarrow column to numbers (integers, floats, decimals, booleans) or text.

    Args:
        column: a ``pyarrow.ChunkedArray``.
        name: its header.
        file: named in errors.

    Raises:
        DataError: its type is neither, e.g. a date or a list.
    """
    import pyarrow as pa

    kind, where = column.type, f"{file}, column {name!r}"
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return Column(where, name, np.array(column.fill_null("").to_pylist(), dtype=np.str_))
    numeric = (
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        pa.types.is_boolean,
        pa.types.is_null,
    )
    if not any(is_kind(kind) for is_kind in numeric):
        problem = f"{where} holds {kind} values, which are neither numbers nor text"
        raise DataError(problem, fix=f"turn it into numbers, or leave it out with ignore=[{name!r}]")
    if pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    return Column(where, name, column.cast(pa.float64(), safe=False).to_numpy())


def encode(column: Column, train_rows: Array, missing: str) -> tuple[Array, list[str]]:
    """Encodes a column as inputs: numbers as they are, text as one column of 0 and 1 per category.

    Categories and means come from the training rows only; a category that they do not hold becomes all zeros.

    Args:
        column: the column.
        train_rows: the numbers of the training rows.
        missing: "error", or "mean" to fill a missing number with the training rows' mean.

    Returns:
        (float64 [N, columns], their names).

    Raises:
        DataError: a missing or infinite number, text in a column of numbers, or as many texts as rows.

    Example:
        >>> colour = Column("cars.csv", "colour", np.array(["red", "blue", "green"]))
        >>> values, names = encode(colour, train_rows=np.array([0, 1]), missing="error")
        >>> values.tolist(), names
        ([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]], ['colour=blue', 'colour=red'])
    """
    if not column.is_text:
        return _numbers(column, train_rows, missing)[:, None], [column.name]
    _check_categories(column)
    categories = np.unique(column.values[train_rows])
    chosen = (column.values[:, None] == categories[None, :]).astype(np.float64)
    return chosen, [f"{column.name}={category}" for category in categories.tolist()]


def check_finite(column: Column) -> None:
    """Raises DataError if a number is infinite, naming column and row."""
    infinite = np.flatnonzero(np.isinf(column.values))
    if len(infinite):
        problem = f"{column.where}, row {infinite[0] + 1} (data rows count from 1) is infinite"
        raise DataError(problem, fix="correct the value, or leave the cell empty")


def _numbers(column: Column, train_rows: Array, missing: str) -> Array:
    check_finite(column)
    gaps = column.missing
    if not len(gaps):
        return column.values
    if missing == "error":
        problem = f"{column.where}, row {gaps[0] + 1} (data rows count from 1) is missing; {len(gaps)} in all"
        fix = (
            f'fill it in, fill all with missing="mean", or leave the column out with ignore=[{column.name!r}]'
        )
        raise DataError(problem, fix=fix)
    known = column.values[train_rows][~np.isnan(column.values[train_rows])]
    if not len(known):
        problem = f"{column.where} has no value in any training row"
        raise DataError(problem, fix=f"leave the column out with ignore=[{column.name!r}]")
    return np.where(np.isnan(column.values), known.mean(), column.values)


def _check_categories(column: Column) -> None:
    texts, first, counts = np.unique(column.values, return_index=True, return_counts=True)
    ignore = f"leave the column out with ignore=[{column.name!r}]"
    number = np.array([_is_number(text) for text in texts.tolist()])
    other = ~number & (texts != "")
    if other.any() and counts[number].sum() > counts[other].sum():
        row = first[other].min()
        problem = f"{column.where}, row {row + 1} (data rows count from 1) is {str(column.values[row])!r}"
        raise DataError(
            f"{problem}, not a number like most of the column", fix=f"correct or empty the cell, or {ignore}"
        )
    size = len(texts) * len(column.values) * 8
    if size > LARGEST_ENCODING:
        problem = f"{column.where} would become {len(texts)} columns of 0 and 1, {size / 2**30:.0f} GiB"
        raise DataError(problem, fix=f"put rare texts together, or {ignore}")
    if len(texts) > max(MANY_CATEGORIES, len(column.values) // 2):
        problem = (
            f"{column.where} holds {len(texts)} different texts in {len(column.values)} rows: no categories"
        )
        raise DataError(problem, fix=ignore)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
