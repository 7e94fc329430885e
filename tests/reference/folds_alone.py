"""The slow, obvious twin of folds: one model, trained on the rows of each batch that its fold leaves it."""

from __future__ import annotations

import copy

import torch


def train_without_fold(model, loss_of, batches, fold_of, fold, *, epochs, learning_rate, l2=0.0):
    """Plain gradient descent on the kept examples; returns the model and its costs.

    ``loss_of`` maps (outputs, targets) to a mean loss; a batch of which nothing is kept moves only by l2.
    """
    model, costs = copy.deepcopy(model).train(), []
    for epoch in range(1, epochs + 1):
        for (x, y), rows in zip(batches.epoch(epoch), batches.rows(epoch), strict=True):
            kept = torch.from_numpy(fold_of[rows] != fold)
            loss = loss_of(model(x[kept]), y[kept])
            weights = [w for w in model.parameters() if w.dim() > 1]
            costs.append(
                loss.item() + sum(0.5 * l2 * w.detach().double().square().sum().item() for w in weights)
            )
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            with torch.no_grad():
                for w, gradient in zip(model.parameters(), gradients, strict=True):
                    w -= learning_rate * (gradient + (l2 * w if w.dim() > 1 else 0))
    return model, costs
