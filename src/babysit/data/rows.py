"""Rows that stay in their files and are read on demand: for data larger than memory.

A source returns ``Rows`` in place of an array; splitting, folds and preprocessing only ever read some of
them. Memory holds only the number of a row.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from babysit.errors import DataError

Array = NDArray[Any]
"""A NumPy array of any type and shape; the first axis counts the examples."""


class Rows(ABC):
    """Rows [N, ...] with the interface of an array, read on demand.

    Attributes:
        shape: [N, ...]; no row needs to be read for it.
        dtype: of every row.

    Example:
        >>> rows = ChosenRows(np.arange(10)[:, None], np.array([7, 3, 5]))
        >>> rows.shape, rows[1:].tolist(), rows[np.array([2, 0])].tolist()
        ((3, 1), [[3], [5]], [[5], [7]])
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @abstractmethod
    def read(self, numbers: Array) -> Array:
        """Reads the rows of these numbers, in this order; several threads may call it at once.

        Args:
            numbers: int64 [n], each from 0 to N - 1.

        Returns:
            [n, ...] of ``dtype``; the caller owns it.

        Raises:
            DataError: a row cannot be read, or cannot be used; the message names its file and place.
        """

    @property
    def ndim(self) -> int:
        """The number of axes, that of the rows included."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of values in all rows."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Array) -> Array:
        return self.read(numbers_of(rows, len(self)))


Inputs = Array | Rows
"""The inputs of a split: in memory, or read on demand."""


class ChosenRows(Rows):
    """Some rows of others, by number.

    Args:
        base: the rows to choose from.
        numbers: int64 [n]; also the order.
    """

    def __init__(self, base: Inputs, numbers: Array) -> None:
        self._base: Inputs = base._base if isinstance(base, ChosenRows) else base  # no chain of tables
        self._numbers: Array = base._numbers[numbers] if isinstance(base, ChosenRows) else numbers
        self.shape, self.dtype = (len(numbers), *base.shape[1:]), base.dtype

    def read(self, numbers: Array) -> Array:
        """Reads these of the chosen rows; see ``Rows.read``."""
        return self._base[self._numbers[numbers]]


class Joined(Rows):
    """The rows of several parts, one part after the other.

    Args:
        parts: at least one.
        names: of the parts, for messages.

    Raises:
        DataError: the parts' rows differ in shape or type.

    Example:
        >>> both = Joined([np.zeros((2, 1)), np.ones((3, 1))], ["zeros", "ones"])
        >>> len(both), both[np.array([4, 0, 2])].ravel().tolist()
        (5, [1.0, 0.0, 1.0])
    """

    def __init__(self, parts: Sequence[Inputs], names: Sequence[str]) -> None:
        first = parts[0]
        for part, name in zip(parts, names, strict=True):
            if part.shape[1:] != first.shape[1:] or part.dtype != first.dtype:
                these, those = (f"{list(each.shape[1:])} of {each.dtype}" for each in (part, first))
                problem = f"{name} has rows of shape {these}, but {names[0]} has {those}"
                raise DataError(problem, fix="bring all parts to one shape and type")
        self._parts = list(parts)
        self._ends = np.cumsum([len(part) for part in parts])
        self.shape, self.dtype = (int(self._ends[-1]), *first.shape[1:]), first.dtype

    def read(self, numbers: Array) -> Array:
        """Reads these rows from their parts; see ``Rows.read``."""
        found = np.empty((len(numbers), *self.shape[1:]), dtype=self.dtype)
        part_of = np.searchsorted(self._ends, numbers, side="right")
        for number in np.unique(part_of):
            here, part = part_of == number, self._parts[number]
            found[here] = part[numbers[here] - (self._ends[number] - len(part))]
        return found


class Through(Rows):
    """Rows after a function is applied to them.

    Args:
        base: the rows to transform.
        function: rows [n, ...] -> rows [n, ...]; the result of a row depends on that row alone.
    """

    def __init__(self, base: Inputs, function: Callable[[Array], Array]) -> None:
        self._base, self._function = base, function
        first = function(base[:1])
        self.shape, self.dtype = (len(base), *first.shape[1:]), first.dtype

    def read(self, numbers: Array) -> Array:
        """Reads these rows and applies the function; see ``Rows.read``."""
        return self._function(self._base[numbers])


LARGEST = f"a network computes in float32, whose largest number is {np.finfo(np.float32).max:.1e}"


def beyond_float32(values: Array) -> NDArray[np.int64]:
    """Finds the positions [found, axes] of values that are NaN, infinite, or too large for float32.

    Example:
        >>> beyond_float32(np.array([[1.0, np.nan], [1e39, 0.0]])).tolist()
        [[0, 1], [1, 0]]
    """
    return np.argwhere(~(np.abs(values) <= np.finfo(np.float32).max))


def chosen(x: Inputs, numbers: Array) -> Inputs:
    """Selects rows by number: a copy of those of an array; of ``Rows`` only the numbers are kept.

    Example:
        >>> chosen(np.array([5, 6, 7]), np.array([2, 0])).tolist()
        [7, 5]
    """
    return ChosenRows(x, numbers) if isinstance(x, Rows) else x[numbers]


def spread(x: Inputs, most: int) -> Inputs:
    """Selects at most ``most`` rows, evenly spread over all of them.

    Example:
        >>> spread(np.arange(9), 3).tolist()
        [0, 4, 8]
    """
    if len(x) <= most:
        return x
    return chosen(x, np.linspace(0, len(x) - 1, most).round().astype(np.int64))


def numbers_of(rows: slice | Array, total: int) -> Array:
    """Converts a slice or an array of numbers to row numbers [n].

    Example:
        >>> numbers_of(slice(-2, None), 5).tolist()
        [3, 4]
    """
    if isinstance(rows, slice):
        return np.arange(*rows.indices(total))
    return np.asarray(rows, dtype=np.int64)
