from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from babysit.errors import RecipeError
from babysit.training.losses import LOSSES, accuracy, hinge, loss_named, softmax_cross_entropy


def scores(members=3, batch=7, classes=5):
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(members, batch, classes, generator=generator)
    return outputs, torch.randint(0, classes, (batch,), generator=generator)


def test_softmax_equals_torch_member_by_member():
    outputs, targets = scores()
    found = softmax_cross_entropy(outputs, targets)
    for member in range(3):
        torch.testing.assert_close(found[member], F.cross_entropy(outputs[member], targets, reduction="none"))


def test_hinge_equals_the_double_loop():
    outputs, targets = scores()
    found = hinge(outputs, targets)
    for member in range(3):
        for example in range(7):
            s, y = outputs[member, example], targets[example]
            expected = sum(max(0.0, (s[j] - s[y] + 1).item()) for j in range(5) if j != y)
            assert found[member, example].item() == pytest.approx(expected, abs=1e-5)


def test_hinge_equals_torchs_multi_margin_loss():
    outputs, targets = scores()
    torchs = nn.MultiMarginLoss(reduction="none")(outputs[0], targets) * 5  # torch divides by C
    torch.testing.assert_close(hinge(outputs, targets)[0], torchs)


@pytest.mark.parametrize("shape", [(3, 7), (3, 7, 1)])
def test_binary_takes_logits_with_or_without_a_last_axis(shape):
    outputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 1, 0, 1, 0, 0])
    expected = F.binary_cross_entropy_with_logits(outputs[1].flatten(), targets.float(), reduction="none")
    torch.testing.assert_close(LOSSES["binary"].per_example(outputs, targets)[1], expected)


def test_mse_does_not_broadcast_one_column_against_a_row():
    """(N, 1) against (N,) would silently become (N, N)."""
    outputs, targets = torch.randn(2, 6, 1), torch.randn(6)
    found = LOSSES["mse"].per_example(outputs, targets)
    assert found.shape == (2, 6)
    torch.testing.assert_close(found, (outputs.squeeze(-1) - targets).square())


@pytest.mark.parametrize(
    ("name", "classes", "expected"),
    [("softmax", 10, math.log(10)), ("hinge", 10, 9.0), ("binary", 2, math.log(2))],
)
def test_zero_scores_cost_the_chance_level(name, classes, expected):
    loss = LOSSES[name]
    targets = torch.arange(20) % classes
    width = loss.width(classes, targets)
    value = loss.per_example(torch.zeros(1, 20, width), targets).mean().item()
    assert value == pytest.approx(loss.chance(classes, targets), abs=1e-6)
    assert value == pytest.approx(expected, abs=1e-6)


def test_the_chance_level_of_mse_is_what_predicting_the_mean_costs():
    targets = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 3 + 5
    cost = LOSSES["mse"].per_example(targets.mean().expand(1, 1000), targets).mean().item()
    assert LOSSES["mse"].chance(0, targets) == pytest.approx(cost, rel=1e-5)


def test_a_run_of_nans_has_no_accuracy():
    """All-NaN scores argmax to class 0 in torch, whose share would pass for an accuracy."""
    outputs = torch.full((1, 100, 10), math.nan)
    targets = torch.arange(100) % 10
    assert (outputs.argmax(-1) == 0).all()
    assert math.isnan(accuracy(LOSSES["softmax"], outputs, targets).item())


@given(st.integers(2, 12), st.integers(1, 30))
def test_accuracy_is_the_share_of_hits(classes, batch):
    generator = torch.Generator().manual_seed(classes * 100 + batch)
    targets = torch.randint(0, classes, (batch,), generator=generator)
    outputs = F.one_hot(targets, classes).float().unsqueeze(0)
    assert accuracy(LOSSES["softmax"], outputs, targets).item() == 1.0
    assert accuracy(LOSSES["softmax"], -outputs, targets).item() == 0.0


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(RecipeError, match=r"(?s)'sofmax'.*softmax"):
        loss_named("sofmax")


@pytest.mark.parametrize("members", [1, 3])
def test_the_average_of_networks_is_that_of_their_probabilities(members):
    generator = torch.Generator().manual_seed(0)
    outputs = 5 * torch.randn(members, 20, 4, generator=generator, dtype=torch.float64)
    found = LOSSES["softmax"].average(outputs)
    assert torch.allclose(found.softmax(-1)[0], outputs.softmax(-1).mean(0))
    assert torch.allclose(LOSSES["hinge"].average(outputs)[0], outputs.mean(0))
    assert torch.allclose(LOSSES["mse"].average(outputs)[0], outputs.mean(0))
    logits = outputs[..., :1]
    found = LOSSES["binary"].average(logits)
    assert torch.allclose(found.sigmoid()[0], logits.sigmoid().mean(0))
    assert LOSSES["binary"].predict(found).tolist() == [
        (logits.sigmoid().mean(0) > 0.5).long().flatten().tolist()
    ]


def test_certain_networks_average_without_overflow():
    outputs = torch.tensor([[[500.0, -500.0]], [[-500.0, 500.0]]])
    assert torch.allclose(LOSSES["softmax"].average(outputs).softmax(-1), torch.tensor([[[0.5, 0.5]]]))
    assert LOSSES["binary"].average(outputs[..., :1]).item() == pytest.approx(0.0)
