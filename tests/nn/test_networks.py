from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from babysit.errors import InputError
from babysit.nn.networks import mlp_of

FULL = {
    "depth": 2,
    "width": 30,
    "activation": "tanh",
    "batch_norm": True,
    "dropout": 0.25,
    "weight_scale": 0.5,
    "learning_rate": 1e-3,
}


def built(hp, inputs=64):
    torch.manual_seed(0)
    return mlp_of(hp, inputs, 10)


def test_every_standard_name_shapes_the_network():
    kinds = [type(layer).__name__ for layer in built(FULL)]
    assert kinds == ["Flatten", *["Linear", "BatchNorm1d", "Tanh", "Dropout"] * 2, "Linear"]
    layers = [layer for layer in built(FULL) if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(64, 30), (30, 30), (30, 10)]
    assert [layer.p for layer in built(FULL) if isinstance(layer, nn.Dropout)] == [0.25, 0.25]
    assert layers[0].weight.std().item() == pytest.approx(0.5, rel=0.05)


def test_a_name_that_is_absent_takes_its_default():
    network = built({})
    assert [type(layer).__name__ for layer in network] == ["Flatten", "Linear", "ReLU", "Linear"]
    assert network[1].out_features == 100


def test_no_hidden_layer_is_a_linear_classifier():
    assert [type(layer).__name__ for layer in built({"depth": 0})] == ["Flatten", "Linear"]


@pytest.mark.parametrize("width", [20, 400])
def test_the_first_loss_is_at_chance_however_wide_the_network(width):
    network = built({"depth": 2, "width": width, "batch_norm": True})
    torch.manual_seed(1)
    loss = nn.functional.cross_entropy(network(torch.randn(500, 64)), torch.randint(10, (500,)))
    assert loss.item() == pytest.approx(math.log(10), rel=0.03)


@pytest.mark.parametrize(
    "bad",
    [{"depth": -1}, {"depth": 1.5}, {"depth": True}, {"width": 0}, {"width": "wide"}, {"activation": "rleu"}],
)
def test_a_value_that_makes_no_network_is_refused(bad):
    with pytest.raises(InputError) as caught:
        built(bad)
    assert caught.value.fix
