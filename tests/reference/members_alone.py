"""The slow, obvious twin of a lowered population: P copies of the models, one after the other."""

from __future__ import annotations

import copy

import torch

from babysit.nn.dropout import MemberDropout, with_member_dropout


class MembersAlone:
    """Copies of the models with the members' dropout; every pass is a loop."""

    def __init__(self, models):
        self.models = [with_member_dropout(copy.deepcopy(model)) for model in models]

    def set_keys(self, keys):
        for model, key in zip(self.models, keys, strict=True):
            dropouts = [layer for layer in model.modules() if isinstance(layer, MemberDropout)]
            for position, layer in enumerate(dropouts):
                layer.key = key + position

    def train(self, training):
        for model in self.models:
            model.train(training)

    def outputs(self, x):
        return torch.stack([model(x.clone()) for model in self.models])

    def gradients(self, outputs, cotangents):
        """Name -> [P, ...], None where a model's output does not depend on the parameter."""
        names = [name for name, value in self.models[0].named_parameters() if value.requires_grad]
        wanted = [dict(model.named_parameters())[name] for name in names for model in self.models]
        found = torch.autograd.grad(outputs, wanted, cotangents, allow_unused=True)
        count = len(self.models)
        rows = [found[at : at + count] for at in range(0, len(found), count)]
        return {
            name: None if row[0] is None else torch.stack(row) for name, row in zip(names, rows, strict=True)
        }

    def buffers(self):
        """Name -> [P, ...]."""
        each = [dict(model.named_buffers()) for model in self.models]
        return {name: torch.stack([values[name] for values in each]) for name in each[0]}
