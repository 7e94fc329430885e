"""Plain lines of names and numbers: "epoch 3 loss 0.5", "Test set: Average loss: 0.05, Accuracy: 98%"."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from babysit.readings.logs.numbers import NUMBER, Row
from babysit.readings.logs.quantities import kinds_of, quantity, split_of, tokens

EXAMPLE = "epoch 3: train loss 0.52, val loss 0.61, val acc 0.80, lr 1e-3"

_FOUND = re.compile(rf"(?<![\w.@])({NUMBER})(?![A-Za-z_])(\s*%)?(?:\s*/\s*(\d+))?", re.IGNORECASE)
_COUNTERS = ("epoch", "step")
_LONGEST = 200
"""The most characters before a number that may name it; in a damaged log they may be endless."""
_NAME = re.compile(r"([A-Za-z][\w./@]*)\W*$")
_WHOLE = {"total", "avg", "average", "mean", "running", "epoch", "final"}


def recognizes(text: str) -> float:
    """Rates how certainly lines name quantities, from 0 to 1; every other format has precedence."""
    return 0.5 if any(set(row) - {*_COUNTERS, "learning_rate"} for row in read(text)) else 0.0


def read(text: str) -> list[Row]:
    """Reads one row per line that names a quantity; a line with an epoch alone counts for those below it.

    Example:
        >>> read("Epoch 2/9\\n  train loss 0.5 acc 81% | val loss 0.6 acc 0.7")[0]["val_accuracy"]
        0.7
        >>> read("Cost after iteration 100: 0.693147")
        [{'step': 100.0, 'cost': 0.693147}]
    """
    rows: list[Row] = []
    heading: Row = {}
    for line in re.split(r"[\r\n]+", text):
        state, end = _Line(), 0
        for found in _FOUND.finditer(line):
            text_before = line[max(end, found.start() - _LONGEST) : found.start()]
            state.take(text_before, found)
            end = found.end()
        row = state.row
        if row.keys() <= set(_COUNTERS):
            heading |= row
        else:
            rows.append({**{name: heading[name] for name in ("epoch",) if name in heading}, **row})
    return rows


@dataclass
class _Line:
    """The quantities of one line so far; a split holds until another one is named."""

    split: str = ""
    waiting: str = ""
    row: Row = field(default_factory=dict)
    parts: set[str] = field(default_factory=set)

    def take(self, text: str, found: re.Match[str]) -> None:
        """Adds a number by the text before it."""
        words = tokens(text)
        self.split = split_of(words) or self.split
        kinds = kinds_of(words)
        what = kinds[-1] if kinds else self.waiting if not words else ""
        measured = [kind for kind in kinds if kind not in _COUNTERS]
        self.waiting = measured[0] if measured and what in _COUNTERS else ""

        named = _NAME.search(text[-_LONGEST:])  # the one name directly before the number
        name = tokens(named[1]) if named else ()
        own = [kind for kind in kinds_of(name) if kind not in _COUNTERS]
        if what in _COUNTERS and own:  # "train_loss_step" is a loss, unlike "loss after step"
            what, self.waiting = own[-1], ""
        if not what:
            return

        # "loss_cls" is a part of the loss, and "loss_step" is not yet its mean.
        part = any(not kinds_of([word]) and not split_of([word]) and word not in _WHOLE for word in name)
        part = part or (len(name) > 1 and name[-1] == "step")
        # Of several values the first is kept, except that the whole replaces a part.
        key = quantity(what, self.split)
        if key not in self.row or (key in self.parts and not part):
            self.row[key] = _value(found, words)
            (self.parts.add if part else self.parts.discard)(key)


def _value(found: re.Match[str], words: tuple[str, ...]) -> float:
    value, percent, total = float(found[1]), found[2], found[3]
    if total and "accuracy" in kinds_of(words) and float(total):
        return value / float(total)
    return value / 100 if percent else value
