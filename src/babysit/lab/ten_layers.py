"""The lecture's ten-layer experiment: 1000 gaussian rows through ten layers of 500 units, and noise back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from babysit.nn.initialization import initialize
from babysit.seeding import derive, seeded

ROWS, WIDTH, DEPTH = 1000, 500, 10

KINDS = {"tanh": nn.Tanh, "relu": nn.ReLU, "linear": nn.Identity}


class Case(NamedTuple):
    """A scheme with its options, and the nonlinearity after every layer."""

    label: str
    scheme: str
    activation: str
    options: tuple[tuple[str, object], ...] = ()


class Layer(NamedTuple):
    """Measurements of one layer.

    Attributes:
        number: 1 to 10.
        mean, std: of its output.
        gradient_std: of the gradient at its input, for unit noise at the top.
        weight_gradient_std: of the gradient of its weights, averaged over the rows.
        output: the activations, [rows, width].
    """

    number: int
    mean: float
    std: float
    gradient_std: float
    weight_gradient_std: float
    output: Tensor


class Passage(NamedTuple):
    """One forward and backward pass: the input's statistics and every layer's."""

    case: Case
    input_mean: float
    input_std: float
    layers: Sequence[Layer]


def passage(case: Case, seed: int, draw: int = 0) -> Passage:
    """Sends unit gaussian rows forward and unit gaussian noise backward.

    Args:
        case: the scheme and nonlinearity.
        seed: of the experiment.
        draw: number of the independent draw.
    """
    with seeded(seed, "harness", draw):
        x, noise = torch.randn(2, ROWS, WIDTH, dtype=torch.float64)
    model = build(case, derive(seed, "harness", draw), x)
    inputs, outputs, h = [], [], x.requires_grad_()
    for layer in model:
        if isinstance(layer, nn.Linear):
            inputs.append(h)
        h = layer(h)
        h.retain_grad()
        if not isinstance(layer, nn.Linear):
            outputs.append(h)
    torch.autograd.backward(outputs[-1], noise)
    linears = [layer for layer in model if isinstance(layer, nn.Linear)]
    layers = [
        Layer(number, *_moments(output), _std(before.grad), _std(linear.weight.grad) / ROWS, output.detach())
        for number, (before, linear, output) in enumerate(zip(inputs, linears, outputs, strict=True), start=1)
    ]
    return Passage(case, *_moments(x), layers)


def build(case: Case, seed: int, x: Tensor) -> nn.Sequential:
    """Builds ten linear layers, each followed by the nonlinearity; biases only if the scheme needs them."""
    has_bias = case.scheme in ("data_dependent", "default")
    layers: list[nn.Module] = []
    for _ in range(DEPTH):
        layers += [nn.Linear(WIDTH, WIDTH, bias=has_bias), KINDS[case.activation]()]
    model = nn.Sequential(*layers).double()  # 1 - h^2 of a saturated unit is below what float32 resolves
    initialize(model, case.scheme, seed=seed, batch=x, **dict[str, Any](case.options))
    return model


def _moments(values: Tensor) -> tuple[float, float]:
    exact = values.detach().double()
    return float(exact.mean()), float(exact.std(correction=0))


def _std(values: Tensor | None) -> float:
    return math.nan if values is None else _moments(values)[1]
