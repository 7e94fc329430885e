"""The trials of a study as a file: CSV, Parquet or JSON, one row a trial."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from babysit.errors import InputError
from babysit.views.data.study import StudyView
from babysit.views.data.trial_rows import trial_rows

SUFFIXES = (".csv", ".parquet", ".json")


def write_trials(view: StudyView, path: Path) -> int:
    """Writes every trial of a study.

    Args:
        view: the study.
        path: the file; its ending says the form. In JSON every trial also has its readings.

    Returns:
        How many were written.

    Raises:
        InputError: another ending, or a file that cannot be written.
    """
    rows = trial_rows(view.results, view.stages)
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"{path} is no form that trials can be written in",
            fix=f"end it in {', '.join(SUFFIXES)}, or give optuna:sqlite:///FILE.db",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json":
            text = json.dumps(_with_readings(view, rows), indent=1, allow_nan=False)
            path.write_text(text + "\n", encoding="utf-8")
        else:
            _write_table(rows, path)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}", fix="choose a folder you can write in"
        ) from error
    return len(rows)


def _with_readings(view: StudyView, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    names = ("epoch", "step", "cost", "train_accuracy", "val_accuracy", "val_loss", "learning_rate")
    return [
        {
            **row,
            "readings": [
                {name: _number(getattr(reading, name)) for name in names} for reading in result.run.readings
            ],
        }
        for row, result in zip(rows, view.results, strict=True)
    ]


def _number(value: float) -> float | None:
    return value if value - value == 0 else None


def _write_table(rows: Sequence[dict[str, Any]], path: Path) -> None:
    pyarrow = importlib.import_module("pyarrow")
    names = list(rows[0]) if rows else []
    table = pyarrow.table({name: _column([row[name] for row in rows]) for name in names})
    if path.suffix == ".csv":
        importlib.import_module("pyarrow.csv").write_csv(table, path)
    else:
        importlib.import_module("pyarrow.parquet").write_table(table, path)


def _column(values: Sequence[Any]) -> list[Any]:
    """Values of one type: whole numbers beside others become floats, anything beside text becomes text."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) < 2:
        return list(values)
    kind = float if kinds == {int, float} else str
    return [None if value is None else kind(value) for value in values]
