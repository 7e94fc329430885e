"""Scores of models on examples they did not train on: of each alone, and of all as one ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from babysit.data.batches import evaluation_inputs, evaluation_targets, in_pieces
from babysit.recipe.building import Prepared
from babysit.records import Value
from babysit.training.losses import Loss, accuracy
from babysit.training.population import Tensors
from babysit.training.precision import forward_context, precise

VALIDATION = "val"
TEST = "test"
_ROWS = 1000

Model = tuple[Mapping[str, Value], Tensors]
"""The hyperparameters of a model, and its state dict."""


class Score(NamedTuple):
    """Score of a model: accuracy in [0, 1] (NaN for regression), mean data loss, number of examples."""

    accuracy: float
    loss: float
    examples: int


class EnsembleScores(NamedTuple):
    """Scores of some models, in the order given, and of their ensemble."""

    each: tuple[Score, ...]
    ensemble: Score


def scores(prepared: Prepared, models: Sequence[Model], split: str) -> EnsembleScores | None:
    """Scores models, and the ensemble of them, in one evaluation of a split.

    The ensemble averages probabilities; for regression, and for the hinge loss, whose outputs are no
    probabilities, it averages outputs. Score the test split once, at the very end.

    Args:
        prepared: the recipe with its data.
        models: at least one; the inputs of each are preprocessed by its own hyperparameters.
        split: ``VALIDATION`` or ``TEST``.

    Returns:
        The scores, or None where the data set has no such split.

    Source: CS231n (2017) lecture 6 and notes, "Model ensembles".
    """
    found = [_outputs(prepared, model, split) for model in models]
    answers = [one for one in found if one is not None]
    if not answers:
        return None
    outputs, y = torch.stack([each for each, _ in answers]), answers[0][1]
    each = [_score(prepared.loss, outputs[index : index + 1], y) for index in range(len(outputs))]
    return EnsembleScores(tuple(each), _score(prepared.loss, prepared.loss.average(outputs), y))


def _outputs(prepared: Prepared, model: Model, split: str) -> tuple[Tensor, Tensor] | None:
    """Computes a model's outputs on a split, [N, ...] float32; returns them with the targets."""
    hyperparameters, weights = model
    own = prepared.at(hyperparameters)
    data, test = own.dataset, own.dataset.test
    if split == VALIDATION:
        x, y = own.evaluation.val_x, own.evaluation.val_y
    elif test is not None:
        x, y = evaluation_inputs(data, test), evaluation_targets(data, test)
    else:
        return None
    network = prepared.model(hyperparameters, ("validate",))
    network.load_state_dict(weights)
    network.eval()
    with torch.no_grad(), precise(prepared.precision), forward_context(prepared.precision):
        # A copy of each piece: a network may change its input in place.
        outputs = [network(part.clone()) for part in in_pieces(x, _ROWS)]
    return torch.cat(outputs).float(), y


def _score(loss: Loss, outputs: Tensor, y: Tensor) -> Score:
    mean = loss.per_example(outputs, y).double().mean().item()
    return Score(accuracy(loss, outputs, y).item(), mean, len(y))
