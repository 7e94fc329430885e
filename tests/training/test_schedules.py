from __future__ import annotations

import math

import pytest
import torch

from babysit.errors import RecipeError
from babysit.training.schedules import SCHEDULES, schedule_named, warm_up

RATES = {
    "learning_rate": torch.ones(2, dtype=torch.float64),
    "learning_rate_decay": torch.tensor([0.9, 0.5], dtype=torch.float64),
    "step_factor": torch.tensor([0.5, 0.1], dtype=torch.float64),
    "step_every": torch.tensor([5.0, 2.0], dtype=torch.float64),
    "decay_rate": torch.tensor([1.0, 0.5], dtype=torch.float64),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_starts_at_one_and_never_rises(name):
    factors = torch.stack([SCHEDULES[name].factor(epoch / 4, 10, RATES) for epoch in range(40)])
    assert factors[0].tolist() == [1.0, 1.0]
    assert (factors.diff(dim=0) <= 1e-12).all()
    assert (factors >= 0).all()


@pytest.mark.parametrize(
    ("name", "epoch", "expected"),
    [
        ("constant", 7.0, [1.0, 1.0]),
        ("multiplicative", 3.9, [0.9**3, 0.5**3]),
        ("step", 5.0, [0.5, 0.01]),
        ("cosine", 5.0, [0.5, 0.5]),
        ("cosine", 10.0, [0.0, 0.0]),
        ("inverse_time", 4.0, [1 / 5, 1 / 3]),
    ],
)
def test_values(name, epoch, expected):
    assert SCHEDULES[name].factor(epoch, 10, RATES).tolist() == pytest.approx(expected, abs=1e-12)


def test_torch_agrees_on_cosine_and_exponential():
    parameter = torch.nn.Parameter(torch.zeros(1))
    for name, make in {
        "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
        "multiplicative": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
    }.items():
        optimizer = torch.optim.SGD([parameter], lr=1.0)
        scheduler = make(optimizer)
        for epoch in range(10):
            ours = SCHEDULES[name].factor(float(epoch), 10, RATES)[0].item()
            assert optimizer.param_groups[0]["lr"] == pytest.approx(ours, abs=1e-12)
            optimizer.step()
            scheduler.step()


def test_warm_up_rises_in_a_straight_line_and_zero_is_off():
    rates = {"warm_up_epochs": torch.tensor([0.0, 4.0])}
    assert warm_up(1.0, rates).tolist() == [1.0, 0.25]
    assert warm_up(9.0, rates).tolist() == [1.0, 1.0]
    assert not math.isnan(warm_up(0.0, rates).sum().item())


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(RecipeError, match=r"(?s)'cos'.*cosine"):
        schedule_named("cos")
