"""Models scored on examples they did not train on: each by itself, and all of them as one ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from babysit.data.batches import Examples, evaluation_inputs, evaluation_targets, in_pieces
from babysit.recipe.building import Prepared
from babysit.records import Value
from babysit.training.losses import Loss, accuracy
from babysit.training.population import Tensors
from babysit.training.precision import forward_context, precise

VALIDATION = "val"
TEST = "test"
_ROWS = 1000

Model = tuple[Mapping[str, Value], Tensors]
"""Hyperparameters that a model was built with, and its state dict."""


class Score(NamedTuple):
    """How a model did: accuracy in [0, 1] (NaN for regression), mean data loss, how many examples."""

    accuracy: float
    loss: float
    examples: int


class Scores(NamedTuple):
    """How some models did, in the order given, and how their ensemble did."""

    each: tuple[Score, ...]
    ensemble: Score


def scores(prepared: Prepared, models: Sequence[Model], split: str) -> Scores | None:
    """Scores models, and the ensemble of them, in one evaluation of a split.

    The ensemble averages probabilities; for regression, and for the hinge loss, whose outputs are no
    probabilities, it averages outputs. Of the test split: call it once, at the very end.

    Args:
        prepared: the recipe with its data.
        models: at least one; each sees the inputs as its own hyperparameters preprocess them.
        split: ``VALIDATION`` or ``TEST``.

    Returns:
        The scores; None where the data set has no such split.

    Source: CS231n (2017) lecture 6 and notes, "Model ensembles".
    """
    found = [_outputs(prepared, model, split) for model in models]
    answers = [one for one in found if one is not None]
    if not answers:
        return None
    outputs, y = torch.stack([each for each, _ in answers]), answers[0][1]
    each = [_score(prepared.loss, outputs[index : index + 1], y) for index in range(len(outputs))]
    return Scores(tuple(each), _score(prepared.loss, prepared.loss.average(outputs), y))


def _outputs(prepared: Prepared, model: Model, split: str) -> tuple[Tensor, Tensor] | None:
    """A model's outputs on a split, [N, ...] float32, with the targets."""
    hyperparameters, weights = model
    rows = _rows(prepared.at(hyperparameters), split)
    if rows is None:
        return None
    network = prepared.model(hyperparameters, ("validate",))
    network.load_state_dict(weights)
    network.eval()
    with torch.no_grad(), precise(prepared.precision), forward_context(prepared.precision):
        # A copy of each piece: a network may change its input in place.
        outputs = [network(part.clone()) for part in in_pieces(rows[0], _ROWS)]
    return torch.cat(outputs).float(), rows[1]


def _rows(prepared: Prepared, split: str) -> tuple[Examples, Tensor] | None:
    if split == VALIDATION:
        return prepared.evaluation.val_x, prepared.evaluation.val_y
    data, test = prepared.dataset, prepared.dataset.test
    return None if test is None else (evaluation_inputs(data, test), evaluation_targets(data, test))


def _score(loss: Loss, outputs: Tensor, y: Tensor) -> Score:
    mean = loss.per_example(outputs, y).double().mean().item()
    return Score(accuracy(loss, outputs, y).item(), mean, len(y))
