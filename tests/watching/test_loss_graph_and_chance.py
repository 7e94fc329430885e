"""Causes that programs from forums taught the watch: what a loss's graph tells, and how findings rank."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from babysit.loss_graph import read_loss
from babysit.watching.sample import Sample, Setup, TargetStat, WatchLog
from watching.loops import curve, fit, mlp


def scores():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 3, generator=generator).requires_grad_()


LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def test_a_cross_entropy_by_hand():
    likelihood = F.log_softmax(scores(), 1).gather(1, LABELS[:, None]).mean()
    assert read_loss(likelihood).alone
    assert read_loss(-likelihood).kind == "cross-entropy"


def test_a_policy_gradient_may_be_negative():
    taken = F.log_softmax(scores(), 1).gather(1, LABELS[:, None])[:, 0]
    assert not read_loss(-(taken * torch.arange(6.0)).mean()).alone


@pytest.mark.parametrize(("outputs", "above_zero"), [(torch.relu, True), (torch.tanh, False)])
def test_what_cannot_be_negative(outputs, above_zero):
    assert read_loss(F.mse_loss(outputs(scores()), torch.zeros(6, 3))).above_zero is above_zero


def test_an_operation_without_a_slope():
    assert read_loss(F.mse_loss(scores().round(), torch.zeros(6, 3))).flat == "round"


def causes(report):
    return [cause.finding.rule for cause in report.causes]


def linear(*last):
    torch.manual_seed(0)
    return nn.Sequential(mlp(6, 16, 1), *last)


def test_negative_targets_behind_a_relu():
    model = linear(nn.ReLU())
    report, _ = fit(model, curve(), nn.MSELoss(), torch.optim.Adam(model.parameters(), lr=1e-3), epochs=8)
    assert causes(report)[0] == "bounded_output"


def test_rounded_outputs_are_a_cut_graph():
    model = linear()

    def criterion(out, y):
        return F.mse_loss(out.round(), y)

    report, _ = fit(
        model, curve(scale=3.0), criterion, torch.optim.Adam(model.parameters(), lr=1e-3), epochs=6
    )
    assert causes(report)[0] == "loss_not_connected"


def test_one_answer_for_all_is_no_low_rate():
    torch.manual_seed(0)
    model = mlp(6, 16, 1, activation=nn.Tanh)
    x, y = curve()
    report, _ = fit(model, (0 * x, y), nn.MSELoss(), torch.optim.Adam(model.parameters(), lr=1e-5), epochs=8)
    assert causes(report)[0] == "inputs_constant"
    assert "constant_output" in {each.rule for each in report.causes[0].symptoms}
    assert "learning_rate_too_low" not in causes(report)


def binary(first, mean):
    graph = read_loss(F.binary_cross_entropy_with_logits(scores(), torch.ones(6, 3)))
    sample = Sample(step=1, stepped=True, targets=TargetStat((), mean, mean, 0.0))
    return WatchLog(Setup(), (first,) * 20, samples=(sample,), graph=graph).chance


def test_the_chance_of_a_binary_loss():
    assert binary(0.7, 0.5) == pytest.approx(0.6931, abs=1e-4)
    assert binary(0.7, 0.2) == pytest.approx(0.5004, abs=1e-4)


@pytest.mark.parametrize(("first", "mean"), [(1.4, 0.5), (0.7, 1.0)])
def test_weights_in_it_or_a_single_class_leave_it_unknown(first, mean):
    chance = binary(first, mean)
    assert chance != chance
