"""Checkpoints that nobody will resume: which they are, and their removal."""

from __future__ import annotations

import time
from pathlib import Path

KEEP_DAYS = 30.0
"""How long the checkpoint of an interrupted training is kept, in days."""

_SECONDS_A_DAY = 86_400
_HALF_WRITTEN_DAYS = 1 / 24
"""A file that was begun an hour ago and is not done never will be."""


def prune_checkpoints(folder: Path, days: float = KEEP_DAYS) -> list[Path]:
    """Deletes checkpoints that nobody has resumed for long, and what a killed process left half written.

    A training deletes its checkpoint as it ends, so what lies there belongs to one that was interrupted.
    Models are no checkpoints and stay.

    Args:
        folder: where trainings put their files.
        days: the age at which a checkpoint goes, default 30.

    Returns:
        What was deleted, in the order of names.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "digits-0-d2a1f0.checkpoint.safetensors").write_bytes(b"")
        ...     prune_checkpoints(Path(folder)), len(prune_checkpoints(Path(folder), days=0))
        ([], 1)
    """
    old = [path for path in folder.glob("*.checkpoint.safetensors") if _days(path) >= days]
    half = [path for path in folder.glob("*.safetensors.part") if _days(path) >= _HALF_WRITTEN_DAYS]
    for path in (*old, *half):
        path.unlink(missing_ok=True)
    return sorted({*old, *half})


def _days(path: Path) -> float:
    """How old a file is; a clock that was set back makes it younger, never older."""
    return max(0.0, time.time() - path.stat().st_mtime) / _SECONDS_A_DAY
