"""Detectors on connections: parameters without an optimizer or a gradient."""

from __future__ import annotations

import pytest
import torch
from tests.checks.programs import adam, curve, first_rule, normal, rules, seeded, tanh_network
from torch import nn
from torch.nn import functional as F

import babysit


class OwnClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.classifier = nn.Linear(2, 2)

    def forward(self, features, labels):
        return F.cross_entropy(self.classifier(features), labels)


@pytest.mark.parametrize("case", ["left out", "held", "only judges"])
def test_parameters_of_the_loss(case):
    x, y = curve()
    model, loss = tanh_network(), OwnClassifier()
    if case == "only judges":
        loss.eval()
    optimizer = adam(model, loss) if case == "held" else adam(model)
    expected = "parameters_not_in_optimizer" if case == "left out" else ""
    assert first_rule(model, loss, (x, (y[:, 0] > 0).long()), optimizer) == expected


def test_a_critic_that_is_not_trained():
    class Fooling(nn.Module):
        def __init__(self):
            super().__init__()
            self.generator, self.critic = nn.Linear(4, 2), nn.Sequential(nn.Linear(2, 8), nn.ReLU())
            self.last = nn.Linear(8, 1)

        def forward(self, z):
            return self.last(self.critic(self.generator(z)))

    model = seeded(Fooling)
    batch = (normal(128, 4), torch.ones(128, 1))
    report = babysit.check(model, nn.BCEWithLogitsLoss(), [batch], adam(model.generator))
    assert "parameters_not_in_optimizer" in rules(report, serious=False)
    assert "parameters_not_in_optimizer" not in rules(report)
    wanted = (batch[0], (batch[0][:, :1] > 0).float())
    report = babysit.check(model, nn.BCEWithLogitsLoss(), [wanted], adam(model.generator))
    assert "parameters_not_in_optimizer" in rules(report)


def test_a_loss_of_rounded_outputs():
    def rounded(out, y):
        return F.mse_loss(out[:, :1].round(), y)

    assert first_rule(tanh_network(), rounded, curve()) == "loss_not_connected"
