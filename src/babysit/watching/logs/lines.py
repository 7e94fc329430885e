"""Plain lines of names and numbers: "epoch 3 loss 0.5", "Test set: Average loss: 0.05, Accuracy: 98%"."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from babysit.watching.logs.names import kinds_of, quantity, split_of, tokens
from babysit.watching.logs.numbers import NUMBER, Row

EXAMPLE = "epoch 3: train loss 0.52, val loss 0.61, val acc 0.80, lr 1e-3"

_FOUND = re.compile(rf"(?<![\w.@])({NUMBER})(?![A-Za-z_])(\s*%)?(?:\s*/\s*(\d+))?", re.IGNORECASE)
_COUNTERS = ("epoch", "step")


def recognizes(text: str) -> float:
    """How sure it is that lines name quantities, from 0 to 1: any other way of printing goes before."""
    return 0.5 if any(set(row) - {*_COUNTERS, "learning_rate"} for row in read(text)) else 0.0


def read(text: str) -> list[Row]:
    """One row a line that names a quantity; a line that only counts epochs counts for those below it.

    Example:
        >>> read("Epoch 2/9\\n  train loss 0.5 acc 81% | val loss 0.6 acc 0.7")[0]["val_accuracy"]
        0.7
        >>> read("Cost after iteration 100: 0.693147")
        [{'step': 100.0, 'cost': 0.693147}]
    """
    rows: list[Row] = []
    heading: Row = {}
    for line in re.split(r"[\r\n]+", text):
        row = _row(line)
        if row.keys() <= set(_COUNTERS):
            heading |= row
        else:
            rows.append({**{name: heading[name] for name in ("epoch",) if name in heading}, **row})
    return rows


@dataclass
class _Line:
    """What has been named so far in one line: a split holds until another is named."""

    split: str = ""
    waiting: str = ""
    row: Row = field(default_factory=dict)

    def take(self, words: tuple[str, ...], value: float) -> None:
        self.split = split_of(words) or self.split
        kinds = kinds_of(words)
        what = kinds[-1] if kinds else self.waiting if not words else ""
        measured = [kind for kind in kinds if kind not in _COUNTERS]
        self.waiting = measured[0] if measured and what in _COUNTERS else ""
        if what:
            self.row.setdefault(quantity(what, self.split), value)


def _row(line: str) -> Row:
    state, end = _Line(), 0
    for found in _FOUND.finditer(line):
        words = tokens(line[end : found.start()])
        state.take(words, _value(found, words))
        end = found.end()
    return state.row


def _value(found: re.Match[str], words: tuple[str, ...]) -> float:
    value, percent, total = float(found[1]), found[2], found[3]
    if total and "accuracy" in kinds_of(words) and float(total):
        return value / float(total)
    return value / 100 if percent else value
