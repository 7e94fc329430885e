"""Detectors on the outputs: shapes, activations before the loss, examples mixed."""

from __future__ import annotations

import pytest
import torch
from tests.checks.programs import adam, curve, first_rule, normal, rules, seeded, tanh_network
from torch import nn
from torch.nn import functional as F

import babysit
from babysit.verdicts import Severity


def test_a_loss_of_pytorch_with_two_shapes():
    assert first_rule(tanh_network(), nn.MSELoss(), curve()) == "loss_broadcasts"


def test_a_formula_may_intend_its_product():
    def pinball(out, y):
        gap = y - out
        return torch.maximum(0.9 * gap, -0.1 * gap).mean()

    assert first_rule(tanh_network(), pinball, curve()) == ""


def test_a_relu_before_the_log_softmax():
    x, y = curve()
    labels = (y[:, 0] > 0).long()
    model = tanh_network(nn.ReLU(), nn.LogSoftmax(1))
    assert first_rule(model, nn.NLLLoss(), (x, labels)) == "activation_before_cross_entropy"


class Attention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.score, self.value, self.dim = nn.Linear(4, 1), nn.Linear(4, 2), dim

    def forward(self, x):
        weight = F.softmax(self.score(x), dim=self.dim)
        return (weight * self.value(x)).sum(1)


@pytest.mark.parametrize(("dim", "lone"), [(2, True), (1, False)])
def test_a_softmax_over_an_axis_of_one_inside_the_model(dim, lone):
    x = normal(96, 5, 4)
    model = seeded(lambda: Attention(dim))
    labels = (x[:, 0, 0] > 0).long()
    report = babysit.check(model, nn.CrossEntropyLoss(), [(x, labels)], adam(model))
    assert ("one_unit_softmax" in rules(report)) is lone, report


def test_the_nodes_of_a_graph_are_no_examples():
    x, y = curve()

    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = tanh_network()
            self.register_buffer("edges", torch.full((len(x), len(x)), 1 / len(x)) + torch.eye(len(x)))

        def forward(self, x):
            return self.net(self.edges @ x)

    report = babysit.check(Graph(), nn.CrossEntropyLoss(), [(x, (y[:, 0] > 0).long())])
    assert not [f for f in report.findings if f.severity is not Severity.INFO], report


def test_a_graph_of_more_nodes_than_are_measured_at_once():
    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("edges", torch.eye(200) + torch.eye(200).roll(1, 0))
            self.linear = nn.Linear(6, 2)

        def forward(self, x):
            return self.edges @ self.linear(x)

    x = normal(200, 6)
    model = seeded(Graph)
    labels = ((model.edges @ x)[:, 0] > 0).long()
    report = babysit.check(model, nn.CrossEntropyLoss(), [(x, labels)], adam(model))
    assert report.healthy, report
