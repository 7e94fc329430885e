"""Every kind of kink is seen, whoever computes it; what is smooth has none."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from babysit.checks.questions.active_set import ActiveSet
from babysit.training.losses import LOSSES


def watched(function, x):
    with torch.no_grad(), ActiveSet() as active:
        function(x.clone())
    return active


def moved(function, at, by=1e-6):
    """Whether the active set differs just below and just above a value."""
    x = torch.linspace(-2, 2, 16, dtype=torch.float64).reshape(1, 1, 4, 4)
    below, above = x.clone(), x.clone()
    below[0, 0, 1, 1], above[0, 0, 1, 1] = at - by, at + by
    return not watched(function, below).equals(watched(function, above))


class OwnReLU(nn.Module):
    def forward(self, x):
        return torch.where(x > 0, x, 0.1 * x)


@pytest.mark.parametrize(
    ("function", "kinks"),
    [
        (nn.ReLU(), [0]),
        (nn.ReLU(inplace=True), [0]),
        (F.relu, [0]),
        (nn.LeakyReLU(0.1), [0]),
        (nn.RReLU().eval(), [0]),
        (nn.PReLU().double(), [0]),
        (nn.ELU(), [0]),
        (nn.SELU(), [0]),
        (nn.ReLU6(), [0]),
        (nn.Threshold(0.7, 0.0), [0.7]),
        (nn.Hardtanh(), [-1, 1]),
        (nn.Hardtanh(-0.3, 0.4), [-0.3, 0.4]),
        (nn.Hardsigmoid(), [-3, 3]),
        (nn.Hardswish(), [-3, 3]),
        (nn.Hardshrink(), [-0.5, 0.5]),
        (nn.Softshrink(0.2), [-0.2, 0.2]),
        (torch.abs, [0]),
        (lambda x: x.clamp(min=0.3), [0.3]),
        (lambda x: x.clamp(-0.3, 0.6), [-0.3, 0.6]),
        (lambda x: x.clamp(max=0.6), [0.6]),
        (lambda x: x.clamp_min(0.3), [0.3]),
        (lambda x: x.clamp_(max=torch.tensor(0.6)), [0.6]),
        (lambda x: torch.maximum(x, torch.full_like(x, 0.25)), [0.25]),
        (lambda x: torch.minimum(torch.full_like(x, 0.25), x), [0.25]),
        (lambda x: x.max(), [2.0]),
        (lambda x: x.flatten().max(dim=0).values, [2.0]),
        (lambda x: x.amax(), [2.0]),
        (lambda x: x.amin((2, 3)), [-2.0]),
        (nn.MaxPool2d(4), [2.0]),
        (nn.AdaptiveMaxPool2d(1), [2.0]),
        (lambda x: x.flatten().sort().values, [2.0]),
        (OwnReLU(), [0]),
        (lambda x: LOSSES["hinge"].per_example(x.reshape(1, 2, 8), torch.tensor([7, 0])), [-1.0 - 2 / 15]),
        (lambda x: F.l1_loss(x, torch.full_like(x, 0.4)), [0.4]),
    ],
)
def test_a_kink_lies_just_there(function, kinks):
    for at in kinks:
        assert moved(function, at), f"no kink seen at {at}"
        assert not moved(function, at + 0.013), f"a kink seen beside {at}"


@pytest.mark.parametrize(
    "function",
    [
        nn.Tanh(),
        nn.Sigmoid(),
        nn.GELU(),
        nn.SiLU(),
        nn.Softplus(),
        nn.Softmax(-1),
        nn.LayerNorm(4, dtype=torch.float64),
        nn.Conv2d(1, 2, 3, dtype=torch.float64),
        nn.AvgPool2d(2),
        lambda x: x.logsumexp(-1),
        lambda x: F.cross_entropy(x.reshape(2, 8), torch.tensor([0, 1])),
        lambda x: F.mse_loss(x, torch.ones_like(x)),
    ],
)
def test_what_is_smooth_has_no_sides(function):
    assert watched(function, torch.randn(1, 1, 4, 4, dtype=torch.float64)).sides == []


def test_another_number_of_operations_is_another_active_set():
    x = torch.ones(3)
    assert not watched(torch.relu, x).equals(watched(lambda x: torch.relu(torch.relu(x)), x))


def test_a_cast_to_a_coarser_type_is_noted():
    x = torch.ones(3, dtype=torch.float64)
    assert watched(lambda x: x.float(), x).narrowed is torch.float32
    assert watched(lambda x: x.half().double(), x).narrowed is torch.float16
    assert watched(lambda x: x * torch.ones(3), x).narrowed is None
    assert watched(lambda x: x.float(), torch.ones(3)).narrowed is None
