"""Writes the trials of a study as CSV, Parquet or JSON, one row a trial."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from babysit.errors import InputError
from babysit.records import Reading
from babysit.views.data.study import StudyView
from babysit.views.data.trial_rows import finite, trial_rows

SUFFIXES = (".csv", ".parquet", ".json")


def write_trials(view: StudyView, path: Path) -> int:
    """Writes every trial of a study.

    Args:
        view: the study.
        path: the file; its suffix names the form. In JSON every trial also has its readings.

    Returns:
        The number of trials.

    Raises:
        InputError: another suffix, or a file that cannot be written.
    """
    rows = trial_rows(view.results, view.stages)
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"trials cannot be written as {path.suffix or 'a file without a suffix'}: {path}",
            fix=f"end it in {', '.join(SUFFIXES)}, or give optuna:sqlite:///FILE.db",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json":
            data = [
                {**row, "readings": [_reading_data(reading) for reading in result.run.readings]}
                for row, result in zip(rows, view.results, strict=True)
            ]
            text = json.dumps(data, indent=1, allow_nan=False)
            path.write_text(text + "\n", encoding="utf-8")
        else:
            _write_table(rows, path)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}", fix="choose a folder you can write in"
        ) from error
    return len(rows)


def _reading_data(reading: Reading) -> dict[str, float | None]:
    names = ("epoch", "step", "cost", "train_accuracy", "val_accuracy", "val_loss", "learning_rate")
    return {name: finite(getattr(reading, name)) for name in names}


def _write_table(rows: Sequence[dict[str, Any]], path: Path) -> None:
    pyarrow = importlib.import_module("pyarrow")
    names = list(rows[0]) if rows else []
    table = pyarrow.table({name: _column([row[name] for row in rows]) for name in names})
    if path.suffix == ".csv":
        importlib.import_module("pyarrow.csv").write_csv(table, path)
    else:
        importlib.import_module("pyarrow.parquet").write_table(table, path)


def _column(values: Sequence[Any]) -> list[Any]:
    """Converts values to one type: whole numbers beside others to floats, anything beside text to text."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) < 2:
        return list(values)
    kind = float if kinds == {int, float} else str
    return [None if value is None else kind(value) for value in values]
