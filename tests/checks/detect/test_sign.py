"""The detector of a flipped sign."""

from __future__ import annotations

import pytest
import torch
from tests.checks.programs import adam, normal, rules, seeded
from torch import nn
from torch.nn import functional as F

import babysit


def overlap(out, target):
    p = torch.sigmoid(out)
    return 2 * (p * target).sum() / (p.sum() + target.sum())


@pytest.mark.parametrize(("loss", "flipped"), [(overlap, True), (lambda out, y: 1 - overlap(out, y), False)])
def test_a_step_away_from_the_targets(loss, flipped):
    x = normal(128, 6)
    masks = (x @ normal(6, 5) > 0).float()
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 5)))
    report = babysit.check(model, loss, [(x, masks)], adam(model))
    assert ("sign_flipped" in rules(report)) is flipped, report


def test_a_distance_whose_label_says_near_is_no_flipped_sign():
    class Apart(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(4, 8)

        def forward(self, pair):
            return (self.body(pair[:, :4]) - self.body(pair[:, 4:])).norm(dim=1)

    def contrastive(out, same):
        return (same * out.square() + (1 - same) * (2 - out).clamp(min=0).square()).mean()

    x = normal(128, 4)
    partner = torch.cat([x[:64] + 0.1, x[64:].flip(0)])
    model = seeded(Apart)
    batch = (torch.cat([x, partner], 1), (torch.arange(128) < 64).float())
    assert "sign_flipped" not in rules(babysit.check(model, contrastive, [batch], adam(model)))


@pytest.mark.parametrize(("sign", "flipped"), [(-1, True), (1, False)])
def test_a_loss_without_a_floor(sign, flipped):
    def criterion(out, y):
        spread = out[:, 1:]
        return F.mse_loss(out[:, :1], y) + sign * (spread.exp() - spread - 1).mean()

    x = normal(128, 6)
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 4)))
    report = babysit.check(model, criterion, [(x, x[:, :1])], adam(model, lr=3e-2))
    assert ("sign_flipped" in rules(report)) is flipped, report
