"""The course's own printed figures for batch normalization and dropout, from NumPy's legacy seeds."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from babysit.nn.dropout import MemberDropout


def tensor(array):
    return torch.tensor(array, dtype=torch.float64)


def close(found, printed):
    return np.allclose(found.detach().numpy(), printed, rtol=0, atol=6e-9)


@pytest.mark.parametrize(("l2", "printed"), [(0.0, 2.2611955101340957), (3.14, 6.996533220108303)])
def test_the_first_loss_of_a_batch_normalized_network(l2, printed):
    random = np.random.RandomState(231)
    x, y = tensor(random.randn(2, 15)), torch.tensor(random.randint(10, size=2))
    sizes = [15, 20, 30, 10]
    # The two regularization strengths are tried in one loop, so the second network has the later numbers.
    for strength in (0.0, 3.14):
        drawn = [tensor(5e-2 * random.randn(a, b)) for a, b in pairwise(sizes)]
        if strength == l2:
            break
    layers = [nn.Linear(a, b).double() for a, b in pairwise(sizes)]
    with torch.no_grad():
        for layer, weight in zip(layers, drawn, strict=True):
            layer.weight.copy_(weight.T)
            layer.bias.zero_()
    first, second, last = layers
    norms = [nn.BatchNorm1d(size).double() for size in (20, 30)]
    model = nn.Sequential(first, norms[0], nn.ReLU(), second, norms[1], nn.ReLU(), last)
    loss = nn.functional.cross_entropy(model(x), y)
    loss = loss + l2 / 2 * sum(layer.weight.square().sum() for layer in layers)
    assert loss.item() == pytest.approx(printed, rel=1e-12)
    loss.backward()
    assert first.bias.grad.abs().max() < 1e-12
    assert second.bias.grad.abs().max() < 1e-12


def test_the_means_and_deviations_before_and_after():
    random = np.random.RandomState(231)
    X, W1, W2 = random.randn(200, 50), random.randn(50, 60), random.randn(60, 3)
    a = tensor(np.maximum(0, X @ W1) @ W2)
    assert close(a.mean(0), [-2.3814598, -13.18038246, 1.91780462])
    assert close(a.std(0, correction=0), [27.18502186, 34.21455511, 37.68611762])
    layer = nn.BatchNorm1d(3).double()
    for gamma, beta in (((1, 1, 1), (0, 0, 0)), ((1, 2, 3), (11, 12, 13))):
        with torch.no_grad():
            layer.weight.copy_(tensor(gamma))
            layer.bias.copy_(tensor(beta))
        assert np.allclose(layer(a).mean(0).detach(), beta, atol=1e-12)
        assert np.allclose(layer(a).std(0, correction=0).detach(), gamma, atol=1e-6)


def test_test_time_after_fifty_batches_in_torchs_convention_and_in_the_courses():
    random = np.random.RandomState(231)
    W1, W2 = random.randn(50, 60), random.randn(60, 3)

    def batch():
        return tensor(np.maximum(0, random.randn(200, 50) @ W1) @ W2)

    layer = nn.BatchNorm1d(3).double()
    course = torch.zeros(3, dtype=torch.float64)  # biased variances, and a start at 0
    for _ in range(50):
        a = batch()
        layer(a)
        course = 0.9 * course + 0.1 * a.var(0, correction=0)
    layer.eval()
    a = batch()
    y = layer(a)
    assert close(y.mean(0), [-0.03917515, -0.04338257, -0.10426504])
    assert close(y.std(0, correction=0), [1.01277065, 1.00984753, 0.9757494])
    layer.running_var.copy_(course)
    y = layer(a)
    assert close(y.mean(0), [-0.03927354, -0.04349152, -0.10452688])
    assert close(y.std(0, correction=0), [1.01531428, 1.01238373, 0.97819988])


def test_the_backward_pass_against_the_papers_formula():
    random = np.random.RandomState(231)
    x = tensor(5 * random.randn(4, 5) + 12).requires_grad_()
    gamma, beta, dy = (tensor(random.randn(*shape)) for shape in ((5,), (5,), (4, 5)))
    layer = nn.BatchNorm1d(5).double()
    with torch.no_grad():
        layer.weight.copy_(gamma)
        layer.bias.copy_(beta)
    dx, dgamma, dbeta = torch.autograd.grad(layer(x), [x, layer.weight, layer.bias], dy)
    scale = (x.var(0, correction=0) + layer.eps).sqrt()
    normal = (x - x.mean(0)) / scale
    d = dy * gamma
    expected = (len(x) * d - d.sum(0) - normal * (d * normal).sum(0)) / (len(x) * scale)
    torch.testing.assert_close(dx, expected, rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(dgamma, (dy * normal).sum(0))
    torch.testing.assert_close(dbeta, dy.sum(0))
    assert torch.autograd.gradcheck(layer, (x,))


@pytest.mark.parametrize(
    ("keep", "mean", "zeros"),
    [
        (0.25, 10.014059116977283, 0.749784),
        (0.4, 9.977917658761159, 0.600796),
        (0.7, 9.987811912159428, 0.300740),
    ],
)
def test_dropout_with_the_courses_masks_and_with_ours(keep, mean, zeros):
    random = np.random.RandomState(231)
    x = random.randn(500, 500) + 10
    assert x.mean() == pytest.approx(10.000207878477502, rel=1e-14)
    for rate in (0.25, 0.4, 0.7):
        mask = (random.rand(*x.shape) < rate) / rate  # the course counts what is kept
        if rate == keep:
            break
    assert (x * mask).mean() == pytest.approx(mean, rel=1e-13)
    assert (mask == 0).mean() == pytest.approx(zeros, abs=1e-12)
    layer, inputs = MemberDropout(1 - keep).double(), tensor(x).requires_grad_()  # and torch what is dropped
    y = layer(inputs)
    error = math.sqrt((1 - keep) / keep * (x**2).mean() / x.size)
    assert abs(y.mean().item() - x.mean()) < 4 * error
    assert (y == 0).double().mean().item() == pytest.approx(1 - keep, abs=4 * 0.5 / 500)
    assert torch.equal(layer.eval()(inputs), inputs)
    (slope,) = torch.autograd.grad(y.sum(), inputs)
    torch.testing.assert_close(slope, (y != 0).double() / keep, rtol=1e-6, atol=0)
