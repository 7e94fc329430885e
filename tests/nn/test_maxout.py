from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from babysit.errors import InputError
from babysit.nn.maxout import Maxout, second_moment


def double(*sizes, seed=0):
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_pieces(first, second):
    """A maxout layer of two pieces per unit, each given as (weight [out, in], bias [out])."""
    layer = Maxout(first[0].shape[1], first[0].shape[0]).double()
    with torch.no_grad():
        layer.weight.copy_(torch.stack([first[0], second[0]], 1).flatten(0, 1))
        layer.bias.copy_(torch.stack([first[1], second[1]], 1).flatten())
    return layer


@pytest.mark.parametrize("pieces", [1, 2, 3, 5])
def test_it_is_the_highest_of_its_hyperplanes(pieces):
    layer, x = Maxout(4, 3, pieces).double(), double(20, 4)
    planes = [x @ layer.weight[j::pieces].T + layer.bias[j::pieces] for j in range(pieces)]
    torch.testing.assert_close(layer(x), torch.stack(planes).amax(0))


@pytest.mark.parametrize("pieces", [2, 3, 5])
def test_it_is_convex(pieces):
    layer = Maxout(6, 10, pieces).double()
    nn.init.normal_(layer.bias)
    a, b = double(500, 6), double(500, 6, seed=1)
    assert (layer((a + b) / 2) <= (layer(a) + layer(b)) / 2 + 1e-12).all()


def test_relu_leaky_relu_and_the_absolute_value_are_special_cases():
    weight, bias, x = double(5, 4), double(5, seed=1), double(100, 4, seed=2)
    plane = F.linear(x, weight, bias)
    zero = torch.zeros_like
    assert torch.equal(with_pieces((weight, bias), (zero(weight), zero(bias)))(x), F.relu(plane))
    leaky = with_pieces((weight, bias), (0.01 * weight, 0.01 * bias))(x)
    torch.testing.assert_close(leaky, F.leaky_relu(plane, 0.01), rtol=1e-13, atol=1e-15)
    assert torch.equal(with_pieces((weight, bias), (-weight, -bias))(x), plane.abs())


def test_its_slope_is_always_one_of_its_weights():
    torch.manual_seed(0)
    layer = Maxout(4, 1, 3).double()
    nn.init.normal_(layer.bias, std=0.1)  # with large ones a piece may be the largest nowhere
    x = double(200, 4).requires_grad_()
    (slope,) = torch.autograd.grad(layer(x).sum(), x)
    distance = (slope[:, None] - layer.weight[None]).abs().amax(2)
    assert (distance.amin(1) == 0).all()
    assert (distance == 0).any(0).all()  # and each of them somewhere
    assert (slope.norm(dim=1) >= layer.weight.norm(dim=1).min()).all()


def test_at_a_tie_one_piece_takes_the_gradient():
    layer = Maxout(2, 1)
    nn.init.ones_(layer.weight)
    layer(torch.ones(1, 2)).backward()
    assert layer.weight.grad.tolist() == [[1, 1], [0, 0]]


def test_the_gradient_checks():
    layer = Maxout(3, 2, 3).double()
    assert torch.autograd.gradcheck(layer, (double(7, 3).requires_grad_(),))


@pytest.mark.parametrize("pieces", [2, 3, 4])
def test_it_has_k_times_the_parameters(pieces):
    count = sum(parameter.numel() for parameter in Maxout(30, 20, pieces).parameters())
    assert count == pieces * 20 * (30 + 1)
    assert sum(p.numel() for p in Maxout(30, 20, pieces, bias=False).parameters()) == pieces * 20 * 30


@pytest.mark.parametrize(
    ("pieces", "power"), [(1, 1), (2, 1), (3, 1.27566), (4, 1.55133), (5, 1.80002), (8, 2.39954)]
)
def test_the_second_moments(pieces, power):
    assert second_moment(pieces) == pytest.approx(power, abs=6e-6)
    z = double(400_000, pieces).amax(1) ** 2
    assert abs(z.mean() - power) < 4 * z.std() / math.sqrt(len(z))


@pytest.mark.parametrize("pieces", [2, 3, 4, 5, 6])
def test_a_fresh_layer_keeps_the_mean_square(pieces):
    torch.manual_seed(0)
    layer = Maxout(400, 400, pieces)
    expected = 1 / math.sqrt(400 * second_moment(pieces))
    assert layer.weight.std().item() == pytest.approx(expected, rel=4 / math.sqrt(2 * layer.weight.numel()))
    assert not layer.bias.any()
    power = layer(torch.randn(500, 400)).square().mean().item()
    assert power == pytest.approx(1, abs=0.05)


def test_it_takes_any_leading_axes_and_says_what_it_is():
    layer = Maxout(3, 4)
    assert layer(torch.zeros(3)).shape == (4,)
    assert layer(torch.zeros(2, 5, 3)).shape == (2, 5, 4)
    assert layer(torch.zeros(0, 3)).shape == (0, 4)
    assert repr(layer) == "Maxout(in_features=3, out_features=4, pieces=2)"


def test_it_maps_over_a_population():
    layers = [Maxout(3, 4) for _ in range(5)]
    parameters, buffers = torch.func.stack_module_state(layers)
    x = torch.randn(7, 3)
    outputs = torch.func.vmap(
        lambda p, b: torch.func.functional_call(layers[0], (p, b), x), randomness="error"
    )(parameters, buffers)
    for index, layer in enumerate(layers):
        torch.testing.assert_close(outputs[index], layer(x))


@pytest.mark.parametrize("sizes", [(0, 1, 2), (1, 0, 2), (1, 1, 0)])
def test_sizes_below_one_are_refused(sizes):
    with pytest.raises(InputError, match="1 or more"):
        Maxout(*sizes)
