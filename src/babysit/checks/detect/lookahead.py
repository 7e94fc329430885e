"""Does a model of what comes next see it: targets that are the inputs moved by one place."""

from __future__ import annotations

import torch
from torch import Tensor

from babysit.checks.measured import Measured, first_tensor
from babysit.checks.needs import RUNS
from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.wiring import MISSING_CAUSAL_MASK

SEEN = 0.01
"""Share of the outputs' spread by which an input may move an earlier answer; sums round differently."""


@detects(MISSING_CAUSAL_MASK, needs=(RUNS,))
def missing_causal_mask(measured: Measured) -> Detection | None:
    """Each target is the next input, and earlier answers move when only the last input changes."""
    x, y = measured.x, measured.y
    if not isinstance(x, Tensor) or not isinstance(y, Tensor) or not _is_moved(x, y):
        return None
    other = x.clone()
    other[:, -1] = x.roll(1, 0)[:, -1]
    with measured.program.fresh(dropout=False) as (model, _), torch.no_grad():
        model.eval()
        answers = [_by_place(first_tensor(model(given)), x) for given in (x, other, x)]
    before, after, again = answers
    if before is None or after is None or again is None or not torch.equal(before, again):
        return None
    change = float((before - after)[:, :-1].abs().max() / before.std().clamp(min=1e-12))
    if not change > SEEN:
        return None
    return Detection(
        where="model",
        message="each target is the next input, and the model sees it: earlier answers change with "
        "the last input",
        evidence=evidence("change over spread", change, "0", "the last input of each sequence was exchanged"),
    )


def _is_moved(x: Tensor, y: Tensor) -> bool:
    """True where the targets are the inputs, one place further."""
    if x.dim() < 2 or x.shape != y.shape or x.shape[1] < 3 or len(x) < 2:
        return False
    return bool((y[:, :-1] == x[:, 1:]).all()) and not bool((x[:, 1:] == x[:, :-1]).all())


def _by_place(outputs: Tensor | None, x: Tensor) -> Tensor | None:
    """Answers as (examples, places, numbers); None where the axes do not tell which is which."""
    count, places = x.shape[:2]
    if outputs is None or outputs.dim() < 2:
        return None
    if outputs.dim() == 2 and len(outputs) == count * places:
        return outputs.reshape(count, places, -1)
    if outputs.dim() != 3 or len(outputs) != count or outputs.shape[1] == outputs.shape[2]:
        return outputs if tuple(outputs.shape) == (count, places) else None
    if outputs.shape[1] == places:
        return outputs
    return outputs.transpose(1, 2) if outputs.shape[2] == places else None
