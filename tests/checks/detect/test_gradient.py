"""The detector of a wrong gradient: custom backward functions, and branches held constant."""

from __future__ import annotations

import pytest
import torch
from tests.checks.programs import check, classifier, clusters, finding
from torch import nn

from babysit.checks.detect import gradient
from babysit.verdicts import Severity


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x**3

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return ctx.factor * x**2 * upstream, None


class ScaledGradient(Cube):
    """A name that says that the gradient is another on purpose."""

    forward = staticmethod(lambda ctx, x, factor: Cube.forward(ctx, x, factor))
    backward = staticmethod(lambda ctx, upstream: Cube.backward(ctx, upstream))


class Own(nn.Module):
    def __init__(self, function, factor):
        super().__init__()
        self.body, self.function, self.factor = classifier(outputs=8), function, factor
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.function.apply(self.body(x), self.factor))


@pytest.mark.parametrize(
    ("function", "factor", "severity"),
    [
        (Cube, 3, None),
        (Cube, 2, Severity.ERROR),
        (Cube, -3, Severity.ERROR),
        (Cube, 3.3, Severity.ERROR),
        (ScaledGradient, 2, Severity.INFO),
    ],
)
def test_a_custom_backward(monkeypatch, function, factor, severity):
    monkeypatch.setattr(gradient, "_SECONDS_TO_NAME", 1e9)
    monkeypatch.setattr(gradient, "SECONDS", 1e9)
    found = finding(check(*clusters(), Own(function, factor)), "wrong_gradient")
    assert (found and found.severity) == severity
    if severity is Severity.ERROR:
        assert "backward of Cube" in found.message
        assert "body.0.weight" in found.message


def test_a_branch_held_constant_is_an_info_finding():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x):
            hidden = torch.tanh(self.first(x))
            return self.last(hidden + hidden.detach())

    assert finding(check(*clusters(), Residual()), "wrong_gradient").severity is Severity.INFO
