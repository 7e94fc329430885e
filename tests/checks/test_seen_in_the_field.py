"""Causes that programs from forums taught `babysit.check`, each on the smallest program that has it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import babysit
from babysit.verdicts import Severity


def data(count=48, features=4):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, features, generator=generator)
    return x, x[:, :1].sin() + 0.1 * torch.randn(count, 1, generator=generator)


def network(*layers):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2), *layers)


def adam(*modules):
    return torch.optim.Adam([p for module in modules for p in module.parameters()], lr=1e-2)


def first(model, loss, batch, optimizer=None):
    report = babysit.check(model, loss, [batch], optimizer)
    return report.serious[0].rule if report.serious else ""


def test_a_loss_of_torch_that_gets_two_shapes():
    assert first(network(), nn.MSELoss(), data()) == "loss_broadcasts"


def test_a_formula_may_mean_its_product():
    def pinball(out, y):
        gap = y - out
        return torch.maximum(0.9 * gap, -0.1 * gap).mean()

    assert first(network(), pinball, data()) == ""


def test_a_relu_before_the_log_softmax():
    x, y = data()
    labels = (y[:, 0] > 0).long()
    model = network(nn.ReLU(), nn.LogSoftmax(1))
    assert first(model, nn.NLLLoss(), (x, labels)) == "activation_before_cross_entropy"


class OwnClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.classifier = nn.Linear(2, 2)

    def forward(self, features, labels):
        return F.cross_entropy(self.classifier(features), labels)


@pytest.mark.parametrize("case", ["left out", "held", "only judges"])
def test_parameters_of_the_loss(case):
    x, y = data()
    model, loss = network(), OwnClassifier()
    if case == "only judges":
        loss.eval()
    optimizer = adam(model, loss) if case == "held" else adam(model)
    expected = "parameters_not_in_optimizer" if case == "left out" else ""
    assert first(model, loss, (x, (y[:, 0] > 0).long()), optimizer) == expected


def test_a_finite_loss_without_a_finite_gradient():
    def distance(out, y):
        gap = (out[:, :1] - y) * (torch.arange(len(y)) % 2)[:, None]
        return gap.square().sum(1).sqrt().mean()

    assert first(network(), distance, data()) == "loss_not_finite"


def test_a_loss_of_rounded_outputs():
    def rounded(out, y):
        return F.mse_loss(out[:, :1].round(), y)

    assert first(network(), rounded, data()) == "loss_not_connected"


def test_the_nodes_of_a_graph_are_no_examples():
    x, y = data()

    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network()
            self.register_buffer("edges", torch.full((len(x), len(x)), 1 / len(x)) + torch.eye(len(x)))

        def forward(self, x):
            return self.net(self.edges @ x)

    report = babysit.check(Graph(), nn.CrossEntropyLoss(), [(x, (y[:, 0] > 0).long())])
    assert not [f for f in report.findings if f.severity is not Severity.INFO], report
