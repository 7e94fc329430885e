"""What the programs from issues taught `babysit.watch`: each where it must speak, and where it must not."""

from __future__ import annotations

from itertools import cycle, islice

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import babysit
from babysit.loss_graph import read_loss
from babysit.verdicts import Severity


def batches(targets, inputs=6, size=32):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, inputs, generator=generator)
    y = targets(x)
    return [(x[at : at + size], y[at : at + size]) for at in range(0, 256, size)]


def net(*layers):
    torch.manual_seed(0)
    return nn.Sequential(*(make() for make in layers))


def watched(model, criterion, data, *, steps=60, zero_late=False):
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with babysit.watch(model, optimizer, loss=criterion) as watch:
        for x, y in islice(cycle(data), steps):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            if zero_late:
                optimizer.zero_grad()
            optimizer.step()
            watch.step(loss)
    report = watch.report()
    assert "could not" not in str(report)
    return [cause.rule for cause in report.causes if cause.finding.severity is not Severity.INFO]


def classes(x):
    return (x[:, 0] > 0).long()


@pytest.mark.parametrize("zero_late", [True, False])
def test_gradients_zeroed_between_backward_and_step(zero_late):
    model = net(lambda: nn.Linear(6, 16), nn.ReLU, lambda: nn.Linear(16, 2))
    found = watched(model, nn.CrossEntropyLoss(), batches(classes), zero_late=zero_late)
    assert (found[:1] == ["gradients_discarded"]) is zero_late


def test_a_loss_that_does_not_reach_the_model_is_cut_and_not_zeroed():
    model = net(lambda: nn.Linear(6, 2))
    other = nn.Parameter(torch.zeros(2))
    found = watched(model, lambda out, y: F.cross_entropy(out.detach() + other, y), batches(classes))
    assert found[:1] == ["loss_not_connected"]


class Fooling(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator, self.critic = nn.Linear(6, 4), nn.Linear(4, 2)

    def forward(self, z):
        return self.critic(self.generator(z).detach())


def test_a_gradient_of_what_no_optimizer_holds_is_not_the_one_zeroed():
    model = net(Fooling)[0]
    optimizer, criterion = torch.optim.Adam(model.generator.parameters()), nn.CrossEntropyLoss()
    with babysit.watch(model, optimizer, loss=criterion) as watch:
        for x, y in islice(cycle(batches(classes)), 60):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            watch.step(loss)
    assert watch.report().causes[0].rule == "loss_not_connected"


class Attention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.score, self.value, self.dim = nn.Linear(3, 1), nn.Linear(3, 2), dim

    def forward(self, x):
        places = x.view(len(x), -1, 3)
        return (F.softmax(self.score(places), dim=self.dim) * self.value(places)).sum(1)


@pytest.mark.parametrize(("dim", "lone"), [(2, True), (1, False)])
def test_an_attention_whose_weights_are_all_one(dim, lone):
    model = net(lambda: Attention(dim))
    assert ("one_unit_softmax" in watched(model, nn.CrossEntropyLoss(), batches(classes))) is lone


def test_predictions_stretched_inside_a_formula():
    out = torch.zeros(8, requires_grad=True) * 1
    returns = torch.arange(8.0)[:, None]
    clipped = torch.max((out - returns) ** 2, (out.clamp(-1, 1) - returns) ** 2).mean()
    assert read_loss(clipped).stretched == ((8,), (8, 8))
    assert read_loss(((out[:, None] - returns) ** 2).mean()).stretched is None
    advantage = returns - torch.zeros(8)
    assert read_loss((advantage * out).mean()).stretched == ((8,), (8, 8))


def test_pairs_inside_the_model_are_its_own_business():
    layer = nn.Linear(1, 8)
    grid = torch.linspace(-1, 1, 8)
    features = layer(torch.ones(8, 1))[:, :1] - grid
    assert read_loss(nn.Linear(8, 1)(features).square().mean()).stretched is None


def contrast(x):
    z = F.normalize(x, dim=1)
    return torch.cat([(z * z).sum(1, keepdim=True), z @ z.T - 2 * torch.eye(len(z))], 1) / 0.5


class Contrast(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(6, 4)

    def forward(self, x):
        return contrast(self.body(x))


def test_a_contrast_whose_true_pair_is_always_the_first():
    zeros = batches(lambda x: torch.zeros(len(x), dtype=torch.long))
    assert watched(net(Contrast), nn.CrossEntropyLoss(), zeros) == []
    layers = net(lambda: nn.Linear(6, 16), nn.ReLU, lambda: nn.Linear(16, 3))
    assert "constant_labels" in watched(layers, nn.CrossEntropyLoss(), zeros)


@pytest.mark.parametrize("several", [True, False])
def test_a_softmax_before_binary_cross_entropy(several):
    def labels(x):
        return (x[:, :3] > -1).float() if several else F.one_hot(x[:, :3].argmax(1), 3).float()

    model = net(lambda: nn.Linear(6, 16), nn.ReLU, lambda: nn.Linear(16, 3), lambda: nn.Softmax(1))
    assert ("bounded_output" in watched(model, nn.BCELoss(), batches(labels))) is several


def test_a_likelihood_descended():
    model = net(lambda: nn.Linear(6, 2), lambda: nn.LogSoftmax(1))

    def criterion(out, y):
        return out.gather(1, y[:, None]).mean()

    assert watched(model, criterion, batches(classes), steps=100)[:1] == ["sign_flipped"]


@pytest.mark.parametrize(("sign", "flipped"), [(-1, True), (1, False)])
def test_a_loss_without_a_floor(sign, flipped):
    def criterion(out, y):
        return F.mse_loss(out[:, :1], y) + sign * (out[:, 1:].exp() - out[:, 1:] - 1).mean()

    model = net(lambda: nn.Linear(6, 32), nn.ReLU, lambda: nn.Linear(32, 4))
    found = watched(model, criterion, batches(lambda x: x[:, :1]), steps=200)
    assert (found[:1] == ["sign_flipped"]) is flipped
