"""Detector of validation examples among the training examples: a leak, or rows that repeat by nature."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import torch
from torch import Tensor

from babysit.checks.measured import Measured
from babysit.checks.needs import VALIDATION
from babysit.checks.program import Batch
from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.data import VALIDATION_IN_TRAINING
from babysit.verdicts import Severity

SUBSTANTIAL = 0.05
"""Share of the validation examples from which severity is a warning: CIFAR-100 and CIFAR-10 have 10% and 3.3%
of near duplicates (Barz and Denzler 2020), and far fewer exact ones."""

LEAST = 0.01
"""Share below which nothing is reported: tables have a few equal rows by accident."""

_ROOM = 20  # possible rows for each row that was read, below which equal rows are to be expected
_FEW = 3  # equal rows below which nothing is reported: the ends of two grids coincide


@detects(VALIDATION_IN_TRAINING, needs=(VALIDATION,))
def validation_in_training(measured: Measured) -> Detection | None:
    """Finds 5% of the validation examples among the training examples read, where the data does not repeat
    by nature; severity info from 1%.
    """
    if not measured.program.val_batches:
        return None
    train, val = (_rows(some) for some in (measured.program.all_batches, measured.program.val_batches))
    targets = dict(train)
    shared = [(row, target) for row, target in val if row in targets]
    share = len(shared) / max(len(val), 1)
    if len(shared) < _FEW or share <= LEAST:
        return None
    same = sum(targets[row] == target for row, target in shared) / len(shared)
    return Detection(
        where="inputs",
        message=f"{len(shared)} of {len(val)} validation examples are among the training examples",
        evidence=evidence(
            "share of validation examples", share, "0", f"{same:.0%} of them with the same target"
        ),
        severity=None if share >= SUBSTANTIAL and _is_leak(measured, train, share, same) else Severity.INFO,
    )


def _is_leak(measured: Measured, train: list[tuple[bytes, bytes]], share: float, same: float) -> bool:
    """Tells a leak from data that repeats by nature: few possible rows, or a grid with new targets."""
    if measured.kind == "regression" and same < 0.5:
        return False
    if _is_continuous(measured):
        return True
    if _has_few_possible_rows(measured):
        return False
    # Data that repeats within the training split repeats across splits as often.
    counts = Counter(row for row, _ in train)
    repeated = sum(count for count in counts.values() if count > 1) / max(len(train), 1)
    return share > 2 * repeated


def _is_continuous(measured: Measured) -> bool:
    """Tells whether some feature has at least half as many values as there are different examples."""
    table = _table(measured)
    if table is None or not table.is_floating_point() or bool((table == table.round()).all()):
        return False
    rows = len(torch.unique(table, dim=0))
    return any(len(torch.unique(column)) > 0.5 * rows for column in table.T[:64])


def _has_few_possible_rows(measured: Measured) -> bool:
    """Tells whether the values of the features allow so few different rows that equal ones are expected."""
    table = _table(measured)
    if table is None:
        return False
    possible, limit = (
        0.0,
        math.log(_ROOM * max(sum(len(x) for x, _ in _by_row(measured.program.all_batches)), 1)),
    )
    for column in table.T:
        possible += math.log(len(torch.unique(column)))
        if possible > limit:
            return False
    return True


def _table(measured: Measured) -> Tensor | None:
    """Returns some of the training examples as rows of numbers."""
    tensors = [x for x, _ in _by_row(measured.program.all_batches)]
    if not tensors or len({x.shape[1:] for x in tensors}) > 1:
        return None
    return torch.cat(tensors[:8]).flatten(1)[:512]


def _by_row(batches: tuple[Batch, ...]) -> list[tuple[Tensor, Any]]:
    return [(x, y) for x, y in batches if isinstance(x, Tensor) and x.dim() > 1]


def _rows(batches: tuple[Batch, ...]) -> list[tuple[bytes, bytes]]:
    """Returns each example's inputs and target as bytes, for comparison."""
    found: list[tuple[bytes, bytes]] = []
    for x, y in _by_row(batches):
        inputs = _bytes(x)
        matched = isinstance(y, Tensor) and y.dim() > 0 and len(y) == len(x)
        found += zip(inputs, _bytes(y) if matched else [b""] * len(inputs), strict=True)
    return found


def _bytes(values: Tensor) -> list[bytes]:
    array = values.detach().cpu().contiguous()
    array = array.float() if array.dtype == torch.bfloat16 else array  # numpy knows no bfloat16
    return [row.tobytes() for row in array.numpy()]
