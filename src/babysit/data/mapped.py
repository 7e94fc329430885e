"""Data sets in ``.npy`` files that need not fit into memory: mapped, and read row by row."""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from babysit.data.dataset import SPLITS, Dataset, Split, with_drawn
from babysit.data.files import read
from babysit.data.preprocessing import Transformer
from babysit.data.rows import LARGEST, Array, Joined, Rows, beyond_float32
from babysit.data.targets import check_task, converted
from babysit.data.validity import validate
from babysit.errors import DataError

Files = str | Path | Sequence[str | Path]
"""One ``.npy`` file, or several whose rows are concatenated."""

_HINT_FROM = 2  # rows; a hint does not speed up reading a single one


class Mapped(Rows):
    """The rows of one ``.npy`` file, mapped into memory; the system keeps as many of them as it has room for.

    Before rows are copied, the system gets a hint which pages will be needed, so that it fetches them at once
    instead of one after the other: from a disk, rows in random order come about three times as fast. Values
    are checked as they are read. The file must not be shortened while it is in use. A pickle holds only the
    path: loading it opens the file again.

    Args:
        path: the file, saved by ``np.save`` from an array of numbers [N, ...] in C order.

    Raises:
        DataError: absent, damaged, shorter than its header says, or not rows of numbers.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        fix = "save it with np.save(path, x), numbers only"
        self.shape, self._stored, self._start = read(self.path, _header, kind="an .npy file", fix=fix)
        self.dtype = np.dtype(np.uint8) if self._stored.kind == "b" else self._stored.newbyteorder("=")
        with self.path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        flat = np.frombuffer(self._map, self._stored, count=self.size, offset=self._start)
        self._rows = flat.reshape(self.shape)
        self._row_bytes = self._stored.itemsize * self.size // len(self)

    def read(self, numbers: Array) -> Array:
        """Copies the rows of these numbers out of the file; see ``Rows.read``."""
        if len(numbers) >= _HINT_FROM and numbers[-1] - numbers[0] != len(numbers) - 1:
            first = self._start + numbers * self._row_bytes
            last = first + self._row_bytes
            first -= first % mmap.PAGESIZE
            for start, length in zip(first.tolist(), (last - first).tolist(), strict=True):
                self._map.madvise(mmap.MADV_WILLNEED, start, length)

        rows: Array = self._rows[numbers].astype(self.dtype, copy=False)
        if rows.dtype.kind == "f" and len(bad := beyond_float32(rows)):
            row, *position = bad[0].tolist()
            value = rows[(row, *position)]
            problem = f"{self.path} holds {value} in row {numbers[row]} (from 0), position {position}"
            raise DataError(problem, fix=f"correct the value, remove the row, or fill it in; {LARGEST}")
        return rows

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (str(self.path.absolute()), self.shape, self.dtype)


def npy(
    x: Files,
    y: Files,
    x_val: Files | None = None,
    y_val: Files | None = None,
    x_test: Files | None = None,
    y_test: Files | None = None,
    *,
    classes: Sequence[str] = (),
    task: str = "auto",
    val: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    preprocess: Sequence[Transformer] = (),
) -> Dataset:
    """Loads ``.npy`` files that may be larger than memory: inputs are mapped, targets are loaded.

    Threads read inputs batch by batch ahead of the training. Results are the same to the last bit as with the
    same rows in memory, except for preprocessing of more than 50,000 training rows: it is fitted on 50,000 of
    them, evenly spread (``Dataset.preprocessed``).

    Args:
        x: the inputs [N, ...]: a file, or several whose rows are concatenated. uint8 stays uint8.
        y: the targets in any number of files: labels [N] (integers 0..C-1, or texts), or values [N] or
            [N, targets].
        x_val, y_val, x_test, y_test: the same for splits in files of their own. A missing validation split is
            drawn from x; if both are missing, the test split is drawn too.
        classes: the classes' names by label.
        task: "classification", "regression", or "auto", where floats mean regression. Default: "auto".
        val, test: counts or fractions, for splits that are drawn. Default: a tenth each.
        seed: of the split.
        preprocess: steps, fitted on the training split only.

    Raises:
        DataError: a file is absent, damaged or shorter than its header says, or the arrays do not fit.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/x.npy", np.zeros((20, 3), dtype=np.uint8))
        ...     np.save(f"{folder}/y.npy", np.arange(20) % 2)
        ...     data = npy(f"{folder}/x.npy", f"{folder}/y.npy")
        >>> len(data.train), len(data.val), len(data.test)
        (16, 2, 2)
    """
    given = [(x, y), (x_val, y_val), (x_test, y_test)]
    if any((inputs is None) != (targets is None) for inputs, targets in given):
        raise DataError(
            "a split has inputs or targets but not both", fix="give x_val with y_val, x_test with y_test"
        )
    check_task(task)
    name = _paths(x)[0].name
    held = {
        part: (a, b) for part, (a, b) in zip(SPLITS, given, strict=True) if a is not None and b is not None
    }
    inputs: dict[str, Rows] = {}
    for part, (files, _) in held.items():
        mapped = [Mapped(path) for path in _paths(files)]
        names = [str(each.path) for each in mapped]
        inputs[part] = Joined(mapped, names) if len(mapped) > 1 else mapped[0]
    targets = [_loaded(files) for _, files in held.values()]
    for part, rows in zip(held, targets, strict=True):
        if len(inputs[part]) != len(rows):
            problem = f"{name}: the {part} split has {len(inputs[part])} inputs but {len(rows)} targets"
            raise DataError(problem, fix="give one target for every input, in the same order")
    labels, known = converted(targets, task, tuple(classes), name)
    splits = {part: Split(inputs[part], rows) for part, rows in zip(held, labels, strict=True)}
    splits = with_drawn(splits, val=val, test=test, seed=seed)
    dataset = Dataset(name, splits["train"], splits["val"], splits.get("test"), known)
    return validate(dataset).preprocessed(preprocess)


def _again(path: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Mapped:
    """Opens the file of a pickled ``Mapped``, perhaps on another machine."""
    found = Mapped(path)
    if (found.shape, found.dtype) != (shape, dtype):
        problem = f"{path} holds {list(found.shape)} of {found.dtype} here, not {list(shape)} of {dtype}"
        raise DataError(problem, fix="put the same file at the same path on every machine")
    return found


def _header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Reads shape, type and start of the numbers; raises ValueError if they cannot be mapped as rows."""
    shape, by_columns, dtype = _promise(file)
    if dtype.kind not in "buif":
        raise ValueError(f"it holds {dtype}, not numbers")
    if len(shape) < 2 or 0 in shape:
        raise ValueError(f"its shape is {list(shape)}, not [N, ...] with N > 0; reshape a column to [N, 1]")
    if by_columns:
        raise ValueError("it is stored column by column; save np.ascontiguousarray(x)")
    return shape, dtype, file.tell()


def _promise(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Reads a header (shape, whether stored by columns, type), and checks that the file is long enough for
    it.
    """
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"its format is {version[0]}.{version[1]}")
    shape, by_columns, dtype = readers[version](file)
    missing = file.tell() + math.prod(shape) * dtype.itemsize - os.fstat(file.fileno()).st_size
    if min(shape, default=0) < 0 or missing > 0:
        raise ValueError(f"it ends {missing:,} bytes too early for its shape {list(shape)} of {dtype}")
    return shape, by_columns, dtype


def _paths(files: Files) -> list[Path]:
    several = [files] if isinstance(files, str | Path) else list(files)
    if not several:
        raise DataError("an empty list of files was given", fix="name at least one .npy file")
    return [Path(each).expanduser() for each in several]


def _loaded(files: Files) -> Array:
    """Loads the targets into memory."""
    paths = _paths(files)
    fix = "save it with np.save(path, y), numbers or text only"
    parts = [read(path, _array, kind="an .npy file", fix=fix) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if part.shape[1:] != parts[0].shape[1:]:
            problem = f"{path} has targets of shape {list(part.shape)}, {paths[0]} {list(parts[0].shape)}"
            raise DataError(problem, fix="bring all parts to one shape")
    return np.concatenate(parts)


def _array(file: BinaryIO) -> Array:
    if file.read(2) == b"PK":
        raise ValueError("it is an .npz archive; use bs.data.npz")
    file.seek(0)
    shape, _, dtype = _promise(file)
    if not shape or dtype.hasobject:
        raise ValueError(f"it holds {dtype} of shape {list(shape)}")
    file.seek(0)
    held: Array = np.load(file, allow_pickle=False)
    return held
