"""Detectors on the untrained network: the first loss, its gradient, the scale of signals."""

from __future__ import annotations

import pytest
import torch
from tests.checks.programs import check, classifier, clusters, curve, finding, first_rule, tanh_network
from torch import nn
from torch.nn import functional as F

from babysit.verdicts import Severity


def test_a_loss_below_that_of_the_classes_shares_is_found_and_one_at_it_is_not():
    x, _ = clusters()
    y = (torch.arange(400) % 10 == 0).float()[:, None]
    model = classifier(outputs=1)
    with torch.no_grad():
        model[2].weight.mul_(0.01)
        model[2].bias.fill_(-2.2)
    assert finding(check(x, y, model, nn.BCEWithLogitsLoss()), "initial_loss_low") is None
    x, y = clusters()
    trained = classifier()
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(trained(x), y).backward()
        optimizer.step()
    report = check(x, y, trained)
    assert report.healthy
    assert finding(report, "initial_loss_low").severity is Severity.INFO


def test_a_finite_loss_without_a_finite_gradient():
    def distance(out, y):
        gap = (out[:, :1] - y) * (torch.arange(len(y)) % 2)[:, None]
        return gap.square().sum(1).sqrt().mean()

    assert first_rule(tanh_network(), distance, curve()) == "loss_not_finite"


def deep(initialize):
    torch.manual_seed(0)
    layers = [nn.Linear(6 if i == 0 else 64, 64, bias=False) for i in range(6)]
    for layer in layers:
        initialize(layer.weight)
    return nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())], nn.Linear(64, 3))


def test_the_scale_over_many_layers_is_compared_with_the_scheme():
    own = finding(check(*clusters(), deep(lambda w: None)), "signal_drifts")
    assert own.severity is Severity.INFO
    assert own.evidence[0].expected == "1.41"
    assert own.evidence[0].value == pytest.approx(0.577, abs=0.15)  # 1 / sqrt(3)
    assert "torch's own" in own.evidence[0].why
    assert finding(check(*clusters(), deep(nn.init.kaiming_normal_)), "signal_drifts") is None
