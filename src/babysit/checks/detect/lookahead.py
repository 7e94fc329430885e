"""Detector of a sequence model that can see its own targets (missing causal mask)."""

from __future__ import annotations

import torch
from torch import Tensor

from babysit.checks.measured import Measured, first_tensor
from babysit.checks.needs import RUNS
from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.wiring import MISSING_CAUSAL_MASK

ROUNDING = 0.01
"""Share of the outputs' spread by which a later input may move an output: sums round differently."""


@detects(MISSING_CAUSAL_MASK, needs=(RUNS,))
def missing_causal_mask(measured: Measured) -> Detection | None:
    """Finds targets that are the next inputs, and earlier outputs that move with the last input alone."""
    x, y = measured.x, measured.y
    if not isinstance(x, Tensor) or not isinstance(y, Tensor) or not _is_next_input(x, y):
        return None
    other = x.clone()
    other[:, -1] = x.roll(1, 0)[:, -1]
    with measured.program.fresh(dropout=False) as (model, _), torch.no_grad():
        model.eval()
        before, after, again = (_by_position(first_tensor(model(given)), x) for given in (x, other, x))
    if before is None or after is None or again is None or not torch.equal(before, again):
        return None
    change = float((before - after)[:, :-1].abs().max() / before.std().clamp(min=1e-12))
    if not change > ROUNDING:
        return None
    return Detection(
        where="model",
        message="each target is the next input, and the model sees it: earlier outputs change with "
        "the last input",
        evidence=evidence("change over spread", change, "0", "the last input of each sequence was exchanged"),
    )


def _is_next_input(x: Tensor, y: Tensor) -> bool:
    """Tells whether each target is the next input."""
    if x.dim() < 2 or x.shape != y.shape or x.shape[1] < 3 or len(x) < 2:
        return False
    return bool((y[:, :-1] == x[:, 1:]).all()) and not bool((x[:, 1:] == x[:, :-1]).all())


def _by_position(outputs: Tensor | None, x: Tensor) -> Tensor | None:
    """Returns outputs as (examples, positions, numbers); None where the axes are ambiguous."""
    count, length = x.shape[:2]
    if outputs is None or outputs.dim() < 2:
        return None
    if outputs.dim() == 2 and len(outputs) == count * length:
        return outputs.reshape(count, length, -1)
    if outputs.dim() != 3 or len(outputs) != count or outputs.shape[1] == outputs.shape[2]:
        return outputs if tuple(outputs.shape) == (count, length) else None
    if outputs.shape[1] == length:
        return outputs
    return outputs.transpose(1, 2) if outputs.shape[2] == length else None
