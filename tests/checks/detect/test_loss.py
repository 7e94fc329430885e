"""Detectors on the form of the loss: its reduction, penalties, weight decay."""

from __future__ import annotations

import pytest
import torch
from tests.checks.programs import check, classifier, clusters, finding
from torch import nn
from torch.nn import functional as F


def penalized(strength, power=2):
    model = classifier()

    def loss(out, y):
        return F.cross_entropy(out, y) + strength * sum(p.abs().pow(power).sum() for p in model.parameters())

    return model, loss


def test_a_penalty_in_the_loss_is_read_back():
    model, loss = penalized(5e-4)
    report = check(*clusters(), model, loss)
    assert report.healthy
    value = 5e-4 * sum(float(p.square().sum()) for p in model.parameters())
    assert f"1/2 * 0.001 * sum(W^2) = {value:.3g}" in finding(report, "penalty_in_loss").message
    assert all(p.grad is None for p in model.parameters())


def test_a_penalty_of_another_form_and_none():
    model, loss = penalized(1e-4, power=1)
    assert "sum(W^2)" not in finding(check(*clusters(), model, loss), "penalty_in_loss").message
    assert finding(check(*clusters()), "penalty_in_loss") is None


def test_a_loss_module_that_holds_the_model_has_its_penalty_read_too():
    class Regularized(nn.Module):
        def __init__(self, model, strength):
            super().__init__()
            self.model, self.strength = model, strength

        def forward(self, out, y):
            return F.cross_entropy(out, y) + self.strength * sum(
                p.square().sum() for p in self.model.parameters()
            )

    model = classifier()
    assert finding(check(*clusters(), model, Regularized(model, 5e-4)), "penalty_in_loss")
    assert check(*clusters(), model, Regularized(model, 300.0)).causes[0].rule == "regularization_too_strong"
    assert check(*clusters(), model, Regularized(model, -1e-2)).causes[0].rule == "penalty_lowers_loss"


def test_weight_decay_is_explained_unless_it_is_the_default():
    model = classifier()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=1e-3)
    value = 0.5e-3 * sum(float(p.square().sum()) for p in model.parameters())
    assert f"{value:.3g}" in finding(check(*clusters(), model, optimizer=sgd), "weight_decay_unseen").message
    chosen = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
    assert "AdamW" in finding(check(*clusters(), model, optimizer=chosen), "weight_decay_unseen").message
    usual = torch.optim.AdamW(model.parameters())
    assert finding(check(*clusters(), model, optimizer=usual), "weight_decay_unseen") is None


@pytest.mark.parametrize(
    ("loss", "rule"),
    [
        (lambda out, y: (out.log_softmax(1).gather(1, y[:, None])).sum().neg(), "summed_loss"),
        (lambda out, y: F.cross_entropy(out, y) / len(y), "loss_divided_twice"),
        (lambda out, y: F.cross_entropy(out, y, reduction="none"), "loss_not_reduced"),
    ],
)
def test_the_reduction_over_the_batch(loss, rule):
    assert finding(check(*clusters(), loss=loss), rule)
    assert finding(check(*clusters()), rule) is None


def test_the_effect_of_a_sum_is_in_numbers():
    model = classifier()
    sgd = torch.optim.SGD(model.parameters(), lr=1e-3)
    report = check(*clusters(), model, nn.CrossEntropyLoss(reduction="sum"), sgd)
    assert "learning rate 0.001 acts like 0.04 on the mean" in finding(report, "summed_loss").message
    adam = torch.optim.Adam(model.parameters())
    report = check(*clusters(), model, nn.CrossEntropyLoss(reduction="sum"), adam)
    assert "Adam divides that out" in finding(report, "summed_loss").message
