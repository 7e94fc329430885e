"""Rows that stay where they are and are read when somebody asks for them: for data larger than memory.

A source hands out ``Rows`` in the place of an array; splitting, folds and preprocessing only ever ask for
some of them. What is kept of a row is its number.
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
    """Rows [N, ...] with the face of an array, read when they are asked for.

    Attributes:
        shape: [N, ...]; no row needs to be read for it.
        dtype: of every row.

    Example:
        >>> rows = Chosen(np.arange(10)[:, None], np.array([7, 3, 5]))
        >>> rows.shape, rows[1:].tolist(), rows[np.array([2, 0])].tolist()
        ((3, 1), [[3], [5]], [[5], [7]])
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @abstractmethod
    def read(self, numbers: Array) -> Array:
        """The rows of these numbers, in the order asked; it may be called from several threads at once.

        Args:
            numbers: int64 [n], each from 0 to N - 1.

        Returns:
            [n, ...] of ``dtype``, the caller's own.

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
"""The inputs of a split: in memory, or read when asked for."""


class Chosen(Rows):
    """Some rows of others, by number.

    Args:
        base: where they are read.
        numbers: int64 [n]; also the order.
    """

    def __init__(self, base: Inputs, numbers: Array) -> None:
        self._base: Inputs = base._base if isinstance(base, Chosen) else base  # no chain of tables
        self._numbers: Array = base._numbers[numbers] if isinstance(base, Chosen) else numbers
        self.shape, self.dtype = (len(numbers), *base.shape[1:]), base.dtype

    def read(self, numbers: Array) -> Array:
        """See ``Rows.read``."""
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
        """See ``Rows.read``."""
        found = np.empty((len(numbers), *self.shape[1:]), dtype=self.dtype)
        part_of = np.searchsorted(self._ends, numbers, side="right")
        for number in np.unique(part_of):
            here, part = part_of == number, self._parts[number]
            found[here] = part[numbers[here] - (self._ends[number] - len(part))]
        return found


class Through(Rows):
    """Rows as they come out of a function.

    Args:
        base: where they are read.
        function: rows [n, ...] -> rows [n, ...]; one row's outcome depends on that row alone.
    """

    def __init__(self, base: Inputs, function: Callable[[Array], Array]) -> None:
        self._base, self._function = base, function
        first = function(base[:1])
        self.shape, self.dtype = (len(base), *first.shape[1:]), first.dtype

    def read(self, numbers: Array) -> Array:
        """See ``Rows.read``."""
        return self._function(self._base[numbers])


LARGEST = f"a network computes in float32, whose largest number is {np.finfo(np.float32).max:.1e}"


def beyond_float32(values: Array) -> NDArray[np.int64]:
    """The places [found, axes] of values that are NaN, infinite, or larger than float32 can hold.

    Example:
        >>> beyond_float32(np.array([[1.0, np.nan], [1e39, 0.0]])).tolist()
        [[0, 1], [1, 0]]
    """
    return np.argwhere(~(np.abs(values) <= np.finfo(np.float32).max))


def chosen(x: Inputs, numbers: Array) -> Inputs:
    """Some rows: a copy of those of an array; of ``Rows`` only their numbers.

    Example:
        >>> chosen(np.array([5, 6, 7]), np.array([2, 0])).tolist()
        [7, 5]
    """
    return Chosen(x, numbers) if isinstance(x, Rows) else x[numbers]


def spread(x: Inputs, most: int) -> Inputs:
    """At most so many rows, evenly spread over all of them; all where there are no more.

    Example:
        >>> spread(np.arange(9), 3).tolist()
        [0, 4, 8]
    """
    if len(x) <= most:
        return x
    return chosen(x, np.linspace(0, len(x) - 1, most).round().astype(np.int64))


def numbers_of(rows: slice | Array, total: int) -> Array:
    """The row numbers [n] that a slice or an array of numbers stands for.

    Example:
        >>> numbers_of(slice(-2, None), 5).tolist()
        [3, 4]
    """
    if isinstance(rows, slice):
        return np.arange(*rows.indices(total))
    return np.asarray(rows, dtype=np.int64)
