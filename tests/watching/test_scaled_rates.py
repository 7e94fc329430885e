"""A factor on the learning rate holds under every scheduler, and leaves every scheduler as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from babysit.watching.scaled_rates import ScaledRates

SCHEDULERS = {
    "none": lambda optimizer: None,
    "LambdaLR": lambda one: lr_scheduler.LambdaLR(one, lambda step: 1 / (1 + step)),
    "MultiplicativeLR": lambda one: lr_scheduler.MultiplicativeLR(one, lambda step: 0.9),
    "StepLR": lambda one: lr_scheduler.StepLR(one, 3, 0.5),
    "MultiStepLR": lambda one: lr_scheduler.MultiStepLR(one, [2, 5], 0.1),
    "ConstantLR": lambda one: lr_scheduler.ConstantLR(one, 0.3, 4),
    "LinearLR": lambda one: lr_scheduler.LinearLR(one, 0.1, total_iters=8),
    "ExponentialLR": lambda one: lr_scheduler.ExponentialLR(one, 0.8),
    "CosineAnnealingLR": lambda one: lr_scheduler.CosineAnnealingLR(one, 10, eta_min=0.01),
    "CosineAnnealingWarmRestarts": lambda one: lr_scheduler.CosineAnnealingWarmRestarts(one, 4),
    "PolynomialLR": lambda one: lr_scheduler.PolynomialLR(one, 9, 2.0),
    "OneCycleLR": lambda one: lr_scheduler.OneCycleLR(one, 0.9, total_steps=13),
    "CyclicLR": lambda one: lr_scheduler.CyclicLR(one, 0.01, 0.5, 3, cycle_momentum=False),
    "ReduceLROnPlateau": lambda one: lr_scheduler.ReduceLROnPlateau(one, patience=1, factor=0.3),
    "SequentialLR": lambda one: lr_scheduler.SequentialLR(
        one, [lr_scheduler.LinearLR(one, 0.1, total_iters=3), lr_scheduler.ExponentialLR(one, 0.7)], [3]
    ),
    "ChainedScheduler": lambda one: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ExponentialLR(one, 0.9), lr_scheduler.StepLR(one, 2, 0.5)]
    ),
}


class ByHand:
    """A schedule that no library knows: the loop sets the rate itself."""

    def __init__(self, optimizer):
        self.optimizer, self.count = optimizer, 0

    def step(self):
        self.count += 1
        for group in self.optimizer.param_groups:
            group["lr"] = 0.3 / self.count

    def state_dict(self):
        return {"count": self.count}


SCHEDULERS["ByHand"] = ByHand


def test_all_of_torchs_schedulers_are_here():
    assert set(lr_scheduler.__all__) - {"LRScheduler"} <= set(SCHEDULERS)


def course(make, touch_at=None, factor=1.0, rate=0.4):
    """What each step moved two weights by, of two groups, and what the loop saw of its rates."""
    weights = [nn.Parameter(torch.zeros(1, dtype=torch.float64)) for _ in range(2)]
    groups = [{"params": [weights[0]]}, {"params": [weights[1]], "lr": rate / 4}]
    optimizer = torch.optim.SGD(groups, lr=rate)
    scheduler = make(optimizer)
    scaled = ScaledRates([optimizer])
    scaled.start()
    moved, seen = [], []
    for step in range(12):
        if step == touch_at:
            scaled.factor = factor
        before = [weight.item() for weight in weights]
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        optimizer.step()
        moved.append([old - weight.item() for old, weight in zip(before, weights, strict=True)])
        if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
            scheduler.step(1.0)
        elif scheduler is not None:
            scheduler.step()
        seen.append([float(group["lr"]) for group in optimizer.param_groups])
    scaled.stop()
    states = optimizer.state_dict(), None if scheduler is None else scheduler.state_dict()
    return moved, seen, states


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_later_step_is_scaled_and_the_schedule_goes_its_way(name):
    plain, rates, states = course(SCHEDULERS[name])
    moved, seen, after = course(SCHEDULERS[name], touch_at=5, factor=0.25)
    assert moved[:5] == plain[:5]
    for touched, untouched in zip(moved[5:], plain[5:], strict=True):
        assert touched == pytest.approx([0.25 * value for value in untouched], rel=1e-12, abs=1e-15)
    assert seen == rates
    assert str(after) == str(states)


def test_two_optimizers_are_both_scaled():
    weights = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizers = [torch.optim.SGD([weights[0]], lr=1.0), torch.optim.SGD([weights[1]], lr=2.0)]
    scaled = ScaledRates(optimizers)
    scaled.start()
    scaled.factor = 0.5
    for weight, optimizer in zip(weights, optimizers, strict=True):
        weight.grad = torch.ones(1)
        optimizer.step()
    assert [weight.item() for weight in weights] == [-0.5, -1.0]


def test_a_rate_that_is_a_tensor_stays_the_same_tensor():
    weight, rate = nn.Parameter(torch.zeros(1)), torch.tensor(1.0)
    optimizer = torch.optim.Adam([weight], lr=rate, foreach=False)
    scaled = ScaledRates([optimizer])
    scaled.start()
    scaled.factor = 0.5
    weight.grad = torch.ones(1)
    optimizer.step()
    assert weight.item() == pytest.approx(-0.5)
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 1.0


def test_a_step_that_raises_leaves_no_factor_behind():
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scaled = ScaledRates([optimizer])
    scaled.start()
    scaled.factor = 0.5

    def closure():
        raise ValueError("no loss")

    for _ in range(3):
        with pytest.raises(ValueError, match="no loss"):
            optimizer.step(closure)
    weight.grad = torch.ones(1)
    optimizer.step()
    assert weight.item() == -0.5
    assert optimizer.param_groups[0]["lr"] == 1.0
    with pytest.raises(ValueError, match="no loss"):
        optimizer.step(closure)
    scaled.stop()
    assert optimizer.param_groups[0]["lr"] == 1.0
    assert not optimizer._optimizer_step_pre_hooks


def test_an_optimizer_without_hooks_cannot_be_scaled():
    class Own:
        param_groups = ()

    scaled = ScaledRates([Own()])
    assert not scaled.possible
    scaled.start()
    scaled.stop()
