"""TensorBoard's event files, read with TensorBoard's own reader where the extra is installed."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

from babysit.errors import InputError
from babysit.readings.logs.numbers import Row

EXAMPLE = "a file named events.out.tfevents.*, or the folder of one"


def is_event_file(path: Path) -> bool:
    """True for an event file by its name, and for a folder that holds one."""
    return "tfevents" in path.name or (path.is_dir() and any(path.glob("*tfevents*")))


def read(path: Path) -> list[Row]:
    """One row a step, with every scalar that was written.

    Raises:
        InputError: without TensorBoard, or for a file that is not there.
    """
    if not path.exists():
        raise InputError(f"there is no {path}", fix=f"give {EXAMPLE}")
    accumulator = _accumulator(path)
    rows: dict[int, Row] = {}
    for tag in (*accumulator.Tags()["scalars"], *accumulator.Tags()["tensors"]):
        for step, value in _series(accumulator, tag):
            rows.setdefault(step, {"step": float(step)})[tag] = value
    return [rows[step] for step in sorted(rows)]


def _accumulator(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the packages that TensorBoard brings along
            module = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    except ImportError:
        raise InputError(
            f"{path} is a TensorBoard event file, and TensorBoard is not installed",
            fix="pip install 'babysit[tensorboard]', or give a log in text",
        ) from None
    accumulator = module.EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


def _series(accumulator: Any, tag: str) -> list[tuple[int, float]]:
    if tag in accumulator.Tags()["scalars"]:
        return [(event.step, event.value) for event in accumulator.Scalars(tag)]
    arrays = importlib.import_module("tensorboard.util.tensor_util").make_ndarray
    found = [(event.step, arrays(event.tensor_proto)) for event in accumulator.Tensors(tag)]
    return [(step, float(value)) for step, value in found if value.shape == () and value.dtype.kind == "f"]
