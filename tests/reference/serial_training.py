"""The slow, obvious twin of the trainer: one nn.Module, one autograd loop, Python floats.

It knows the same conventions (cost before the update, l2 on weights only) and nothing of populations.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from babysit.nn.dropout import MemberDropout, mix, with_member_dropout


def train_alone(model, loss_of, batches, *, epochs, learning_rate, l2=0.0, momentum=0.0, decay=1.0, key=0):
    """Trains a copy of ``model`` and returns it with the list of costs.

    ``loss_of`` maps (logits, targets) to a mean loss; ``batches`` has ``epoch(n)``.
    """
    model = with_member_dropout(copy.deepcopy(model)).train()
    velocity = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
    dropouts = [layer for layer in model.modules() if isinstance(layer, MemberDropout)]
    costs, step = [], 0
    for epoch in range(1, epochs + 1):
        rate = learning_rate * decay ** (epoch - 1)
        for x, y in batches.epoch(epoch):
            step += 1
            for position, layer in enumerate(dropouts):
                layer.key = mix(torch.tensor(key + step)) + position
            loss = loss_of(model(x), y)
            penalty = sum(
                0.5 * l2 * float((w.detach().double() ** 2).sum()) for w in model.parameters() if w.dim() > 1
            )
            costs.append(float(loss.detach()) + penalty)
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            with torch.no_grad():
                for (name, w), gradient in zip(model.named_parameters(), gradients, strict=True):
                    full = gradient + (l2 * w if w.dim() > 1 else 0)
                    velocity[name] = momentum * velocity[name] - rate * full
                    w += velocity[name]
    return model, costs


class Accounted(nn.Module):
    """A residual block that no fused form exists for, to reach the vmap path."""

    def __init__(self, width):
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x):
        return x + torch.relu(self.norm(self.inner(x)))


class DataDependent(nn.Module):
    """Python control flow on values, which vmap refuses."""

    def __init__(self, width):
        super().__init__()
        self.inner = nn.Linear(width, width)

    def forward(self, x):
        return self.inner(x) if x.abs().sum().item() >= 0 else x
