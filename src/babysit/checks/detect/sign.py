"""Is the loss made smaller: a minus too many, a step away from the targets, a loss without a floor."""

from __future__ import annotations

from torch import Tensor

from babysit.checks.experiments import falls_without_end
from babysit.checks.measured import Measured
from babysit.checks.needs import RUNS
from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.wiring import SIGN_FLIPPED


@detects(SIGN_FLIPPED, needs=(RUNS,))
def sign_flipped(measured: Measured) -> Detection | None:
    """The loss is minus one of torch's, the optimizer has maximize=True, a step down the loss moves the
    outputs away from targets of their shape, or a loss of the author's own sinks to -1e4 x its first.
    """
    call = measured.call
    value = (
        None
        if call is None or call.result is None or call.result.numel() != 1
        else float(call.result.detach())
    )
    flipped = value is not None and value > 0 and abs(measured.loss + value) < 1e-4 * value
    upward = value is not None and abs(measured.loss - (value or 0)) < 1e-4 and _maximizes(measured)
    if not (flipped or upward):
        return _away_from_targets(measured) or _without_floor(measured)
    return Detection(
        where="loss" if flipped else "optimizer",
        message="training raises the loss instead of lowering it: the sign is flipped",
        evidence=evidence("loss", measured.loss, f"{value:.4g}" if flipped else "to be minimized"),
    )


AWAY = -0.5
"""Correlation of the outputs' way down a loss with their targets: -0.1 to 1 in our healthy programs, of which
contrasts and Q-values are the lowest; -0.6 to -1 where the sign is flipped."""


def _away_from_targets(measured: Measured) -> Detection | None:
    """A step down the loss moves the outputs away from their targets, for a loss that no rule knows."""
    goal, pull = _goal(measured), measured.pull
    if goal is None or pull is None or pull.shape != goal.shape:
        return None
    goal = goal - goal.mean(0)
    size = float(goal.square().sum() * pull.double().square().sum()) ** 0.5
    agreement = float((goal * pull.double()).sum()) / size if size else 0.0
    if not agreement < AWAY:
        return None
    return Detection(
        where="loss",
        message="a step down the loss moves the outputs away from their targets: the sign is flipped",
        evidence=evidence(
            "correlation of that way with the targets", agreement, "above 0", "a loss draws them near"
        ),
    )


def _without_floor(measured: Measured) -> Detection | None:
    """A loss of the author's own falls far below zero, as no likelihood or distance does."""
    call = measured.call
    known = call is not None and call.result is not None and call.result.numel() == 1
    if known and abs(float(call.result.detach()) - measured.loss) < 1e-4 * abs(measured.loss):  # type: ignore[union-attr]
        return None
    fallen = falls_without_end(measured)
    if fallen is None:
        return None
    return Detection(
        where="loss",
        message=f"the loss falls without end, from {fallen.before:.4g} to {fallen.after:.3g} in "
        f"{fallen.steps} "
        "steps: a part of it has the wrong sign",
        evidence=evidence(
            "loss after some steps", fallen.after, "a floor", "what is maximized by mistake has none"
        ),
    )


def _goal(measured: Measured) -> Tensor | None:
    """What the outputs should become, in their own shape; None where the targets do not tell.

    One number an example may as well be a distance, whose target says "near" with a 1.
    """
    outputs, y = measured.outputs, measured.y
    if outputs is None or not isinstance(y, Tensor) or outputs.dim() < 2 or outputs[0].numel() < 2:
        return None
    return y.double() if y.shape == outputs.shape and y.is_floating_point() else None


def _maximizes(measured: Measured) -> bool:
    return any(group.get("maximize") for o in measured.program.optimizers for group in o.param_groups)
