"""The lecture's experiment: 1000 gaussian inputs through ten layers of 500 units, and their statistics.

The expected numbers are those of infinite width, worked out apart from this code, or printed on the slides;
the tolerances are four standard deviations over seeds.
"""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from babysit.nn.activations import activation
from babysit.nn.initialization import initialize

SQRT_HALF = math.sqrt(0.5)
# Over seeds, how far the std of layers 1 to 10 is off: for He absolute, for tanh with 0.01 relative.
HE_SPREAD = [0.002, 0.016, 0.026, 0.041, 0.054, 0.068, 0.086, 0.088, 0.099, 0.113]
SMALL_SPREAD = [0.0016 + (0.013 - 0.0016) * layer / 9 for layer in range(10)]
TANH_XAVIER = [
    0.627929,
    0.486262,
    0.408236,
    0.357638,
    0.321622,
    0.294390,
    0.272911,
    0.255430,
    0.240856,
    0.228473,
]
SLIDE = {
    "tanh small": [
        0.213081,
        0.047551,
        0.010630,
        0.002378,
        0.000532,
        0.000119,
        0.000026,
        0.000006,
        0.000001,
        0.0,
    ],
    "he mean": [
        0.562488,
        0.553614,
        0.545867,
        0.565396,
        0.547678,
        0.587103,
        0.596867,
        0.623214,
        0.567498,
        0.552531,
    ],
    "he std": [
        0.825232,
        0.827835,
        0.813855,
        0.826902,
        0.834092,
        0.860035,
        0.870610,
        0.889348,
        0.845357,
        0.844523,
    ],
}


def ten_layers(nonlinearity, scheme, seed=0, bias=False, **options):
    parts = []
    for _ in range(10):
        parts += [nn.Linear(500, 500, bias=bias)]
        parts += [nn.Identity() if nonlinearity == "linear" else activation(nonlinearity)]
    return initialize(nn.Sequential(*parts), scheme, seed=seed, **options)


def hidden(model, seed=1):
    """The activations of the ten layers for 1000 unit gaussian inputs; the first entry is the input."""
    values = [torch.randn(1000, 500, generator=torch.Generator().manual_seed(seed)).requires_grad_()]
    for linear, nonlinearity in zip(model[::2], model[1::2], strict=True):
        values.append(nonlinearity(linear(values[-1])))
    return values


def statistics(values):
    return [h.mean().item() for h in values[1:]], [h.std().item() for h in values[1:]]


def gradients(model):
    """The stds of dX at the input of each layer and of dW (mean over examples), for unit noise at the top."""
    values, weights = hidden(model), [layer.weight for layer in model[::2]]
    noise = torch.randn(1000, 500, generator=torch.Generator().manual_seed(2))
    found = torch.autograd.grad(values[-1], [*values[:-1], *weights], noise)
    return [g.std().item() for g in found[:10]], [g.std().item() / 1000 for g in found[10:]]


def powers(first, ratio):
    return [first * ratio**layer for layer in range(10)]


CASES = {
    "tanh 0.01": (
        ("tanh", "small_random", {"scale": 0.01}),
        [
            0.213546,
            0.0476421,
            0.0106519,
            0.00238182,
            0.000532592,
            0.000119091,
            2.66e-5,
            5.95e-6,
            1.33e-6,
            2.98e-7,
        ],
        None,
        SMALL_SPREAD,  # relative
    ),
    "tanh 1.0": (
        ("tanh", "small_random", {"scale": 1.0}),
        [0.98201, 0.98168, *[0.98167] * 8],
        None,
        [1e-4] * 10,
    ),
    "tanh xavier": (
        ("tanh", "xavier", {}),
        TANH_XAVIER,
        None,
        [0.002 / std for std in TANH_XAVIER],
    ),
    "relu xavier": (
        ("relu", "xavier", {}),
        powers(0.58382, SQRT_HALF),
        powers(0.39894, SQRT_HALF),
        [spread / 0.82565 for spread in HE_SPREAD],
    ),
    "relu he": (
        ("relu", "he", {}),
        [0.82565] * 10,
        [0.56419] * 10,
        [spread / 0.82565 for spread in HE_SPREAD],
    ),
    "linear xavier": (("linear", "xavier", {}), [1.0] * 10, None, [0.005] * 10),
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_the_means_and_deviations_of_the_ten_layers(case, seed):
    (nonlinearity, scheme, options), stds, means, spreads = CASES[case]
    with torch.no_grad():
        found_means, found_stds = statistics(
            hidden(ten_layers(nonlinearity, scheme, seed, **options), seed + 10)
        )
    for layer in range(10):
        assert found_stds[layer] == pytest.approx(stds[layer], rel=4 * spreads[layer])
        if means is None:
            assert abs(found_means[layer]) < 0.02 * stds[layer]
        else:
            assert found_means[layer] == pytest.approx(means[layer], rel=max(4 * spreads[layer], 0.01))


def test_the_slides_own_figures_lie_within_the_same_bands():
    theory = CASES["tanh 0.01"][1]
    for slide, expected, spread in zip(SLIDE["tanh small"], theory, SMALL_SPREAD, strict=True):
        assert abs(slide - expected) < 4 * spread * expected + 5e-7
    for mean, std, spread in zip(SLIDE["he mean"], SLIDE["he std"], HE_SPREAD, strict=True):
        assert abs(std - 0.82565) < 4 * spread
        assert abs(mean - 0.56419) < 4 * spread


def test_small_weights_kill_the_signal_and_with_it_the_gradients_of_all_layers():
    model = ten_layers("tanh", "small_random")
    _, stds = statistics(hidden(model))
    assert stds[-1] / stds[0] < 1e-5
    for above, below in pairwise(stds[1:]):
        assert below / above == pytest.approx(math.sqrt(5) / 10, rel=0.02)
    inputs, weights = gradients(model)
    assert inputs[-1] == pytest.approx(0.223, rel=0.02)
    assert inputs[0] == pytest.approx(2.97e-7, rel=0.06)
    assert weights == pytest.approx([4.2e-8] * 10, rel=0.1)


def test_large_weights_saturate_the_units_and_yet_the_gradient_explodes():
    """The slide says that the gradients will be all zero; that holds for the local ones only."""
    model = ten_layers("tanh", "small_random", scale=1.0)
    values = hidden(model)
    local = 1 - values[-1].double() ** 2
    assert (values[-1].abs() > 0.99).double().mean().item() == pytest.approx(0.904, abs=0.005)
    assert (local < 0.02).double().mean().item() == pytest.approx(0.904, abs=0.005)
    inputs, _ = gradients(model)
    assert inputs[-1] == pytest.approx(3.49, rel=0.02)
    assert inputs[0] == pytest.approx(2.6e5, rel=0.1)
    for above, below in zip(inputs[1:], inputs[:-1], strict=True):
        assert below / above == pytest.approx(3.48, rel=0.05)


@pytest.mark.parametrize(
    ("nonlinearity", "scheme", "last", "first", "tolerance"),
    [
        ("tanh", "xavier", 0.948, 0.267, 0.05),
        ("relu", "xavier", 0.711, 0.0314, 0.2),
        ("relu", "he", 1.0, 1.02, 0.2),
    ],
)
def test_the_gradient_on_its_way_down(nonlinearity, scheme, last, first, tolerance):
    inputs, weights = gradients(ten_layers(nonlinearity, scheme))
    assert inputs[-1] == pytest.approx(last, rel=0.06)
    assert inputs[0] == pytest.approx(first, rel=tolerance)
    if nonlinearity == "tanh":
        assert 0.0065 < min(weights) <= max(weights) < 0.009


def test_torchs_default_is_neither_xaviers_nor_hes():
    _, stds = statistics(hidden(ten_layers("relu", "default")))
    _, floored = statistics(hidden(ten_layers("relu", "default", bias=True)))
    for above, below in pairwise(stds):
        assert below / above == pytest.approx(0.408, rel=0.2)
    assert stds[-1] == pytest.approx(1e-4, rel=0.5)
    assert floored[-1] == pytest.approx(0.02, rel=0.3)


def test_units_silent_on_a_thousand_rows_are_rare_at_the_start():
    expected = [0, 0, 0.001, 0.006, 0.016, 0.029, 0.047, 0.062, 0.081, 0.098]
    for scheme in ("he", "xavier"):
        values = hidden(ten_layers("relu", scheme, seed=3))[1:]
        shares = [(h.amax(0) == 0).double().mean().item() for h in values]
        for share, mean in zip(shares, expected, strict=True):
            assert abs(share - mean) < max(0.01, 0.6 * mean)


def small_net(scheme, **options):
    model = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 30), nn.ReLU(), nn.Linear(30, 10))
    return initialize(model.double(), scheme, **options)


def labelled():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(100, 20, generator=generator, dtype=torch.float64)
    return x, torch.randint(10, (100,), generator=generator)


def test_zero_weights_give_chance_and_a_gradient_to_the_last_bias_only():
    model, (x, y) = small_net("zero"), labelled()
    loss = nn.functional.cross_entropy(model(x), y)
    assert loss.item() == pytest.approx(math.log(10), rel=1e-15)
    loss.backward()
    moved = [name for name, parameter in model.named_parameters() if parameter.grad.any()]
    assert moved == ["4.bias"]


def test_equal_weights_stay_equal_and_of_rank_one():
    model, (x, y) = small_net("constant", value=0.05), labelled()
    for _ in range(50):
        loss = nn.functional.cross_entropy(model(x), y)
        found = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), found, strict=True):
                parameter -= 0.1 * gradient
    W = model[0].weight.detach()
    assert (W - 0.05).abs().max() > 1e-4  # it does learn
    assert (W - W[:1]).abs().max() < 1e-15
    assert torch.linalg.matrix_rank(W).item() == 1
    values = torch.linalg.svdvals(W)
    assert values[1] / values[0] < 1e-14
