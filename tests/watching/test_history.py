"""Bounded memory: a run of a million steps keeps eight bytes a step and a few hundred samples, evenly."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from babysit import watch
from babysit.watching.history import MOST_SAMPLES, History, Losses
from babysit.watching.measuring import Scalars
from babysit.watching.pending import PendingSample
from babysit.watching.schedule import next_sample
from watching.loops import mlp, points


def sampled(steps, every=16):
    history, due = History(), 1
    while due <= steps:
        history.keep(PendingSample(due, True, (), None, None, Scalars(), {}, 0), {})
        due = next_sample(due, every, history.stretch)
    return [sample.step for sample in history.samples()]


def test_samples_of_a_long_run_are_few_and_spread_over_all_of_it():
    kept = sampled(1_000_000)
    gaps = [late - early for early, late in pairwise(kept)]
    assert MOST_SAMPLES // 2 <= len(kept) <= MOST_SAMPLES
    assert kept[0] == 1
    assert max(gaps) <= 1_000_000 / (MOST_SAMPLES // 4)
    assert max(gaps[20:]) <= 2 * min(gaps[20:])


def test_a_short_run_keeps_every_sample():
    assert sampled(60) == [1, 3, 5, 7, 9, 25, 41, 57]
    assert sampled(20, every=1)[-1] > 10


def test_losses_are_numbers_however_they_come():
    losses = Losses()
    for loss in (
        1,
        0.5,
        torch.tensor(2.0, requires_grad=True),
        torch.tensor([[3.0]]),
        torch.tensor([1.0, 2.0]),
    ):
        losses.add(loss)
    assert list(losses.read()) == [1.0, 0.5, 2.0, 3.0, 1.5]
    with pytest.raises(ValueError, match="word"):
        losses.add("word")
    assert len(losses) == 5


def test_losses_on_a_device_are_read_in_their_places(monkeypatch):
    losses = Losses()
    losses.add(1.0)
    losses._wait(torch.tensor(2.0))
    losses.add(3.0)
    losses._wait(torch.tensor(4.0))
    assert list(losses.read()) == [1.0, 2.0, 3.0, 4.0]
    for number in range(2000):
        losses._wait(torch.tensor(float(number)))
        assert len(losses._waiting) < 512
    assert losses.read()[-1] == 1999.0


def run(zero, every=4, steps=120):
    torch.manual_seed(0)
    model, (x, y) = mlp(), points()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with watch(model, optimizer, every=every) as watching:
        for _ in range(steps):
            zero(model, optimizer)
            loss = nn.functional.cross_entropy(model(x[:32]), y[:32])
            loss.backward()
            optimizer.step()
            watching.step(loss)
    return [sample.stale for sample in watching.log().samples]


def zero_data(model, _):
    for value in model.parameters():
        if value.grad is not None:
            value.grad.data.zero_()


@pytest.mark.parametrize(
    "zero",
    [
        lambda model, optimizer: optimizer.zero_grad(),
        lambda model, optimizer: optimizer.zero_grad(set_to_none=False),
        lambda model, optimizer: model.zero_grad(set_to_none=False),
        zero_data,
    ],
    ids=["none", "zeros", "model", "data"],
)
def test_however_gradients_are_zeroed_they_are_not_left_over(zero):
    found = run(zero)
    assert True not in found
    assert len(found) > 10


def test_gradients_that_nobody_zeroes_are_left_over():
    found = run(lambda model, optimizer: None)
    assert found[:5] == [True] * 5
    assert {True, None} >= set(found[5:])
    assert found.count(True) > 5


def test_what_is_read_later_is_what_was_there():
    """Statistics of small tensors are computed long after the loop has changed them."""
    torch.manual_seed(0)
    model, (x, y) = mlp(), points()
    optimizer, criterion = torch.optim.SGD(model.parameters(), 0.01), nn.CrossEntropyLoss()
    spreads, shares = [], []
    with watch(model, optimizer, loss=criterion, every=4) as watching:
        for step in range(40):
            scores, labels = model(x[step : step + 32]), y[step : step + 32].clone()
            spreads.append(scores.detach().std(0, correction=0).mean().item())
            shares.append(labels.bincount(minlength=4).div(32).tolist())
            optimizer.zero_grad()
            loss = criterion(scores, labels)
            loss.backward()
            optimizer.step()
            scores.data.zero_()
            labels.zero_()
            watching.step(loss)
    samples = watching.log().samples
    assert [sample.output.spread for sample in samples] == pytest.approx(
        [spreads[sample.step - 1] for sample in samples]
    )
    assert [list(sample.targets.shares) for sample in samples] == [
        shares[sample.step - 1] for sample in samples
    ]
