"""Detectors of a loss at chance level: regularization that is too strong, nothing learned."""

from __future__ import annotations

import math

from babysit.diagnosis.problem import Detection, detects
from babysit.diagnosis.problems.course import LEARNED_NOTHING
from babysit.diagnosis.problems.rate import REGULARIZATION_TOO_STRONG
from babysit.readings.context import CHANCE, ENOUGH, READ, REGULARIZED, Readings, is_early
from babysit.readings.curves import is_at_chance, loss_evidence
from babysit.verdicts import Evidence


@detects(
    REGULARIZATION_TOO_STRONG,
    reason="of a cost that is mostly penalty the data is no part",
    needs=(READ, REGULARIZED, CHANCE),
)
def regularization_too_strong(given: Readings) -> Detection | None:
    """Loss at chance while the penalty outweighs it or has shrunk the weights away."""
    run, context = given
    last = run.last
    strengths = {name: context.rate(name) for name in ("l2", "l1") if context.rate(name) > 0}
    if run.explosion is not None or last is None or not strengths or not is_at_chance(run, context):
        return None
    penalty = last.cost - last.val_loss
    # Strong decay drives the weights to zero: the penalty is gone, and the output with it.
    momentum = context.rate("momentum")
    rate = last.learning_rate / (1 - momentum) if 0 < momentum < 1 else last.learning_rate
    collapsed = max(strengths.values()) * rate * last.step > 10
    if not (penalty > last.val_loss or collapsed):
        return None
    name = max(strengths, key=lambda known: strengths[known])
    what = "outweighs the data loss" if penalty > last.val_loss else "has driven the weights to zero"
    return Detection(
        where=name,
        message=f"the regularization {what}: the network answers with a constant",
        evidence=(
            Evidence("cost minus validation loss", penalty, f"below {last.val_loss:.3g}", "data must matter"),
            Evidence("validation loss", last.val_loss, f"below {context.chance_loss:.4f}", "chance level"),
        ),
        since=last.epoch,
        fix=f"lower {name}: try {strengths[name] / 100:.2g}",
    )


@detects(
    LEARNED_NOTHING,
    reason="a network that predicts the class shares, or the mean, sits at this level and stays",
    needs=(READ, CHANCE, ENOUGH),
)
def learned_nothing(given: Readings) -> Detection | None:
    """Loss at chance (98% of ln C, or of the targets' variance) after 5 epochs, no other cause known."""
    run, context = given
    last = run.last
    if run.explosion is not None or last is None or not run.first_cost:
        return None
    if is_early(run) or not is_at_chance(run, context):
        return None
    # An accuracy above chance at a loss of chance has learned something; another rule explains it.
    if last.val_accuracy > 1.3 * context.chance_accuracy:
        return None
    fits = last.train_accuracy > 2 * context.chance_accuracy
    where = "training" if math.isnan(last.val_loss) else "validation"
    return Detection(
        where="cost" if where == "training" else "validation loss",
        message=f"after {last.epoch} {context.unit}s the network does no better than chance on the {where} "
        "examples"
        + (", though it fits the training examples: the labels may not belong to the inputs" if fits else ""),
        evidence=(
            *loss_evidence(last, context),
            Evidence("training accuracy", last.train_accuracy, "rising", "it fits what it sees"),
        ),
        since=last.epoch,
        fix="look for shuffled labels, or train and validation examples of different kinds"
        if fits
        else "run `babysit check`: it tells a learning rate that is too low or too high from a broken set-up",
    )
