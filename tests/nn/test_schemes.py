from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from babysit.errors import InputError, RecipeError
from babysit.nn import schemes

SHAPES = [(300, 500), (64, 32, 3, 3)]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def same_scale(ours, torchs):
    """Whether two large samples agree in mean and standard deviation within four standard errors."""
    std, n = torchs.std(), torchs.numel()
    assert abs(ours.mean()) < 4 * std / math.sqrt(n)
    assert abs(ours.std() / std - 1) < 4 / math.sqrt(n)  # the sum of the errors of both


@pytest.mark.parametrize("shape", SHAPES)
def test_the_scales_are_torchs(shape):
    def fresh():
        return torch.empty(shape)

    uniform = schemes.glorot_uniform(fresh())
    same_scale(uniform, nn.init.xavier_uniform_(fresh()))
    bound = math.sqrt(6 / sum(schemes.fans(uniform)))
    assert 0.999 * bound < uniform.abs().max() <= bound
    same_scale(schemes.glorot_normal(fresh()), nn.init.xavier_normal_(fresh()))
    for slope in (0, 0.01, 0.25, 1):
        for mode in ("fan_in", "fan_out"):
            ours = schemes.he(fresh(), slope=slope, mode=mode)
            same_scale(ours, nn.init.kaiming_normal_(fresh(), a=slope, mode=mode))
    same_scale(schemes.xavier(fresh()), nn.init.kaiming_normal_(fresh(), nonlinearity="linear"))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_standard_deviations_are_the_papers(shape):
    fan_in, fan_out = schemes.fans(torch.empty(shape))
    assert fan_in == math.prod(shape[1:])
    assert fan_out == shape[0] * math.prod(shape[2:])
    walk = math.sqrt(2) * math.exp(1.2 / (fan_in - 2.4)) / math.sqrt(fan_in)  # not over fan_in
    expected = {
        schemes.small_random: 0.01,
        schemes.xavier: fan_in**-0.5,
        schemes.he: (2 / fan_in) ** 0.5,
        schemes.glorot_normal: (2 / (fan_in + fan_out)) ** 0.5,
        schemes.random_walk: walk,
    }
    for scheme, std in expected.items():
        weight = scheme(torch.empty(shape))
        assert abs(weight.mean()) < 4 * std / math.sqrt(weight.numel())
        assert weight.std().item() == pytest.approx(std, rel=4 / math.sqrt(2 * weight.numel()))


def test_xavier_is_glorots_when_square():
    same_scale(schemes.xavier(torch.empty(400, 400)), schemes.glorot_normal(torch.empty(400, 400)))


def test_hes_numbers_for_vgg():
    """How much too small a standard deviation of 0.01 is for d channels of 3 x 3, backward."""
    ratios = [schemes.he(torch.empty(d, 64, 3, 3), mode="fan_out").std() / 0.01 for d in (64, 128, 256, 512)]
    for ratio, printed in zip(ratios, (5.89, 4.17, 2.95, 2.08), strict=True):
        assert ratio.item() == pytest.approx(printed, rel=0.02)


@pytest.mark.parametrize("slope", [0, 0.01, 0.1, 0.25])
def test_he_keeps_the_mean_square_of_leaky_relus(slope):
    h, sizes = torch.randn(500, 600), []
    for _ in range(10):
        h = nn.functional.leaky_relu(h @ schemes.he(torch.empty(600, 600), slope=slope).T, slope)
        sizes.append(h.square().mean().sqrt().item())
    assert all(abs(size - 1) < 0.25 for size in sizes)


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (25, 25), (40, 3, 3, 3), (8, 16, 3, 3)])
@pytest.mark.parametrize("gain", [1.0, math.sqrt(2)])
def test_orthogonal_is_orthogonal(shape, gain):
    W = schemes.orthogonal(torch.empty(shape, dtype=torch.float64), gain=gain).flatten(1)
    gram = W.T @ W if W.shape[0] >= W.shape[1] else W @ W.T
    assert (gram - gain**2 * torch.eye(len(gram), dtype=torch.float64)).abs().max() < 1e-12


def test_orthogonal_is_uniform_over_the_group():
    """Without the sign fix QR favours one sign: E[trace Q] would not be 0, nor half the determinants -1."""
    Q = torch.stack([schemes.orthogonal(torch.empty(3, 3, dtype=torch.float64)) for _ in range(2000)])
    assert abs(Q.mean(0)).max() < 4 * math.sqrt(1 / 3 / 2000)
    assert abs((torch.linalg.det(Q) > 0).double().mean() - 0.5) < 4 * 0.5 / math.sqrt(2000)


def test_fifty_orthogonal_layers_keep_every_direction_and_fifty_gaussian_ones_nearly_none():
    product, gaussian = torch.eye(100, dtype=torch.float64), torch.eye(100, dtype=torch.float64)
    for _ in range(50):
        product = schemes.orthogonal(torch.empty(100, 100, dtype=torch.float64)) @ product
        gaussian = schemes.xavier(torch.empty(100, 100, dtype=torch.float64)) @ gaussian
    assert (torch.linalg.svdvals(product) - 1).abs().max() < 1e-12
    values = torch.linalg.svdvals(gaussian)
    assert values.max() > 2
    assert values.median() < 1e-5
    assert values.min() < 1e-14


@pytest.mark.parametrize(
    ("activation", "width", "gain"),
    [
        ("relu", 100, 1.43171),
        ("relu", 10, 1.656),
        ("relu", 1000, 1.41592),
        ("linear", 100, math.exp(0.005)),
        ("tanh", 100, 1.15),
    ],
)
def test_the_random_walks_gains(activation, width, gain):
    assert schemes.random_walk_gain(activation, width) == pytest.approx(gain, rel=2e-4)


@pytest.mark.parametrize(("width", "variance"), [(100, 0.0527), (500, 0.0100), (1000, 0.0050)])
def test_the_gradients_log_norm_walks_without_drift(width, variance):
    """One step back: |D W^T delta|^2 / |delta|^2, half the units active, gaussian W of the scheme's scale."""
    draws, std = 4000, schemes.random_walk_gain("relu", width) / math.sqrt(width)
    back = std * torch.randn(draws, width, dtype=torch.float64)  # W^T delta for |delta| = 1 is gaussian
    steps = (back.square() * (torch.rand(draws, width) < 0.5)).sum(1).log()
    assert abs(steps.mean()) < 4 * steps.std() / math.sqrt(draws) + 1e-3
    assert steps.var().item() == pytest.approx(variance, rel=0.12)


def test_over_a_hundred_layers_the_walk_drifts_nowhere_and_hes_scale_does():
    def log_norms(scheme, runs=24, width=30, depth=100):
        ends = []
        for _ in range(runs):
            x = torch.randn(1, width, dtype=torch.float64).requires_grad_()
            h, delta = x, torch.randn(1, width, dtype=torch.float64)
            start = delta.norm().log()
            for _ in range(depth):
                z = torch.randn(
                    1, width, dtype=torch.float64
                )  # units fire at random, as in Sussillo's analysis
                h = torch.where(z > 0, h @ scheme(torch.empty(width, width, dtype=torch.float64)).T, 0.0)
            (gradient,) = torch.autograd.grad(h, x, delta)
            ends.append((gradient.norm().log() - start).item())
        ends = torch.tensor(ends)
        return ends.mean().item(), ends.std().item() / math.sqrt(runs)

    drift, error = log_norms(schemes.random_walk)
    assert abs(drift) < 4 * error
    assert error * math.sqrt(24) == pytest.approx(math.sqrt(100 * 5 / 30) / 2, rel=0.6)
    fallen, error = log_norms(schemes.he)
    assert fallen < -4 * error


def test_constants_and_torchs_default():
    assert not schemes.zero(torch.ones(3, 4)).any()
    assert (schemes.constant(torch.empty(3, 4), value=-2.0) == -2).all()
    layer = schemes.torch_default(nn.Linear(300, 400))
    assert layer.weight.var().item() == pytest.approx(1 / (3 * 300), rel=0.02)
    assert layer.bias.abs().max() <= 300**-0.5


def test_what_cannot_be_drawn_is_refused():
    for scheme in (
        schemes.he,
        schemes.xavier,
        schemes.orthogonal,
        schemes.glorot_uniform,
        schemes.random_walk,
    ):
        with pytest.raises(InputError, match="no fan-in"):
            scheme(torch.empty(5))
    with pytest.raises(RecipeError, match="fan_out"):
        schemes.he(torch.empty(5, 5), mode="fan_avg")
    with pytest.raises(RecipeError, match="relu"):
        schemes.random_walk(torch.empty(5, 5), activation="gelu")
    for scale in (-1.0, math.nan):
        with pytest.raises(RecipeError, match="0 or more"):
            schemes.small_random(torch.empty(5, 5), scale=scale)
