"""Data sets in tables: CSV and Parquet files with one row per example."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from babysit.data.columns import Column, check_finite, encode, from_arrow
from babysit.data.dataset import Dataset, Split, split_rows
from babysit.data.files import read
from babysit.data.preprocessing import Array, Transformer
from babysit.data.targets import as_values, check_task, numbered
from babysit.data.validity import validate
from babysit.errors import DataError

FEW_VALUES = 20  # whole numbers with at most this many distinct values are classes
MISSING = ("error", "mean")


def csv(
    path: str | Path,
    label: str,
    *,
    task: str = "auto",
    ignore: Sequence[str] = (),
    missing: str = "error",
    delimiter: str = ",",
    header: bool = True,
    val: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    preprocess: Sequence[Transformer] = (),
) -> Dataset:
    """Loads a CSV file with one row per example: float64 inputs [N, columns].

    Numbers stay as they are; text becomes one column of 0 and 1 per category of the training split (other
    categories become all zeros). Columns that are constant stay.

    Args:
        path: the file, UTF-8.
        label: the column to predict.
        task: "classification", "regression", or "auto", where text, booleans and whole numbers with at most
            20 distinct values are classes and all else is regression. Default: "auto".
        ignore: columns to leave out, e.g. names and ids.
        missing: "error", or "mean", which replaces a missing number by the training split's mean. Default:
            "error".
        delimiter: between cells.
        header: False if the first line is data; the columns are then called f0, f1, ...
        val, test: counts or fractions, stratified by class. Default: a tenth each.
        seed: of the split.
        preprocess: steps, fitted on the training split only, e.g. ``[Standardize()]``.

    Raises:
        DataError: absent, damaged, no such column, or a cell that cannot be used; the message names the file,
            the column and the row.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        ...     _ = file.write("size,colour,kind\\n" + "1,red,apple\\n2,blue,plum\\n" * 10)
        ...     file.flush()
        ...     data = csv(file.name, "kind")
        >>> data.feature_names, data.classes
        (('size', 'colour=blue', 'colour=red'), ('apple', 'plum'))
    """

    def parse(file: BinaryIO) -> Any:
        from pyarrow import csv as arrow_csv

        # Types are guessed from the first block only, so the whole file is one block.
        size = min(max(os.fstat(file.fileno()).st_size, 2**20), 2**31 - 1)
        reading = arrow_csv.ReadOptions(
            use_threads=False, block_size=size, autogenerate_column_names=not header
        )
        parsing = arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
        table = arrow_csv.read_csv(file, reading, parsing)
        _ = table.column_names  # raises if they are not UTF-8
        return table

    path = Path(path).expanduser()
    table = read(
        path, parse, kind="a CSV file", fix="open it in an editor: every line needs the same cells, in UTF-8"
    )
    return _dataset(table, path, label, task, ignore, missing, (val, test, seed)).preprocessed(preprocess)


def parquet(
    path: str | Path,
    label: str,
    *,
    task: str = "auto",
    ignore: Sequence[str] = (),
    missing: str = "error",
    val: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    preprocess: Sequence[Transformer] = (),
) -> Dataset:
    """Loads a Parquet file with one row per example: float64 inputs [N, columns]; see ``csv``.

    Args:
        path: the file.
        label: the column to predict.
        task: "classification", "regression" or "auto". Default: "auto".
        ignore: columns to leave out.
        missing: "error" or "mean". Default: "error".
        val, test: counts or fractions, stratified by class. Default: a tenth each.
        seed: of the split.
        preprocess: steps, fitted on the training split only.

    Raises:
        DataError: as for ``csv``.

    Example:
        >>> parquet("houses.parquet", "price").task  # doctest: +SKIP
        'regression'
    """

    def parse(file: BinaryIO) -> Any:
        from pyarrow import parquet as arrow_parquet

        table = arrow_parquet.ParquetFile(file).read(use_threads=False)
        table.validate(full=True)  # a damaged file may have offsets that lead out of its texts
        _ = table.column_names
        return table

    path = Path(path).expanduser()
    table = read(path, parse, kind="a Parquet file", fix="write the file again; is it CSV? then use csv()")
    return _dataset(table, path, label, task, ignore, missing, (val, test, seed)).preprocessed(preprocess)


def _dataset(
    table: Any,
    path: Path,
    label: str,
    task: str,
    ignore: Sequence[str],
    missing: str,
    drawn: tuple[float, float, int],
) -> Dataset:
    ignored = [ignore] if isinstance(ignore, str) else list(ignore)
    _check_arguments(table.column_names, path, label, task, ignored, missing)
    if table.num_rows == 0:
        raise DataError(f"{path} has a header but no rows", fix="add data rows")
    y, classes = _targets(from_arrow(table[label], label, str(path)), task)
    val, test, seed = drawn
    parts = split_rows(len(y), val=val, test=test, seed=seed, labels=y if classes else None)
    names = [name for name in table.column_names if name != label and name not in ignored]
    columns = [from_arrow(table[name], name, str(path)) for name in names]
    encoded = [encode(column, parts[0], missing) for column in columns]
    if not encoded:
        raise DataError(f"{path} has no column left to learn from", fix="ignore fewer columns")
    x = np.concatenate([block for block, _ in encoded], axis=1)
    features = tuple(feature for _, block_names in encoded for feature in block_names)
    train, held_out, unseen = (Split(x[rows], y[rows]) if len(rows) else None for rows in parts)
    if train is None or held_out is None:
        raise DataError(f"{path}: val={val} leaves no validation row", fix="use a larger val")
    return validate(Dataset(path.name, train, held_out, unseen, classes, feature_names=features))


def _check_arguments(
    names: list[str], path: Path, label: str, task: str, ignored: list[str], missing: str
) -> None:
    check_task(task)
    if missing not in MISSING:
        raise DataError(f"there is no missing={missing!r}", fix=f"use one of {', '.join(MISSING)}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        fix = "give every column its own name (header=False if the first line is data)"
        raise DataError(f"{path} has several columns called {twice[0]!r}", fix=fix)
    for name in (label, *ignored):
        if name not in names:
            fix = f"its columns are: {', '.join(names)} (header=False if the first line is data)"
            raise DataError(f"{path} has no column {name!r}", fix=fix)


def _targets(column: Column, task: str) -> tuple[Array, tuple[str, ...]]:
    """Returns (labels int64, class names) or (values float32, no names)."""
    if len(column.missing):
        problem = f"{column.where}, row {column.missing[0] + 1} (data rows count from 1) has no label"
        raise DataError(problem, fix="fill it in, or remove the row")
    if not column.is_text:
        check_finite(column)
    if task == "auto" and not column.is_text:
        distinct = np.unique(column.values)
        are_classes = len(distinct) <= FEW_VALUES and bool((distinct == np.trunc(distinct)).all())
    else:
        are_classes = task != "regression"
    return numbered(column.values) if are_classes else (as_values(column.values, column.where), ())
