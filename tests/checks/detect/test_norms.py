"""Detectors on batch normalization: its statistics, batches and position."""

from __future__ import annotations

import pytest
import torch
from tests.checks.programs import batched, check, clusters, finding, noise
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import babysit
from babysit.verdicts import Severity


def normalized(**options):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 16, bias=False), nn.BatchNorm1d(16, **options), nn.ReLU(), nn.Linear(16, 3)
    )


@pytest.mark.parametrize(
    ("options", "rule", "severity"),
    [
        ({"momentum": 0.0}, "batch_norm_never_updated", Severity.WARNING),
        ({"momentum": 0.9}, "batch_norm_forgetful", Severity.INFO),
        ({"track_running_stats": False}, "batch_norm_without_statistics", Severity.INFO),
    ],
)
def test_running_statistics(options, rule, severity):
    assert finding(check(*clusters(), normalized(**options)), rule).severity is severity
    assert finding(check(*clusters(), normalized()), rule) is None


def test_pretrained_statistics_may_stay_as_they_are():
    model = normalized(momentum=0.0)
    model[1].running_mean.fill_(0.5)
    assert finding(check(*clusters(), model), "batch_norm_never_updated") is None


def test_batches_of_two_before_batch_normalization():
    report = babysit.check(normalized(), nn.CrossEntropyLoss(), batched(*clusters(40), size=2))
    assert finding(report, "batch_norm_small_batch")


def test_a_remainder_of_one_before_batch_norm():
    model = nn.Sequential(nn.Linear(5, 9, bias=False), nn.BatchNorm1d(9), nn.Linear(9, 3))
    loader = DataLoader(TensorDataset(*noise(33)), batch_size=16)
    assert babysit.check(model, nn.CrossEntropyLoss(), loader).causes[0].rule == "batch_norm_batch_of_one"


class Written(nn.Module):
    """Layers called by name, where no Sequential tells their order."""

    def __init__(self, first):
        super().__init__()
        self.fc1, self.norm, self.fc2, self.first = (
            nn.Linear(6, 16),
            nn.BatchNorm1d(16),
            nn.Linear(16, 3),
            first,
        )

    def forward(self, x):
        x = self.fc1(x)
        return self.fc2(F.relu(self.norm(x)) if self.first else self.norm(F.relu(x)))


def test_the_position_of_batch_normalization_is_found_in_any_model():
    before, behind = check(*clusters(), Written(True)), check(*clusters(), Written(False))
    assert finding(before, "redundant_bias").where == "fc1.bias"
    assert finding(before, "norm_after_activation") is None
    assert finding(behind, "norm_after_activation")
    assert finding(behind, "redundant_bias") is None
