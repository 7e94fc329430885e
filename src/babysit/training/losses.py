"""The losses, each with its chance level: the value for a network that has learned nothing.

cost = data loss + 1/2 * l2 * sum(W^2), over weights, not biases. A loss here is the data part, one value
per member and example; the trainer averages over the batch and *sums* over members, so that no member's
gradient depends on the number of members.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from babysit.errors import RecipeError


class Loss(NamedTuple):
    """One loss as plain functions.

    Attributes:
        name: the name used in a recipe.
        per_example: (outputs [P, B, ...], targets [B, ...]) -> [P, B].
        chance: (number of classes, training targets) -> the loss of a network that has learned nothing.
        predict: outputs [P, B, ...] -> class indices [P, B]; None for regression.
        width: (number of classes, targets) -> the number of outputs that the network must have.
        average: outputs of several networks [M, N, ...] -> the outputs of their ensemble, [1, N, ...].
        about: formula and chance level, in words.
    """

    name: str
    per_example: Callable[[Tensor, Tensor], Tensor]
    chance: Callable[[int, Tensor], float]
    predict: Callable[[Tensor], Tensor] | None
    width: Callable[[int, Tensor], int]
    average: Callable[[Tensor], Tensor]
    about: str

    @property
    def is_classification(self) -> bool:
        """True if the loss scores classes, so that an accuracy exists."""
        return self.predict is not None


def softmax_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Computes the softmax cross-entropy, -log softmax(outputs)[target], in nats.

    Args:
        outputs: logits, [P, B, C].
        targets: class indices, [B].

    Returns:
        [P, B], each >= 0.

    Example:
        >>> softmax_cross_entropy(torch.zeros(1, 1, 10), torch.tensor([3])).item()
        2.302585...

    Source: CS231n lecture 6, "Double check that the loss is reasonable".
    """
    # Classes before examples, as a fused network stores them: the sum over few neighbours in memory would
    # take several times as long.
    return F.cross_entropy(outputs.transpose(1, 2), targets.expand(outputs.shape[0], -1), reduction="none")


def hinge(outputs: Tensor, targets: Tensor) -> Tensor:
    """Computes the multiclass hinge (SVM) loss, the sum over j != y of max(0, s_j - s_y + 1).

    Args:
        outputs: scores, [P, B, C].
        targets: class indices, [B].

    Returns:
        [P, B], each >= 0.

    Example:
        >>> hinge(torch.zeros(1, 1, 10), torch.tensor([3])).item()
        9.0

    Source: CS231n notes, linear classification.
    """
    index = targets.expand(outputs.shape[0], -1).unsqueeze(-1)
    margins = (outputs - outputs.gather(-1, index) + 1).clamp_min(0)
    return margins.sum(-1) - 1  # the true class always contributes a margin of exactly 1


def binary_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Computes the binary cross-entropy on logits, in nats.

    Args:
        outputs: logits, [P, B, 1] or [P, B].
        targets: 0 or 1, [B].

    Returns:
        [P, B], each >= 0.

    Example:
        >>> binary_cross_entropy(torch.zeros(1, 1, 1), torch.tensor([1])).item()
        0.693147...
    """
    logits = outputs.flatten(1)
    return F.binary_cross_entropy_with_logits(
        logits, targets.to(logits.dtype).expand_as(logits), reduction="none"
    )


def mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Computes the squared error, averaged over the targets of an example.

    Args:
        outputs: predictions, [P, B] or [P, B, T].
        targets: [B] or [B, T].

    Returns:
        [P, B], each >= 0.

    Example:
        >>> mean_squared_error(torch.zeros(1, 2, 1), torch.tensor([1.0, 2.0])).tolist()
        [[1.0, 4.0]]
    """
    predictions = outputs.flatten(2) if outputs.dim() > 2 else outputs.unsqueeze(-1)
    wanted = targets.flatten(1) if targets.dim() > 1 else targets.unsqueeze(-1)
    return (predictions - wanted).square().mean(-1)


def average_probabilities(outputs: Tensor) -> Tensor:
    """Computes the logits of the averaged softmax probabilities, log(1/M * sum softmax(outputs)).

    Args:
        outputs: logits of M networks, [M, N, C].

    Returns:
        [1, N, C]; their softmax is the averaged probabilities.

    Example:
        >>> two = torch.tensor([[[1.0, 3.0]], [[3.0, 1.0]]]).log()
        >>> average_probabilities(two).exp().tolist()
        [[[0.5, 0.5]]]

    Source: CS231n notes, neural networks 3, "Model ensembles".
    """
    return F.log_softmax(outputs, -1).logsumexp(0, keepdim=True) - math.log(len(outputs))


def average_binary_probabilities(outputs: Tensor) -> Tensor:
    """Computes the logit of the averaged sigmoid probabilities, log(mean p / mean (1 - p)).

    Args:
        outputs: logits of M networks, [M, N, ...].

    Returns:
        [1, N, ...]; their sigmoid is the averaged probability.

    Example:
        >>> average_binary_probabilities(torch.tensor([[2.0], [-2.0]])).tolist()
        [[0.0]]
    """
    return F.logsigmoid(outputs).logsumexp(0, keepdim=True) - F.logsigmoid(-outputs).logsumexp(
        0, keepdim=True
    )


def average_outputs(outputs: Tensor) -> Tensor:
    """Averages the outputs themselves: predictions, or scores that are not probabilities.

    Args:
        outputs: [M, N, ...].

    Returns:
        [1, N, ...].

    Example:
        >>> average_outputs(torch.tensor([[1.0], [3.0]])).tolist()
        [[2.0]]
    """
    return outputs.mean(0, keepdim=True)


def _argmax(outputs: Tensor) -> Tensor:
    # The first of equal classes, like argmax, but five times as fast on outputs stored classes first.
    return outputs.max(-1).indices


LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss(
            "softmax",
            softmax_cross_entropy,
            chance=lambda classes, _: math.log(classes),
            predict=_argmax,
            width=lambda classes, _: classes,
            average=average_probabilities,
            about="softmax cross-entropy, -log p(true class); chance level ln C",
        ),
        Loss(
            "hinge",
            hinge,
            chance=lambda classes, _: classes - 1.0,
            predict=_argmax,
            width=lambda classes, _: classes,
            average=average_outputs,
            about="multiclass hinge, sum of max(0, s_j - s_y + 1); chance level C - 1",
        ),
        Loss(
            "binary",
            binary_cross_entropy,
            chance=lambda *_: math.log(2),
            predict=lambda outputs: (outputs.flatten(1) > 0).long(),
            width=lambda *_: 1,
            average=average_binary_probabilities,
            about="binary cross-entropy on one logit; chance level ln 2",
        ),
        Loss(
            "mse",
            mean_squared_error,
            chance=lambda _, targets: targets.double().var(0, correction=0).mean().item(),
            predict=None,
            width=lambda _, targets: 1 if targets.dim() == 1 else targets.shape[1],
            average=average_outputs,
            about="mean squared error; chance level = the variance of the targets (predict the mean)",
        ),
    )
}


def loss_named(name: str) -> Loss:
    """Returns the loss of that name.

    Raises:
        RecipeError: there is none; the message lists the names.

    Example:
        >>> loss_named("softmax").chance(10, torch.empty(0))
        2.302585...
    """
    if name not in LOSSES:
        raise RecipeError(f"there is no loss named {name!r}", fix=f"use one of {', '.join(LOSSES)}")
    return LOSSES[name]


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """Averages the losses of the examples that a member keeps: sum(w * loss) / sum(w).

    Args:
        losses: [P, B].
        weights: [P, B], 0 for an example that a member must not learn from. If they are all 0, the mean is 0
            and has no gradient.

    Returns:
        [P].

    Example:
        >>> weighted_mean(torch.tensor([[1.0, 3.0, 8.0]]), torch.tensor([[1.0, 1.0, 0.0]])).tolist()
        [2.0]
    """
    # A product alone would give NaN, 0 * inf, for an infinite loss of an example that does not count.
    return torch.where(weights > 0, losses * weights, 0.0).sum(1) / weights.sum(1).clamp_min(1e-30)


def accuracy(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    """Computes the fraction of correctly predicted examples, per member.

    A member with a NaN or infinite output has no accuracy: the argmax of NaN scores is class 0, and the
    frequency of class 0 would be reported as if it had been learned (CS231n lecture 6, the 1e6 run: 0.087).

    Args:
        loss: a classification loss, or a regression loss.
        outputs: [P, N, ...].
        targets: [N].

    Returns:
        [P] in [0, 1]; NaN for regression and for members with NaN or infinite outputs.

    Example:
        >>> outputs = torch.tensor([[[0.0, 1.0], [1.0, 0.0]], [[float("nan"), 0.0], [0.0, 0.0]]])
        >>> accuracy(LOSSES["softmax"], outputs, torch.tensor([1, 1])).tolist()
        [0.5, nan]
    """
    nothing = torch.full((outputs.shape[0],), math.nan, dtype=torch.float64)
    if loss.predict is None:
        return nothing
    hits = (loss.predict(outputs) == targets).double().mean(1).cpu()
    finite = outputs.flatten(1).isfinite().all(1).cpu()
    return torch.where(finite, hits, nothing)
