from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from babysit.errors import RecipeError
from babysit.nn.activations import ACTIVATIONS, activation, advice
from babysit.nn.maxout import Maxout

ELEMENTWISE = [row for row in ACTIVATIONS.values() if row.value is not None]
BY_NAME = pytest.mark.parametrize("row", ELEMENTWISE, ids=lambda row: row.name)
PROBES = torch.tensor([-10.0, 0.0, 10.0], dtype=torch.float64)
GRID = torch.linspace(-30, 30, 6001, dtype=torch.float64)


def expectation(function):
    """E[f(z)] by Gauss-Legendre on each side of the kink: exact to 1e-13 for these functions."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    total = 0.0
    for low, high in ((-12, -4), (-4, 0), (0, 4), (4, 12)):
        z = torch.tensor((high - low) / 2 * nodes + (high + low) / 2)
        density = torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        total += (high - low) / 2 * float((torch.tensor(weights) * density * function(z)).sum())
    return total


@BY_NAME
def test_the_function_and_its_derivative_are_those_of_torchs_layer(row):
    x = GRID.clone().requires_grad_()
    y = row.make().double()(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(row.value(GRID), y.detach(), rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(row.derivative(GRID), slope, rtol=1e-9, atol=1e-12)


@BY_NAME
def test_the_statistics_are_those_of_quadrature(row):
    mean = expectation(row.value)
    power = expectation(lambda z: row.value(z) ** 2)
    assert row.mean == pytest.approx(mean, abs=1e-10)
    assert row.std == pytest.approx(math.sqrt(power - mean**2), abs=1e-10)
    assert row.gain == pytest.approx(1 / math.sqrt(power), abs=1e-10)
    assert row.zero_centred == (abs(row.mean) < 1e-10)


@BY_NAME
def test_the_statistics_are_those_of_samples(row):
    z = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    f = row.value(z)
    assert abs(f.mean() - row.mean) < 4 * row.std / 1000
    assert abs(f.std() - row.std) < 4 * row.std / 1000  # the kurtosis of all of them is below 5


@pytest.mark.parametrize(
    ("name", "gain", "mean", "std"),
    [
        ("sigmoid", 1.84623, 0.5, 0.2083),
        ("tanh", 1.59254, 0, 0.62793),
        ("relu", math.sqrt(2), 0.39894, 0.58382),
        ("leaky_relu", 1.41414, 0.39495, None),
        ("elu", 1.2452, 0.16052, 0.78688),
        ("selu", 1, 0, 1),
        ("maxout", 1, 0.56419, math.sqrt(1 - 1 / math.pi)),
    ],
)
def test_the_published_statistics(name, gain, mean, std):
    row = ACTIVATIONS[name]
    assert row.gain == pytest.approx(gain, abs=6e-6)
    assert row.mean == pytest.approx(mean, abs=6e-6)
    assert std is None or row.std == pytest.approx(std, abs=3e-5)


@pytest.mark.parametrize(
    ("name", "slopes"),
    [
        ("sigmoid", (4.5396e-5, 0.25, 4.5396e-5)),
        ("tanh", (8.2446e-9, 1, 8.2446e-9)),
        ("relu", (0, 0, 1)),
        ("leaky_relu", (0.01, 0.01, 1)),
        ("prelu", (0.25, 0.25, 1)),
        ("elu", (4.53999e-5, 1, 1)),
    ],
)
def test_the_local_gradients_at_the_slides_three_points(name, slopes):
    expected = torch.tensor(slopes, dtype=torch.float64)
    torch.testing.assert_close(ACTIVATIONS[name].derivative(PROBES), expected, rtol=2e-5, atol=0)


def test_a_saturated_unit_keeps_the_digits_of_its_gradient_in_single_precision():
    x = torch.tensor([20.0])
    assert ACTIVATIONS["sigmoid"].derivative(x).item() == pytest.approx(math.exp(-20), rel=1e-6)
    assert ACTIVATIONS["tanh"].derivative(x).item() == pytest.approx(4 * math.exp(-40), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@BY_NAME
def test_huge_inputs_are_harmless(row, dtype):
    x = torch.tensor([-1e4, -701.0, 701.0, 1e4], dtype=dtype)
    assert row.value(x).isfinite().all()
    assert row.derivative(x).isfinite().all()
    low, high = (torch.tensor(end, dtype=dtype) for end in row.range)
    assert (row.value(x) >= low).all()
    assert (row.value(x) <= high).all()
    assert row.value(x).dtype == row.derivative(x).dtype == dtype


@BY_NAME
def test_the_range_is_reached_and_not_passed(row):
    y = row.value(torch.linspace(-50, 50, 2_000_001, dtype=torch.float64))
    for end, extreme in zip(row.range, (y.min(), y.max()), strict=True):
        assert abs(extreme) > 0.4 if math.isinf(end) else abs(extreme - end) < 1e-9


@BY_NAME
def test_saturation_and_death_are_what_the_derivative_shows(row):
    left, right = row.derivative(torch.tensor([-40.0, 40.0], dtype=torch.float64)).abs()
    ends = {(True, True): "both", (True, False): "left", (False, False): "no"}
    assert row.saturates == ends[bool(left < 1e-9), bool(right < 1e-9)]
    near = row.derivative(torch.linspace(-5, -4, 101, dtype=torch.float64))
    assert row.dies == bool((near == 0).all())


def test_sigmoid_passes_on_a_quarter_at_most_and_less_than_a_hundredth_beyond_4_6():
    slope = ACTIVATIONS["sigmoid"].derivative
    assert slope(GRID).max() == 0.25
    assert (slope(GRID[GRID.abs() > 4.585]) < 1e-2).all()
    assert slope(torch.tensor(4.584)) > 1e-2
    ends = ACTIVATIONS["sigmoid"].value(torch.tensor([-math.inf, math.inf]))
    assert ends.tolist() == [0, 1]


def test_tanh_is_a_stretched_sigmoid():
    torch.testing.assert_close(torch.tanh(GRID), 2 * torch.sigmoid(2 * GRID) - 1, rtol=0, atol=1e-15)


def test_the_second_moment_of_a_leaky_relu():
    for slope, power in ((0.01, 0.50005), (0.1, 0.505)):
        layer = activation("leaky_relu", slope=slope)
        assert expectation(lambda z, f=layer: f(z) ** 2) == pytest.approx(power, abs=1e-9)


def test_prelu_learns_its_slope():
    layer = activation("prelu").double()
    x = torch.randn(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layer(x).sum().backward()
    assert layer.weight.grad.item() == pytest.approx(x[x < 0].sum().item(), rel=1e-12)
    weight = torch.tensor(
        [0.3, 1.7], dtype=torch.float64, requires_grad=True
    )  # x above 0, alpha x below: any alpha
    x = x.view(25, 2).requires_grad_()
    assert torch.autograd.gradcheck(nn.functional.prelu, (x, weight))


def test_elu_has_slope_f_plus_alpha_and_is_smooth_for_alpha_one_only():
    for alpha in (0.5, 1.0, 2.0):
        x = torch.linspace(-5, 0, 101, dtype=torch.float64, requires_grad=True)
        y = activation("elu", alpha=alpha)(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        torch.testing.assert_close(slope, y.detach() + alpha)
        assert slope[-1].item() == pytest.approx(alpha)
        assert y[-1] == 0  # so x > 0 and x >= 0, the two slides' conventions, agree
        assert activation("elu", alpha=alpha)(torch.tensor(-50.0)).item() == pytest.approx(-alpha)


def test_elu_shrugs_off_noise_on_the_left_where_a_leaky_relu_passes_it_on():
    far = torch.tensor(-10.0, dtype=torch.float64)
    assert ACTIVATIONS["elu"].derivative(far).item() == pytest.approx(4.54e-5, rel=1e-4)
    assert ACTIVATIONS["elu"].derivative(far) < ACTIVATIONS["leaky_relu"].derivative(far) / 200


def test_lecuns_tanh():
    def f(x):
        return 1.7159 * torch.tanh(2 / 3 * x)

    assert f(torch.tensor(1.0, dtype=torch.float64)).item() == pytest.approx(0.999997, abs=3e-6)
    assert math.sqrt(expectation(lambda z: f(z) ** 2)) == pytest.approx(0.866, abs=1e-3)


def test_positive_inputs_give_gradients_of_one_sign_and_centred_ones_rarely():
    generator = torch.Generator().manual_seed(0)
    for size in (2, 5):
        z = torch.randn(20_000, size, generator=generator)
        for x, expected in ((z.abs(), 1.0), (z, 2.0 ** (1 - size))):
            upstream = torch.randn(len(x), 1, generator=generator)
            signs = (upstream * x).sign()
            share = (signs == signs[:, :1]).all(1).double().mean().item()
            assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / len(x)))


def test_a_dead_relu_never_updates_and_a_leaky_one_does():
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    for name, dead in (("relu", True), ("leaky_relu", False)):
        layer = nn.Linear(3, 1)
        nn.init.constant_(layer.bias, -100.0)
        before = layer.weight.detach().clone()
        for _ in range(5):
            gradients = torch.autograd.grad(activation(name)(layer(x)).square().sum(), [*layer.parameters()])
            with torch.no_grad():
                for parameter, gradient in zip(layer.parameters(), gradients, strict=True):
                    parameter -= 1e-3 * gradient
        assert torch.equal(layer.weight, before) == dead


@pytest.mark.parametrize(
    ("name", "grade"),
    [
        ("relu", "use"),
        ("leaky_relu", "try"),
        ("maxout", "try"),
        ("elu", "try"),
        ("tanh", "maybe"),
        ("sigmoid", "avoid"),
    ],
)
def test_the_lectures_four_grades(name, grade):
    assert ACTIVATIONS[name].grade == grade
    assert advice(name).startswith(f"{grade}: ")


def test_every_row_is_complete():
    assert {row.grade for row in ACTIVATIONS.values()} == {"use", "try", "maybe", "avoid"}
    for name, row in ACTIVATIONS.items():
        assert row.name == name
        assert row.formula
        assert row.derivative_formula
        assert row.why
        assert row.source
        assert advice(name)


def test_activations_are_torchs_own_with_their_options():
    assert activation("leaky_relu", slope=0.1).negative_slope == 0.1
    assert activation("leaky_relu").negative_slope == 0.01
    assert activation("elu", alpha=2.0).alpha == 2
    assert activation("prelu", init=0.1, channels=4).weight.tolist() == pytest.approx([0.1] * 4)
    assert activation("gelu", approximate="tanh").approximate == "tanh"
    assert isinstance(activation("maxout", in_features=3, out_features=2, pieces=4), Maxout)
    names = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "ReLU", "selu": "SELU", "silu": "SiLU"}
    assert {name: type(activation(name)).__name__ for name in names} == names


def test_what_does_not_exist_is_refused_with_what_does():
    with pytest.raises(RecipeError, match=r"no activation is called 'swush'[\s\S]*silu"):
        activation("swush")
    with pytest.raises(RecipeError, match="no activation is called 'swush'"):
        advice("swush")
    with pytest.raises(RecipeError, match=r"'leaky_relu'[\s\S]*alpha[\s\S]*slope"):
        activation("leaky_relu", alpha=0.1)
    with pytest.raises(RecipeError, match="in_features"):
        activation("maxout")
