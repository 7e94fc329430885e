"""Stale checkpoints: those of interrupted trainings that were not resumed for long, and their removal."""

from __future__ import annotations

import time
from pathlib import Path

KEEP_DAYS = 30.0
"""How long the checkpoint of an interrupted training is kept, in days."""

_HALF_WRITTEN_DAYS = 1 / 24
"""A file that is unfinished an hour after its start never will be finished."""


def prune_checkpoints(folder: Path, days: float = KEEP_DAYS) -> list[Path]:
    """Deletes checkpoints that were not resumed for long, and files that a killed process left half written.

    A training deletes its checkpoint as it ends, so a checkpoint in the folder belongs to one that was
    interrupted. Models are no checkpoints and stay.

    Args:
        folder: the folder with the files of trainings.
        days: the age at which a checkpoint is deleted. Default: 30.

    Returns:
        The deleted files, in the order of names.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "digits-0-d2a1f0.checkpoint.safetensors").write_bytes(b"")
        ...     prune_checkpoints(Path(folder)), len(prune_checkpoints(Path(folder), days=0))
        ([], 1)
    """
    now, found = time.time(), []
    for pattern, oldest in (("*.checkpoint.safetensors", days), ("*.safetensors.part", _HALF_WRITTEN_DAYS)):
        # A clock that was set back makes a file younger, never older.
        found += [
            path for path in folder.glob(pattern) if max(0.0, now - path.stat().st_mtime) >= 86_400 * oldest
        ]
    for path in found:
        path.unlink(missing_ok=True)
    return sorted(set(found))
