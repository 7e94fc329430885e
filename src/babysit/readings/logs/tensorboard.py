"""TensorBoard's event files, read with TensorBoard's own reader where the extra is installed."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path

from babysit.errors import InputError
from babysit.readings.logs.numbers import Row

EXAMPLE = "a file named events.out.tfevents.*, or the folder of one"


def is_event_file(path: Path) -> bool:
    """Tells whether a path is an event file by its name, or a folder that holds one."""
    return "tfevents" in path.name or (path.is_dir() and any(path.glob("*tfevents*")))


def read(path: Path) -> list[Row]:
    """Reads one row per step, with every scalar that was written.

    Raises:
        InputError: without TensorBoard, or for a file that is not there.
    """
    if not path.exists():
        raise InputError(f"there is no {path}", fix=f"give {EXAMPLE}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the packages that TensorBoard imports
            module = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    except ImportError:
        raise InputError(
            f"{path} is a TensorBoard event file, and TensorBoard is not installed",
            fix="pip install 'babysit[tensorboard]', or give a log in text",
        ) from None
    accumulator = module.EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()

    rows: dict[int, Row] = {}
    for tag in accumulator.Tags()["scalars"]:
        for event in accumulator.Scalars(tag):
            rows.setdefault(event.step, {"step": float(event.step)})[tag] = event.value
    tags = [tag for tag in accumulator.Tags()["tensors"] if tag not in accumulator.Tags()["scalars"]]
    for tag in tags:
        arrays = importlib.import_module("tensorboard.util.tensor_util").make_ndarray
        for event in accumulator.Tensors(tag):
            value = arrays(event.tensor_proto)
            if value.shape == () and value.dtype.kind == "f":
                rows.setdefault(event.step, {"step": float(event.step)})[tag] = float(value)
    return [rows[step] for step in sorted(rows)]
