"""Detector of a flipped sign: a negated loss, steps away from the targets, a loss without a lower bound."""

from __future__ import annotations

from torch import Tensor

from babysit.checks.experiments import falls_without_end
from babysit.checks.measured import Measured
from babysit.checks.needs import RUNS
from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.wiring import SIGN_FLIPPED


@detects(SIGN_FLIPPED, needs=(RUNS,))
def sign_flipped(measured: Measured) -> Detection | None:
    """Finds a loss that is minus one of PyTorch's, an optimizer with maximize=True, a step down the loss that
    moves the outputs away from targets of their shape, or a custom loss that sinks to -1e4 times its first.
    """
    value = _value_of_call(measured)
    flipped = value is not None and value > 0 and abs(measured.loss + value) < 1e-4 * value
    groups = (group for optimizer in measured.program.optimizers for group in optimizer.param_groups)
    maximizes = any(group.get("maximize") for group in groups)
    upward = value is not None and abs(measured.loss - value) < 1e-4 and maximizes
    if not (flipped or upward):
        return _away_from_targets(measured) or _without_bound(measured)
    return Detection(
        where="loss" if flipped else "optimizer",
        message="training raises the loss instead of lowering it: the sign is flipped",
        evidence=evidence("loss", measured.loss, f"{value:.4g}" if flipped else "to be minimized"),
    )


AWAY = -0.5
"""Correlation of a step's change of the outputs with their targets: -0.1 to 1 in our healthy programs, of
which contrasts and Q-values are the lowest; -0.6 to -1 where the sign is flipped."""


def _value_of_call(measured: Measured) -> float | None:
    """Returns the result of the only PyTorch loss that was called; None where there is no such number."""
    result = measured.call.result if measured.call else None
    return None if result is None or result.numel() != 1 else float(result.detach())


def _away_from_targets(measured: Measured) -> Detection | None:
    """Finds a step down the loss, which may be any, that moves the outputs away from their targets."""
    outputs, y, pull = measured.outputs, measured.y, measured.pull
    if outputs is None or not isinstance(y, Tensor) or outputs.dim() < 2 or outputs[0].numel() < 2:
        return None  # one number an example may as well be a distance, of which a target of 1 says "near"
    if y.shape != outputs.shape or not y.is_floating_point() or pull is None or pull.shape != y.shape:
        return None
    goal = y.double() - y.double().mean(0)
    size = float(goal.square().sum() * pull.double().square().sum()) ** 0.5
    agreement = float((goal * pull.double()).sum()) / size if size else 0.0
    if not agreement < AWAY:
        return None
    return Detection(
        where="loss",
        message="a step down the loss moves the outputs away from their targets: the sign is flipped",
        evidence=evidence(
            "correlation of the step with the targets", agreement, "above 0", "a loss draws them near"
        ),
    )


def _without_bound(measured: Measured) -> Detection | None:
    """Finds a custom loss that falls far below zero, as no likelihood or distance does."""
    value = _value_of_call(measured)
    if value is not None and abs(value - measured.loss) < 1e-4 * abs(measured.loss):
        return None
    fallen = falls_without_end(measured)
    if fallen is None:
        return None
    return Detection(
        where="loss",
        message=f"the loss falls without end, from {fallen.before:.4g} to {fallen.after:.3g} in "
        f"{fallen.steps} steps: a part of it has the wrong sign",
        evidence=evidence(
            "loss after some steps", fallen.after, "a floor", "what is maximized by mistake has none"
        ),
    )
