"""Plain lines of names and numbers: "epoch 3 loss 0.5", "Test set: Average loss: 0.05, Accuracy: 98%"."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from babysit.readings.logs.names import kinds_of, quantity, split_of, tokens
from babysit.readings.logs.numbers import NUMBER, Row

EXAMPLE = "epoch 3: train loss 0.52, val loss 0.61, val acc 0.80, lr 1e-3"

_FOUND = re.compile(rf"(?<![\w.@])({NUMBER})(?![A-Za-z_])(\s*%)?(?:\s*/\s*(\d+))?", re.IGNORECASE)
_COUNTERS = ("epoch", "step")
_LONGEST = 200
"""So many characters before a number may name it; what a damaged log puts there may be endless."""


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


_NAME = re.compile(r"([A-Za-z][\w./@]*)\W*$")
_WHOLE = {"total", "avg", "average", "mean", "running", "epoch", "final"}


@dataclass
class _Line:
    """What has been named so far in one line: a split holds until another is named."""

    split: str = ""
    waiting: str = ""
    row: Row = field(default_factory=dict)
    parts: set[str] = field(default_factory=set)

    def take(self, text: str, value: float, words: tuple[str, ...]) -> None:
        """A number, and what stands before it."""
        self.split = split_of(words) or self.split
        kinds = kinds_of(words)
        what = kinds[-1] if kinds else self.waiting if not words else ""
        measured = [kind for kind in kinds if kind not in _COUNTERS]
        self.waiting = measured[0] if measured and what in _COUNTERS else ""
        name = _name(text)
        own = [kind for kind in kinds_of(name) if kind not in _COUNTERS]
        if what in _COUNTERS and own:  # "train_loss_step" is a loss, unlike "loss after step"
            what, self.waiting = own[-1], ""
        if what:
            self._keep(quantity(what, self.split), value, _is_part(name))

    def _keep(self, name: str, value: float, part: bool) -> None:
        """The first of one meaning stays, unless it was a part and this is the whole."""
        if name not in self.row or (name in self.parts and not part):
            self.row[name] = value
            (self.parts.add if part else self.parts.discard)(name)


def _name(text: str) -> tuple[str, ...]:
    """The words of the one name that stands directly before a number."""
    found = _NAME.search(text[-_LONGEST:])
    return tokens(found[1]) if found else ()


def _is_part(name: tuple[str, ...]) -> bool:
    """Whether a name is one of several: "loss_cls" is a part of the loss, "loss_step" not yet its mean."""
    return any(not kinds_of([word]) and not split_of([word]) and word not in _WHOLE for word in name) or (
        len(name) > 1 and name[-1] == "step"
    )


def _row(line: str) -> Row:
    state, end = _Line(), 0
    for found in _FOUND.finditer(line):
        text = line[max(end, found.start() - _LONGEST) : found.start()]
        words = tokens(text)
        state.take(text, _value(found, words), words)
        end = found.end()
    return state.row


def _value(found: re.Match[str], words: tuple[str, ...]) -> float:
    value, percent, total = float(found[1]), found[2], found[3]
    if total and "accuracy" in kinds_of(words) and float(total):
        return value / float(total)
    return value / 100 if percent else value
