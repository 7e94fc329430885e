"""Keras: "Epoch 1/10", then lines "782/782 - 3s - loss: 0.69 - accuracy: 0.5 - val_loss: ..."."""

from __future__ import annotations

import re

from babysit.readings.logs.numbers import NUMBER, Row

EXAMPLE = (
    "Epoch 1/10\n782/782 - 3s - loss: 0.6912 - accuracy: 0.5210 - val_loss: 0.6881 - val_accuracy: 0.5430"
)

_EPOCH = re.compile(r"^\s*Epoch\s+(\d+)\s*/\s*\d+\s*$", re.IGNORECASE)
_PAIR = re.compile(rf"(?:^|\s)([A-Za-z_]\w*):\s*({NUMBER})", re.IGNORECASE)
_PROGRESS = re.compile(r"(?:^|\s)\d+/\d+\b.*\b\w*loss:", re.IGNORECASE)


def recognizes(text: str) -> float:
    """Rates how certainly a text was printed by Keras, from 0 to 1."""
    epochs = any(_EPOCH.match(line) for line in _lines(text))
    return 0.95 if epochs and _PROGRESS.search(text) else 0.0


def read(text: str) -> list[Row]:
    """Reads the last state of the progress bar of each epoch.

    Example:
        >>> read("Epoch 1/2\\n1/2 - loss: 0.9\\r2/2 - loss: 0.8\\nEpoch 2/2\\n2/2 loss: 0.5 - val_loss: 0.6")
        [{'epoch': 1.0, 'loss': 0.8}, {'epoch': 2.0, 'loss': 0.5, 'val_loss': 0.6}]
    """
    rows: list[Row] = []
    for line in _lines(text):
        if start := _EPOCH.match(line):
            rows.append({"epoch": float(start[1])})
        elif rows and _PROGRESS.search(line):
            rows[-1] |= {name: float(value) for name, value in _PAIR.findall(line)}
    return [row for row in rows if len(row) > 1]


def _lines(text: str) -> list[str]:
    return re.split(r"[\r\n\b]+", text)
