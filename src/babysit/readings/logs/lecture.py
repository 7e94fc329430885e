"""The lecture's own lines: "Finished epoch 1 / 10: cost 2.302576, train: 0.080000, val 0.103000, lr 1e-6"."""

from __future__ import annotations

import re
from itertools import pairwise

from babysit.readings.logs.numbers import NUMBER, Row

EXAMPLE = "Finished epoch 1 / 10: cost 2.302576, train: 0.080000, val 0.103000, lr 1.000000e-06"

# Scanned copies have "le-06" for "1e-06", lose "/" and have other blanks.
_VALUE = rf"({NUMBER}|l\.?\d*e-\d+)"
_START = re.compile(r"Finished\s+epoch\s+(\d+)\s*/?\s*(\d+)?\s*[:;]", re.IGNORECASE)
_PARTS = {
    "cost": re.compile(rf"\bcost\s*[:;]?\s*{_VALUE}", re.IGNORECASE),
    "train_accuracy": re.compile(rf"\btrain\s*[:;]?\s*{_VALUE}", re.IGNORECASE),
    "val_accuracy": re.compile(rf"\bval\s*[:;]?\s*{_VALUE}", re.IGNORECASE),
    "val_loss": re.compile(rf"\bval\s+loss\s*[:;]?\s*{_VALUE}", re.IGNORECASE),
    "learning_rate": re.compile(rf"\blr\s*[:;]?\s*{_VALUE}", re.IGNORECASE),
}


def recognizes(text: str) -> float:
    """Rates how certainly a text holds such lines, from 0 to 1."""
    return 1.0 if any(_PARTS["cost"].search(line) for line in _entries(text)) else 0.0


def read(text: str) -> list[Row]:
    """Reads one row per epoch, and skips all other lines.

    Example:
        >>> read("Finished epoch 2 / 10: cost 2.302582, train: 0.121000, val 0.124000, lr le-06")[0]["cost"]
        2.302582
    """
    rows: list[Row] = []
    for entry in _entries(text):
        start = _START.match(entry)
        assert start is not None  # every entry begins where the pattern was found
        line = entry.split("\n\n")[0]
        found = {name: part.search(line) for name, part in _PARTS.items()}
        values = {name: float(match[1].replace("l", "1")) for name, match in found.items() if match}
        rows.append({"epoch": float(start[1]), **values})
    return rows


def _entries(text: str) -> list[str]:
    bounds = [*(found.start() for found in _START.finditer(text)), len(text)]
    return [text[start:end] for start, end in pairwise(bounds)]
